//! Calling code of the program without being brought down by it, or having to wait for it.
//!
//! - What is called before there are children, or in a child, is called where it stands ([`call`]).
//! - What is called while there are children has a process of its own ([`HookCalls`]): the parent has one thread, and
//!   that is not for waiting. How long a call may take, and what waits for it, is decided by the supervisor.

mod call;
mod calls;
mod end_as;
mod events;
mod failed;
mod lane;
mod look_into;
mod parent_hooks;
mod process;

pub use end_as::EndAs;
pub use events::{ChildExit, HungChild};
pub(crate) use failed::Failed;
pub(crate) use parent_hooks::{BeforeShutdown, ParentHooks, Ready};

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use prefork_core::Hook;

use crate::{BoxError, ErrorChain, Result, logs::HookMessage, logs::log::Log};

pub(crate) use call::{Answer, Call};
pub(crate) use calls::{Added, HookCalls, Made};
pub(crate) use process::{Duty, HookContext, live};

/// How code of the program went wrong.
#[derive(Debug)]
pub(crate) enum Failure {
    Error(BoxError),
    Panic(String),
}

impl Failure {
    pub(crate) fn into_error(self) -> BoxError {
        match self {
            Self::Error(error) => error,
            Self::Panic(message) => format!("panicked: {message}").into(),
        }
    }
}

/// Calls `code`, catching a panic.
///
/// The panic itself has been reported by the panic hook, on standard error. Whatever `code` had
/// borrowed mutably may be in disorder afterwards: the callers use it no more.
pub(crate) fn call<T>(code: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(panic) => Err(Failure::Panic(message(panic.as_ref()))),
    }
}

/// Calls a hook whose failure is logged and changes nothing.
pub(crate) fn call_and_log(hook: Hook, log: &Log, code: impl FnOnce() -> Result) {
    if let Err(failure) = call(code) {
        let error = failure.into_error();
        log.write(&HookMessage::Failed { hook: hook.name(), error: &ErrorChain(&*error) });
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with no message").to_owned()
}
