//! Ending as another process has ended.

use std::{
    error::Error,
    fmt::{self, Display},
    io::{self, Write},
};

use prefork_core::Exit;
use rustix::process::{DumpableBehavior, Signal, getpid, kill_process, set_dumpable_behavior};

use crate::{logs::describe::Ended, sys};

/// The error of a main loop that is to end its child as another process has ended: with the same status, or by the same signal.
///
/// For children that run a program, which is what people look for in the log and in
/// [`on_child_exit`](crate::Args::on_child_exit). A signal writes no second core dump. One that does not end a process
/// by default, and status 0, are status 1.
///
/// # Examples
///
/// ```
/// use prefork::{Args, EndAs, Exit};
/// use std::{os::unix::process::ExitStatusExt, process::Command};
///
/// let args = Args::new().main_loop(|_child, ()| {
///     let status = Command::new("worker").status()?;
///     match (status.code(), status.signal()) {
///         (Some(0), _) => Ok(()),
///         (Some(code), _) => Err(EndAs::new(Exit::Code(code), "worker").into()),
///         (None, signal) => {
///             let exit = Exit::Signal { number: signal.unwrap_or(9), core_dumped: false };
///             Err(EndAs::new(exit, "worker").into())
///         }
///     }
/// });
/// # drop(args);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndAs {
    exit: Exit,
    who: String,
    when: String,
}

impl EndAs {
    /// Makes one for a process that has ended in this way; `who` names it in the log.
    #[must_use]
    pub fn new(exit: Exit, who: impl Into<String>) -> Self {
        Self { exit, who: who.into(), when: String::new() }
    }

    /// Says when that was, behind how it has ended: `" before it was ready"`.
    #[must_use]
    pub fn when(mut self, when: impl Into<String>) -> Self {
        self.when = when.into();
        self
    }

    /// How the process has ended.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Ends this process by the same signal, or returns the status that it is to end with.
    pub(super) fn status(&self) -> i32 {
        match self.exit {
            Exit::Code(code @ 1..=255) => code,
            Exit::Code(_) => 1,
            Exit::Signal { number, .. } => {
                let _ = io::stdout().flush();
                sys::flush_c_streams();
                // The dump of interest is that of the other process.
                let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
                if number == Signal::KILL.as_raw() {
                    let _ = kill_process(getpid(), Signal::KILL);
                }
                let _ = signal_hook::low_level::emulate_default_handler(number);
                1
            }
        }
    }
}

impl Display for EndAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.who, Ended(self.exit), self.when)
    }
}

impl Error for EndAs {}
