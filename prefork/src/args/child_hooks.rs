//! The arguments that are code which children run.

use super::Args;
use crate::{
    Child, Result,
    child::{Plain, With},
};

impl<S> Args<S> {
    /// Runs `hook` first of all in each process that is forked for code of the program, so that what has been made
    /// before the fork knows of it: in each child before [`child_init`](Self::child_init), with the child's privileges, and in
    /// each process that is forked for other hooks, with the parent's. Default none.
    ///
    /// For libraries that must be told of a fork and do not notice it themselves: `PyOS_AfterFork_Child` of Python,
    /// generators of random numbers that are to be seeded again, caches to be emptied, connections to be forgotten.
    ///
    /// In a child its failure is one of `child_init`: it is logged, and the child ends with status 1 or 101. In
    /// a process for other hooks, it is logged, and the process ends without a call of them.
    ///
    /// # Fork
    ///
    /// It is not called
    ///
    /// - in the parent, when that goes to the background: make what is to know of forks in
    ///   [`after_init`](Self::after_init), and not before;
    /// - with [`prefork`](Self::prefork) 0, where nothing is forked;
    /// - in the status process, where no code of the program runs, and in a program that takes over at an upgrade, which
    ///   begins with its `main`;
    /// - in hook processes of a parent that has come back from a failed upgrade and whose `after_init` has failed there, as
    ///   nothing is made then that could know.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::{cell::Cell, collections::hash_map::RandomState, hash::BuildHasher};
    ///
    /// let args = Args::new()
    ///     .after_init(|_| Ok(Cell::new(1u64)))
    ///     .after_fork_in_child(|seed| {
    ///         // Each process goes on from another number than its siblings. This one is no secret.
    ///         let now = std::time::SystemTime::now();
    ///         seed.set(RandomState::new().hash_one((std::process::id(), now)));
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn after_fork_in_child(mut self, hook: impl FnMut(&S) -> Result + 'static) -> Self {
        self.body.after_fork = Some(Box::new(hook));
        self
    }

    /// Runs `hook` in each child at its beginning, before the main loop, with the child's privileges.
    /// Default none.
    ///
    /// If it fails or panics, that is logged and the child ends with status 1 or 101; until a child
    /// works, the next ones are started ever more slowly.
    pub fn child_init(mut self, hook: impl FnMut(&mut Child, &S) -> Result + 'static) -> Self {
        self.body.child_init = Some(Box::new(hook));
        self
    }

    /// Runs `hook` in each child when its main loop has returned, failed or panicked, with the child's
    /// privileges. Default none.
    ///
    /// It does not run in a child that is ended by a signal. An error or a panic is logged.
    pub fn child_exit(mut self, hook: impl FnMut(&mut Child, &S) -> Result + 'static) -> Self {
        self.body.child_exit = Some(Box::new(hook));
        self
    }

    /// Sets what each child does. Required.
    ///
    /// It runs once in each child, at its beginning; when it returns, the child ends, and another
    /// takes its place. An error or a panic is logged, and the child's exit status is 1 or 101.
    ///
    /// # Signals
    ///
    /// A loop that uses [`Child::accept`](crate::Child::accept) or another of the stopping methods
    /// is asked to leave, and leaves when it has finished what it has in hand. One that uses none
    /// of them is ended by `SIGTERM` wherever it is.
    ///
    /// # Fork
    ///
    /// Every child begins as a copy of the parent: with a copy of its random state too. Seed random
    /// generators here and not in `after_init`, or all children draw the same numbers; the order of
    /// a `HashMap` made with the standard hasher is the same in all of them. What `after_init`
    /// returned is not dropped in a child.
    pub fn main_loop(mut self, main_loop: impl FnMut(&mut Child, &S) -> Result + 'static) -> Self {
        self.body.main_loop = Some(Box::new(Plain(main_loop)));
        self
    }

    /// Sets what each child does, as [`main_loop`](Self::main_loop), with something that is made in each child before: a
    /// connection to a database, an interpreter, a generator of random numbers.
    ///
    /// `make` is the last part of [`child_init`](Self::child_init), and its failure is one of that: the child has not come up
    /// then. What it makes is the main loop's: it is dropped with it, before [`child_exit`](Self::child_exit), unless the child
    /// is ended by a signal.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::{fs::File, io::Read};
    ///
    /// let args = Args::new().main_loop_with(
    ///     |_child, ()| Ok(File::open("/dev/urandom")?),
    ///     |child, (), mut random| {
    ///         while !child.should_stop() {
    ///             child.busy("drawing");
    ///             let mut number = [0; 8];
    ///             random.read_exact(&mut number)?;
    ///             child.idle();
    ///         }
    ///         Ok(())
    ///     },
    /// );
    /// # drop(args);
    /// ```
    pub fn main_loop_with<T: 'static>(
        mut self,
        make: impl FnMut(&mut Child, &S) -> Result<T> + 'static,
        main_loop: impl FnMut(&mut Child, &S, T) -> Result + 'static,
    ) -> Self {
        self.body.main_loop = Some(Box::new(With { make, main_loop }));
        self
    }
}
