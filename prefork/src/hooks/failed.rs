//! A hook in which a process has failed.

use super::{EndAs, Failure};
use crate::{
    ErrorChain, LogLevel, RunError,
    logs::log::Log,
    logs::{HookMessage, Said},
};

/// The hook that has failed, and the error.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) hook: &'static str,
    pub(crate) failure: Failure,
}

impl Failed {
    pub(crate) fn log(&self, log: &Log) {
        match &self.failure {
            // Who has ended is named there, and how.
            Failure::Error(error) if error.is::<EndAs>() => {
                log.write(&Said { level: LogLevel::Error, text: error });
            }
            Failure::Error(error) => {
                log.write(&HookMessage::Failed { hook: self.hook, error: &ErrorChain(&**error) });
            }
            Failure::Panic(message) => {
                log.write(&HookMessage::Panicked { hook: self.hook, error: message });
            }
        }
    }

    /// The exit status that this deserves: that of a Rust program that fails so. Ends the process by a signal if it is to
    /// end as another that has ended by one.
    pub(crate) fn status(&self) -> i32 {
        match &self.failure {
            Failure::Error(error) => error.downcast_ref().map_or(1, EndAs::status),
            Failure::Panic(_) => 101,
        }
    }

    pub(crate) fn into_error(self) -> RunError {
        RunError::Hook { hook: self.hook, source: self.failure.into_error() }
    }
}
