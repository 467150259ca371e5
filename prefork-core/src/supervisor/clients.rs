//! Clients that go away while a child works for them.
//!
//! The interval is a promise: so long after a client has gone that is noticed. So while anybody works the next check
//! begins before an interval is over since the last one began, with something to spare for its own time, and new work is
//! known as soon. Where checks take so long that the parent would do little else, they are rarer, and that is logged.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{
    Action, Activity, Allowance, Config, Notice, Observation, PoolNotice, Rung, SlotId, Time,
    slots::Stage,
};

/// Checks for the sake of new work take at most this part of the time: one in 200.
const COST: u32 = 200;

/// The shortest time between two of them.
const SOONEST: Duration = Duration::from_millis(100);

/// All checks together take at most this part of the time: one in 5.
const REST: u32 = 4;

/// How many checks in a row must take too long: one that does may have been kept waiting.
const LATE: u32 = 3;

/// How often it is logged that checks take too long for the interval.
const COMPLAINTS: Allowance = Allowance::new(1, Duration::from_secs(600));

/// How long after a check has begun the next one does, for who goes between the two to be noticed within an interval,
/// also where the parent is kept waiting for a moment.
fn pace(interval: Duration) -> Duration {
    let spare = (interval / 8).max(Duration::from_millis(50));
    interval - spare.min(interval / 2)
}

/// When to look for them, and whose work was cancelled.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// When connections are to be checked, while anybody is at work.
    check_at: Option<Time>,
    /// Since when a check is asked for that is not answered yet.
    checking: Option<Time>,
    /// When the last check was asked for, and how long it took. It has not seen work that has begun since.
    checked: Option<(Time, Duration)>,
    /// How many checks in a row have taken too long.
    late: u32,
    complaints: Allowance,
    cancelled: Vec<Cancelled>,
}

/// A child that is to give up the request it has been at since then.
#[derive(Clone, Copy, Debug)]
struct Cancelled {
    slot: SlotId,
    since: Time,
    /// When it is interrupted, if it is still at it.
    due: Time,
}

impl Clients {
    pub(super) const fn new() -> Self {
        Self {
            check_at: None,
            checking: None,
            checked: None,
            late: 0,
            complaints: COMPLAINTS,
            cancelled: Vec::new(),
        }
    }

    /// When it must be seen whether cancelled children have left their requests.
    pub(super) fn judged_at(&self) -> Option<Time> {
        self.cancelled.iter().map(|cancelled| cancelled.due).min()
    }

    /// Takes in who works. Clients of work that has begun since the last check are looked at soon, so that
    /// they are known when they go.
    pub(super) fn note_work(&mut self, now: Time, config: &Config, observation: &Observation<'_>) {
        let Some(pace) = config.netwatch_interval.map(pace) else { return };
        if self.checking.is_some() {
            return;
        }
        let is_new = |(_, activity): &(SlotId, Activity)| match activity {
            // Which of its connections has gone, only the child itself knows.
            Activity::Idle { .. } | Activity::Many { .. } => false,
            Activity::Busy { since } => {
                self.checked.is_none_or(|(begun, _)| since.is_none_or(|since| since >= begun))
            }
        };
        if observation.activities.iter().any(is_new) {
            let earliest = self.checked.map_or(now, |(begun, took)| {
                begun + (took * COST).clamp(SOONEST.min(pace), pace.max(took * REST))
            });
            let soon = now.max(earliest);
            self.check_at = Some(self.check_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Leaves cancelled children to the ordinary ladder, as it is not known what they are at.
    pub(super) fn forget_cancelled(&mut self) {
        self.cancelled.clear();
    }
}

impl Supervisor {
    /// Asks a child to leave whose request nobody waits for any more.
    pub(super) fn cancelled(&mut self, now: Time, slot: SlotId, since: Time) {
        let (Phase::Serving, Some(child)) = (self.phase, self.slots.get(slot)) else { return };
        if !matches!(child.stage, Stage::Leaving { .. }) {
            self.retire(now, slot);
        }
        let due = now + self.config.cancel_timeout;
        if let Some(watch) = &mut self.watch {
            watch.clients.cancelled.push(Cancelled { slot, since, due });
        }
    }

    /// Interrupts children that are still at a request that was cancelled.
    pub(super) fn end_cancelled(
        &mut self,
        now: Time,
        clients: &mut Clients,
        observation: &Observation<'_>,
    ) {
        let due: Vec<_> =
            clients.cancelled.extract_if(.., |cancelled| now >= cancelled.due).collect();
        for Cancelled { slot, since, .. } in due {
            let still = (slot, Activity::Busy { since: Some(since) });
            // A child that is being ended by harder measures is not let off.
            let is_asked = self.slots.get(slot).is_some_and(|child| match child.stage {
                Stage::Leaving { ladder } => ladder.rung() == Rung::Retire,
                Stage::Starting | Stage::Entered { .. } | Stage::Serving | Stage::Spent => true,
            });
            if is_asked && observation.activities.contains(&still) {
                self.end(now, slot, Rung::Interrupt);
            }
        }
    }

    pub(super) fn connections_checked(&mut self, now: Time, busy: bool, took: Duration) {
        let (Some(interval), Some(watch)) = (self.config.netwatch_interval, &mut self.watch) else {
            return;
        };
        let begun = watch.clients.checking.take().unwrap_or(now);
        watch.clients.checked = Some((begun, took));
        let next = (begun + pace(interval)).max(now + took * REST);
        watch.clients.check_at = busy.then_some(next);
        let within = next.since(begun) + took;
        let late = if busy && within > interval { watch.clients.late + 1 } else { 0 };
        watch.clients.late = late % LATE;
        if late == LATE && watch.clients.complaints.take(now) {
            self.log(Notice::Pool(PoolNotice::ClientsNoticedLate { interval, took, within }));
        }
    }

    /// How soon after a child has turned busy the next one is noticed that does, at the latest, for the sake of its
    /// client.
    pub(super) fn pause_for_clients(&self) -> Option<Duration> {
        self.config.netwatch_interval.map(pace)
    }

    /// Has connections checked when that is due.
    pub(super) fn decide_connections(&mut self, now: Time) {
        if self.connections_due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(watch) = &mut self.watch {
            watch.clients.check_at = None;
            watch.clients.checking = Some(now);
            self.actions.push_back(Action::CheckConnections);
        }
    }

    /// When connections are to be checked, if nothing happens.
    pub(super) fn connections_due(&self) -> Option<Time> {
        match self.phase {
            Phase::Serving => self.watch.as_ref()?.clients.check_at,
            Phase::New | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Over => None,
        }
    }
}
