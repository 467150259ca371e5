//! The files of one process in `/proc`, read in bounded pieces.
//!
//! The directory is opened once, so that all is of one process, and nothing of another that was given its pid later. Nothing
//! is read that takes the lock of another process's memory, as `cmdline`, `environ` and `maps` do, nor anything that asks the
//! file system behind a descriptor, as `stat(2)` of `/proc/PID/fd/N` does: both can wait for as long as that process likes.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use prefork_core::one_line;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, readlinkat_raw, statat},
    io::{Errno, read},
};

/// No name of a process or path is shown longer.
const LONGEST: usize = 200;
/// So many threads are asked which processes they have started.
const MOST_THREADS: usize = 64;

/// A process, by its directory.
#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) pid: u32,
    directory: OwnedFd,
}

impl Proc {
    pub(crate) fn open(pid: u32) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?;
        Ok(Self { pid, directory })
    }

    /// Reads at most so many bytes of a file.
    pub(crate) fn read(&self, name: &str, most: usize) -> Result<Vec<u8>, Errno> {
        let file = self.open_file(name)?;
        let mut bytes = vec![0; most];
        let mut length = 0;
        while length < most {
            match read(&file, &mut bytes[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Reads a file of a few lines.
    pub(crate) fn text(&self, name: &str) -> Result<String, Errno> {
        Ok(String::from_utf8_lossy(&self.read(name, 8192)?).into_owned())
    }

    pub(crate) fn open_file(&self, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads what a descriptor leads to, without following it.
    pub(crate) fn link(&self, fd: i32) -> Result<Vec<u8>, Errno> {
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let (target, _) = readlinkat_raw(&self.directory, format!("fd/{fd}"), &mut space)?;
        Ok(target.to_vec())
    }

    /// Returns whether a descriptor is open to be read, and to be written: the mode of its link shows both.
    pub(crate) fn access(&self, fd: i32) -> Result<Access, Errno> {
        let mode = statat(&self.directory, format!("fd/{fd}"), AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
        Ok(Access { reads: mode & 0o400 != 0, writes: mode & 0o200 != 0 })
    }

    /// Returns the numbers that are names in a directory, at most so many, in the order of the kernel, which is theirs.
    pub(crate) fn numbers(&self, name: &str, most: usize) -> Result<Vec<u32>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        numbers(&openat(&self.directory, name, flags, Mode::empty())?, most)
    }

    /// Returns its name, or that of one of its threads.
    pub(crate) fn name(&self, file: &str) -> String {
        let name = self.read(file, 64).unwrap_or_default();
        shown(name.trim_ascii_end())
    }

    /// Returns what its threads have started, at most so many: the kernel lists the children of each thread.
    pub(crate) fn children(&self, most: usize) -> Vec<u32> {
        let mut children = Vec::new();
        for tid in self.numbers("task", MOST_THREADS).unwrap_or_default() {
            let text = self.text(&format!("task/{tid}/children")).unwrap_or_default();
            children.extend(text.split_ascii_whitespace().filter_map(|it| it.parse::<u32>().ok()));
            if children.len() >= most {
                break;
            }
        }
        children.truncate(most);
        children
    }
}

/// How a descriptor was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// Returns the pids of all processes, at most so many.
pub(crate) fn pids(most: usize) -> Vec<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, "/proc", flags, Mode::empty());
    directory.and_then(|directory| numbers(&directory, most)).unwrap_or_default()
}

fn numbers(directory: &OwnedFd, most: usize) -> Result<Vec<u32>, Errno> {
    let mut space = [std::mem::MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(directory, &mut space);
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        numbers.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        if numbers.len() >= most {
            break;
        }
    }
    Ok(numbers)
}

/// Makes text from outside one line, of bounded length.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = one_line(OsStr::from_bytes(bytes)).to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_line_of_bounded_length() {
        assert_eq!(shown(b"a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&[b'x'; 5000]).len(), LONGEST + 3);
        assert!(shown("é".repeat(5000).as_bytes()).starts_with("éé"));
    }

    #[test]
    fn access_is_that_of_the_open() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let me = Proc::open(std::process::id()).expect("it is there");
        let access = |fd: &dyn std::os::fd::AsRawFd| me.access(fd.as_raw_fd()).expect("open");
        assert_eq!(access(&reader), Access { reads: true, writes: false });
        assert_eq!(access(&writer), Access { reads: false, writes: true });
        assert_eq!(me.access(1_000_000), Err(Errno::NOENT));
    }
}
