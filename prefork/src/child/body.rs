//! The code of the program that a child runs.

use super::{Child, life::end};
use crate::{
    ErrorChain, Result, RunError,
    hooks::{self, Failure},
    logs::HookMessage,
    logs::log::Log,
};

pub(crate) type ChildHook<S> = Box<dyn FnMut(&mut Child, &S) -> Result>;

/// What a child does, from its beginning to its end.
pub(crate) struct Body<S> {
    pub(crate) child_init: Option<ChildHook<S>>,
    pub(crate) main_loop: Option<ChildHook<S>>,
    pub(crate) child_exit: Option<ChildHook<S>>,
}

impl<S> Default for Body<S> {
    fn default() -> Self {
        Self { child_init: None, main_loop: None, child_exit: None }
    }
}

/// The part that has failed, and the error.
pub(crate) struct Failed {
    hook: &'static str,
    failure: Failure,
}

impl Body<()> {
    /// Makes the same, which takes nothing, where `after_init` returns something.
    pub(crate) fn whatever_is_returned<S>(self) -> Body<S> {
        let hook = |hook: Option<ChildHook<()>>| -> Option<ChildHook<S>> {
            let mut hook = hook?;
            Some(Box::new(move |child: &mut Child, _: &S| hook(child, &())))
        };
        let Self { child_init, main_loop, child_exit } = self;
        Body {
            child_init: hook(child_init),
            main_loop: hook(main_loop),
            child_exit: hook(child_exit),
        }
    }
}

impl<S> Body<S> {
    /// Runs it all. The main loop is set: the arguments have been checked.
    pub(crate) fn run(
        &mut self,
        child: &mut Child,
        state: &S,
        log: &Log,
    ) -> std::result::Result<(), Failed> {
        run("child_init", &mut self.child_init, child, state)?;
        child.say_entered();
        let outcome = run("main_loop", &mut self.main_loop, child, state);
        if !child.is_here() {
            leave_copy(outcome, log);
        }
        if let Err(failed) = run("child_exit", &mut self.child_exit, child, state) {
            failed.log(log);
        }
        outcome
    }
}

/// Ends a copy of the child: what comes after the main loop is the child's, and so are the threads of this process.
fn leave_copy(outcome: std::result::Result<(), Failed>, log: &Log) -> ! {
    end(outcome.map_or_else(
        |failed| {
            failed.log(log);
            failed.status()
        },
        |()| 0,
    ))
}

fn run<S>(
    name: &'static str,
    hook: &mut Option<ChildHook<S>>,
    child: &mut Child,
    state: &S,
) -> std::result::Result<(), Failed> {
    let Some(hook) = hook else { return Ok(()) };
    hooks::call(|| hook(child, state)).map_err(|failure| Failed { hook: name, failure })
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

    pub(crate) fn into_error(self) -> RunError {
        RunError::Hook { hook: self.hook, source: self.failure.into_error() }
    }
}
