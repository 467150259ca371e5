//! A pool that heeds processors: children that compute are no more than these, children that wait as many as are wanted.

use std::{collections::VecDeque, time::Duration};

use prefork_core::{
    Action, Activity, Config, Event, Exit, Observation, Pool, SlotId, Supervisor, Time, WorkSeen,
};
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(1);

/// A request: for so long a processor is needed, and for so long something else, by turns of at most 5 ms of either.
#[derive(Clone, Copy, Debug)]
struct Work {
    computes_ms: u32,
    waits_ms: u32,
}

/// What is left of one.
#[derive(Clone, Copy, Debug)]
struct Left {
    since: Time,
    computes: f64,
    waits: f64,
    /// How much of the turn is done, in ms.
    turn: f64,
    is_computing: bool,
}

impl Left {
    const TURN: f64 = 5.0;

    fn new(work: Work, since: Time) -> Self {
        let (computes, waits) = (work.computes_ms.into(), work.waits_ms.into());
        Self { since, computes, waits, turn: 0.0, is_computing: computes > 0.0 }
    }

    /// Lets a ms pass, in which it has so much of a processor if it needs one; returns whether it is done.
    fn go_on(&mut self, share: f64) -> bool {
        let done = if self.is_computing { share } else { 1.0 };
        let left = if self.is_computing { &mut self.computes } else { &mut self.waits };
        *left -= done;
        self.turn += done;
        // Both parts end about together.
        let whole = self.computes.max(0.0) + self.waits.max(0.0);
        let part = if self.is_computing { self.computes } else { self.waits };
        if part <= 0.0 || self.turn >= Self::TURN * (part / whole).max(0.1) {
            self.turn = 0.0;
            self.is_computing = match self.is_computing {
                true => self.waits <= 0.0,
                false => self.computes > 0.0,
            };
        }
        self.computes <= 0.0 && self.waits <= 0.0
    }
}

/// A pool on a machine of so many processors, which those who compute share.
struct Machine {
    supervisor: Supervisor,
    processors: u32,
    now: Time,
    queue: VecDeque<Work>,
    children: Vec<(SlotId, Option<Left>, Time)>,
    armed: bool,
    served: usize,
    largest: usize,
    looks: usize,
}

impl Machine {
    fn new(processors: u32, heeds: bool, (prefork, most): (u32, u32)) -> Self {
        let mut config = Config::new(prefork, most).expect("valid");
        config.pool = Pool::BY_LOAD;
        config.processors = heeds.then_some(processors);
        let mut machine = Self {
            supervisor: Supervisor::new(config),
            processors,
            now: Time::after_origin(Duration::from_secs(1)),
            queue: VecDeque::new(),
            children: Vec::new(),
            armed: false,
            served: 0,
            largest: 0,
            looks: 0,
        };
        machine.supervisor.handle(machine.now, Event::Start);
        machine.obey();
        machine.run(500, |_| {});
        machine
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    self.supervisor.handle(self.now, Event::Spawned { slot, pid: 1 });
                    self.supervisor.handle(self.now, Event::Entered { slot });
                    self.supervisor.handle(self.now, Event::Ready { slot });
                    self.children.push((slot, None, self.now));
                    self.children.sort_unstable_by_key(|(slot, ..)| *slot);
                    self.largest = self.largest.max(self.children.len());
                }
                Action::Retire { slot } | Action::Kill { slot } | Action::Interrupt { slot } => {
                    self.children.retain(|(other, ..)| *other != slot);
                    let exit = Exit::Code(0);
                    self.supervisor.handle(self.now, Event::Exited { slot, exit });
                }
                Action::ArmNudge => self.armed = true,
                Action::Observe => {
                    let activity = |left: &Option<Left>, idle_since| match left {
                        Some(left) => Activity::Busy { since: Some(left.since) },
                        None => Activity::Idle { since: idle_since },
                    };
                    let activities: Vec<_> = self
                        .children
                        .iter()
                        .map(|(slot, left, since)| (*slot, activity(left, *since)))
                        .collect();
                    let waiting = u32::try_from(self.queue.len()).ok();
                    let observation = Observation { activities: &activities, waiting };
                    self.supervisor.observe(self.now, &observation);
                }
                Action::LookAtWork => {
                    self.looks += 1;
                    let slots = self.supervisor.slots_at_work();
                    assert!((1..=64).contains(&slots.len()), "{slots:?}");
                    let seen = self.children.iter().filter(|(slot, ..)| slots.contains(slot));
                    let computes = |left: Option<Left>| left.is_some_and(|left| left.is_computing);
                    let computing = seen.filter(|(_, left, _)| computes(*left)).count();
                    let seen = WorkSeen {
                        looked_at: u32::try_from(slots.len()).expect("few"),
                        computing: u32::try_from(computing).expect("few"),
                    };
                    self.supervisor.handle(self.now, Event::WorkSeen(seen));
                }
                _ => {}
            }
        }
    }

    /// Lets so many ms pass, with what comes in each.
    fn run(&mut self, ms: u32, mut come: impl FnMut(&mut VecDeque<Work>)) {
        for _ in 0..ms {
            self.now = self.now + STEP;
            come(&mut self.queue);
            let mut has_taken = false;
            for (_, left, _) in &mut self.children {
                if left.is_none()
                    && let Some(work) = self.queue.pop_front()
                {
                    (*left, has_taken) = (Some(Left::new(work, self.now)), true);
                }
            }
            let computing = self.children.iter().filter_map(|(_, left, _)| *left);
            let computing = computing.filter(|left| left.is_computing).count();
            let share = f64::from(self.processors)
                / f64::from(u32::try_from(computing.max(1)).expect("few"));
            for (_, left, since) in &mut self.children {
                if left.as_mut().is_some_and(|left| left.go_on(share.min(1.0))) {
                    (*left, *since) = (None, self.now);
                    self.served += 1;
                }
            }
            if has_taken && std::mem::take(&mut self.armed) {
                self.supervisor.handle(self.now, Event::Nudged);
                self.obey();
            }
            self.supervisor.advance(self.now);
            self.obey();
        }
    }

    /// So many come at once; returns how many ms pass until all are served.
    fn burst(&mut self, clients: usize, work: Work) -> u32 {
        self.serve(std::iter::repeat_n(work, clients).collect())
    }

    /// The same for any work.
    fn serve(&mut self, work: Vec<Work>) -> u32 {
        let clients = work.len();
        self.queue.extend(work);
        let (before, mut ms) = (self.served, 0);
        while self.served < before + clients && ms < 100_000 {
            self.run(1, |_| {});
            ms += 1;
        }
        ms
    }
}

#[test]
fn a_burst_that_computes_is_served_by_as_many_children_as_there_are_processors() {
    let work = Work { computes_ms: 100, waits_ms: 0 };
    let mut heeding = Machine::new(2, true, (2, 64));
    let took = heeding.burst(64, work);
    assert!(heeding.largest <= 4, "{} children", heeding.largest);
    assert!(took <= 3200 * 105 / 100, "{took} ms of 3200");
    let mut other = Machine::new(2, false, (2, 64));
    other.burst(64, work);
    assert!(other.largest >= 60, "{} children without", other.largest);
}

#[test]
fn a_burst_that_waits_is_met_at_once() {
    let mut machine = Machine::new(2, true, (2, 120));
    let took = machine.burst(100, Work { computes_ms: 0, waits_ms: 1000 });
    assert!(took < 1050 && machine.largest >= 100, "{took} ms, {} children", machine.largest);
}

/// One part in ten is computed, so that ten children for each processor are useful.
#[test]
fn children_that_mostly_wait_are_as_many_as_keep_the_processors_at_work() {
    let mut machine = Machine::new(2, true, (2, 200));
    let took = machine.burst(400, Work { computes_ms: 10, waits_ms: 90 });
    // All together compute for 4 s, on two processors.
    assert!(took < 2000 * 13 / 10, "{took} ms, {} children", machine.largest);
    assert!((15..=160).contains(&machine.largest), "{} children", machine.largest);
}

#[test]
fn what_computes_for_long_does_not_hold_up_others_for_ever() {
    let mut machine = Machine::new(2, true, (2, 50));
    machine.queue.extend([Work { computes_ms: 60_000, waits_ms: 0 }; 3]);
    machine.run(50, |_| {});
    let served = machine.served;
    machine.queue.extend([Work { computes_ms: 1, waits_ms: 0 }; 5]);
    machine.run(4000, |_| {});
    assert_eq!(machine.served, served + 5, "{} children", machine.largest);
    assert!(machine.largest <= 8, "{} children", machine.largest);
}

#[test]
fn nobody_looks_while_there_are_no_more_children_than_processors() {
    let mut machine = Machine::new(8, true, (2, 50));
    machine.burst(6, Work { computes_ms: 200, waits_ms: 0 });
    assert_eq!(machine.looks, 0);
    // While more are wanted, no more often than at children.
    let mut machine = Machine::new(2, true, (2, 50));
    machine.run(10_000, |queue| {
        if queue.len() < 10 {
            queue.push_back(Work { computes_ms: 100, waits_ms: 0 });
        }
    });
    assert!((20..=200).contains(&machine.looks), "{} looks in 10 s", machine.looks);
    assert!(machine.largest <= 4, "{} children", machine.largest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever part is computed, a pool that heeds processors is not much slower than one that does not.
    #[test]
    fn no_throughput_is_lost(
        (processors, computes_ms, waits_ms) in (1u32..=8, 1u32..=100, 0u32..=200),
        clients in 20u32..=200,
    ) {
        // From half to half as much again: what is all alike computes in step, and each look finds all of it at the same.
        let vary = |number: u32| {
            let part = |ms: u32| ms * (50 + number * 37 % 101) / 100;
            Work { computes_ms: part(computes_ms).max(1), waits_ms: part(waits_ms) }
        };
        let work: Vec<_> = (0..clients).map(vary).collect();
        let mut heeding = Machine::new(processors, true, (2, 64));
        let mut other = Machine::new(processors, false, (2, 64));
        let (with, without) = (heeding.serve(work.clone()), other.serve(work));
        // Of the last ones fewer are there than processors, and one look may be wrong.
        let most = without * 3 / 2 + 2 * (computes_ms + waits_ms) + 50;
        prop_assert!(with <= most, "{} ms, and {} without; {} children", with, without, heeding.largest);
    }
}
