//! What to do when watched files have changed.

use std::{collections::BTreeMap, fmt, fs, os::fd::BorrowedFd, path::PathBuf, time::Duration};

use prefork_core::{Request, Time, one_line};
use prefork_reload::{Changes, Stamp, Unknown, WatchList, Watcher};

use crate::{
    Result,
    logs::{ChangeMessage, log::Log},
    program::Invocation,
};

/// What the daemon does when watched files have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnChange {
    /// It becomes the program as its file is now, if that works (see
    /// [upgrading](crate::docs::upgrading)).
    Upgrade,
    /// It replaces all children, which then read their files again. What `after_init` has read stays as it was: read it in
    /// the main loop, or return [`Upgrade`](Self::Upgrade).
    Reload,
    /// Nothing more: all has been done.
    Nothing,
}

impl OnChange {
    /// What is to be asked for.
    pub(crate) const fn request(self) -> Option<Request> {
        match self {
            Self::Upgrade => Some(Request::Upgrade),
            Self::Reload => Some(Request::Reload),
            Self::Nothing => None,
        }
    }
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
    /// What counts as unchanged, as far as it was logged.
    blind: BTreeMap<PathBuf, Blind>,
}

/// Why a file counts as unchanged, whatever happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blind {
    Unknown(Unknown),
    Restless,
}

/// So many are named in the log at a time.
const NAMED: usize = 5;

/// When it is asked what counts as unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Begin,
    Look,
}

impl FileWatch {
    /// Begins to watch, with the running program taken as known: what has been put in its place since it
    /// was executed is a change. But not where that has just been tried and `was_refused`.
    pub(crate) fn begin(
        auto_reload: AutoReload,
        invocation: Option<&Invocation>,
        was_refused: bool,
        now: Time,
        log: &Log,
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
        let mut watch = Self { watcher, blind: BTreeMap::new() };
        watch.log_blind(log, Occasion::Begin);
        watch
    }

    /// Logs what counts as unchanged since it was last asked.
    fn log_blind(&mut self, log: &Log, occasion: Occasion) {
        let news = self.note_blind(occasion);
        for (path, why) in news.iter().take(NAMED) {
            let path = &one_line(path);
            log.write(&match why {
                Blind::Unknown(reason) => ChangeMessage::FileNotWatched { path, reason },
                Blind::Restless => ChangeMessage::FileRestless { path },
            });
        }
        if let Some(files) = news.len().checked_sub(NAMED).filter(|more| *more > 0) {
            log.write(&ChangeMessage::MoreFilesNotWatched { files });
        }
    }

    /// Returns what counts as unchanged and did not before, or for another reason. That a file goes missing while it
    /// is watched is no news: those who replace files sometimes delete first.
    fn note_blind(&mut self, occasion: Occasion) -> Vec<(PathBuf, Blind)> {
        let unknown = self.watcher.unknown().map(|(path, why)| (path, Blind::Unknown(why)));
        let restless = self.watcher.restless().map(|path| (path, Blind::Restless));
        let blind = unknown.chain(restless).map(|(path, why)| (path.to_owned(), why)).collect();
        let before = std::mem::replace(&mut self.blind, blind);
        let is_news = |(path, why): &(&PathBuf, &Blind)| {
            let is_usual = **why == Blind::Unknown(Unknown::Missing);
            before.get(*path) != Some(*why) && (occasion == Occasion::Begin || !is_usual)
        };
        let news = self.blind.iter().filter(is_news);
        news.map(|(path, why)| (path.clone(), *why)).collect()
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
    pub(crate) fn check(&mut self, now: Time, log: &Log) -> Option<Changes> {
        // Asked with each wake of the parent.
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let changes = self.watcher.check(now);
        self.log_blind(log, Occasion::Look);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::log::Role;

    #[test]
    fn what_is_not_watched_is_news_once() {
        let directory = tempfile::tempdir().expect("made");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("log"), "").expect("written");
        let mut list = WatchList::new();
        list.file(path("log")).expect("a path").file(path("missing")).expect("a path");
        let auto_reload = AutoReload { interval: Duration::from_secs(1), list: Some(list) };
        let mut now = Time::ZERO;
        let mut watch =
            FileWatch::begin(auto_reload, None, false, now, &Log::new("test", Role::Parent));
        assert_eq!(watch.blind.remove(&path("missing")), Some(Blind::Unknown(Unknown::Missing)));
        let missing = (path("missing"), Blind::Unknown(Unknown::Missing));
        assert_eq!(watch.note_blind(Occasion::Begin), [missing]);
        assert_eq!(watch.note_blind(Occasion::Look), []);

        let mut news = Vec::new();
        for line in 0..100 {
            fs::write(path("log"), "x".repeat(line)).expect("written");
            now = now + Duration::from_millis(1600);
            watch.stirred(now);
            assert_eq!(watch.watcher.check(now), None);
            news.append(&mut watch.note_blind(Occasion::Look));
        }
        assert_eq!(news, [(path("log"), Blind::Restless)]);

        // One that has gone is none while its successor is on its way.
        fs::remove_file(path("log")).expect("removed");
        now = now + Duration::from_secs(60);
        watch.watcher.check(now);
        assert_eq!(watch.note_blind(Occasion::Look), []);
    }
}
