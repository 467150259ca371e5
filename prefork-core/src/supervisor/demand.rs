//! How much waits elsewhere than at a socket: jobs in a queue of which only the program knows.
//!
//! The program is asked every [`Config::demand_every`](crate::Config::demand_every), and not while an answer is out. A look
//! follows each answer that changes anything, and there jobs count as connections that wait do. What waits at a socket can
//! be read at each look, but the next look at a queue of jobs may be seconds away, and meanwhile children take jobs. To
//! count these once more would have the pool grow for work that is being done. So at later looks
//!
//! - each child that has taken work since the answer has taken one of the jobs, or as many as it has room for;
//! - while a child has nothing to do that had something since, nobody knows whether anything waits;
//! - when nothing of the answer is left, nobody knows either, and the pool grows by what children report, as without.
//!
//! An answer is good for three times the interval; a call that fails or hangs leaves the one before it in force until then.

use super::{Phase, Supervisor};
use crate::{Action, Hook, HookNotice, Notice, Observation, Time};

/// After so many intervals an answer is too old.
const FRESH_FOR: u32 = 3;

/// What is known of the jobs that wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// When the program was asked for the last time.
    asked: Option<Time>,
    report: Option<Report>,
    /// Whether the last call has brought no answer.
    is_failing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    at: Time,
    jobs: u32,
}

impl Demand {
    pub(super) const fn reported(&self) -> Option<u32> {
        match self.report {
            Some(Report { jobs, .. }) => Some(jobs),
            None => None,
        }
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.is_failing
    }

    pub(super) const fn question(&self) -> Action {
        Action::AskDemand { is_failing: self.is_failing }
    }
}

impl Supervisor {
    fn asks_for_demand(&self) -> bool {
        matches!(self.phase, Phase::Serving)
            && self.watch.is_some()
            && self.config.hooks.contains(&Hook::Demand)
    }

    /// When the program is to be asked, or what it has reported is too old.
    pub(super) fn demand_due(&self) -> Option<Time> {
        if !self.asks_for_demand() {
            return None;
        }
        self.next_question().into_iter().chain(self.report_ends()).min()
    }

    fn next_question(&self) -> Option<Time> {
        let next = self.demand.asked.map_or(Time::ZERO, |asked| asked + self.config.demand_every);
        (!self.hooks.is_running(Hook::Demand)).then_some(next)
    }

    fn report_ends(&self) -> Option<Time> {
        let fresh_for = self.config.demand_every.saturating_mul(FRESH_FOR);
        self.demand.report.map(|report| report.at + fresh_for)
    }

    /// Asks the program when that is due, and forgets what is too old.
    pub(super) fn decide_demand(&mut self, now: Time) {
        if !self.asks_for_demand() {
            return;
        }
        if self.report_ends().is_some_and(|end| now >= end) {
            self.demand.report = None;
            self.look_soon(now);
        }
        if self.next_question().is_some_and(|due| now >= due) {
            self.demand.asked = Some(now);
            self.hooks.begin(now, Hook::Demand);
            self.actions.push_back(self.demand.question());
        }
    }

    /// Takes in what the program has answered.
    pub(super) fn demand_reported(&mut self, now: Time, jobs: Option<u32>) {
        let Some(jobs) = jobs else {
            self.demand.is_failing = true;
            return;
        };
        if std::mem::take(&mut self.demand.is_failing) {
            self.log(Notice::Hook(Hook::Demand, HookNotice::Recovered));
        }
        let before = self.demand.report.replace(Report { at: now, jobs });
        // As long as none waits the pool has nothing to learn from that.
        if jobs > 0 || before.is_none_or(|before| before.jobs > 0) {
            self.look_soon(now);
        }
    }

    /// Ends the process that is asked, as the daemon stops.
    pub(super) fn forgo_demand(&mut self) {
        if self.demand.asked.take().is_some() {
            self.end_lasting_hook(Hook::Demand);
        }
    }

    /// Returns how many of the jobs that were reported still wait, as far as that is known at this look.
    pub(super) fn jobs_left(&self, observation: &Observation<'_>, is_silent: bool) -> Option<u32> {
        let Report { at, jobs } = self.demand.report?;
        let serving = observation.activities.iter().filter(|(slot, _)| self.is_serving(*slot));
        let mut taken = 0_u32;
        for (slot, activity) in serving {
            if activity.rests_since().is_some_and(|since| since > at) {
                return None;
            }
            // One that says nothing has taken one if it was not there before.
            let is_new = || self.slots.get(*slot).is_some_and(|child| child.spawned > at);
            if activity.taken_at().is_some_and(|since| since > at) || (is_silent && is_new()) {
                taken = taken.saturating_add(activity.share().of());
            }
        }
        if taken == 0 { Some(jobs) } else { jobs.checked_sub(taken).filter(|left| *left > 0) }
    }
}
