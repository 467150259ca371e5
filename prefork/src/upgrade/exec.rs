//! Executing a program by its open file.

use std::{
    convert::Infallible,
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use nix::{fcntl::AtFlags, unistd::execveat};
use rustix::{
    fs::{Mode, OFlags, open},
    io::{FdFlags, fcntl_getfd, fcntl_setfd},
    process::fchdir,
};

use super::{Origin, inherited::VARIABLE};

/// Descriptors that the next program gets.
#[derive(Debug, Default)]
pub(crate) struct Passed<'a> {
    fds: Vec<BorrowedFd<'a>>,
}

impl<'a> Passed<'a> {
    /// Notes one, and returns its number there.
    pub(crate) fn pass(&mut self, fd: &'a (impl AsFd + ?Sized)) -> RawFd {
        self.pass_borrowed(fd.as_fd())
    }

    pub(crate) fn pass_borrowed(&mut self, fd: BorrowedFd<'a>) -> RawFd {
        self.fds.push(fd);
        fd.as_raw_fd()
    }

    fn keep_on_exec(&self, keep: bool) -> io::Result<()> {
        for fd in &self.fds {
            let mut flags = fcntl_getfd(fd)?;
            flags.set(FdFlags::CLOEXEC, !keep);
            fcntl_setfd(fd, flags)?;
        }
        Ok(())
    }

    /// Becomes `program`, started as `origin` says, with `message` for [`super::inherited()`].
    ///
    /// Returns only if that is refused; all is as before then.
    pub(crate) fn become_program(
        &self,
        origin: &Origin,
        program: BorrowedFd<'_>,
        message: &str,
    ) -> io::Error {
        let before = open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let refused = || -> io::Result<Infallible> {
            self.keep_on_exec(true)?;
            fchdir(&origin.directory)?;
            let mut environment = origin.environment.clone();
            environment.push(CString::new(format!("{VARIABLE}={message}"))?);
            // By descriptor: what is executed is what was opened and judged.
            let flags = AtFlags::AT_EMPTY_PATH;
            Ok(execveat(program, c"", &origin.arguments, &environment, flags)?)
        };
        let error = match refused() {
            Err(error) => error,
            Ok(never) => match never {},
        };
        // They are open; that cannot fail.
        let _ = self.keep_on_exec(false);
        if let Ok(before) = before {
            let _ = fchdir(before);
        }
        error
    }
}
