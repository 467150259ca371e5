//! How much the children have in hand, and who has least.
//!
//! A child with one request at a time is at work or idle. Of children that can have many requests in hand, each is at work in
//! part, and together they are so many that are at work and so many that are idle: with `k` in hand of `n` each counts as
//! `k / n`, and what that is in sum, rounded up, as children at work. So the policy, which grows when nobody is idle, grows
//! when no child's worth of room is left, and with `n` of 1 it is what it always was.

use super::Supervisor;
use crate::{Activity, Observation, Share, SlotId, Tally, Time, share::Shares, slots::Stage};

impl Supervisor {
    /// Notes how much each has to do.
    pub(super) fn note_shares(&mut self, observation: &Observation<'_>) {
        for (slot, activity) in observation.activities {
            let eighths = activity.share().eighths();
            // A table that is not written to stays shared with the children that are forked.
            if self.slots.get(*slot).is_some_and(|child| child.eighths != eighths) {
                self.slots.update(*slot, |child| child.eighths = eighths);
            }
        }
    }

    /// Returns how many of the connections that wait one child more would take: as many as each that serves can have in hand
    /// at once.
    pub(super) fn at_once(&self, observation: &Observation<'_>) -> u32 {
        let serving = observation.activities.iter().filter(|(slot, _)| self.is_serving(*slot));
        serving.map(|(_, activity)| activity.share().of()).min().unwrap_or(1)
    }

    /// Counts the children. What the table knows goes before what they say. Those that can have many requests in hand are at
    /// work in part: as many of them count as idle as could go without the others having too much.
    pub(super) fn tally(&self, observation: &Observation<'_>) -> Tally {
        let (mut tally, mut shares) = (Tally::default(), Shares::default());
        let mut said = observation.activities.iter().copied().peekable();
        for (slot, child) in self.slots.iter() {
            while said.next_if(|(other, _)| *other < slot).is_some() {}
            let activity = said.next_if(|(other, _)| *other == slot).map(|(_, activity)| activity);
            match child.stage {
                Stage::Leaving { .. } => tally.leaving += 1,
                Stage::Starting | Stage::Entered { .. } => tally.starting += 1,
                // What cannot be understood is not free to take work.
                Stage::Spent => shares.add(Share::WHOLE),
                Stage::Serving => shares.add(activity.map_or(Share::WHOLE, |it| it.share())),
            }
        }
        Tally { idle: shares.idle(), busy: shares.busy(), ..tally }
    }

    /// Returns when those who were at work at the last look have turned idle since: as one after the other has, fewer were
    /// needed. Who has been at work since, and was idle at both looks, is not known to have been so beside others; of those
    /// that can have many requests in hand it is not known what they had at once.
    pub(super) fn ended(&self, before: Option<Time>, observation: &Observation<'_>) -> Vec<Time> {
        let was_busy = |slot| {
            let child = self.slots.get(slot);
            child.is_some_and(|child| child.stage == Stage::Serving && child.eighths > 0)
        };
        let ended = observation.activities.iter().filter_map(|(slot, activity)| match activity {
            Activity::Idle { since } if was_busy(*slot) => Some(*since),
            Activity::Idle { .. } | Activity::Busy { .. } | Activity::Many { .. } => None,
        });
        let mut ended: Vec<Time> =
            ended.filter(|since| before.is_some_and(|before| *since > before)).collect();
        ended.sort_unstable();
        ended
    }

    /// Returns whether nothing waits and a child that can have many requests in hand has room: then more children would be
    /// good to have, and nobody misses them.
    pub(super) fn has_room(&self, observation: &Observation<'_>, waiting: Option<u32>) -> bool {
        waiting.unwrap_or(0) == 0 && self.has_free_hands(observation)
    }

    /// Returns whether a child that can have many requests in hand has room.
    pub(super) fn has_free_hands(&self, observation: &Observation<'_>) -> bool {
        let has_room = |(slot, activity): &(SlotId, Activity)| match activity {
            Activity::Many { share, .. } => !share.is_full() && self.is_serving(*slot),
            Activity::Idle { .. } | Activity::Busy { .. } => false,
        };
        observation.activities.iter().any(has_room)
    }

    /// Asks the children that have least in hand to leave, which finish that; of those that have nothing in hand the
    /// largest ones first, where that is measured, and then those that have been idle for longest.
    pub(super) fn shrink(&mut self, now: Time, observation: &Observation<'_>, fewer: u32) {
        let mut free: Vec<(Share, Time, SlotId)> = observation
            .activities
            .iter()
            .filter_map(|(slot, activity)| Some((activity.share(), activity.rests_since()?, *slot)))
            .filter(|(_, _, slot)| self.is_serving(*slot))
            .collect();
        free.sort_unstable();
        let free = free.into_iter().map(|(_, _, slot)| slot).collect();
        self.retire_free(now, free, fewer as usize);
    }

    pub(super) fn is_serving(&self, slot: SlotId) -> bool {
        self.slots.get(slot).is_some_and(|child| child.stage == Stage::Serving)
    }
}

/// Whether a child says by this that it reports what it does.
pub(super) const fn has_spoken(activity: &Activity) -> bool {
    match activity {
        Activity::Busy { .. } | Activity::Many { .. } => true,
        Activity::Idle { .. } => false,
    }
}
