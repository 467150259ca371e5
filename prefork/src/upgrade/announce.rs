//! What is logged of a program that is tried, and of one that this process becomes.

use std::fmt::Display;

use prefork_core::one_line;

use super::{Probe, Tried};
use crate::{
    logs::{ChangeMessage, log::Log},
    program::Invocation,
};

impl Probe {
    /// Logs which file is about to be tried.
    pub(crate) fn announce(invocation: &Invocation, log: &Log) {
        let program = invocation.program();
        log.write(&ChangeMessage::ProbingProgram { path: &one_line(&program) });
    }

    /// Logs which file this process becomes, and whether that is another than before.
    pub(crate) fn announce_works(&self, invocation: &Invocation, log: &Log) {
        let Tried { path, is_running } = self.tried(invocation);
        let (path, running) =
            (one_line(&path).to_string(), one_line(invocation.running()).to_string());
        let path: &dyn Display = &path;
        log.write(&if is_running {
            ChangeMessage::UpgradingAgain { path }
        } else if path.to_string() == running {
            ChangeMessage::UpgradingInPlace { path }
        } else {
            ChangeMessage::UpgradingFrom { path, running: &running }
        });
    }
}
