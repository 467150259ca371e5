//! Looking, listening and deciding, put together for a caller with a loop.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prefork_core::Time;

use crate::change::Changes;
use crate::notifier::{Hints, Notifier};
use crate::policy::Policy;
use crate::scan;
use crate::stamp::{Stamps, Unknown};
use crate::watch_list::WatchList;

/// Watches files from a loop that waits with `ppoll(2)` or the like.
///
/// It looks every interval and, where the kernel reports by `inotify(7)` that something has happened,
/// soon after. A loop does this:
///
/// - it waits for [`fd`](Self::fd), if there is one, and until [`due`](Self::due), if there is
///   such a time, asking for both again each time round;
/// - it calls [`woken`](Self::woken) if the descriptor is readable;
/// - it calls [`check`](Self::check), which looks if it is time to.
///
/// Everything happens in the calls, in the thread of the caller: for one file, a look is one system
/// call.
///
/// # Fork
///
/// A child must not use a watcher that it has inherited: what it reads from the descriptor its
/// parent never gets. Dropping it is harmless. The descriptor is closed on exec.
///
/// # Examples
///
/// ```
/// use prefork_core::Time;
/// use prefork_reload::{WatchList, Watcher};
/// use std::fs;
/// use std::time::{Duration, Instant};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.conf");
/// fs::write(&path, "before")?;
/// let clock = Instant::now();
/// let now = || Time::after_origin(clock.elapsed());
///
/// let mut list = WatchList::new();
/// list.file(&path)?;
/// let mut watcher = Watcher::new(list, Duration::from_millis(50));
/// watcher.begin(now());
///
/// fs::write(&path, "after")?;
/// let changes = loop {
///     if let Some(changes) = watcher.check(now()) {
///         break changes;
///     }
///     // A real loop waits for its own business, `fd()` and `due()` at once.
///     let due = watcher.due().ok_or("there is an interval")?;
///     std::thread::sleep(due.since(now()));
/// };
/// assert_eq!(changes.to_string(), format!("{} changed", path.display()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watcher {
    list: WatchList,
    policy: Policy,
    notifier: Option<Notifier>,
    hush: Hush,
    /// Whether there may be new directories to listen to.
    stale: bool,
    /// What the last look could not see.
    unknown: Vec<(PathBuf, Unknown)>,
}

/// For how long to turn a deaf ear to the kernel.
///
/// Where others are busy in a watched directory, each of their files would wake the caller.
#[derive(Clone, Copy, Debug)]
enum Hush {
    /// Listening.
    Open,
    /// Not listening until then, so many times in a row.
    Until(Time, u32),
}

/// How long the caller is not woken after it was for nothing; doubled each time, up to a cap.
const HUSH_FIRST: Duration = Duration::from_millis(25);
const HUSH_DOUBLINGS: u32 = 6;

impl Watcher {
    /// Makes a watcher that looks at least every `interval`.
    ///
    /// With [`Duration::MAX`] it looks only when the kernel reports that something has happened. That
    /// is not enough for network file systems, nor where there is no [`fd`](Self::fd).
    #[must_use]
    pub fn new(list: WatchList, interval: Duration) -> Self {
        Self::with_policy(list, Policy::new(interval))
    }

    /// Makes a watcher with a policy of the caller's.
    #[must_use]
    pub fn with_policy(list: WatchList, policy: Policy) -> Self {
        Self { list, policy, notifier: None, hush: Hush::Open, stale: false, unknown: Vec::new() }
    }

    /// Looks at least every `interval` from now on, in the place of the interval that it was made with.
    pub fn set_interval(&mut self, interval: Duration) {
        self.policy.set_interval(interval);
    }

    /// Takes the files as they are now as known, and begins to watch. Returns what it has seen.
    ///
    /// Where the kernel cannot be listened to (see [`fd`](Self::fd)), this is no error: what
    /// has happened is then noticed an interval later.
    ///
    /// May be called again, to forget all changes until now.
    pub fn begin(&mut self, now: Time) -> Stamps {
        self.notifier = self.notifier.take().or_else(Notifier::new);
        self.hush = Hush::Open;
        // Listening comes first, so that nothing happens unheard after the look.
        if let Some(notifier) = &mut self.notifier {
            notifier.listen(&self.list, &scan::scan(&self.list));
            notifier.drain();
        }
        let seen = self.list.scan();
        self.note_unknown(&seen);
        self.policy.begin(now, &seen);
        seen
    }

    /// Begins to watch like [`begin`](Self::begin), with what was seen earlier taken as known:
    /// whatever has changed since then is a change.
    pub fn begin_from(&mut self, now: Time, known: &Stamps) {
        self.begin(now);
        self.policy.begin(now, known);
        self.policy.hint(now);
    }

    /// Returns the descriptor that is readable when something has happened, to be waited for until
    /// [`due`](Self::due).
    ///
    /// It is `None` before [`begin`](Self::begin); for ever where the system has no inotify instance
    /// left or none at all; and for a while when there is nothing to learn from it, because a look
    /// is planned anyway or it has woken the caller too often for nothing. So ask each time.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self.hush {
            Hush::Open if self.policy.heeds_hints() => self.notifier.as_ref().map(AsFd::as_fd),
            Hush::Open | Hush::Until(..) => None,
        }
    }

    /// Returns when to call [`check`](Self::check) next, in any case; `None` if only the descriptor
    /// shows it, or before [`begin`](Self::begin).
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        match (self.hush, self.policy.due()) {
            (Hush::Open, due) => due,
            (Hush::Until(until, _), Some(due)) => Some(due.min(until)),
            (Hush::Until(until, _), None) => Some(until),
        }
    }

    /// Takes in what the kernel reports. To be called when [`fd`](Self::fd) is readable, and
    /// harmless at any other time.
    pub fn woken(&mut self, now: Time) {
        let Some(notifier) = &mut self.notifier else { return };
        match notifier.drain() {
            Hints::Related => {
                self.hush = Hush::Open;
                self.stale = true;
                self.policy.hint(now);
            }
            Hints::Unrelated => {
                let times = match self.hush {
                    Hush::Open => 0,
                    Hush::Until(_, times) => times.saturating_add(1),
                };
                let pause = HUSH_FIRST * (1 << times.min(HUSH_DOUBLINGS));
                self.hush = Hush::Until(now + pause, times);
            }
            Hints::Nothing => self.hush = Hush::Open,
        }
    }

    /// Looks, if it is time to; returns what has changed and come to rest.
    ///
    /// What is returned counts as known from then on: the same changes are not returned again.
    pub fn check(&mut self, now: Time) -> Option<Changes> {
        if matches!(self.hush, Hush::Until(until, _) if now >= until) {
            self.woken(now);
        }
        if self.policy.due().is_none_or(|due| now < due) {
            return None;
        }
        self.look(now)
    }

    /// Returns what is watched.
    #[must_use]
    pub const fn list(&self) -> &WatchList {
        &self.list
    }

    /// Iterates over the paths of which the last look has seen nothing, and why: they count as unchanged, with all that
    /// is below.
    pub fn unknown(&self) -> impl Iterator<Item = (&Path, Unknown)> {
        self.unknown.iter().map(|(path, why)| (path.as_path(), *why))
    }

    /// Iterates over the files that never rest, and so count as unchanged; see [`Policy::restless`].
    pub fn restless(&self) -> impl Iterator<Item = &Path> {
        self.policy.restless()
    }

    fn note_unknown(&mut self, seen: &Stamps) {
        self.unknown.clear();
        self.unknown.extend(seen.unknown().map(|(path, why)| (path.to_owned(), why)));
    }

    fn look(&mut self, now: Time) -> Option<Changes> {
        // What is reported up to here, the look sees.
        if let Some(notifier) = &mut self.notifier
            && notifier.drain() == Hints::Related
        {
            self.stale = true;
        }
        let scan = scan::scan(&self.list);
        self.note_unknown(&scan.stamps);
        let changes = self.policy.observe(now, &scan.stamps);
        // What the kernel says nothing of, a mount for one, may have brought other directories.
        self.stale |= self.policy.sees_movement();
        if let Some(notifier) = &mut self.notifier
            && mem::take(&mut self.stale)
            && notifier.listen(&self.list, &scan)
        {
            // Something may have happened there between the look and now.
            self.policy.hint(now);
        }
        changes
    }
}
