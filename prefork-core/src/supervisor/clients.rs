//! Clients that go away while a child works for them.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{Action, Activity, Config, Rung, Sight, SlotId, Time, slots::Stage};

/// Checks for the sake of new work take at most this part of the time: one in 200.
const COST: u32 = 200;

/// The shortest time between two of them.
const SOONEST: Duration = Duration::from_millis(100);

/// When to look for them, and whose work was cancelled.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    /// When connections are to be checked, while anybody is at work.
    check_at: Option<Time>,
    /// Whether a check was asked for and not answered yet.
    checking: bool,
    /// When they were last checked, and how long that took.
    checked: Option<(Time, Duration)>,
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
    /// When it must be seen whether cancelled children have left their requests.
    pub(super) fn judged_at(&self) -> Option<Time> {
        self.cancelled.iter().map(|cancelled| cancelled.due).min()
    }

    /// Takes in who works. Clients of work that has begun since the last check are looked at soon, so that
    /// they are known when they go.
    pub(super) fn note_work(&mut self, now: Time, config: &Config, sight: &Sight<'_>) {
        let Some(interval) = config.netwatch_interval.filter(|_| !self.checking) else { return };
        let is_new = |(_, activity): &(SlotId, Activity)| match activity {
            Activity::Idle { .. } => false,
            Activity::Busy { since } => {
                self.checked.is_none_or(|(checked, _)| since.is_none_or(|since| since > checked))
            }
        };
        if sight.activities.iter().any(is_new) {
            let earliest = self.checked.map_or(now, |(checked, took)| {
                checked + (took * COST).clamp(SOONEST.min(interval), interval)
            });
            let soon = now.max(earliest);
            self.check_at = Some(self.check_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Leaves cancelled children to the ordinary ladder, as nobody can tell what they are at.
    pub(super) fn forget_cancelled(&mut self) {
        self.cancelled.clear();
    }
}

impl Supervisor {
    /// Asks a child to leave whose request nobody waits for any more.
    pub(super) fn cancelled(&mut self, now: Time, slot: SlotId, since: Time) {
        let (Phase::Serving, Some(child)) = (self.phase, self.slots.get(slot)) else { return };
        if !matches!(child.stage, Stage::Leaving { .. }) {
            self.ask_to_leave(now, slot);
        }
        let due = now + self.config.cancel_timeout;
        if let Some(watch) = &mut self.watch {
            watch.clients.cancelled.push(Cancelled { slot, since, due });
        }
    }

    /// Interrupts children that are still at a request that was cancelled.
    pub(super) fn end_cancelled(&mut self, now: Time, clients: &mut Clients, sight: &Sight<'_>) {
        let due: Vec<_> =
            clients.cancelled.extract_if(.., |cancelled| now >= cancelled.due).collect();
        for Cancelled { slot, since, .. } in due {
            let still = (slot, Activity::Busy { since: Some(since) });
            // Who is being ended by harder measures is not let off.
            let is_asked = self.slots.get(slot).is_some_and(|child| match child.stage {
                Stage::Leaving { ladder } => ladder.rung() == Rung::Ask,
                Stage::Starting | Stage::Entered { .. } | Stage::Serving => true,
            });
            if is_asked && sight.activities.contains(&still) {
                self.end(now, slot, Rung::Interrupt);
            }
        }
    }

    pub(super) fn connections_checked(&mut self, now: Time, busy: bool, took: Duration) {
        let interval = self.config.netwatch_interval.filter(|_| busy);
        if let Some(watch) = &mut self.watch {
            watch.clients.checking = false;
            watch.clients.checked = Some((now, took));
            watch.clients.check_at = interval.map(|interval| now + interval);
        }
    }

    /// Has connections checked when that is due.
    pub(super) fn decide_connections(&mut self, now: Time) {
        if self.connections_due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(watch) = &mut self.watch {
            watch.clients.check_at = None;
            watch.clients.checking = true;
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
