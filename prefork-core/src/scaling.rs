//! How many children a pool should have, given what they are doing.
//!
//! Problem: a burst should find its children at once, and afterwards they should go, but a pool must
//! not flap: every fork costs, and a child that is retired a moment before it is needed costs twice.
//!
//! Idea: growing looks at this moment, shrinking at the past. To grow, the policy counts what is
//! missing *now*: connections that wait, and one child to spare. To shrink, it keeps the highest need
//! of the last `calm` time (a sliding maximum) and retires only what was not needed in all that time,
//! slowly first. A shrink that turns out wrong is undone by growing as always, and doubles the calm
//! time of the next.
//!
//! Assumptions: the caller does what [`ScalingPolicy::decide`] lists as its duties.

use std::time::Duration;

use crate::{Time, highest::Highest};

/// What the children of a pool are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spawned, not yet able to take work.
    pub starting: u32,
    /// Waiting for work.
    pub idle: u32,
    /// At work.
    pub busy: u32,
    /// Asked to leave, still there.
    pub leaving: u32,
}

impl Tally {
    /// Returns how many take work or will.
    #[must_use]
    pub const fn staying(&self) -> u32 {
        self.starting.saturating_add(self.idle).saturating_add(self.busy)
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn alive(&self) -> u32 {
        self.staying().saturating_add(self.leaving)
    }
}

/// The load of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What the children are doing.
    pub tally: Tally,
    /// How many connections wait to be accepted; `None` if that is not known.
    pub waiting: Option<u32>,
}

/// What a pool should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Nothing.
    Hold,
    /// Start so many more children.
    Spawn(u32),
    /// Ask so many idle children to leave.
    Retire(u32),
}

/// Decides how many children a pool should have.
///
/// A pure function of the load, of what it remembers in a [`Ramp`], and of the time.
///
/// # Growing
///
/// A pool has at least [`min`](Self::min) children. It grows when fewer than
/// [`min_spare`](Self::min_spare) are free to take work, those starting included. Connections that
/// wait say how many are missing, and all of them are spawned at once, up to
/// [`step`](Self::step). Where that is not known, growth doubles for as long as all children are busy.
/// There are never more than [`max`](Self::max), those that are leaving included.
///
/// # Shrinking
///
/// Children that were not needed at any time in the last [`calm`](Self::calm) are retired, 1 at
/// first, then 2, 4 and so on every [`pace`](Self::pace), idle ones only, down to exactly `min`, or `min_spare` if that is more. If
/// the pool has to grow again within the calm time of a retirement, the next calm time is twice as
/// long, up to 8 times.
///
/// # Examples
///
/// It can be tested in isolation, here with every load of a small pool:
///
/// ```
/// use prefork_core::{Load, Ramp, Scaling, ScalingPolicy, Tally, Time};
///
/// let policy = ScalingPolicy::new(3, 10);
/// for (starting, idle, busy, leaving) in (0..5000)
///     .map(|n| (n % 10, n / 10 % 10, n / 100 % 10, n / 1000))
///     .filter(|(starting, idle, busy, leaving)| starting + idle + busy + leaving <= 10)
/// {
///     let tally = Tally { starting, idle, busy, leaving };
///     for waiting in [None, Some(0), Some(1), Some(1000)] {
///         let decision = policy.decide(&mut Ramp::new(), Load { tally, waiting }, Time::ZERO);
///         if let Scaling::Spawn(more) = decision {
///             assert!(more >= 1 && tally.alive() + more <= 10);
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScalingPolicy {
    /// The number of children that a pool at rest has, or [`min_spare`](Self::min_spare) if that is more.
    pub min: u32,
    /// The number of children that is never exceeded.
    pub max: u32,
    /// How many children should be free at any time. Default 1: the pool grows when all are busy.
    pub min_spare: u32,
    /// How many free children are never too many, at least `min_spare`; more are retired without
    /// waiting out the calm time. Default none: what is free is retired after the calm time.
    pub max_spare: Option<u32>,
    /// The most children that are spawned at once, at least 1. Default 64.
    pub step: u32,
    /// How long children must not have been needed before they are retired, longer than 0. Default 10 s.
    pub calm: Duration,
    /// The time between two steps down, longer than 0. Default 1 s.
    pub pace: Duration,
}

/// What can be set of a [`ScalingPolicy`] beside its bounds, each as the field of that name there.
///
/// It is exhaustive on purpose: who passes settings on cannot forget one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// See [`ScalingPolicy::min_spare`].
    pub min_spare: u32,
    /// See [`ScalingPolicy::max_spare`].
    pub max_spare: Option<u32>,
    /// See [`ScalingPolicy::step`].
    pub step: u32,
    /// See [`ScalingPolicy::calm`].
    pub calm: Duration,
    /// See [`ScalingPolicy::pace`].
    pub pace: Duration,
}

impl Tuning {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        min_spare: 1,
        max_spare: None,
        step: 64,
        calm: Duration::from_secs(10),
        pace: Duration::from_secs(1),
    };
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The longest calm time, as a multiple of [`ScalingPolicy::calm`].
const MOST_PATIENCE: u32 = 8;

/// What a [`ScalingPolicy`] remembers from one decision to the next.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// The needs of the longest calm time.
    needs: Highest,
    /// What has been needed since it was last looked; none if nothing was decided yet.
    need: Option<u32>,
    /// How many were spawned last, while all children have been busy ever since.
    growth: u32,
    /// How many were retired last, while there have been too many ever since.
    shrink: u32,
    last_retirement: Option<Time>,
    patience: u32,
    due: Option<Time>,
    short: u32,
}

impl Default for Ramp {
    fn default() -> Self {
        Self::new()
    }
}

impl Ramp {
    /// Makes a memory without a past.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            needs: Highest::new(),
            need: None,
            growth: 0,
            shrink: 0,
            last_retirement: None,
            patience: 1,
            due: None,
            short: 0,
        }
    }

    /// Returns when to decide again if the load does not change; `None` if nothing would follow.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Returns how many more children the last decision would have wanted, had `max` allowed.
    #[must_use]
    pub const fn short(&self) -> u32 {
        self.short
    }

    /// Notes what is needed from now on; what was needed before was so until now.
    fn change_need(&mut self, now: Time, need: u32, longest: Duration) {
        if let Some(before) = self.need.replace(need) {
            self.needs.note(now, before, longest);
        }
        self.needs.note(now, need, longest);
    }
}

impl ScalingPolicy {
    /// Makes a policy with the default of every other setting.
    #[must_use]
    pub const fn new(min: u32, max: u32) -> Self {
        Self::tuned(min, max, Tuning::DEFAULT)
    }

    /// Makes a policy from all that there is to be set.
    #[must_use]
    pub const fn tuned(min: u32, max: u32, tuning: Tuning) -> Self {
        let Tuning { min_spare, max_spare, step, calm, pace } = tuning;
        Self { min, max, min_spare, max_spare, step, calm, pace }
    }

    /// Returns all that there is to be set beside the bounds.
    #[must_use]
    pub const fn tuning(&self) -> Tuning {
        let Self { min: _, max: _, min_spare, max_spare, step, calm, pace } = *self;
        Tuning { min_spare, max_spare, step, calm, pace }
    }

    /// Decides what the pool should do now.
    ///
    /// # Duties of the caller
    ///
    /// The policy sees nothing but what it is given, so a pool is as good as its caller:
    ///
    /// - It asks whenever load appears: when a child turns busy, or a connection waits. Of every burst the first is
    ///   enough, if it asks again a moment later.
    /// - It need not ask when load ends. What it was told last is taken to last until it asks again; a caller that learns
    ///   then when children have turned idle tells that by [`note`](Self::note) first, and the pool shrinks the sooner.
    /// - After [`Scaling::Spawn`] it asks again every few milliseconds, until none is starting: what one answer may
    ///   spawn is bounded, and where it is not known how many connections wait, growth goes on by doubling.
    /// - It asks at [`Ramp::due`] if nothing has made it ask before, or the pool never shrinks. Where that is `None` a
    ///   pool at rest needs no timer.
    /// - It does what was decided before it asks again, and counts it at once: who was spawned is starting, who was
    ///   asked to leave is leaving. A spawn that has failed is not counted; the next answer asks for it again, so
    ///   that caller sees to a delay.
    /// - It retires idle children only, and those first that have been idle for longest.
    /// - It counts children as idle that will take the next connection, and no others: who is stopped, or stuck before
    ///   it accepts, is busy. One that is taken for idle by mistake hides that others are missing, for ever where
    ///   it is not known how many connections wait.
    /// - One [`Ramp`] belongs to one pool. When it was not known for a while what the children did, a new one forgets
    ///   what was before; all children that are there count as needed then, until the calm time is over.
    ///
    /// # Time
    ///
    /// `now` is monotonic, from any origin, the same for all answers of one `Ramp`. A time before an earlier one is
    /// no error: nothing has passed since then. Answers depend on differences of times only. A caller that comes
    /// late, even by days, does late what was due, and loses nothing else.
    ///
    /// # Examples
    ///
    /// Six clients come to a pool of two at once, and stay for two seconds. Here all that a caller has to do is one
    /// function:
    ///
    /// ```
    /// use prefork_core::{Load, Ramp, Scaling, ScalingPolicy, Tally, Time};
    /// use std::time::Duration;
    ///
    /// /// Does at once what the policy wants, and notes in which second that was.
    /// fn ask(
    ///     (policy, ramp): (&ScalingPolicy, &mut Ramp),
    ///     (pool, waiting): (&mut Tally, u32),
    ///     now: Time,
    ///     done: &mut Vec<(u64, Scaling)>,
    /// ) {
    ///     let decision = policy.decide(ramp, Load { tally: *pool, waiting: Some(waiting) }, now);
    ///     match decision {
    ///         Scaling::Hold => return,
    ///         Scaling::Spawn(more) => pool.starting += more,
    ///         // Who is idle leaves within no time.
    ///         Scaling::Retire(fewer) => pool.idle -= fewer,
    ///     }
    ///     done.push((now.since_origin().as_secs(), decision));
    /// }
    ///
    /// let policy = ScalingPolicy::new(2, 150);
    /// let (mut ramp, mut done) = (Ramp::new(), Vec::new());
    /// let mut now = Time::ZERO;
    /// let mut pool = Tally { idle: 2, ..Tally::default() };
    /// ask((&policy, &mut ramp), (&mut pool, 0), now, &mut done);
    /// assert_eq!(ramp.due(), None, "a pool at rest needs no timer");
    ///
    /// // Two of the six are served at once, four wait: they need four children, and one is to be free.
    /// now = now + Duration::from_secs(1);
    /// pool = Tally { busy: 2, ..Tally::default() };
    /// ask((&policy, &mut ramp), (&mut pool, 4), now, &mut done);
    /// assert_eq!(pool.starting, 5);
    ///
    /// // They have started, and four of them have taken who waited.
    /// now = now + Duration::from_millis(5);
    /// pool = Tally { busy: 6, idle: 1, ..Tally::default() };
    /// ask((&policy, &mut ramp), (&mut pool, 0), now, &mut done);
    ///
    /// // All have gone. From now on there is nothing to do but to ask when something is due.
    /// now = now + Duration::from_secs(2);
    /// pool = Tally { idle: 7, ..Tally::default() };
    /// ask((&policy, &mut ramp), (&mut pool, 0), now, &mut done);
    /// while let Some(due) = ramp.due() {
    ///     now = due;
    ///     ask((&policy, &mut ramp), (&mut pool, 0), now, &mut done);
    /// }
    ///
    /// // Ten seconds after seven were needed for the last time they leave, ever more at a time.
    /// let expected = [
    ///     (1, Scaling::Spawn(5)),
    ///     (13, Scaling::Retire(1)),
    ///     (14, Scaling::Retire(2)),
    ///     (15, Scaling::Retire(2)),
    /// ];
    /// assert_eq!(done, expected);
    /// assert_eq!(pool, Tally { idle: 2, ..Tally::default() });
    /// ```
    pub fn decide(&self, ramp: &mut Ramp, load: Load, now: Time) -> Scaling {
        let tally = load.tally;
        let window = self.calm.saturating_mul(ramp.patience.max(1));
        if ramp.need.is_none() {
            // What was before is not known: all that are there may have been needed.
            ramp.needs.note(now, tally.staying().min(self.max), self.longest());
        }
        self.note(ramp, load, now);
        let grow = self.grow(ramp, load);
        if grow > 0 {
            if let Some(retired) = ramp.last_retirement.take() {
                let wrong = now.since(retired) < window;
                ramp.patience = if wrong { (ramp.patience * 2).min(MOST_PATIENCE) } else { 1 };
            }
            ramp.shrink = 0;
            ramp.due = Some(now + window);
            // What is spawned now was needed now, even where doubling goes beyond the need.
            let size = tally.staying().saturating_add(grow).min(self.max);
            ramp.needs.note(now, size, self.longest());
            return Scaling::Spawn(grow);
        }
        self.shrink(ramp, load, window, now)
    }

    /// Notes what the load was from an earlier moment on, of which the caller learns only now: after the last answer, and in
    /// the order of time.
    ///
    /// Without it a load is taken to have lasted until the next question, so that children leave later than they could.
    pub fn note(&self, ramp: &mut Ramp, load: Load, then: Time) {
        let need = self.need(load.tally.busy, load.waiting.unwrap_or(0));
        ramp.change_need(then, need, self.longest());
    }

    /// For how long needs are remembered.
    const fn longest(&self) -> Duration {
        self.calm.saturating_mul(MOST_PATIENCE)
    }

    /// The number of children that so many requests need.
    fn need(&self, busy: u32, waiting: u32) -> u32 {
        let need = busy.saturating_add(waiting).saturating_add(self.min_spare);
        // A minimum above the maximum would be a caller's error; the maximum prevails.
        need.max(self.min).min(self.max)
    }

    fn grow(&self, ramp: &mut Ramp, Load { tally, waiting }: Load) -> u32 {
        let free = tally.idle.saturating_add(tally.starting);
        let missing = self.min_spare.saturating_add(waiting.unwrap_or(0)).saturating_sub(free);
        if waiting.is_some() || tally.idle >= self.min_spare {
            ramp.growth = 0;
        }
        let wanted = match waiting {
            Some(_) => missing,
            None if missing == 0 => 0,
            None => missing.max(ramp.growth.saturating_mul(2)),
        };
        let wanted = wanted.min(self.step);
        // The minimum is not a matter of load, so the step does not bound it.
        let wanted = wanted.max(self.min.saturating_sub(tally.staying()));
        let granted = wanted.min(self.max.saturating_sub(tally.alive()));
        ramp.short = wanted - granted;
        if waiting.is_none() && granted > 0 {
            ramp.growth = granted;
        }
        granted
    }

    fn shrink(
        &self,
        ramp: &mut Ramp,
        Load { tally, waiting }: Load,
        window: Duration,
        now: Time,
    ) -> Scaling {
        let (needed_at, mut keep) = ramp.needs.of(now, window).unwrap_or((now, self.max));
        if let Some(spare) = self.max_spare {
            let enough = tally.busy.saturating_add(spare.max(self.min_spare));
            keep = keep.min(enough.max(self.min));
        }
        // Those that start may never come up; nobody who works is retired on their account.
        let excess = tally.busy.saturating_add(tally.idle).saturating_sub(keep);
        if excess == 0 {
            ramp.shrink = 0;
            // Something follows when the highest need is forgotten, if it was more than the least.
            let lasting = tally.staying() > self.need(0, 0);
            let forgotten = (needed_at + window).max(now + self.pace);
            ramp.due = lasting.then_some(forgotten);
            return Scaling::Hold;
        }
        // That some wait or none is idle at this moment says nothing of the past, which the needs
        // know; it is only not the moment.
        let excess = if waiting.unwrap_or(0) > 0 { 0 } else { excess.min(tally.idle) };
        if excess == 0 {
            ramp.due = Some(now + self.pace);
            return Scaling::Hold;
        }
        if let Some(next) = ramp.last_retirement.map(|last| last + self.pace)
            && now < next
        {
            ramp.due = Some(next);
            return Scaling::Hold;
        }
        let step = ramp.shrink.saturating_mul(2).max(1).min(excess);
        ramp.shrink = step;
        ramp.last_retirement = Some(now);
        ramp.due = Some(now + self.pace);
        Scaling::Retire(step)
    }
}
