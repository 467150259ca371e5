//! Who holds which socket, as /proc/PID/fd shows.

use crate::Unreadable;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CStr;
use std::fs;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// A descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) descriptor: u32,
}

/// Who holds which socket, by inode. Where several do, the one that was asked about first.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    by_inode: HashMap<u64, Holder>,
}

impl Holders {
    pub(crate) fn clear(&mut self) {
        self.by_inode.clear();
    }

    /// Looks at the descriptors of `pid`, and notes the sockets that are `wanted`.
    ///
    /// A process that is gone holds nothing.
    pub(crate) fn look_at(
        &mut self,
        pid: u32,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> Result<(), Unreadable> {
        let unless_gone = |errno| match errno {
            Errno::NOENT | Errno::SRCH => Ok(()),
            // What belongs to a process that is ending is root's from a moment on.
            Errno::ACCESS | Errno::PERM if is_ending(pid) => Ok(()),
            errno => Err(Unreadable { pid, source: errno.into() }),
        };
        let directory = match open_descriptors(pid) {
            Ok(directory) => directory,
            Err(errno) => return unless_gone(errno),
        };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&directory, &mut space);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return unless_gone(errno),
            };
            let name = entry.file_name();
            let Some(descriptor) = name.to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match socket_inode(&directory, name) {
                Ok(Some(inode)) if wanted(inode) => {
                    self.by_inode.entry(inode).or_insert(Holder { pid, descriptor });
                }
                // Not a socket of interest, or closed since.
                Ok(_) | Err(Errno::NOENT | Errno::SRCH) => {}
                Err(errno) => return unless_gone(errno),
            }
        }
        Ok(())
    }

    /// How many sockets have a holder.
    pub(crate) fn len(&self) -> usize {
        self.by_inode.len()
    }

    pub(crate) fn of(&self, inode: u64) -> Option<Holder> {
        self.by_inode.get(&inode).copied()
    }
}

impl Holder {
    /// Returns whether the process still has this socket under the same descriptor.
    pub(crate) fn still_holds(self, inode: u64) -> bool {
        let name = format!("/proc/{}/fd/{}\0", self.pid, self.descriptor);
        let Ok(name) = CStr::from_bytes_with_nul(name.as_bytes()) else { return false };
        socket_inode(CWD, name) == Ok(Some(inode))
    }
}

/// Returns whether a process has no memory any more, or is gone: see `/proc/PID/statm` in `proc_pid_statm(5)`.
fn is_ending(pid: u32) -> bool {
    match fs::read(format!("/proc/{pid}/statm")) {
        Ok(pages) => pages.starts_with(b"0 "),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn open_descriptors(pid: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty())
}

/// Reads what a descriptor is: `socket:[4711]` with the inode if it is a socket.
fn socket_inode(directory: impl AsFd, name: &CStr) -> Result<Option<u64>, Errno> {
    // Longer targets are paths, cut off.
    let mut space = [MaybeUninit::uninit(); 40];
    let (target, _) = readlinkat_raw(directory, name, &mut space)?;
    let inode = target.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]"));
    Ok(inode.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Whose memory has gone is not accused of hiding anything: as any user but root, it cannot be looked at.
    #[test]
    fn a_process_that_is_ending_holds_nothing() {
        let mut child = Command::new("true").spawn().expect("started");
        while !is_ending(child.id()) {
            std::thread::yield_now();
        }
        Holders::default().look_at(child.id(), |_| true).expect("no complaint");
        child.wait().expect("reaped");
        assert!(is_ending(child.id()) && !is_ending(std::process::id()));
    }
}
