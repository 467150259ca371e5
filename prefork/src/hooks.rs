//! Calling code of the program without being brought down by it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{BoxError, Report, Result, args::BeforeShutdown, log::Log};

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
pub(crate) fn call_and_log(name: &str, log: &Log, code: impl FnOnce() -> Result) {
    if let Err(failure) = call(code) {
        let error = failure.into_error();
        log.error(format_args!("{name} failed: {}", Report(&*error)));
    }
}

/// Runs the hook `before_shutdown` if there is one and it has not run yet.
pub(crate) fn run_before_shutdown(hook: &mut Option<BeforeShutdown>, log: &Log) {
    if let Some(hook) = hook.take() {
        call_and_log("before_shutdown", log, hook);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with no message").to_owned()
}
