//! What to do when watched files have changed.

use std::{fmt, fs, os::fd::BorrowedFd, time::Duration};

use prefork_core::Time;
use prefork_reload::{Changes, Stamp, WatchList, Watcher};

use crate::{Result, program::Invocation};

/// What the daemon does when watched files have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnChange {
    /// It becomes the program as its file is now, if that works (see
    /// [the crate's documentation](crate#upgrading)).
    Upgrade,
    /// It replaces all children, which then read their files again.
    Reload,
    /// Nothing more: all has been done.
    Nothing,
}

/// What [`Args::auto_reload_handler`](crate::Args::auto_reload_handler) takes: an [`OnChange`], or a
/// closure that is given what has changed and returns one.
///
/// It cannot be implemented elsewhere.
pub trait AutoReloadHandler: sealed::Sealed {
    #[doc(hidden)]
    fn into_handler(self) -> Handler;
}

impl AutoReloadHandler for OnChange {
    fn into_handler(self) -> Handler {
        Handler(Kind::Always(self))
    }
}

impl<F: FnMut(&Changes) -> Result<OnChange> + 'static> AutoReloadHandler for F {
    fn into_handler(self) -> Handler {
        Handler(Kind::Asked(Box::new(self)))
    }
}

mod sealed {
    use super::{Changes, OnChange, Result};

    pub trait Sealed {}

    impl Sealed for OnChange {}
    impl<F: FnMut(&Changes) -> Result<OnChange> + 'static> Sealed for F {}
}

/// A handler in its only form.
pub struct Handler(pub(crate) Kind);

type Code = Box<dyn FnMut(&Changes) -> Result<OnChange>>;

/// Its two kinds.
pub(crate) enum Kind {
    Always(OnChange),
    Asked(Code),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

impl Handler {
    /// Whether it becomes another program without being asked.
    pub(crate) const fn always_upgrades(&self) -> bool {
        matches!(self.0, Kind::Always(OnChange::Upgrade))
    }
}

/// The arguments about it, checked.
#[derive(Debug)]
pub(crate) struct AutoReload {
    pub(crate) interval: Duration,
    /// What is watched; without one, the program.
    pub(crate) list: Option<WatchList>,
}

/// The files under watch.
#[derive(Debug)]
pub(crate) struct FileWatch {
    watcher: Watcher,
}

impl FileWatch {
    /// Begins to watch, with the running program taken as known: what has been put in its place since it
    /// was executed is a change. But not where that has just been tried and `was_refused`.
    pub(crate) fn begin(
        auto_reload: AutoReload,
        invocation: Option<&Invocation>,
        was_refused: bool,
        now: Time,
    ) -> Self {
        let AutoReload { interval, list } = auto_reload;
        let watches_program = list.is_none();
        let list = list.unwrap_or_else(|| {
            let mut list = WatchList::new();
            // They are absolute: nothing can be wrong with them.
            for path in invocation.map(Invocation::files).unwrap_or_default() {
                let _ = list.file(path);
            }
            list
        });
        let mut watcher = Watcher::new(list, interval);
        let mut known = watcher.begin(now);
        let running = fs::metadata("/proc/self/exe");
        if let (true, false, Some(invocation), Ok(running)) =
            (watches_program, was_refused, invocation, running)
            && let Some(program) = invocation.path_of_running()
            && known.get(&program).is_some()
        {
            known.insert(program, Stamp::of(&running));
            watcher.begin_from(now, &known);
        }
        Self { watcher }
    }

    /// Looks so often from now on.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.watcher.set_interval(interval);
    }

    /// What to wait for before [`stirred`](Self::stirred).
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watcher.fd()
    }

    pub(crate) fn due(&self) -> Option<Time> {
        self.watcher.due()
    }

    pub(crate) fn stirred(&mut self, now: Time) {
        self.watcher.woken(now);
    }

    /// Looks, if it is time to, and returns what has changed.
    pub(crate) fn check(&mut self, now: Time) -> Option<Changes> {
        self.watcher.check(now)
    }
}
