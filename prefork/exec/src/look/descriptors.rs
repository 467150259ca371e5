//! What a process has open.

use std::{io, os::fd::AsFd, os::fd::OwnedFd};

use rustix::{
    fs::{OFlags, readlinkat_raw},
    process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd},
};

use super::{Process, process::numbers};

/// What a descriptor leads to, if that is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A socket with this inode.
    Socket(u64),
    Epoll,
    Other,
}

impl Process {
    /// Hands out all its descriptors and what they lead to.
    pub(super) fn descriptors(&self, mut each: impl FnMut(i32, Target)) -> io::Result<()> {
        let directory = self.open_at("fd", OFlags::RDONLY | OFlags::DIRECTORY)?;
        numbers(&directory, |number| {
            // One that was closed meanwhile is left out.
            if let (Ok(fd), Some(target)) = (i32::try_from(number), target(&directory, number)) {
                each(fd, target);
            }
        })
    }

    /// Returns what one descriptor leads to; `None` if it is not open.
    pub(crate) fn descriptor(&self, fd: i32) -> Option<Target> {
        let directory = self.open_at("fd", OFlags::PATH | OFlags::DIRECTORY).ok()?;
        target(directory, u32::try_from(fd).ok()?)
    }

    /// Returns whether calls at one of its descriptors do not wait, see `O_NONBLOCK` in `open(2)`.
    pub(crate) fn is_nonblocking(&self, fd: i32) -> bool {
        let mut buffer = [0; 512];
        self.read(&format!("fdinfo/{fd}"), &mut buffer).is_ok_and(has_nonblock)
    }

    /// Makes a duplicate of one of its descriptors, see `pidfd_getfd(2)`.
    ///
    /// What it leads to stays open until the duplicate is dropped: a connection of which the program has closed its own
    /// ends for its client only then.
    ///
    /// # Errors
    ///
    /// `EBADF` if it is not open, `EPERM` if that is forbidden, `ENOSYS` before Linux 5.6.
    pub(crate) fn duplicate(&self, fd: i32) -> io::Result<OwnedFd> {
        Ok(pidfd_getfd(self.pidfd(), ForeignRawFd::from(fd), PidfdGetfdFlags::empty())?)
    }
}

fn target(directory: impl AsFd, number: u32) -> Option<Target> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
    let (text, _) = readlinkat_raw(directory, number.to_string(), &mut buffer).ok()?;
    Some(parse(text))
}

fn parse(text: &[u8]) -> Target {
    if text == b"anon_inode:[eventpoll]" {
        return Target::Epoll;
    }
    let inode = text.strip_prefix(b"socket:[").and_then(|text| text.strip_suffix(b"]"));
    let inode = inode.and_then(|inode| std::str::from_utf8(inode).ok()?.parse().ok());
    inode.map_or(Target::Other, Target::Socket)
}

/// Reads the flags in `proc_pid_fdinfo(5)`, which are octal.
fn has_nonblock(text: &[u8]) -> bool {
    let flags = std::str::from_utf8(text).unwrap_or_default().lines();
    let flags = flags.filter_map(|line| line.strip_prefix("flags:")).next();
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & OFlags::NONBLOCK.bits() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_calls_wait_is_read() {
        for (text, expected) in [
            (&b"pos:\t0\nflags:\t02004002\nmnt_id:\t10\nino:\t4711\n"[..], true),
            (b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\n", false),
            (b"flags:\t9\n", false),
            (b"", false),
            (b"\xff", false),
        ] {
            assert_eq!(has_nonblock(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_link_says_is_read() {
        for (text, expected) in [
            (&b"socket:[4711]"[..], Target::Socket(4711)),
            (b"socket:[]", Target::Other),
            (b"socket:[12", Target::Other),
            (b"anon_inode:[eventpoll]", Target::Epoll),
            (b"/tmp/socket:[12]", Target::Other),
            (b"", Target::Other),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
