//! What this process has open, as `/proc/self/fd` shows it.

use std::{
    fs, io,
    os::fd::{BorrowedFd, RawFd},
    path::PathBuf,
};

use rustix::{
    fs::{FileType, fstat},
    io::{FdFlags, fcntl_getfd},
};

use crate::sys::{borrow_descriptor, refused::Refusable};

/// What is open under one number.
///
/// Two are equal if it is the same file under the same number. Of two files without an inode of their own, such as two
/// epoll descriptors, that is not known, and they are equal too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenFile {
    pub(crate) number: RawFd,
    /// A path, `socket:[35]`, `anon_inode:[eventpoll]`: see `proc_pid_fd(5)`.
    pub(crate) target: PathBuf,
    /// Its device and inode.
    pub(crate) identity: (u64, u64),
    pub(crate) is_regular: bool,
}

/// Returns the numbers of all that is open, from the lowest.
///
/// # Errors
///
/// Fails if `/proc` cannot be read, or no descriptor more can be opened for that.
pub(crate) fn open_numbers() -> io::Result<Vec<RawFd>> {
    let entries = fs::read_dir("/proc/self/fd")?.collect::<io::Result<Vec<_>>>()?;
    let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let mut numbers: Vec<RawFd> = entries.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns all that is open, by their numbers.
///
/// # Errors
///
/// Fails if `/proc` cannot be read, no descriptor more can be opened for that, or a sandbox refuses a call.
pub(crate) fn open_files() -> io::Result<Vec<OpenFile>> {
    // The directory that was just read is closed by now.
    open_numbers()?.into_iter().filter_map(|number| OpenFile::find(number).transpose()).collect()
}

impl OpenFile {
    fn find(number: RawFd) -> io::Result<Option<Self>> {
        let Some(fd) = borrow_descriptor(number) else { return Ok(None) };
        let target = fs::read_link(format!("/proc/self/fd/{number}")).of_call("readlink(2)")?;
        let stat = fstat(fd).of_call("fstat(2)")?;
        Ok(Some(Self {
            number,
            target,
            identity: (stat.st_dev, stat.st_ino),
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        }))
    }

    /// To ask for more about it; `None` if it was closed.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'static>> {
        borrow_descriptor(self.number)
    }

    /// Returns whether the same is open under its number.
    pub(crate) fn is_still_there(&self) -> bool {
        Self::find(self.number).is_ok_and(|found| found.as_ref() == Some(self))
    }

    /// Returns whether a program that is executed does not get it. What a process was started with is never so.
    pub(crate) fn closes_on_exec(&self) -> bool {
        let flags = self.descriptor().and_then(|fd| fcntl_getfd(fd).ok());
        flags.is_some_and(|flags| flags.contains(FdFlags::CLOEXEC))
    }

    /// Returns whether it holds a lock of `fcntl(2)`, which belongs to this process and to none that is forked from it.
    pub(crate) fn holds_a_lock_of_this_process(&self) -> bool {
        // See `proc_pid_fdinfo(5)`: `lock:	1: POSIX  ADVISORY  WRITE 359 08:01:13 0 EOF`.
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.number));
        let is_lock = |line: &str| {
            line.strip_prefix("lock:")
                .is_some_and(|lock| lock.split_whitespace().nth(1) == Some("POSIX"))
        };
        info.is_ok_and(|info| info.lines().any(is_lock))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::fs::{FlockOperation, fcntl_lock, flock};

    use super::*;

    #[test]
    fn a_lock_of_this_process_is_known_from_one_of_the_file() {
        let files: [fs::File; 2] = std::array::from_fn(|_| tempfile::tempfile().expect("a file"));
        let holds = files.each_ref().map(|file| {
            let found = OpenFile::find(file.as_raw_fd()).expect("nothing refuses it");
            let found = found.expect("it is open");
            move || found.holds_a_lock_of_this_process()
        });
        flock(&files[0], FlockOperation::LockExclusive).expect("locked");
        assert_eq!(holds.each_ref().map(|it| it()), [false, false]);
        fcntl_lock(&files[1], FlockOperation::LockExclusive).expect("locked");
        assert_eq!(holds.each_ref().map(|it| it()), [false, true]);
    }

    #[test]
    fn what_is_open_is_found_by_its_number() {
        let file = fs::File::open("/dev/null").expect("there");
        let is_it = |found: &OpenFile| found.number == file.as_raw_fd();
        let found = open_files().expect("it can be read").into_iter().find(is_it);
        let found = found.expect("it is among them");
        assert_eq!((found.target.to_str(), found.is_regular), (Some("/dev/null"), false));
        assert!(found.closes_on_exec());
        drop(file);
    }
}
