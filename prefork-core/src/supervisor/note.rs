//! What happened, noted; and what follows from that one event alone.

use std::time::Duration;

use super::{Phase, Stop, Supervisor};
use crate::{
    Action, Allowance, ChangeNotice, ChildId, Event, Exit, Notice, PoolNotice, Progress, Refusal,
    Request, Rung, SlotId, StartFailure, Time, Verdict,
    ladder::Next,
    slots::{Child, Extension, Stage},
    throttle::Lived,
};

/// The fewest early deaths that make a start fail.
const START_ATTEMPTS: u32 = 3;

/// For how long after a request to stop another graceful one is the same wish.
///
/// Service managers, shells and process managers send `SIGTERM` twice within a moment: to the process, and to
/// its group; from a script, and by themselves. So it does not matter who sends it. An impatient
/// operator sends another one later, or asks for [`Request::StopNow`].
const SAME_WISH: Duration = Duration::from_secs(1);

/// How often it is logged that children cannot be spawned, where that comes and goes: 8 times at once, which is for
/// a little more than two minutes without interruption, and then every 10 minutes.
pub(super) const SPAWN_LINES: Allowance = Allowance::new(8, Duration::from_secs(600));

impl Supervisor {
    pub(super) fn note(&mut self, now: Time, event: Event) {
        match event {
            Event::Start => self.start(now),
            Event::Spawned { slot, pid } => self.spawned(slot, pid),
            Event::SpawnFailed { slot } => self.spawn_failed(now, slot),
            Event::Entered { slot } => self.slots.enter(slot, now),
            Event::Ready { slot } => {
                self.note_word();
                self.spare_came_up(now, slot);
                self.slots.serve(slot);
            }
            Event::Worked { slot } => self.worked(now, slot),
            Event::Recycle { slot } => self.slots.update(slot, |child| child.recycle = true),
            Event::Extended { slot, by } => {
                let extension = Extension { asked: now, until: now + by };
                self.slots.update(slot, |child| child.extension = Some(extension));
            }
            Event::CoreDumpFound { slot } => self.core_dump_found(slot),
            Event::NoCoreDump { slot } => self.no_core_dump(now, slot),
            Event::Exited { slot, exit } => self.exited(now, slot, exit),
            Event::OrphanEnded => self.descendants.stir(),
            Event::DescendantsEnded { left, took } => self.descendants.looked(now, left, took),
            Event::Nudged => {
                self.note_work();
                self.nudged(now);
            }
            Event::Queued => self.nudged(now),
            Event::Ceiling { children } => self.ceiling_changed(now, children),
            Event::MemoryShared => self.note_memory_shared(now),
            Event::MemoryShort => self.note_memory_short(now),
            Event::Rang { slot } => self.rang(now, slot),
            Event::Lied { slot, claim } => self.lied(now, slot, claim),
            Event::Cancelled { slot, since } => self.cancelled(now, slot, since),
            Event::ConnectionsChecked { busy, took } => {
                self.connections_checked(now, busy, took);
            }
            Event::ExitHandled { slot } => self.slots.let_go(slot),
            Event::HookBegun(hook) => {
                self.hooks.begin(now, hook);
                self.wait_for_hooks_before_upgrade(now);
            }
            Event::HookEnded(hook) => self.hook_ended(now, hook),
            Event::DemandReported { jobs } => self.demand_reported(now, jobs),
            Event::WorkSeen(seen) => self.work_seen(now, seen),
            Event::Examined { slot } => self.examined(now, slot),
            Event::Requested(request) => self.requested(now, request),
            Event::SettingsRefused => self.settings_refused(Refusal::Reported),
            Event::SettingsUnread => self.settings_unread(),
            Event::ProbeReady => self.probe_ready(now),
            Event::ProbeFailed => self.probe_failed(),
            Event::ProgramBusy => self.program_busy(now),
            Event::UpgradeFailed => self.upgrade_failed(),
        }
    }

    fn start(&mut self, now: Time) {
        if let Phase::New = self.phase {
            let deadline = now + self.config.start_timeout.saturating_sub(self.config.start_used);
            self.phase = Phase::Starting { deadline, early_deaths: 0 };
        }
    }

    fn spawned(&mut self, slot: SlotId, pid: u32) {
        if self.slots.get(slot).is_none() {
            return;
        }
        self.slots.update(slot, |child| child.pid = pid);
        let failures = self.spawn_retry.succeed();
        if failures > 0 && std::mem::take(&mut self.logged_delay) {
            self.log(Notice::Pool(PoolNotice::SpawnRecovered { failures }));
        }
    }

    fn spawn_failed(&mut self, now: Time, slot: SlotId) {
        if self.slots.release(slot).is_none() {
            return;
        }
        self.forgo_spawns();
        let delay = self.spawn_retry.fail(now);
        let failures = self.spawn_retry.failures();
        if is_power_of_eight(failures) && self.spawn_lines.take(now) {
            self.logged_delay = true;
            self.log(Notice::Pool(PoolNotice::SpawnDelayed { delay, failures }));
        }
        self.note_refusal(failures);
    }

    /// Takes back the spawns that were decided before one has failed: they would fail too, or come all
    /// at once where one at a time is to be tried.
    fn forgo_spawns(&mut self) {
        let slots = &mut self.slots;
        self.actions.retain(|action| match action {
            Action::Spawn { slot, .. } => slots.release(*slot).is_none(),
            _ => true,
        });
    }

    fn worked(&mut self, now: Time, slot: SlotId) {
        self.stir(now);
        self.note_work();
        self.slots.update(slot, |child| child.worked = true);
        self.spare_came_up(now, slot);
        self.slots.serve(slot);
        self.client_taken(now, slot);
        let spawned = self.slots.get(slot).map(|child| child.spawned);
        if spawned.is_some_and(|spawned| self.throttle.is_evidence(spawned)) {
            self.lift_throttle();
        }
    }

    fn exited(&mut self, now: Time, slot: SlotId, exit: Exit) {
        self.note_gone(slot);
        let Some(child) = self.slots.release(slot) else { return };
        self.descendants.stir();
        // There may be room for another process now.
        self.spawn_retry.hasten(now);
        self.hold_for_hook(now, slot);
        let expected = match self.phase {
            Phase::Stopping { .. } | Phase::Over => true,
            Phase::New | Phase::Starting { .. } | Phase::Serving => {
                matches!(child.stage, Stage::Leaving { .. }) && !child.stuck
            }
        };
        let is_spent = child.stage == Stage::Spent;
        let lived = now.since(child.spawned);
        if exit.is_crash() || (!expected && exit != Exit::Code(0)) {
            self.log_death(now, ChildId { slot, pid: child.pid }, exit, lived);
        }
        if is_spent {
            return;
        }
        if expected {
            // What does nothing but flood must not be forked as fast as it is ended.
            if child.expelled && !child.worked && !self.is_stopping() {
                self.died_early(now, &child, exit);
            }
            return;
        }
        let never_served = child.stuck || child.has_not_served();
        if !child.worked && (never_served || lived < self.config.early) {
            self.died_early(now, &child, exit);
        }
    }

    fn died_early(&mut self, now: Time, child: &Child, exit: Exit) {
        self.stats.early_deaths += 1;
        let has_served = !child.stuck && !child.expelled && !child.has_not_served();
        let lived = if has_served { Lived::Serving } else { Lived::BeforeServing };
        let toll = self.throttle.died_early(now, child.spawned, lived);
        if let Some(delay) = toll.delay {
            self.log(Notice::Pool(PoolNotice::Throttled {
                delay,
                returned: exit == Exit::Code(0),
            }));
            self.show(Progress::Throttled);
        }
        // Of those that died together one counts.
        if toll.counts {
            self.weigh_death(child, exit);
        }
        if let Phase::Starting { early_deaths, .. } = &mut self.phase {
            *early_deaths += 1;
            let deaths = *early_deaths;
            if deaths >= self.config.prefork().max(START_ATTEMPTS) {
                let failure = StartFailure::ChildrenDied { deaths, last: exit };
                self.stop(now, Rung::Retire, Verdict::StartFailed(failure));
            }
        }
    }

    fn requested(&mut self, now: Time, request: Request) {
        match request {
            Request::StopGracefully => self.requested_stop(now, request, Rung::Retire),
            Request::StopNow => self.requested_stop(now, request, Rung::Interrupt),
            // A daemon that stops takes no other requests.
            Request::Reload
            | Request::Reopen
            | Request::Upgrade
            | Request::More
            | Request::Fewer
                if self.is_stopping() => {}
            Request::Reload => self.want_reload(),
            Request::Reopen => self.actions.push_back(Action::ReopenLogs),
            Request::Upgrade => self.want_upgrade(),
            Request::More => self.resize(now, 1),
            Request::Fewer => self.resize(now, -1),
        }
    }

    fn requested_stop(&mut self, now: Time, request: Request, rung: Rung) {
        match self.phase {
            Phase::New | Phase::Starting { .. } | Phase::Serving => {
                self.log(Notice::Change(ChangeNotice::Stopping {
                    request,
                    alive: self.slots.alive(),
                }));
                self.show(Progress::Stopping);
                self.stop(now, rung, Verdict::Stopped);
            }
            Phase::Stopping { stop, verdict: Verdict::Asleep, .. } if rung == Rung::Retire => {
                let verdict = Verdict::Stopped;
                self.phase = Phase::Stopping { stop, verdict, wished: now };
            }
            Phase::Stopping { wished, .. }
                if rung == Rung::Retire && now.since(wished) < SAME_WISH => {}
            Phase::Stopping { stop, .. } => match stop {
                Stop::Hook { .. } => self.stop_again_in_hook(now, rung),
                Stop::Ladder(ladder) if rung > ladder.rung() => self.wish(now, rung),
                Stop::Ladder(ladder) => match ladder.next() {
                    Next::Climb(rung) => self.wish(now, rung),
                    Next::GiveUp => {}
                },
                Stop::LastHooks { .. } => self.stop_again_in_last_hooks(now, rung),
                Stop::Descendants => {}
            },
            Phase::Over => {}
        }
    }

    /// Takes a harder measure because it was asked for.
    fn wish(&mut self, now: Time, rung: Rung) {
        self.climb(now, rung);
        if let Phase::Stopping { wished, .. } = &mut self.phase {
            *wished = now;
        }
    }

    /// Moves the size of the pool at rest by one, within 1 and the maximum.
    fn resize(&mut self, now: Time, by: i32) {
        let before = self.config.prefork();
        let prefork = before.saturating_add_signed(by).clamp(1, self.config.max_children());
        self.config.set_prefork(prefork);
        self.note_size();
        self.change_one_shot();
        if let Some(watch) = &mut self.watch {
            watch.resize(prefork, now);
            self.target = self.target.max(prefork);
        } else {
            self.target = prefork;
        }
    }

    /// Logs and shows of what size the pool is from now on.
    pub(super) fn note_size(&mut self) {
        let (prefork, max_children) = (self.config.prefork(), self.config.max_children());
        self.log(Notice::Pool(PoolNotice::Resized { prefork, max_children }));
        self.show(Progress::Resized { prefork, max_children });
    }

    pub(super) fn log(&mut self, notice: Notice) {
        self.actions.push_back(Action::Log(notice));
    }

    pub(super) fn show(&mut self, progress: Progress) {
        self.actions.push_back(Action::Show(progress));
    }

    /// Returns by what a child is named.
    pub(super) fn id(&self, slot: SlotId) -> ChildId {
        ChildId { slot, pid: self.slots.get(slot).map_or(0, |child| child.pid) }
    }
}

/// With pauses of a second that is at once, after a second, after a minute, after eight.
const fn is_power_of_eight(failures: u32) -> bool {
    failures.is_power_of_two() && failures.trailing_zeros().is_multiple_of(3)
}
