//! A hook in which a process has failed.

use super::Failure;
use crate::{ErrorChain, RunError, logs::HookMessage, logs::log::Log};

/// The hook that has failed, and the error.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) hook: &'static str,
    pub(crate) failure: Failure,
}

impl Failed {
    pub(crate) fn log(&self, log: &Log) {
        match &self.failure {
            Failure::Error(error) => {
                log.write(&HookMessage::Failed { hook: self.hook, error: &ErrorChain(&**error) });
            }
            Failure::Panic(message) => {
                log.write(&HookMessage::Panicked { hook: self.hook, error: message });
            }
        }
    }

    /// The exit status that this deserves: that of a Rust program that fails so.
    pub(crate) const fn status(&self) -> i32 {
        match self.failure {
            Failure::Error(_) => 1,
            Failure::Panic(_) => 101,
        }
    }

    /// The error, if it is one of this kind.
    pub(crate) fn error<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.failure {
            Failure::Error(error) => error.downcast_ref(),
            Failure::Panic(_) => None,
        }
    }

    pub(crate) fn into_error(self) -> RunError {
        RunError::Hook { hook: self.hook, source: self.failure.into_error() }
    }
}
