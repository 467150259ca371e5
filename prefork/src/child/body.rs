//! The code of the program that a child runs.

use super::{
    Child,
    life::end,
    main_loop::{MainLoop, Stateless},
};
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
    pub(crate) main_loop: Option<Box<dyn MainLoop<S>>>,
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
            main_loop: main_loop.map(|it| -> Box<dyn MainLoop<S>> { Box::new(Stateless(it)) }),
            child_exit: hook(child_exit),
        }
    }
}

impl<S> Body<S> {
    /// Lets what the program has made before the fork know of it.
    pub(crate) fn note_fork(&mut self, state: &S) -> std::result::Result<(), Failed> {
        let Some(hook) = &mut self.after_fork else { return Ok(()) };
        call("after_fork_in_child", || hook(state))
    }

    /// Runs it all, but for what is due after a fork.
    pub(crate) fn run(
        &mut self,
        child: &mut Child,
        state: &S,
        log: &Log,
    ) -> std::result::Result<(), Failed> {
        run("child_init", &mut self.child_init, child, state)?;
        let main_loop = self.main_loop.as_mut().expect("the arguments have been checked");
        let main_loop = call("child_init", || main_loop.begin(child, state))?;
        child.say_entered();
        let outcome = call("main_loop", || main_loop(child));
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
    call(name, || hook(child, state))
}

fn call<T>(name: &'static str, hook: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failed> {
    hooks::call(hook).map_err(|failure| Failed { hook: name, failure })
}
