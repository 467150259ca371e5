//! Descriptors that stay open when this process becomes another program.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Descriptors that the next program gets.
#[derive(Debug, Default)]
pub(crate) struct KeptDescriptors<'a> {
    fds: Vec<BorrowedFd<'a>>,
}

impl<'a> KeptDescriptors<'a> {
    /// Notes one, and returns its number there.
    pub(crate) fn pass(&mut self, fd: &'a (impl AsFd + ?Sized)) -> RawFd {
        self.pass_borrowed(fd.as_fd())
    }

    pub(crate) fn pass_borrowed(&mut self, fd: BorrowedFd<'a>) -> RawFd {
        self.fds.push(fd);
        fd.as_raw_fd()
    }

    pub(crate) fn keep_on_exec(&self, keep: bool) -> io::Result<()> {
        for fd in &self.fds {
            let mut flags = fcntl_getfd(fd)?;
            flags.set(FdFlags::CLOEXEC, !keep);
            fcntl_setfd(fd, flags)?;
        }
        Ok(())
    }
}
