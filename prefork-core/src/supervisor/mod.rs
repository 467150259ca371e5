//! The state machine of the whole parent.
//!
//! [`Supervisor::handle`] first notes what happened (`note.rs`: one small method an event, with what
//! follows from that event alone: a death is early, a request to stop is the second one), then takes
//! every decision that the new state calls for (`decide.rs`), in a fixed order. A further decision is a
//! further method there and, if time can trigger it, a further line in `deadline`. Those decisions look
//! only at the state and the time, so that they do not depend on the order in which the events of one
//! moment arrive.

mod ceiling;
mod child_memory;
mod clients;
mod core_dumps;
mod death_lines;
mod decide;
mod demand;
mod descendants;
mod distrust;
mod full;
mod hand_over;
mod hooks;
mod memory;
mod note;
mod one_shot;
mod overlooked;
mod processors;
mod queue;
mod replace;
mod rollout;
mod settings;
mod sleep;
mod stats;
mod tally;
mod upgrade;
mod watch;

use std::collections::VecDeque;

use crate::{
    Action, Allowance, Config, Departure, Event, Generation, Observation, ReloadEnd, Rung, Stage,
    Time, Verdict, backoff::Backoff, ladder::Ladder, slots::Slots, throttle::Throttle,
};

use ceiling::Ceiling;
use child_memory::ChildMemory;
use death_lines::DeathLines;
use demand::Demand;
use descendants::Descendants;
pub use hand_over::{AdoptedAs, Handover, HandoverChild, HandoverStage};
use hooks::Hooks;
use memory::Memory;
use one_shot::OneShot;
use processors::Processors;
use rollout::Rollout;
use settings::Reading;
use sleep::Sleep;
pub use stats::Stats;
use upgrade::Upgrade;
use watch::Watch;

/// Decides everything that a preforking parent has to decide.
///
/// Feed it events with [`handle`](Self::handle), carry out what
/// [`next_action`](Self::next_action) returns until it returns `None`, then wait for the next event
/// or [`deadline`](Self::deadline), whichever is first.
///
/// # Early deaths
///
/// A child that ends within [`Config::early`] of its spawn without having worked, or whenever before it
/// serves, died early. Of those that had served the first 12, and one in 10 s, delay nothing: somebody may kill them. Any other
/// delays the next spawn by [`Config::throttle_first`], and one child at a time is spawned with that
/// delay between; every early death of a child spawned since doubles it, up to
/// [`Config::throttle_cap`]. A child spawned since the first of those deaths that works, or serves
/// for [`Config::early`], lifts the delay, and all missing children are spawned. Deaths of children
/// that had worked delay nothing; of more than 128, and one every 10 s, the others are logged as a sum. Before the daemon was ever ready, as many early deaths as it has
/// children to start, and at least 3, make the start fail.
///
/// # Scaling
///
/// With [`Config::pool`] set to [`Pool::ByLoad`](crate::Pool::ByLoad), the pool follows its load as [`ScalingPolicy`](crate::ScalingPolicy)
/// describes. [`Action::Observe`] asks what the children are doing, to be answered with
/// [`observe`](Self::observe). Looks are asked for when a child that had nothing to do nudges
/// ([`Event::Nudged`]), soon after growing, and when something may be too much; under any load at
/// most 20 times a second but for those after growing, and never while nobody has anything to do.
///
/// # One client a child
///
/// With [`Config::pool`] set to [`Pool::OneShot`](crate::Pool::OneShot), a child that has taken work
/// ([`Event::Worked`]) is spent: another one is spawned that waits in its place, and its end is in order. How many wait
/// follows from how many clients come in the time that a child takes to start, and from how many connections wait. Those
/// that were not needed at any time in the last [`Tuning::calm`](crate::Tuning::calm) are retired.
///
/// # Demand
///
/// With [`Hook::Demand`](crate::Hook::Demand) among [`Config::hooks`] and a pool that follows its load, [`Action::AskDemand`] asks every
/// [`Config::demand_every`] how many jobs wait elsewhere than at a socket. They count as connections that wait. What was
/// reported holds until the next answer, less what children have taken since, and for three times that long at the most.
///
/// # Processors
///
/// With [`Config::processors`], before there are more children than that, [`Action::LookAtWork`] asks what some of those at work
/// do. More are started only while these sleep often enough that all processors would not be at work without; and one
/// when nobody has taken anything for a second.
///
/// # Waiting
///
/// With [`Config::queue_target`] there are more children only once those there are would let connections wait for longer. How long
/// that is follows from how many wait, how many were [`accepted`](Self::accepted), and how many were at work meanwhile. The pool
/// shrinks to as many as were at work on average over that time.
///
/// # Pressure
///
/// While connections wait and no child is free, it is looked at every 250 ms at the least. When that has been so for a second,
/// [`Action::Press`] lets all children know, and again when a second has gone by without.
///
/// # Sharing
///
/// A pool that shares a number of children with others is told by [`Event::Ceiling`] how many it may have, and reports by
/// [`need`](Self::need) what it has and would have. It starts no child beyond. When there are more, those that start and
/// those that are idle are asked to leave at once, and then some that are at work, which finish that. A reload that finds no
/// room waits 100 ms for it, and then has old children leave first.
///
/// With [`Config::exclusive`] there is never more than one process: the next is started in the moment in which the old one
/// has gone.
///
/// # Memory
///
/// With [`Config::measuring`], of children that are too many or to be replaced, and have nothing to do, the largest one goes
/// first. With [`Measuring::Guard`](crate::Measuring::Guard) the memory of the whole pool is looked at while children are at
/// work, as often as what is free could be used up, up to 200 times a second and at least once a second. With less than an
/// eighth of the limit free, no more children are started for the load, and the largest idle child is retired, one at a time.
/// When what is free would last for less than 100 ms, or is less than a 32nd, the child that has grown most is killed.
///
/// # Settings
///
/// With [`Config::reread`] set to [`Reread::AtReload`](crate::Reread::AtReload), a reload begins with
/// [`Action::ReadSettings`]. Once they are read, [`reconfigure`](Self::reconfigure) goes on with them and replaces the
/// children. Where they are wrong, or are not read within [`Config::start_timeout`], those in force stay and so do the
/// children. Requests that come meanwhile have them read once more.
///
/// # Replacing
///
/// On [`Request::Reload`](crate::Request::Reload) all children are replaced by a new generation,
/// [`Config::max_surge`] at a time: a new child must serve before an old one is asked to leave,
/// and there are never more than `max_children` and so many besides. Those that have nothing to do are asked first.
/// An old one that has something in hand finishes it, for up to [`Config::reload_timeout`], and holds up nobody else's
/// replacement. Where no room is left, or no more processes can be had, an old one leaves before a new one is started.
/// When new children die early again and again (three by themselves, two by hanging in their start, or six killed from
/// outside, with none in between that comes up), the old ones that are left stay. Requests that come meanwhile make one
/// more round. Children that are tired ([`Event::Recycle`]) or older than [`Config::max_lifetime`] are replaced in the same
/// way.
///
/// A child that is at work on one request for longer than [`Config::request_timeout`] is aborted,
/// then killed; one that does not reach its main loop within [`Config::start_timeout`] is interrupted,
/// then killed.
///
/// # Distrust
///
/// A child may be confused, or taken over. One that wakes its parent ([`Event::Rang`]) more than 64 times at once
/// and 64 times a second after that is killed; one that claims what cannot be ([`Event::Lied`]) is not believed
/// and asked to leave within 10 s. Either is said once.
///
/// # Clients
///
/// With [`Config::netwatch_interval`], [`Action::CheckConnections`] asks to see whether clients have gone,
/// so often that it is noticed within the interval, while children work; and not at all while nobody does. It comes
/// sooner after a child has begun to work, so that its client is known when it goes; how much sooner depends on what it
/// costs. Where that takes so long that it cannot be done in time,
/// [`PoolNotice::ClientsNoticedLate`](crate::PoolNotice::ClientsNoticedLate) says so. A child whose
/// request is [`Cancelled`](Event::Cancelled) is asked to leave, and its successor is spawned at once, or once there is room for it; if it is still at that request after [`Config::cancel_timeout`], it is
/// interrupted, then killed. One that has gone on to another request is left to finish that.
///
/// # Upgrading
///
/// On [`Request::Upgrade`](crate::Request::Upgrade) the program as its file is now is first run as a
/// probe ([`Action::Probe`]). Only when that says that it works does the process become the new
/// program ([`Action::Upgrade`]), with what [`hand_over`](Self::hand_over) returns; there,
/// [`adopt`](Self::adopt) goes on with the children there are and replaces them as a reload does. A
/// probe that fails, or says nothing within [`Config::start_timeout`], changes nothing. A file that
/// is being written is tried again, for a minute. Requests that come meanwhile make one more
/// upgrade. It waits until the daemon serves, and a stop puts an end to it.
///
/// # Descendants
///
/// With [`Config::descendants`] set to [`Descendants::End`](crate::Descendants::End), what children have started
/// and left behind is ended: [`Action::EndDescendants`] asks for it after everything else of the moment in which
/// a child has ended, or one of those that were left behind ([`Event::OrphanEnded`]). The end of the daemon
/// waits for them, for a second at the most.
///
/// # Stopping
///
/// Children are asked, after [`Config::graceful_timeout`] interrupted, after
/// [`Config::interrupt_timeout`] killed, and after [`Config::kill_timeout`] given up. A further request to
/// stop takes the next rung at once; but a [`Request::StopGracefully`](crate::Request::StopGracefully) within
/// a second of the request before it is the same wish, sent twice.
/// [`Hook::BeforeShutdown`](crate::Hook::BeforeShutdown) is run first, and hooks that are still being run when the last
/// child has gone are waited for, each time for [`Config::hook_timeout`] at most:
/// [`Request::StopNow`](crate::Request::StopNow) ends that wait, and a graceful one is answered by saying what is
/// waited for. A single child that is to leave while the daemon serves on
/// climbs the same ladder, except that it has [`Config::reload_timeout`] to finish what it has in hand, and that nobody
/// gives it up; one that is not even ended by a kill holds up no other's replacement. Before it is killed,
/// [`Action::LookForCoreDump`] asks whether that would cut a core dump: then it has [`Config::core_dump_timeout`]. A stop
/// does not wait for that.
#[derive(Clone, Debug)]
pub struct Supervisor {
    config: Config,
    phase: Phase,
    generation: Generation,
    /// How many children there should be, not counting those that are leaving.
    target: u32,
    ceiling: Ceiling,
    slots: Slots,
    throttle: Throttle,
    death_lines: DeathLines,
    spawn_retry: Backoff,
    /// How often it is logged that children cannot be spawned.
    spawn_lines: Allowance,
    /// Whether that was logged since they could be the last time.
    logged_delay: bool,
    watch: Option<Watch>,
    one_shot: Option<OneShot>,
    rollout: Option<Rollout>,
    /// Whether another rollout was asked for that has not begun.
    rollout_again: bool,
    last_reload: ReloadEnd,
    /// Since when children of older generations may be at work that were replaced.
    old_since: Option<Time>,
    /// With how many children no further process could be had, while children are to be replaced.
    crowd: Option<usize>,
    /// When those that were asked to leave a moment ago will be known to be at work, where that matters.
    replace_at: Option<Time>,
    reading: Reading,
    upgrade: Upgrade,
    descendants: Descendants,
    hooks: Hooks,
    demand: Demand,
    processors: Processors,
    memory: Memory,
    child_memory: ChildMemory,
    sleep: Sleep,
    /// Since the daemon has begun to stop.
    departure: Option<Departure>,
    spawned: u64,
    stats: Stats,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// [`Event::Start`] has not come.
    New,
    /// Not all of the first children were ready yet.
    Starting {
        deadline: Time,
        early_deaths: u32,
    },
    Serving,
    Stopping {
        stop: Stop,
        verdict: Verdict,
        /// When the stop began, or was last asked for by another wish than the one under way.
        wished: Time,
    },
    Over,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// [`Hook::BeforeShutdown`](crate::Hook::BeforeShutdown) is being run; then this rung is taken.
    Hook { rung: Rung },
    /// The children leave.
    Ladder(Ladder),
    /// They have left, and hooks are still being run.
    LastHooks { until: Time },
    /// What children have started is ended.
    Descendants,
}

impl Supervisor {
    /// Makes a supervisor that waits for [`Event::Start`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            phase: Phase::New,
            generation: Generation(1),
            target: config.prefork(),
            ceiling: Ceiling::default(),
            slots: Slots::new(config.slots()),
            throttle: Throttle::new(&config),
            death_lines: DeathLines::new(),
            spawn_retry: Backoff::new(config.spawn_retry_first, config.spawn_retry_cap),
            spawn_lines: note::SPAWN_LINES,
            logged_delay: false,
            watch: config.scaling_policy().map(Watch::new),
            one_shot: OneShot::of(&config),
            rollout: None,
            rollout_again: false,
            last_reload: ReloadEnd::Done,
            old_since: None,
            crowd: None,
            replace_at: None,
            reading: Reading::No,
            upgrade: Upgrade::No,
            descendants: Descendants::new(&config),
            hooks: Hooks::default(),
            demand: Demand::default(),
            processors: Processors::new(),
            memory: Memory::default(),
            child_memory: ChildMemory::default(),
            sleep: Sleep::default(),
            departure: None,
            spawned: 0,
            stats: Stats::default(),
            actions: VecDeque::new(),
            config,
        }
    }

    /// Takes in an event that happened at `now` and decides what follows.
    pub fn handle(&mut self, now: Time, event: Event) {
        if !self.is_over() {
            self.note(now, event);
            self.decide(now);
        }
    }

    /// Takes in that so many more connections were accepted since the last time, before [`observe`](Self::observe). Only
    /// [`Config::queue_target`] needs it.
    pub const fn accepted(&mut self, connections: u64) {
        if let Some(watch) = &mut self.watch {
            watch.queue_target.accepted(connections);
        }
    }

    /// Takes in what the children are doing at `now`, in answer to [`Action::Observe`].
    ///
    /// It is gossip: slots without a child, and children that say what they cannot be doing, change
    /// at most how many children there are, within the limits.
    pub fn observe(&mut self, now: Time, observation: &Observation<'_>) {
        if !self.is_over() {
            self.note_observation(now, observation);
            self.decide(now);
        }
    }

    /// Takes in that what the children are doing cannot be seen, in answer to [`Action::Observe`].
    ///
    /// The pool then stays as it is until a child nudges again.
    pub fn observation_failed(&mut self, now: Time) {
        if !self.is_over() {
            self.note_no_observation(now);
            self.decide(now);
        }
    }

    /// Goes on with the settings that were read, in answer to [`Action::ReadSettings`], and replaces the children as these
    /// were forked with the old ones.
    ///
    /// Limits hold from now on for all children. A pool that is too large for them shrinks, and one that is to be larger
    /// has new slots; those that it has it keeps. [`Config::pool`] must stay of its kind, and [`Config::hooks`] and
    /// [`Config::descendants`] as they were: start from [`config`](Self::config).
    pub fn reconfigure(&mut self, now: Time, config: Config) {
        if !self.is_over() {
            self.note_settings(now, config);
            self.decide(now);
        }
    }

    /// Returns the newest generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns the settings in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Decides what follows from the mere passing of time until `now`.
    ///
    /// To be called when [`deadline`](Self::deadline) has been reached; harmless at any other time.
    pub fn advance(&mut self, now: Time) {
        if !self.is_over() {
            self.decide(now);
        }
    }

    /// Returns the next thing to do, in order.
    pub fn next_action(&mut self) -> Option<Action> {
        let action = self
            .look_for_descendants()
            .or_else(|| self.actions.pop_front())
            .or_else(|| self.last_action());
        match action {
            // What has become of the last call may have been reported after it was decided to make the next.
            Some(Action::AskDemand { .. }) => Some(self.demand.question()),
            other => other,
        }
    }

    /// Returns the time at which [`advance`](Self::advance) is to be called if nothing happens
    /// before; `None` while nothing is due, however long.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let descendants = self.descendants.due();
        let phase = match self.phase {
            Phase::Over => return None,
            Phase::New => None,
            Phase::Starting { deadline, .. } => {
                Some(self.pool_deadline().map_or(deadline, |due| due.min(deadline)))
            }
            Phase::Serving => self.pool_deadline(),
            Phase::Stopping { stop, .. } => match stop {
                Stop::Hook { .. } => None,
                Stop::Ladder(ladder) => ladder.deadline(),
                Stop::LastHooks { until } => Some(until),
                Stop::Descendants => self.descendants.put_off_until(),
            },
        };
        phase.into_iter().chain(self.hooks_due()).chain(descendants).min()
    }

    /// Returns whether the daemon is stopping or has stopped.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Over)
    }

    /// Returns how far the daemon is.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self.phase {
            Phase::New | Phase::Starting { .. } => Stage::Starting,
            Phase::Serving => Stage::Serving,
            Phase::Stopping { .. } | Phase::Over => Stage::Stopping,
        }
    }

    /// Returns how the stop goes, or has gone; `None` before it has begun.
    #[must_use]
    pub const fn departure(&self) -> Option<Departure> {
        self.departure
    }

    /// Whether [`Action::Exit`] was decided: nothing comes after it.
    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Returns the number of children that were spawned and have not been reported as ended.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.slots.alive()
    }

    /// Returns how long ago the child in a slot was spawned, if there is one.
    #[must_use]
    pub fn lived(&self, now: Time, slot: crate::SlotId) -> Option<std::time::Duration> {
        self.slots.get(slot).map(|child| now.since(child.spawned))
    }

    /// Returns how often this supervisor has done what operators count.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Returns how many jobs wait elsewhere than at a socket, as the program has last reported it; `None` if it does not,
    /// or that was too long ago.
    #[must_use]
    pub const fn jobs_waiting(&self) -> Option<u32> {
        self.demand.reported()
    }

    /// Returns the slots of the children that were spawned and have not been reported as ended,
    /// lowest first: those whose activity [`Action::Observe`] asks for.
    pub fn slots(&self) -> impl Iterator<Item = crate::SlotId> {
        self.slots.iter().map(|(slot, _)| slot)
    }

    /// When the pool next needs a look, if nothing happens.
    fn pool_deadline(&self) -> Option<Time> {
        let spawn = if self.is_short() { self.spawn_due() } else { None };
        let settle = self.settling().map(|(due, _)| due).min();
        let climb = self.climbing().map(|(due, _)| due).min();
        let watch = self.watch_due();
        let (stuck, old) = (self.stuck_due(), self.old_age_due());
        [
            spawn,
            settle,
            climb,
            watch,
            self.spares_due(),
            stuck,
            old,
            self.proof_due(),
            self.replace_due(),
            self.reading_due(),
            self.upgrade_due(),
            self.connections_due(),
            self.demand_due(),
            self.memory_due(),
            self.child_memory_due(),
            self.sleep_due(),
            self.death_lines.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
