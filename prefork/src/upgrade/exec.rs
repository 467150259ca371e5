//! Executing programs that get descriptors of this one's.

use std::{
    convert::Infallible,
    ffi::{CStr, CString},
    io,
    os::fd::BorrowedFd,
};

use nix::{
    fcntl::AtFlags,
    sys::signal::SigSet,
    unistd::{execve, execveat},
};
use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, fchdir, setsid},
};

use crate::system::os::{end_with, set_signal_mask};
use crate::{program::HANDOVER_VARIABLE, system::KeptDescriptors};

/// A program about to be executed.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: Executable<'a>,
    pub(crate) arguments: &'a [CString],
    pub(crate) environment: &'a [CString],
    pub(crate) directory: BorrowedFd<'a>,
}

/// The way in which a program is executed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Executable<'a> {
    /// By its path, as a script must be, which its interpreter opens.
    Path(&'a CStr),
    /// By its file, whatever stands at its path.
    File(BorrowedFd<'a>),
}

impl KeptDescriptors<'_> {
    /// In a process just forked, becomes a program that ends with its parent and has a signal mask; returns why not.
    pub(super) fn become_helper(
        &self,
        parent: Pid,
        mask: &SigSet,
        start: &Start<'_>,
        message: &str,
    ) -> io::Error {
        self.become_helper_with(parent, mask, start, &handover_variable(message))
    }

    /// The same, with another variable for the program to find what it is to do.
    pub(crate) fn become_helper_with(
        &self,
        parent: Pid,
        mask: &SigSet,
        start: &Start<'_>,
        variable: &str,
    ) -> io::Error {
        let settle = || {
            if !end_with(parent)? {
                return Err(io::Error::other("the parent has gone"));
            }
            // A group of its own, to be ended with all that it starts, and no terminal.
            setsid()?;
            set_signal_mask(mask)
        };
        match settle() {
            Ok(()) => self.execute(start, variable),
            Err(error) => error,
        }
    }

    /// Becomes a program, with `message` for [`super::inherited()`].
    ///
    /// Returns only if that is refused; all is as before then.
    pub(super) fn become_program(&self, start: &Start<'_>, message: &str) -> io::Error {
        self.execute(start, &handover_variable(message))
    }

    fn execute(&self, start: &Start<'_>, variable: &str) -> io::Error {
        let before = open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let refused = || -> io::Result<Infallible> {
            self.keep_on_exec(true)?;
            fchdir(start.directory)?;
            let mut environment = start.environment.to_vec();
            environment.push(CString::new(variable)?);
            Ok(match start.program {
                Executable::Path(path) => execve(path, start.arguments, &environment)?,
                Executable::File(file) => {
                    let flags = AtFlags::AT_EMPTY_PATH;
                    execveat(file, c"", start.arguments, &environment, flags)?
                }
            })
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

fn handover_variable(message: &str) -> String {
    format!("{HANDOVER_VARIABLE}={message}")
}
