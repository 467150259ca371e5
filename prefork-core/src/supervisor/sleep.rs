//! A pool that ends by itself when nobody needs it, for somebody who keeps its sockets and starts it again.
//!
//! It *dozes off* first: when all children have done nothing for [`Config::sleep_after`](crate::Config::sleep_after), as a
//! look shows, they are asked to leave while the pool serves on. A client may come in that moment: then the parent learns
//! of it by a nudge, a connection that waits, or a child that does not leave, and the pool is awake again. Only when all
//! children have gone the daemon stops. So nobody who comes meanwhile is refused, cut short, or waits for anything but a
//! child that starts.
//!
//! A pool of which a ceiling of 0 leaves nothing goes the same way, but that its children may be at work and finish that.

use std::time::Duration;

use super::{Phase, Reading, Supervisor, Upgrade};
use crate::{
    ChangeNotice, Hook, Notice, Observation, Pool, Progress, Rung, Time, Verdict, slots::Stage,
};

/// A child that was asked so long ago and is there still has something in hand after all.
const LEAVE: Duration = Duration::from_secs(1);

/// Since when a pool does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sleep {
    /// When anything was done for the last time, as far as that is known.
    stirred: Time,
    /// When a look has shown for the last time that nobody does anything.
    quiet: Option<Time>,
    /// Since when it dozes.
    dozing: Option<Time>,
}

impl Supervisor {
    /// Whether the pool ends by itself.
    pub(super) const fn can_sleep(&self) -> bool {
        self.config.sleep_after.is_some() && !matches!(self.config.pool, Pool::Fixed)
    }

    pub(super) const fn is_dozing(&self) -> bool {
        self.sleep.dozing.is_some()
    }

    /// Notes that something is done, which wakes a pool that dozes.
    pub(super) const fn stir(&mut self, now: Time) {
        self.sleep = Sleep { stirred: now, quiet: None, dozing: None };
    }

    /// Takes in what the children were seen doing, and whether anything waits.
    pub(super) fn note_quiet(&mut self, now: Time, observation: &Observation<'_>, waits: bool) {
        if !self.can_sleep() {
            return;
        }
        let of_pool = |slot| self.slots.get(slot).is_some_and(|it| it.stage == Stage::Serving);
        let seen = observation.activities.iter().filter(|(slot, _)| of_pool(*slot));
        let rests = seen.clone().filter(|(_, activity)| activity.share().eighths() == 0);
        let (seen, resting) = (seen.count(), rests.clone().count());
        let all = self.slots.alive();
        if waits || all == 0 || [seen, resting] != [all, all] || self.throttle.is_troubled() {
            self.stir(now);
            return;
        }
        let last = rests.filter_map(|(_, activity)| activity.rests_since()).max();
        let last = last.map_or(now, |last| last.min(now));
        self.sleep.stirred = self.sleep.stirred.max(last);
        self.sleep.quiet = Some(now);
    }

    /// When it is to be seen whether the pool is at rest, or those have gone that were asked for that.
    pub(super) fn sleep_due(&self) -> Option<Time> {
        let after = self.config.sleep_after.filter(|_| self.can_sleep())?;
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        match self.sleep.dozing {
            Some(since) => Some(since + LEAVE),
            None if self.is_observing() => None,
            None => Some(self.sleep.stirred + after),
        }
    }

    /// Whether something is under way that a pool does not sleep through.
    fn is_changing(&self) -> bool {
        self.rollout.is_some()
            || self.rollout_again
            || self.reading != Reading::No
            || self.upgrade != Upgrade::No
            || self.hooks.is_running(Hook::Ready)
    }

    /// Puts a pool to sleep, and wakes one that something is wanted of.
    pub(super) fn decide_sleep(&mut self, now: Time) {
        if !self.can_sleep() || !matches!(self.phase, Phase::Serving) {
            return;
        }
        if self.slots.alive() == 0 && (self.is_dozing() || self.most() == 0) {
            let idle = self.is_dozing().then(|| now.since(self.sleep.stirred));
            self.log(Notice::Change(ChangeNotice::Asleep { idle }));
            self.show(Progress::Stopping);
            self.stop(now, Rung::Retire, Verdict::Asleep);
            return;
        }
        let is_due = self.sleep_due().is_some_and(|due| now >= due);
        if is_due && self.is_dozing() || self.is_changing() && (is_due || self.is_dozing()) {
            self.stir(now);
        } else if is_due && self.sleep.quiet == Some(now) {
            self.doze_off(now);
        } else if is_due {
            self.look_soon(now);
        }
    }

    fn doze_off(&mut self, now: Time) {
        self.sleep.dozing = Some(now);
        let slots: Vec<_> = self.staying().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.stats.retired += 1;
            self.retire(now, slot);
        }
    }
}
