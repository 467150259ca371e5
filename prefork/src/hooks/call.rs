//! Calls of hooks, and what the program answers.

use prefork_core::{Hook, SlotId};
use prefork_reload::Changes;

use crate::{
    ChildExit, ErrorChain, HungChild, OnChange, OnDisconnect,
    disconnect::{self, Gone},
    hooks,
    hooks::{Failure, ParentHooks},
    logs::HookMessage,
    logs::log::Log,
    program,
};

/// One call, with what the hook is given.
#[derive(Debug)]
pub(crate) enum Call {
    Ready,
    BeforeShutdown,
    OnChildExit(ChildExit),
    OnTimeout(SlotId, HungChild),
    AutoReloadHandler(Changes),
    OnClientDisconnect(Box<Gone>),
    /// With whether another failure is no news.
    Demand {
        is_failing: bool,
    },
}

/// What the program has decided, or reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Cancel,
    Upgrade,
    Reload,
    /// So many jobs wait.
    Jobs(u32),
}

impl Answer {
    /// No answer is longer.
    pub(super) const LONGEST: usize = 5;

    /// What stands for it between hook process and parent: a byte, and a number behind it where there is one.
    pub(super) fn to_bytes(self) -> ([u8; Self::LONGEST], usize) {
        let (byte, number) = match self {
            Self::Done => (b'd', None),
            Self::Cancel => (b'c', None),
            Self::Upgrade => (b'u', None),
            Self::Reload => (b'r', None),
            Self::Jobs(jobs) => (b'j', Some(jobs)),
        };
        let mut bytes = [byte, 0, 0, 0, 0];
        if let Some(number) = number {
            bytes[1..].copy_from_slice(&number.to_le_bytes());
        }
        (bytes, if number.is_some() { Self::LONGEST } else { 1 })
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        match *bytes {
            [b'c'] => Self::Cancel,
            [b'u'] => Self::Upgrade,
            [b'r'] => Self::Reload,
            [b'j', a, b, c, d] => Self::Jobs(u32::from_le_bytes([a, b, c, d])),
            _ => Self::Done,
        }
    }
}

impl From<OnDisconnect> for Answer {
    fn from(reaction: OnDisconnect) -> Self {
        match reaction {
            OnDisconnect::Cancel => Self::Cancel,
            OnDisconnect::Nothing => Self::Done,
        }
    }
}

impl From<OnChange> for Answer {
    fn from(reaction: OnChange) -> Self {
        match reaction {
            OnChange::Upgrade => Self::Upgrade,
            OnChange::Reload => Self::Reload,
            OnChange::Nothing => Self::Done,
        }
    }
}

impl Call {
    /// Returns which hook is called.
    pub(crate) const fn hook(&self) -> Hook {
        match self {
            Self::Ready => Hook::Ready,
            Self::BeforeShutdown => Hook::BeforeShutdown,
            Self::OnChildExit(_) => Hook::OnChildExit,
            Self::OnTimeout(..) => Hook::OnTimeout,
            Self::AutoReloadHandler(_) => Hook::AutoReloadHandler,
            Self::OnClientDisconnect(_) => Hook::OnClientDisconnect,
            Self::Demand { .. } => Hook::Demand,
        }
    }

    /// Whether another failure of the hook is no news.
    pub(super) const fn is_failing(&self) -> bool {
        matches!(self, Self::Demand { is_failing: true })
    }

    /// Makes it, in a process where a panic or an endless loop harms nobody; a failure is logged.
    pub(super) fn make(&self, hooks: &mut ParentHooks, log: &Log) -> Answer {
        let made = hooks::call(|| match self {
            Self::Ready => done(hooks.ready.take().map(|hook| hook())),
            Self::BeforeShutdown => done(hooks.before_shutdown.take().map(|hook| hook())),
            Self::OnChildExit(child) => done(hooks.on_child_exit.as_mut().map(|hook| hook(child))),
            Self::OnTimeout(_, hung) => {
                hooks.look_into.look(hung, log);
                done(hooks.on_timeout.as_mut().map(|hook| hook(hung)))
            }
            Self::AutoReloadHandler(changes) => {
                let handler = hooks.auto_reload_handler.as_mut();
                handler.map_or(Ok(Answer::Done), |handler| match &mut handler.0 {
                    program::Kind::Always(reaction) => Ok((*reaction).into()),
                    program::Kind::Asked(code) => code(changes).map(Answer::from),
                })
            }
            Self::OnClientDisconnect(gone) => {
                let handler = hooks.on_client_disconnect.as_ref();
                handler.map_or(Ok(Answer::Done), |handler| match &handler.0 {
                    disconnect::Kind::Always(reaction) => Ok((*reaction).into()),
                    disconnect::Kind::Asked(code) => code(&gone.disconnect).map(Answer::from),
                })
            }
            Self::Demand { .. } => {
                hooks.demand.as_mut().map_or(Ok(Answer::Done), |hook| hook().map(Answer::Jobs))
            }
        });
        made.unwrap_or_else(|failure| {
            if let (Self::Demand { .. }, Failure::Panic(_)) = (self, &failure) {
                // What it has borrowed may be in disorder.
                hooks.demand = None;
            }
            if self.is_failing() {
                return Answer::Done;
            }
            let (name, error) = (self.hook().name(), failure.into_error());
            log.write(&HookMessage::Failed { hook: name, error: &ErrorChain(&*error) });
            Answer::Done
        })
    }
}

/// The answer of a hook that decides nothing.
fn done(made: Option<crate::Result>) -> crate::Result<Answer> {
    made.transpose().map(|_| Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_bytes() {
        let jobs = [0, 1, 0x0102_0304, u32::MAX].map(Answer::Jobs);
        let all = [Answer::Done, Answer::Cancel, Answer::Upgrade, Answer::Reload];
        for answer in all.into_iter().chain(jobs) {
            let (bytes, length) = answer.to_bytes();
            assert_eq!(Answer::of_bytes(&bytes[..length]), answer);
        }
    }

    #[test]
    fn half_a_number_is_no_answer() {
        let (bytes, _) = Answer::Jobs(7).to_bytes();
        for length in [0, 1, 4] {
            assert_eq!(Answer::of_bytes(&bytes[..length]), Answer::Done);
        }
    }
}
