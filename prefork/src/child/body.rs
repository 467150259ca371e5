//! The code of the program that a child runs.

use super::{Child, life::end};
use crate::{
    Result,
    hooks::{self, Failed},
    logs::log::Log,
};

pub(crate) type ChildHook<S> = Box<dyn FnMut(&mut Child, &S) -> Result>;
pub(crate) type ForkHook<S> = Box<dyn FnMut(&S) -> Result>;

/// What a child does, from its beginning to its end.
pub(crate) struct Body<S> {
    /// Comes before all other code of the program in each process that is forked for it: in children, of which the
    /// rest of this is, and in hook processes.
    pub(crate) after_fork: Option<ForkHook<S>>,
    pub(crate) child_init: Option<ChildHook<S>>,
    pub(crate) main_loop: Option<ChildHook<S>>,
    pub(crate) child_exit: Option<ChildHook<S>>,
}

impl<S> Default for Body<S> {
    fn default() -> Self {
        Self { after_fork: None, child_init: None, main_loop: None, child_exit: None }
    }
}

impl Body<()> {
    /// Makes the same, which takes nothing, where `after_init` returns something.
    pub(crate) fn whatever_is_returned<S>(self) -> Body<S> {
        let hook = |hook: Option<ChildHook<()>>| -> Option<ChildHook<S>> {
            let mut hook = hook?;
            Some(Box::new(move |child: &mut Child, _: &S| hook(child, &())))
        };
        let Self { after_fork, child_init, main_loop, child_exit } = self;
        let after_fork = after_fork.map(|mut hook| -> ForkHook<S> { Box::new(move |_| hook(&())) });
        Body {
            after_fork,
            child_init: hook(child_init),
            main_loop: hook(main_loop),
            child_exit: hook(child_exit),
        }
    }
}

impl<S> Body<S> {
    /// Lets what the program has made before the fork know of it.
    pub(crate) fn note_fork(&mut self, state: &S) -> std::result::Result<(), Failed> {
        let Some(hook) = &mut self.after_fork else { return Ok(()) };
        let called = hooks::call(|| hook(state));
        called.map_err(|failure| Failed { hook: "after_fork_in_child", failure })
    }

    /// Runs it all, but for what is due after a fork. The main loop is set: the arguments have been checked.
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
