//! When to look at what the children are doing.
//!
//! Looking costs a reading of the scoreboard, and a nudge costs the child a system call and the
//! parent a wake-up, so both are rationed. While the nudge is *armed*, the first child that turns busy
//! nudges; that disarms it. A look follows a moment later, when a burst has arrived whole, and the
//! nudge is armed again after a pause, with one more look for what was missed meanwhile. That makes
//! three wake-ups a round, and a round takes at least [`PAUSE`]: 20 a second at most, more where clients are
//! watched at shorter intervals. While nobody turns busy there is none. Growing is looked after more closely, but that ends with the growth.

use std::time::Duration;

use super::{
    Phase, Supervisor, clients::Clients, full::Full, overlooked::Overlooked, queue::Queue,
    tally::has_spoken,
};
use crate::{
    Action, AtTimeout, ChildNotice, Hook, Load, Notice, Observation, Pool, Ramp, Rung, Scaling,
    ScalingPolicy, SlotId, Tally, Time,
    pressure::Gauge,
    queue_target::QueueTarget,
    slots::{Child, Hung, Stage},
};

/// How long after a nudge the parent looks.
const GATHER: Duration = Duration::from_millis(5);

/// How long after a nudge the next one can come.
const PAUSE: Duration = Duration::from_millis(150);

/// How long after growing the parent looks again, and for how long it does so while children start.
const GROWING: Duration = Duration::from_millis(10);
const GROWING_FOR: Duration = Duration::from_secs(1);

/// A look that comes so much later than it was due finds a parent that was stopped.
const LATE: Duration = Duration::from_secs(1);

/// The policy with its memory, and when to feed it.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    policy: ScalingPolicy,
    ramp: Ramp,
    observe_at: Option<Time>,
    arm_at: Option<Time>,
    /// Whether a look was asked for and not answered yet; then it is asked for again at `observe_at`.
    observing: bool,
    /// When the children were last looked at.
    pub(super) seen: Option<Time>,
    grew_at: Option<Time>,
    /// When a child will have been at work for too long, if it still is by then.
    hung_at: Option<Time>,
    /// Until when nobody is ended for being at work for too long.
    pardoned: Time,
    /// While the pool is as large as it may be, and was not large enough a moment ago.
    pub(super) full: Option<Full>,
    pub(super) clients: Clients,
    pub(super) queue: Queue,
    overlooked: Overlooked,
    pressure: Gauge,
    pub(super) queue_target: QueueTarget,
}

impl Watch {
    pub(super) fn new(policy: ScalingPolicy) -> Self {
        Self {
            policy,
            ramp: Ramp::new(),
            observe_at: None,
            arm_at: None,
            observing: false,
            seen: None,
            grew_at: None,
            hung_at: None,
            pardoned: Time::ZERO,
            full: None,
            clients: Clients::new(),
            queue: Queue::new(),
            overlooked: Overlooked::default(),
            pressure: Gauge::default(),
            queue_target: QueueTarget::default(),
        }
    }

    pub(super) fn begin(&mut self, now: Time) {
        self.arm_at = Some(now);
    }

    pub(super) fn resize(&mut self, prefork: u32, now: Time) {
        self.policy.min = prefork;
        self.observe_at = Some(now);
    }

    /// Goes on by another policy and other time limits.
    pub(super) const fn change(&mut self, policy: ScalingPolicy, now: Time) {
        self.policy = policy;
        self.observe_at = Some(now);
        // Found out again by the look, for the limit that holds from now on.
        self.hung_at = None;
    }

    /// Has the children looked at by then.
    pub(super) fn observe_by(&mut self, by: Time) {
        self.observe_at = Some(self.observe_at.map_or(by, |at| at.min(by)));
    }

    /// Has the children looked at now, if that is not being done.
    pub(super) const fn observe_soon(&mut self, now: Time) {
        if !self.observing {
            self.observe_at = Some(now);
        }
    }

    /// Notes that the pool grows by what it has wanted before.
    pub(super) fn grew(&mut self, now: Time) {
        self.grew_at = Some(now);
        self.observe_by(now + GROWING);
    }

    fn due(&self) -> Option<Time> {
        if self.observing {
            return self.observe_at;
        }
        let full = self.full.map(Full::ends);
        [self.observe_at, self.arm_at, self.hung_at, self.clients.judged_at(), self.ramp.due()]
            .into_iter()
            .chain([full])
            .flatten()
            .min()
    }
}

impl Supervisor {
    pub(super) fn watch_due(&self) -> Option<Time> {
        match self.phase {
            Phase::Serving => self.watch.as_ref()?.due(),
            Phase::New | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Over => None,
        }
    }

    pub(super) fn nudged(&mut self, now: Time) {
        self.stir(now);
        let pause = self.pause_for_clients().map_or(PAUSE, |pause| pause.min(PAUSE));
        if let Some(watch) = &mut self.watch {
            watch.observe_by(now + GATHER);
            watch.arm_at = Some(now + pause);
        }
    }

    /// Asks for a look when one is due; arms the nudge first, so that nothing falls between.
    pub(super) fn decide_observation(&mut self, now: Time) {
        if self.watch_due().is_none_or(|due| now < due) {
            return;
        }
        let Some(watch) = &mut self.watch else { return };
        if watch.arm_at.take_if(|at| now >= *at).is_some() {
            self.actions.push_back(Action::ArmNudge);
        }
        watch.observing = true;
        watch.observe_at = Some(now + PAUSE);
        self.actions.push_back(Action::Observe);
    }

    /// Takes in that it is not known what the children are doing: the pool stays as it is until a child
    /// nudges.
    pub(super) fn note_no_observation(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch {
            watch.observing = false;
            watch.seen = Some(now);
            watch.observe_at = None;
            watch.hung_at = None;
            watch.full = None;
            watch.clients.forget_cancelled();
            watch.ramp = Ramp::new();
            watch.queue_target = QueueTarget::default();
            let relieved = watch.pressure.forget();
            self.actions.extend(relieved.map(Action::Press));
            self.note_idle(0);
            self.stir(now);
        }
    }

    /// Has the children looked at now, if that is not being done.
    pub(super) const fn look_soon(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch {
            watch.observe_soon(now);
        }
    }

    pub(super) fn is_observing(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.observing)
    }

    /// Takes in what the children are doing, and follows the policy.
    pub(super) fn note_observation(&mut self, now: Time, observation: &Observation<'_>) {
        let (Phase::Serving, Some(mut watch)) = (self.phase, self.watch.take()) else { return };
        watch.observing = false;
        watch.observe_at = None;
        let ended = self.ended(watch.seen.replace(now), observation);
        self.note_shares(observation);
        let mut tally = self.tally(observation);
        let goal = u32::try_from(self.goal()).unwrap_or(u32::MAX);
        // Those that are missing will start as soon as they may: to want them once more would help nobody.
        tally.starting += goal.saturating_sub(tally.staying());
        if self.one_shot.is_none() {
            // What was wanted beyond the ceiling is found out again.
            let most = goal.max(tally.staying()).max(self.config.prefork());
            self.target = self.target.min(most);
        }
        if observation.activities.iter().any(|(_, activity)| has_spoken(activity)) {
            (watch.queue.spoken, watch.queue.reports_work) = (true, true);
        }
        let mut policy = watch.policy.clone();
        policy.max = self.most_children();
        policy.min = policy.min.min(policy.max);
        let jobs = self.jobs_left(observation, !watch.queue.reports_work);
        let waiting = match (observation.waiting, jobs) {
            (Some(connections), jobs) => Some(connections.saturating_add(jobs.unwrap_or(0))),
            (None, jobs) => jobs,
        };
        let waits = waiting.is_some_and(|waiting| waiting > 0) || !watch.queue.spoken;
        self.note_quiet(now, observation, waits);
        let serves = |slot| self.is_serving(slot);
        let seems_idle = tally.idle;
        let (notice, mut look) = watch.queue.doubt(now, &mut tally, (observation, jobs), serves);
        // Where jobs are reported, some wait or none does, and nobody need be doubted for not knowing.
        let is_known = observation.waiting.is_some() || self.jobs_waiting().is_some();
        let seen = (!is_known && self.one_shot.is_none()).then_some(observation);
        let overlooked = watch.overlooked.doubt(now, &mut tally, seen, serves);
        notice.into_iter().chain(overlooked).for_each(|notice| self.log(notice));
        let is_behind = tally.idle == 0 && !self.has_free_hands(observation);
        let is_behind = is_behind && observation.waiting.is_some_and(|waiting| waiting > 0);
        let pressed = watch.pressure.look(now, is_behind);
        self.actions.extend(pressed.map(Action::Press));
        if let Some(one_shot) = &mut self.one_shot {
            let waiting = waiting.unwrap_or(0);
            if waiting > 0 {
                // Those who let somebody wait take the place of others.
                one_shot.waiting(now, waiting.saturating_add(seems_idle - tally.idle));
            }
            self.note_idle(tally.idle);
            let is_full = tally.alive() >= self.most_children();
            let short = (waiting > 0 && is_full).then_some((tally, observation.waiting, jobs));
            look.into_iter().for_each(|by| watch.observe_by(by));
            self.finish_look(now, watch, observation, short);
            return;
        }
        if !watch.queue.spoken {
            policy.min = tally.staying().clamp(policy.min, policy.max);
        }
        let target = self.config.queue_target.filter(|_| observation.waiting.is_some());
        for (later, then) in (0..ended.len()).rev().zip(ended) {
            let busy = tally.busy.saturating_add(u32::try_from(later).unwrap_or(u32::MAX));
            if let Some(target) = target {
                watch.queue_target.note_busy(then, busy, target);
                continue;
            }
            let load = Load { tally: Tally { busy, ..tally }, waiting: None };
            policy.note(&mut watch.ramp, load, then);
        }
        self.note_work_of(tally.busy);
        self.note_taking(now, tally.busy);
        let at_once = self.at_once(observation);
        let mut load = Load { tally, waiting: waiting.map(|waiting| waiting.div_ceil(at_once)) };
        if let Some(target) = target {
            policy.min_spare = 0;
            let connections = observation.waiting.unwrap_or(0).div_ceil(at_once);
            let needed = watch.queue_target.look(now, tally, connections, target);
            let needed = needed.saturating_add(jobs.unwrap_or(0).div_ceil(at_once));
            load = as_needed(tally, needed);
            look = look.into_iter().chain(watch.queue_target.due(now, target)).min();
        }
        self.note_idle(tally.idle);
        let decision = policy.decide(&mut watch.ramp, load, now);
        let beyond = if self.is_capped() { watch.ramp.short() } else { 0 };
        match decision {
            // They would be what it lacks.
            Scaling::Spawn(_) | Scaling::Hold if self.is_memory_short() => {}
            Scaling::Spawn(more) => {
                watch.queue.silent().into_iter().for_each(|notice| self.log(notice));
                let wanted = more.saturating_add(beyond);
                let at_once = self.heed_processors(now, wanted, &tally, observation, &mut watch);
                if at_once > 0 {
                    self.want(tally.staying().saturating_add(at_once));
                    watch.grew_at = Some(now);
                }
            }
            // Those that stand in for others are not too many.
            Scaling::Retire(_) if self.outgoing().next().is_some() => {}
            Scaling::Retire(_) if self.over_ceiling() > 0 => {}
            Scaling::Retire(fewer) => self.shrink(now, observation, fewer),
            Scaling::Hold if beyond > 0 => self.want(tally.staying().saturating_add(beyond)),
            Scaling::Hold => {}
        }
        let growing = watch.grew_at.is_some_and(|at| now.since(at) < GROWING_FOR);
        if growing && (watch.grew_at == Some(now) || tally.starting > 0) {
            watch.observe_at = Some(now + GROWING);
        }
        look.into_iter().for_each(|by| watch.observe_by(by));
        let is_short = watch.ramp.short() > 0 && !self.has_room(observation, waiting);
        let short = is_short.then_some((tally, observation.waiting, jobs));
        self.finish_look(now, watch, observation, short);
    }

    /// How many children are to be free.
    pub(super) const fn policy_spares(&self) -> u32 {
        match self.config.pool {
            Pool::ByLoad(_) if self.config.queue_target.is_some() => 0,
            Pool::ByLoad(tuning) | Pool::OneShot(tuning) => tuning.min_spare,
            Pool::Fixed => 0,
        }
    }

    /// Raises the target to so many.
    pub(super) fn want(&mut self, children: u32) {
        self.target = self.target.max(children).min(self.config.max_children());
    }

    /// How many children there may be but for stand-ins, by the settings and the ceiling.
    pub(super) fn most_children(&self) -> u32 {
        let most = u32::try_from(self.most()).unwrap_or(u32::MAX);
        self.config.max_children().min(most)
    }

    /// Does what a look is for besides the size of the pool. `short` is what [`log_at_maximum`](Self::log_at_maximum) takes.
    fn finish_look(
        &mut self,
        now: Time,
        mut watch: Watch,
        observation: &Observation<'_>,
        short: Option<(Tally, Option<u32>, Option<u32>)>,
    ) {
        watch.pressure.due(now).into_iter().for_each(|by| watch.observe_by(by));
        self.log_at_maximum(now, &mut watch, short);
        self.end_hung(now, &mut watch, observation);
        self.end_cancelled(now, &mut watch.clients, observation);
        watch.clients.note_work(now, &self.config, observation);
        self.watch = Some(watch);
    }

    /// Ends children that have been at work on one request for too long.
    ///
    /// If this look comes much later than it was due, the parent itself was stopped, perhaps with its
    /// children: then everybody gets the whole time again.
    fn end_hung(&mut self, now: Time, watch: &mut Watch, observation: &Observation<'_>) {
        let Some(limit) = self.config.request_timeout else { return };
        let late = watch.hung_at.is_some_and(|due| now.since(due) > LATE);
        watch.hung_at = None;
        if late {
            watch.pardoned = now + limit;
        }
        for (slot, activity) in observation.activities {
            let Some((since, grace)) = activity.first_request() else { continue };
            let Some(child) = self.slots.get(*slot).filter(|child| may_work(child)) else {
                continue;
            };
            let extended = child.extension.and_then(|extension| extension.of(since));
            let due =
                (since + grace + limit).max(watch.pardoned).max(extended.unwrap_or(Time::ZERO));
            let due = match child.hung.filter(|hung| hung.since == since) {
                _ if now < due => due,
                None => {
                    let looks = self.looks();
                    let measure = looks.map_or(AtTimeout::Abort, |(_, measure)| measure);
                    self.note_hung(now, *slot, since, limit, measure);
                    let Some((time, _)) = looks else {
                        self.end(now, *slot, Rung::Abort);
                        continue;
                    };
                    self.examine(now, *slot, since, time)
                }
                Some(hung) if now < hung.until => hung.until,
                Some(_) => {
                    self.end(now, *slot, Rung::Abort);
                    continue;
                }
            };
            watch.hung_at = Some(watch.hung_at.map_or(due, |at| at.min(due)));
        }
    }

    /// For how long a child may be looked at before it is ended, and by whom.
    fn looks(&self) -> Option<(Duration, AtTimeout)> {
        if self.config.hooks.contains(&Hook::OnTimeout) {
            return Some((self.config.hook_timeout, AtTimeout::Examine));
        }
        self.config.look_into.map(|time| (time, AtTimeout::LookInto))
    }

    fn note_hung(
        &mut self,
        now: Time,
        slot: SlotId,
        since: Time,
        limit: Duration,
        measure: AtTimeout,
    ) {
        self.stats.timeouts += 1;
        let (child, busy) = (self.id(slot), now.since(since));
        self.log(Notice::Child(child, ChildNotice::Hung { busy, limit, measure }));
    }

    /// Has a child looked at that has been at one request for longer than a limit, for some time at the most; returns until
    /// when.
    fn examine(&mut self, now: Time, slot: SlotId, since: Time, time: Duration) -> Time {
        let (busy, until) = (now.since(since), now + time);
        self.actions.push_back(Action::Examine { slot, busy });
        self.slots.update(slot, |child| child.hung = Some(Hung { since, until }));
        until
    }

    /// Takes in that the program has looked at a child. It is ended if it is still at the same request.
    pub(super) fn examined(&mut self, now: Time, slot: SlotId) {
        let Some(Hung { since, .. }) = self.slots.get(slot).and_then(|child| child.hung) else {
            return;
        };
        self.slots.update(slot, |child| child.hung = Some(Hung { since, until: now }));
        if let Some(watch) = &mut self.watch {
            watch.observe_at = Some(now);
            // An answer that is still to come is to an earlier question, or good enough.
            watch.observing = false;
        }
    }
}

/// A load by which the policy finds that so many children are needed, of those that there are.
fn as_needed(tally: Tally, needed: u32) -> Load {
    let serving = tally.busy.saturating_add(tally.idle);
    let busy = needed.min(serving);
    Load { tally: Tally { busy, idle: serving - busy, ..tally }, waiting: Some(needed - busy) }
}

/// Whether a child may be at work, and nobody has ended it by harder measures.
fn may_work(child: &Child) -> bool {
    match child.stage {
        Stage::Serving | Stage::Spent => true,
        Stage::Leaving { ladder } => ladder.rung() == Rung::Retire,
        Stage::Starting | Stage::Entered { .. } => false,
    }
}
