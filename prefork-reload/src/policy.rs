//! When a change has come to rest: pure, with time passed in.
//!
//! The problem: a file that is being written changes many times, is half of what it will be, and is
//! missing for a moment. To act on the first sign is to act on half a file, and to act twice.
//!
//! The idea: looks are compared. A verdict needs two equal looks that lie the settle time apart,
//! with no different one between them, and that differ from what the last verdict was about. Then
//! the equal looks are the new baseline. So all that happened in between is one verdict, and a change
//! that is taken back is none.
//!
//! One file that never rests, a log among the templates, must not keep all others from being judged. So
//! each is judged singly in this: after thirty seconds without rest it counts as restless, and as it was in the
//! baseline, until it has been still for as long.
//!
//! Looking costs, so it is rationed: no two looks are closer than the settle time; while files
//! do not come to rest, or hints lead to nothing, looks are spaced out up to eight times that; and looking
//! takes half a percent of the time at most, while nothing happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prefork_core::Time;

use crate::change::Changes;
use crate::stamp::Stamps;

/// The shortest settle time: what is written within one tick of the kernel's clock, of up to
/// 10 ms, may have the same times.
const SHORTEST_SETTLE: Duration = Duration::from_millis(20);

/// How often the delay between looks doubles while looking leads to nothing.
const MOST_DOUBLINGS: u32 = 3;

/// How long a file moves before it counts as restless, and is still before it does not any more.
const RESTLESS_AFTER: Duration = Duration::from_secs(30);

/// At rest, a look is followed by a pause of at least so many times as long as it took.
const PAUSES_PER_LOOK: u32 = 200;

/// But no longer, however long it took: a process may have been stopped in the middle of a look.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Decides when to look at files, and when a change is over.
///
/// It knows no files and no clock. Its caller looks when [`due`](Self::due) and hands in what it saw
/// ([`observe`](Self::observe)); [`Watcher`](crate::Watcher) is such a caller.
///
/// # Examples
///
/// ```
/// use prefork_core::Time;
/// use prefork_reload::{Policy, Stamp, Stamps};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let at = |ms| Time::after_origin(Duration::from_millis(ms));
/// let before = Stamps::new();
/// let mut after = Stamps::new();
/// after.insert("/etc/passwd", Stamp::of(&std::fs::metadata("/etc/passwd")?));
///
/// let mut policy = Policy::new(Duration::from_secs(1));
/// policy.begin(at(0), &before);
/// assert_eq!(policy.due(), Some(at(1000)));
/// assert_eq!(policy.observe(at(1000), &after), None, "it has only just changed");
/// assert_eq!(policy.due(), Some(at(1200)));
/// let changes = policy.observe(at(1200), &after).expect("it has come to rest");
/// assert_eq!(changes.to_string(), "/etc/passwd appeared");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    interval: Duration,
    settle: Duration,
    state: Option<State>,
}

/// What is remembered once there was a first look.
#[derive(Clone, Debug)]
struct State {
    /// What the last verdict was about.
    baseline: Stamps,
    /// The last look, completed from the baseline where nothing was known.
    latest: Stamps,
    /// The files that have not come to rest.
    moving: BTreeMap<PathBuf, Moving>,
    looked: Time,
    /// When to look next, in any case.
    next: Time,
    /// Whether `next` is so soon because of a hint.
    hinted: bool,
    /// Looks in a row that saw movement which is waited for.
    moves: u32,
    /// Looks in a row that a hint brought on and that saw nothing new.
    misses: u32,
}

/// A file that looks have found in another state each time, less than the settle time apart or without one in between.
#[derive(Clone, Copy, Debug)]
struct Moving {
    first: Time,
    last: Time,
}

impl Moving {
    fn is_restless(self) -> bool {
        self.last.since(self.first) >= RESTLESS_AFTER
    }

    /// When it has come to rest, if it does not move again.
    fn rested(self, settle: Duration) -> Time {
        self.last + if self.is_restless() { RESTLESS_AFTER.max(settle) } else { settle }
    }
}

impl Policy {
    /// Makes a policy that looks at least every `interval`.
    ///
    /// An interval shorter than the settle time counts as the settle time, and one shorter than 200 times what the
    /// last look took as that: 10,000 files are looked at every few seconds. With
    /// [`Duration::MAX`] looks are due only after a [`hint`](Self::hint).
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, settle: Duration::from_millis(200), state: None }
    }

    /// Looks at least every `interval` from now on, counted from the last look.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        let took = self.state.as_ref().map(|state| state.latest.took());
        let pause = self.pause(took.unwrap_or_default());
        if let Some(state) = &mut self.state {
            let at_rest = state.moves == 0 && !state.hinted;
            let due = state.looked + pause;
            state.next = if at_rest { due } else { state.next.min(due) };
        }
    }

    /// Returns how long after a look that took so long the next is due at the latest, while nothing happens.
    fn pause(&self, took: Duration) -> Duration {
        self.interval.max(self.settle).max(took.saturating_mul(PAUSES_PER_LOOK).min(LONGEST_PAUSE))
    }

    /// Sets how long files must have been still. Default 200 ms, at least 20 ms.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle.max(SHORTEST_SETTLE);
        self
    }

    /// Takes what is seen now as known: only later changes count. Forgets all that was before.
    pub fn begin(&mut self, now: Time, seen: &Stamps) {
        let looked = now + seen.took();
        self.state = Some(State {
            baseline: seen.clone(),
            latest: seen.clone(),
            moving: BTreeMap::new(),
            looked,
            next: looked + self.pause(seen.took()),
            hinted: false,
            moves: 0,
            misses: 0,
        });
    }

    /// Returns when to look next; `None` before [`begin`](Self::begin), and if no look is due until
    /// there is a hint.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        let next = self.state.as_ref()?.next;
        (next < Time::ZERO + Duration::MAX).then_some(next)
    }

    /// Returns whether a [`hint`](Self::hint) now would bring the next look forward.
    ///
    /// It would not while a look is planned anyway, because of movement or an earlier hint.
    #[must_use]
    pub fn heeds_hints(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.moves == 0 && !state.hinted)
    }

    /// Returns whether something has moved that has not come to rest yet.
    pub(crate) fn sees_movement(&self) -> bool {
        self.state.as_ref().is_some_and(|state| !state.moving.is_empty())
    }

    /// Iterates over the files that have not come to rest for 30 s: nobody waits for them any more, and they count as
    /// unchanged until they have been still for as long. A caller may want to log them.
    pub fn restless(&self) -> impl Iterator<Item = &Path> {
        let moving = self.state.iter().flat_map(|state| &state.moving);
        moving.filter(|(_, moving)| moving.is_restless()).map(|(path, _)| path.as_path())
    }

    /// Notes that something may have changed: a look is due soon.
    ///
    /// That is at once, unless the last look was less than the settle time ago. Hints that lead to
    /// nothing make the next ones wait up to eight times as long.
    pub fn hint(&mut self, now: Time) {
        let settle = self.settle;
        if !self.heeds_hints() {
            return;
        }
        if let Some(state) = &mut self.state {
            let earliest = state.looked + doubled(settle, state.misses);
            state.next = state.next.min(earliest.max(now));
            state.hinted = true;
        }
    }

    /// Takes in a look, begun at `now`; returns what has changed since the last verdict, if it has
    /// come to rest.
    ///
    /// The first look of all is the [`begin`](Self::begin)ning. A caller may look when nothing is
    /// due; it only costs.
    pub fn observe(&mut self, now: Time, seen: &Stamps) -> Option<Changes> {
        let (settle, pause) = (self.settle, self.pause(seen.took()));
        let Some(state) = &mut self.state else {
            self.begin(now, seen);
            return None;
        };
        let hinted = std::mem::take(&mut state.hinted);
        // Whatever the look saw first may have been so at its end only.
        let done = now + seen.took();
        // Between looks that lie far apart it may have been still.
        let is_continuous = now.since(state.looked) <= doubled(settle, MOST_DOUBLINGS);
        state.looked = done;
        let waits_longer = state.note(seen, done, is_continuous);
        state.moving.retain(|_, moving| moving.last == done || now < moving.rested(settle));
        let awaited = state.moving.values().filter(|moving| !moving.is_restless());
        let rested = awaited.map(|moving| moving.rested(settle)).max();
        let moves = state.moves;
        state.moves = if rested.is_some() { moves + u32::from(waits_longer) } else { 0 };
        if let Some(rested) = rested {
            state.misses = 0;
            state.next =
                if waits_longer { done + doubled(settle, moves).min(pause) } else { rested };
            return None;
        }
        state.misses = if hinted && moves == 0 { state.misses.saturating_add(1) } else { 0 };
        state.next = done + pause;
        state.verdict()
    }
}

impl State {
    /// Takes in a look that has ended at `done`; returns whether a file has moved that is waited for.
    fn note(&mut self, seen: &Stamps, done: Time, is_continuous: bool) -> bool {
        let seen = seen.completed_from(&self.baseline);
        let mut waits_longer = false;
        for change in Changes::between(&self.latest, &seen).iter().flatten() {
            let moving = self.moving.entry(change.path.clone());
            let moving = moving.or_insert(Moving { first: done, last: done });
            if !is_continuous && !moving.is_restless() {
                moving.first = done;
            }
            moving.last = done;
            waits_longer |= !moving.is_restless();
        }
        self.latest = seen.into_owned();
        waits_longer
    }

    /// Returns what has changed, and takes it as known. What is still restless counts as unchanged.
    fn verdict(&mut self) -> Option<Changes> {
        let mut rested = self.latest.clone();
        for path in self.moving.keys() {
            rested.set(path, self.baseline.get(path));
        }
        let changes = Changes::between(&self.baseline, &rested)?;
        self.baseline = rested;
        Some(changes)
    }
}

fn doubled(delay: Duration, times: u32) -> Duration {
    delay.saturating_mul(1 << times.min(MOST_DOUBLINGS))
}
