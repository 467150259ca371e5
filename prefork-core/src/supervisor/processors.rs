//! Whether more children would help, or only have less of a processor each.
//!
//! # Problem
//!
//! Where children wait for a database, more of them serve more clients. Where they compute, as many as there are processors do
//! all that can be done, and more only make each slower, and take memory. From outside both are busy.
//!
//! # Idea
//!
//! Who computes is running, or waits for a processor; all others sleep. So before there are more children than processors, some
//! that are at work are looked at. If so many of these compute, then so many of all do at a time, and it takes as many children as
//! follow from that to keep all processors at work: ten for each processor if one in ten computes, without end if none does.
//!
//! What has computed at the look may sleep at the next one, and a request that computes for a minute is not to hold up all others.
//! So while children are wanted and not started it is looked again, after 10 ms first and then ever later; and when nobody has
//! taken anything for a second, one more child is started, whatever they do.
//!
//! # Assumptions
//!
//! A child computes in its first thread. One with others is taken for one that sleeps, and the pool grows as it would without this.

use std::time::Duration;

use super::{Supervisor, watch::Watch};
use crate::{Action, Activity, Observation, SlotId, Tally, Time, WorkSeen};

/// How many children at work are looked at, at most.
const SAMPLE: usize = 64;

/// How long after one look, in which more were wanted than are useful, the next one comes: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// For how long nobody may have taken anything before another child is started all the same.
const STUCK: Duration = Duration::from_secs(1);

/// What is remembered of it.
#[derive(Clone, Debug)]
pub(super) struct Processors {
    wanted: Option<Wanted>,
    /// Children at work that are to be looked at.
    sample: Vec<SlotId>,
    pause: Duration,
    /// When they are looked at again, if more were wanted than are useful.
    look_at: Option<Time>,
}

/// Children that are started if they are useful.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    more: u32,
    /// How many there are without these.
    staying: u32,
    is_stuck: bool,
}

impl Processors {
    pub(super) const fn new() -> Self {
        Self { wanted: None, sample: Vec::new(), pause: FIRST_PAUSE, look_at: None }
    }
}

impl WorkSeen {
    /// Returns how many children at work there may be until all processors are at work; `None` if any number.
    fn most_useful(self, processors: u32) -> Option<u32> {
        let of_looked_at = u64::from(processors) * u64::from(self.looked_at);
        let most = of_looked_at.div_ceil(u64::from(self.computing).max(1));
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(processors);
        (self.computing > 0).then_some(most)
    }
}

impl Supervisor {
    /// Returns the children to be looked at for [`Action::LookAtWork`].
    pub fn slots_at_work(&self) -> &[SlotId] {
        &self.processors.sample
    }

    /// Returns how many of these children may be started at once. Of the others it is found out whether they are useful.
    pub(super) fn heed_processors(
        &mut self,
        now: Time,
        more: u32,
        tally: &Tally,
        observation: &Observation<'_>,
        watch: &mut Watch,
    ) -> u32 {
        self.processors.wanted = None;
        let Some(processors) = self.config.processors else { return more };
        let spare = self.policy_spares();
        let at_once = more.min(processors.saturating_add(spare).saturating_sub(tally.staying()));
        let at_work = observation.activities.iter().filter_map(|(slot, activity)| match activity {
            Activity::Busy { since } if self.is_serving(*slot) => Some((*slot, *since)),
            Activity::Busy { .. } | Activity::Idle { .. } | Activity::Many { .. } => None,
        });
        let at_work: Vec<_> = at_work.collect();
        if at_once == more || at_work.is_empty() {
            return more;
        }
        // Whoever has just taken something computes, and that is when children are observed.
        if let Some(at) = self.processors.look_at.filter(|at| now < *at) {
            watch.observe_by(at);
            return at_once;
        }
        let last_taken = at_work.iter().filter_map(|(_, since)| *since).max();
        let is_stuck = last_taken.is_some_and(|at| now.since(at) >= STUCK);
        let every = at_work.len().div_ceil(SAMPLE);
        self.processors.sample.clear();
        self.processors.sample.extend(at_work.iter().step_by(every).map(|(slot, _)| *slot));
        let staying = tally.staying().saturating_add(at_once);
        self.processors.wanted = Some(Wanted { more: more - at_once, staying, is_stuck });
        self.actions.push_back(Action::LookAtWork);
        at_once
    }

    /// Takes in what the children that were looked at do, and starts as many more as are useful.
    pub(super) fn work_seen(&mut self, now: Time, seen: WorkSeen) {
        let Some(Wanted { more, staying, is_stuck }) = self.processors.wanted.take() else {
            return;
        };
        let Some(processors) = self.config.processors else { return };
        let spare = self.policy_spares();
        let useful = seen
            .most_useful(processors)
            .map_or(more, |most| most.saturating_add(spare).saturating_sub(staying));
        let granted = more.min(useful.max(u32::from(is_stuck)));
        let is_enough = granted == more;
        let pause = if is_enough { FIRST_PAUSE } else { self.processors.pause };
        self.processors.look_at = (!is_enough).then(|| now + pause);
        self.processors.pause =
            if is_enough { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        if granted > 0 {
            self.want(staying.saturating_add(granted));
        }
        if let Some(watch) = &mut self.watch {
            if granted > 0 {
                watch.grew(now);
            }
            if !is_enough {
                watch.observe_by(now + pause);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_useful_as_keep_all_processors_at_work() {
        for (looked_at, computing, processors, expected) in [
            (64, 64, 2, Some(2)),
            (3, 3, 2, Some(2)),
            (10, 1, 2, Some(20)),
            (64, 32, 2, Some(4)),
            (3, 2, 4, Some(6)),
            (1, 1, 8, Some(8)),
            (64, 0, 2, None),
            (0, 0, 2, None),
            (0, 5, 2, Some(2)),
            (u32::MAX, 1, u32::MAX, Some(u32::MAX)),
        ] {
            let seen = WorkSeen { looked_at, computing };
            assert_eq!(seen.most_useful(processors), expected, "{seen:?} on {processors}");
        }
    }
}
