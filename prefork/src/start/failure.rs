//! Reporting why a daemon does not come up: to whoever starts it, and with its time to the log.
//!
//! A program prints what [`run`](crate::Prefork::run) returns to standard error. From the moment in which that is the
//! log, a person at a terminal would see nothing, and the log have a line without a time. So the library logs the reason
//! itself, and standard error leads to the person again: in the foreground to where it led at the start, in the background
//! nowhere, as there the launcher prints the reason.

use rustix::fs::{Mode, OFlags, open};

use crate::{
    ErrorChain, RunError,
    logs::{ChangeMessage, log::Log, stderr},
};

/// Does it for a daemon in the foreground. Without a log elsewhere, what the program prints is all.
pub(crate) fn in_foreground(error: &RunError, log: &Log) {
    if let Some(original) = stderr::take_original() {
        log.write(&ChangeMessage::NotStarted { error: &ErrorChain(error) });
        // If not even that is possible, the log has the reason twice.
        let _ = rustix::stdio::dup2_stderr(original);
    }
}

/// Does it for a daemon in the background.
pub(crate) fn in_background(error: &RunError, log: &Log) {
    log.write(&ChangeMessage::NotStarted { error: &ErrorChain(error) });
    // If not even that is possible, the log has the reason twice.
    if let Ok(nowhere) = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stderr(nowhere);
    }
}
