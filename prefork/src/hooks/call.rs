//! Calls of hooks, and what the program answers.

use prefork_core::{Hook, SlotId};
use prefork_reload::Changes;

use crate::{
    ChildExit, ErrorChain, HungChild, OnChange, OnDisconnect,
    disconnect::{self, Gone},
    hooks,
    hooks::ParentHooks,
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
}

/// What the program has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Cancel,
    Upgrade,
    Reload,
}

impl Answer {
    /// The byte that stands for it between hook process and parent.
    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Done => b'd',
            Self::Cancel => b'c',
            Self::Upgrade => b'u',
            Self::Reload => b'r',
        }
    }

    pub(super) const fn of_byte(byte: u8) -> Self {
        match byte {
            b'c' => Self::Cancel,
            b'u' => Self::Upgrade,
            b'r' => Self::Reload,
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
        }
    }

    /// Makes it, in a process where a panic or an endless loop harms nobody; a failure is logged.
    pub(super) fn make(&self, hooks: &mut ParentHooks, log: &Log) -> Answer {
        let made = hooks::call(|| match self {
            Self::Ready => done(hooks.ready.take().map(|hook| hook())),
            Self::BeforeShutdown => done(hooks.before_shutdown.take().map(|hook| hook())),
            Self::OnChildExit(child) => done(hooks.on_child_exit.as_mut().map(|hook| hook(child))),
            Self::OnTimeout(_, hung) => done(hooks.on_timeout.as_mut().map(|hook| hook(hung))),
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
        });
        made.unwrap_or_else(|failure| {
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
    fn every_answer_has_its_byte() {
        for answer in [Answer::Done, Answer::Cancel, Answer::Upgrade, Answer::Reload] {
            assert_eq!(Answer::of_byte(answer.to_byte()), answer);
        }
    }
}
