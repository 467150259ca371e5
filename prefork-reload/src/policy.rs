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
//! Looking costs, so it is rationed: no two looks are closer than the settle time, and while files
//! never come to rest, or hints lead to nothing, looks are spaced out up to eight times that.

use std::time::Duration;

use prefork_core::Time;

use crate::change::Changes;
use crate::stamp::Stamps;

/// The shortest settle time: what is written within one tick of the kernel's clock, of up to
/// 10 ms, may have the same times.
const SHORTEST_SETTLE: Duration = Duration::from_millis(20);

/// How often the delay between looks doubles while looking leads to nothing.
const MOST_DOUBLINGS: u32 = 3;

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
    /// When `latest` was first seen; nothing else has been seen since.
    since: Time,
    looked: Time,
    /// When to look next, in any case.
    next: Time,
    /// Whether `next` is so soon because of a hint.
    hinted: bool,
    /// Looks in a row that saw movement.
    moves: u32,
    /// Looks in a row that a hint brought on and that saw nothing new.
    misses: u32,
}

impl Policy {
    /// Makes a policy that looks at least every `interval`.
    ///
    /// An interval shorter than the settle time counts as the settle time. With
    /// [`Duration::MAX`] looks are due only after a [`hint`](Self::hint).
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, settle: Duration::from_millis(200), state: None }
    }

    /// Looks at least every `interval` from now on, counted from the last look.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        let interval = interval.max(self.settle);
        if let Some(state) = &mut self.state {
            let at_rest = state.moves == 0 && !state.hinted;
            let due = state.looked + interval;
            state.next = if at_rest { due } else { state.next.min(due) };
        }
    }

    /// Sets how long files must have been still. Default 200 ms, at least 20 ms.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle.max(SHORTEST_SETTLE);
        self
    }

    /// Takes what is seen now as known: only later changes count. Forgets all that was before.
    pub fn begin(&mut self, now: Time, seen: &Stamps) {
        self.state = Some(State {
            baseline: seen.clone(),
            latest: seen.clone(),
            since: now + seen.took(),
            looked: now + seen.took(),
            next: now + seen.took() + self.interval.max(self.settle),
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

    /// Returns whether the last look saw movement that has not come to rest yet.
    pub(crate) fn sees_movement(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.moves > 0)
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
        let (settle, interval) = (self.settle, self.interval.max(self.settle));
        let Some(state) = &mut self.state else {
            self.begin(now, seen);
            return None;
        };
        let hinted = std::mem::take(&mut state.hinted);
        // Whatever the look saw first may have been so at its end only.
        let done = now + seen.took();
        state.looked = done;
        let seen = seen.completed_from(&state.baseline);
        if !seen.saw_the_same(&state.latest) {
            state.latest = seen.into_owned();
            state.since = done;
            let gap = doubled(settle, state.moves).min(interval);
            state.next = done + gap;
            state.moves = state.moves.saturating_add(1);
            state.misses = 0;
            return None;
        }
        let rested = state.since + settle;
        if state.moves > 0 && now < rested {
            state.next = rested;
            return None;
        }
        let was_moving = std::mem::take(&mut state.moves) > 0;
        state.misses = if hinted && !was_moving { state.misses.saturating_add(1) } else { 0 };
        state.next = done + interval;
        let changes = Changes::between(&state.baseline, &state.latest)?;
        state.baseline = state.latest.clone();
        Some(changes)
    }
}

fn doubled(delay: Duration, times: u32) -> Duration {
    delay.saturating_mul(1 << times.min(MOST_DOUBLINGS))
}
