//! What follows from the state and the time.

use std::{cmp::Reverse, time::Duration};

use super::{OneShot, Phase, Stop, Supervisor, distrust::RINGS};
use crate::{
    Action, ChangeNotice, ChildNotice, Departure, Hook, Limit, Notice, PoolNotice, Progress, Rung,
    SlotId, StartFailure, Time, Verdict,
    ladder::{Ladder, Next},
    slots::{Child, Stage},
};

/// So many of the children that a stop cuts short are named; the number of all is logged besides.
const MOST_NAMED: usize = 32;

impl Supervisor {
    pub(super) fn decide(&mut self, now: Time) {
        self.decide_hooks(now);
        self.decide_death_lines(now);
        self.decide_settled(now);
        self.decide_start(now);
        self.decide_throttle(now);
        self.decide_stuck(now);
        self.decide_climb(now);
        self.decide_rollout(now);
        self.decide_replace(now);
        self.decide_ceiling(now);
        self.decide_sleep(now);
        self.decide_demand(now);
        self.decide_observation(now);
        self.decide_connections(now);
        self.decide_memory(now);
        self.decide_child_memory(now);
        self.decide_surplus(now);
        self.decide_spares(now);
        self.decide_top_up(now);
        self.decide_descendants(now);
        self.decide_settings(now);
        self.decide_upgrade(now);
        self.decide_stop(now);
    }

    /// Counts children as serving that have been in their main loop for long enough.
    fn decide_settled(&mut self, now: Time) {
        let settled: Vec<_> =
            self.settling().filter(|(due, _)| now >= *due).map(|(_, slot)| slot).collect();
        for slot in settled {
            self.spare_came_up(now, slot);
            self.slots.serve(slot);
        }
    }

    /// Announces readiness when all of the first children serve, or fails the start.
    fn decide_start(&mut self, now: Time) {
        let Phase::Starting { deadline, .. } = self.phase else { return };
        let taken = self.one_shot.as_ref().map_or(0, OneShot::taken_at_start);
        let (ready, wanted) = (self.slots.serving() + taken, self.goal());
        if ready >= wanted {
            self.phase = Phase::Serving;
            self.stir(now);
            self.run_hook(now, Hook::Ready);
            if let Some(watch) = &mut self.watch {
                watch.begin(now);
            }
        } else if now >= deadline {
            let limit = self.config.start_timeout;
            let failure = StartFailure::TimedOut { ready, wanted, limit };
            self.stop(now, Rung::Retire, Verdict::StartFailed(failure));
        }
    }

    /// Lifts the throttle when a new child has served for long enough.
    fn decide_throttle(&mut self, now: Time) {
        if self.proof_due().is_some_and(|due| now >= due) {
            self.lift_throttle();
        }
    }

    /// Takes harder measures against single children that were asked to leave and have not.
    fn decide_climb(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Serving) {
            return;
        }
        let due: Vec<_> =
            self.climbing().filter(|(due, _)| now >= *due).map(|(_, slot)| slot).collect();
        for slot in due {
            let Some((Stage::Leaving { ladder }, lied)) =
                self.slots.get(slot).map(|child| (child.stage, child.lied))
            else {
                continue;
            };
            let rung = match ladder.next() {
                Next::Climb(Rung::Kill) if self.put_off_kill(slot, ladder) => continue,
                Next::Climb(rung) => {
                    if ladder.rung() == Rung::Retire {
                        let limit = if lied { Limit::Distrust } else { Limit::Reload };
                        let (child, asked) = (self.id(slot), now.since(ladder.since()));
                        self.log(Notice::Child(child, ChildNotice::CutShort { asked, limit }));
                        self.stats.cut_short += 1;
                    }
                    rung
                }
                // Not even the kernel can end it now; it will in time, and is asked again then.
                Next::GiveUp => {
                    self.note_unkillable(slot);
                    Rung::Kill
                }
            };
            self.end(now, slot, rung);
        }
    }

    /// Takes in that a child was killed and is still there: nobody waits for it any more.
    fn note_unkillable(&mut self, slot: SlotId) {
        if self.slots.get(slot).is_some_and(|child| !child.unkillable) {
            self.slots.update(slot, |child| child.unkillable = true);
            self.log(Notice::Child(self.id(slot), ChildNotice::Unkillable));
        }
    }

    /// Retires the newest children when there are too many, where it is not known which are idle.
    fn decide_surplus(&mut self, now: Time) {
        if self.watch.is_some()
            || !matches!(self.phase, Phase::Serving)
            || self.outgoing().next().is_some()
        {
            return;
        }
        let surplus = self.slots.staying().saturating_sub(self.goal());
        if surplus == 0 {
            return;
        }
        // A child that does not serve yet is missed least; of the others, only as many as others serve besides.
        let (serving, starting): (Vec<_>, Vec<_>) =
            self.staying().partition(|(_, child)| child.stage == Stage::Serving);
        let spare = serving.len().saturating_sub(self.goal());
        let newest = |mut children: Vec<(SlotId, &Child)>| {
            children.sort_unstable_by_key(|(_, child)| Reverse(child.serial));
            children.into_iter().map(|(slot, _)| slot).collect::<Vec<_>>()
        };
        let serving = newest(serving).into_iter().take(spare);
        for slot in newest(starting).into_iter().chain(serving).take(surplus).collect::<Vec<_>>() {
            self.stats.retired += 1;
            self.retire(now, slot);
        }
    }

    /// Fills the pool, as fast as throttle and failing spawns allow.
    fn decide_top_up(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Serving) {
            return;
        }
        while self.is_short() && self.may_spawn(now) {
            let generation = self.generation;
            self.spawned += 1;
            let child = Child {
                generation,
                serial: self.spawned,
                pid: 0,
                spawned: now,
                stage: Stage::Starting,
                worked: false,
                eighths: 8,
                recycle: false,
                stuck: false,
                unkillable: false,
                expelled: false,
                lied: false,
                rings: RINGS,
                extension: None,
                hung: None,
            };
            let Some(slot) = self.slots.take(child) else { break };
            self.throttle.spawned(now);
            self.spawn_retry.attempt(now);
            self.actions.push_back(Action::Spawn { slot, generation });
        }
    }

    /// Leaves when no child is left and no hook at work, or takes the next rung of the ladder.
    pub(super) fn decide_stop(&mut self, now: Time) {
        let Phase::Stopping { stop, verdict, wished } = self.phase else { return };
        match stop {
            Stop::Hook { .. } => {}
            Stop::Ladder(_) if self.slots.alive() == 0 => {
                let until = now + self.config.hook_timeout;
                self.phase = Phase::Stopping { stop: Stop::LastHooks { until }, verdict, wished };
                // Now that they are waited for.
                self.decide_hooks(now);
                self.decide_last_hooks(now, until);
            }
            Stop::Ladder(ladder) if ladder.is_due(now) => match ladder.next() {
                Next::Climb(rung) => {
                    if ladder.rung() == Rung::Retire {
                        self.stats.cut_short += self.slots.alive() as u64;
                        self.log_cut_short(now.since(ladder.since()));
                    }
                    self.climb(now, rung);
                }
                Next::GiveUp => self.exit(Verdict::GaveUp { alive: self.slots.alive() }),
            },
            Stop::Ladder(_) => {}
            Stop::LastHooks { until } => self.decide_last_hooks(now, until),
            Stop::Descendants => {
                if self.may_exit(now) {
                    self.exit(verdict);
                }
            }
        }
    }

    // What the decisions look at.

    /// Whether a child is missing and there is room for one.
    pub(super) fn is_short(&self) -> bool {
        self.slots.staying() < self.goal() + self.stand_ins()
            && self.slots.alive() < self.room()
            && self.slots.has_free()
    }

    fn may_spawn(&self, now: Time) -> bool {
        self.spawn_due().is_none_or(|due| now >= due)
    }

    /// When the next spawn is allowed, if it has to wait.
    pub(super) fn spawn_due(&self) -> Option<Time> {
        self.throttle.not_before().max(self.spawn_retry.not_before())
    }

    /// The children that are in their main loop, with the time at which they count as serving.
    pub(super) fn settling(&self) -> impl Iterator<Item = (Time, SlotId)> {
        let children = (self.slots.entered() > 0).then(|| self.slots.iter());
        children.into_iter().flatten().filter_map(|(slot, child)| match child.stage {
            Stage::Entered { since } => Some((since + self.config.settle, slot)),
            Stage::Starting | Stage::Serving | Stage::Spent | Stage::Leaving { .. } => None,
        })
    }

    /// The children that were asked to leave, with the time of the next measure.
    pub(super) fn climbing(&self) -> impl Iterator<Item = (Time, SlotId)> {
        let children = (self.slots.leaving() > 0).then(|| self.slots.iter());
        children.into_iter().flatten().filter_map(|(slot, child)| match child.stage {
            Stage::Leaving { ladder } => Some((ladder.deadline()?, slot)),
            Stage::Starting | Stage::Entered { .. } | Stage::Serving | Stage::Spent => None,
        })
    }

    /// When a child spawned since the first early death will have served for long enough.
    pub(super) fn proof_due(&self) -> Option<Time> {
        if !self.throttle.is_troubled() {
            return None;
        }
        self.slots
            .iter()
            .filter(|(_, child)| child.stage == Stage::Serving)
            .filter(|(_, child)| self.throttle.is_evidence(child.spawned))
            .map(|(_, child)| child.spawned + self.config.early)
            .min()
    }

    // The means.

    pub(super) fn lift_throttle(&mut self) {
        self.clear_evidence();
        if self.throttle.lift() {
            self.log(Notice::Pool(PoolNotice::ThrottleLifted));
            self.show(Progress::Unthrottled);
        }
    }

    /// Asks one child to leave and begins to watch that it does.
    pub(super) fn retire(&mut self, now: Time, slot: SlotId) {
        self.end(now, slot, Rung::Retire);
    }

    /// Begins to end one child by harder means.
    pub(super) fn end(&mut self, now: Time, slot: SlotId, rung: Rung) {
        self.push_rung(slot, rung);
        self.note_gone(slot);
        self.slots.leave(slot, Ladder::of_one(now, rung, &self.config));
    }

    pub(super) fn stop(&mut self, now: Time, rung: Rung, verdict: Verdict) {
        self.forgo_upgrade();
        self.forgo_settings();
        self.forgo_demand();
        self.departure = Some(Departure { began: now, forced: None });
        self.phase = Phase::Stopping { stop: Stop::Hook { rung }, verdict, wished: now };
        self.run_hook(now, Hook::BeforeShutdown);
    }

    /// Goes on to the children when the hook has ended that comes before them.
    pub(super) fn leave_hook(&mut self, now: Time) {
        let Phase::Stopping { stop: Stop::Hook { rung }, verdict, wished } = self.phase else {
            return;
        };
        // The sockets of a pool that sleeps are open to newcomers.
        if rung == Rung::Retire && verdict != Verdict::Asleep {
            self.actions.push_back(Action::Drain);
        }
        let stop = Stop::Ladder(Ladder::of_all(now, rung, &self.config));
        self.phase = Phase::Stopping { stop, verdict, wished };
        self.push_rungs(rung);
    }

    pub(super) fn climb(&mut self, now: Time, rung: Rung) {
        let Phase::Stopping { stop: Stop::Ladder(ladder), .. } = &mut self.phase else { return };
        *ladder = Ladder::of_all(now, rung, &self.config);
        self.log(Notice::Change(ChangeNotice::Escalated { rung, alive: self.slots.alive() }));
        self.push_rungs(rung);
    }

    /// Logs who was asked to leave and is about to be ended, as far as that many can be read.
    fn log_cut_short(&mut self, asked: Duration) {
        let slots: Vec<_> = self.slots.iter().map(|(slot, _)| slot).take(MOST_NAMED).collect();
        for slot in slots {
            self.log(Notice::Child(
                self.id(slot),
                ChildNotice::CutShort { asked, limit: Limit::Graceful },
            ));
        }
    }

    /// Takes a measure against all children that are there.
    fn push_rungs(&mut self, rung: Rung) {
        let alive = self.slots.alive();
        if let Some(departure) =
            self.departure.as_mut().filter(|_| rung > Rung::Retire && alive > 0)
        {
            departure.forced = Some((rung, alive));
        }
        for slot in self.slots.iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.push_rung(slot, rung);
        }
    }

    fn push_rung(&mut self, slot: SlotId, rung: Rung) {
        self.actions.push_back(match rung {
            Rung::Retire => Action::Retire { slot },
            Rung::Interrupt => Action::Interrupt { slot },
            Rung::Abort => Action::Abort { slot },
            Rung::Kill => Action::Kill { slot },
        });
    }

    pub(super) fn exit(&mut self, verdict: Verdict) {
        self.phase = Phase::Over;
        self.actions.push_back(Action::Exit(verdict));
    }
}
