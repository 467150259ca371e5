//! A role that only one process may have: never two at once, and the next one at once.

use std::time::Duration;

use prefork_core::{
    Action, Activity, AdoptedAs, Config, Event, Exit, Hook, Observation, Pool, Request, SlotId,
    Supervisor, Time,
};
use proptest::prelude::*;

const KILLED: Exit = Exit::Signal { number: 9, core_dumped: false };

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

fn config(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.exclusive = true;
    config
}

/// Whoever has the role, and what was asked of it.
struct Role {
    supervisor: Supervisor,
    now: Time,
    holder: Option<SlotId>,
    asked: bool,
    spawns: usize,
}

impl Role {
    fn new(config: Config) -> Self {
        let (supervisor, now) = (Supervisor::new(config), at(1000));
        let (holder, asked, spawns) = (None, false, 0);
        let mut role = Self { supervisor, now, holder, asked, spawns };
        role.handle(Event::Start);
        role.serve();
        role
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    assert_eq!(self.holder, None, "two at once");
                    (self.holder, self.asked) = (Some(slot), false);
                    self.spawns += 1;
                    self.supervisor.handle(self.now, Event::Spawned { slot, pid: 1 });
                }
                Action::Retire { slot } => {
                    assert_eq!(self.holder, Some(slot));
                    self.asked = true;
                }
                Action::Interrupt { slot } | Action::Abort { slot } | Action::Kill { slot } => {
                    assert_eq!(self.holder, Some(slot));
                }
                Action::Observe => {
                    let idle = Activity::Idle { since: Time::ZERO };
                    let activities: Vec<_> =
                        self.holder.map(|slot| (slot, idle)).into_iter().collect();
                    let observation = Observation { activities: &activities, waiting: None };
                    self.supervisor.observe(self.now, &observation);
                }
                _ => {}
            }
        }
        let deadline = self.supervisor.deadline();
        assert!(deadline.is_none_or(|due| due > self.now), "{deadline:?} at {:?}", self.now);
        assert_eq!(self.supervisor.alive(), usize::from(self.holder.is_some()));
        assert_eq!(self.supervisor.need().wanted, u32::from(!self.supervisor.is_stopping()));
    }

    fn serve(&mut self) {
        if let Some(slot) = self.holder {
            self.handle(Event::Entered { slot });
            self.handle(Event::Ready { slot });
        }
    }

    /// The holder ends, and its slot is what it was in.
    fn end(&mut self, exit: Exit) {
        let slot = self.holder.take().expect("somebody has it");
        self.handle(Event::Exited { slot, exit });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.supervisor.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.supervisor.advance(self.now);
            self.obey();
        }
        self.now = end;
    }
}

#[test]
fn a_reload_asks_the_old_one_at_once_and_starts_the_next_when_it_has_gone() {
    let mut role = Role::new(config(1, 1));
    for round in 2..50 {
        role.handle(Event::Requested(Request::Reload));
        assert!(role.asked, "nobody waits for room");
        role.pass(10_000);
        assert_eq!(role.spawns, round - 1, "it has something in hand");
        role.end(Exit::Code(0));
        assert_eq!(role.spawns, round, "the next one comes in the same moment");
        role.serve();
        assert_eq!(role.supervisor.stats().reloads, round as u64 - 1);
    }
}

#[test]
fn one_that_is_killed_is_replaced_at_once_and_by_the_rules_of_all_if_it_is_a_loop() {
    let mut role = Role::new(config(1, 1));
    for round in 2..14 {
        role.end(KILLED);
        assert_eq!(role.spawns, round);
        role.serve();
    }
    for _ in 0..100 {
        if role.holder.is_some() {
            role.end(KILLED);
        }
        role.pass(100);
        role.serve();
    }
    assert!(role.spawns < 40, "{} in 10 s", role.spawns);
}

/// Whatever the settings say of more children.
#[test]
fn what_is_said_of_more_children_does_not_count() {
    let mut role = Role::new(config(5, 20));
    role.handle(Event::Requested(Request::More));
    role.handle(Event::Ceiling { children: 30 });
    role.pass(1000);
    assert_eq!(role.spawns, 1);
    let slot = role.holder.expect("somebody has it");
    role.handle(Event::Recycle { slot });
    assert!(role.asked);
    role.end(Exit::Code(0));
    assert_eq!(role.spawns, 2);
}

/// The hook keeps the place of the one that has ended for as long as it runs.
#[test]
fn a_hook_that_takes_in_the_end_holds_up_nobody() {
    let mut config = config(1, 1);
    config.hooks = vec![Hook::OnChildExit];
    let mut role = Role::new(config);
    role.end(KILLED);
    assert_eq!(role.spawns, 2);
}

#[test]
fn a_program_that_takes_over_has_the_old_one_leave_first() {
    let mut role = Role::new(config(1, 1));
    let handover = role.supervisor.hand_over();
    role.supervisor = Supervisor::adopt(config(1, 1), role.now, &handover, AdoptedAs::NewProgram);
    role.obey();
    assert!(role.asked);
    role.end(Exit::Code(0));
    assert_eq!(role.spawns, 2);
}

/// It had many, and is to be a role from now on.
#[test]
fn of_several_that_are_taken_over_one_stays() {
    let mut supervisor = Supervisor::new(Config::new(3, 3).expect("valid"));
    supervisor.handle(at(0), Event::Start);
    for slot in (0..3).map(SlotId) {
        supervisor.handle(at(1), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1), Event::Ready { slot });
    }
    let handover = supervisor.hand_over();
    let mut supervisor = Supervisor::adopt(config(1, 1), at(2), &handover, AdoptedAs::SameProgram);
    let asked = std::iter::from_fn(|| supervisor.next_action())
        .filter(|action| matches!(action, Action::Retire { .. }));
    assert_eq!(asked.count(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Reload,
    Upgrade,
    Kill,
    Leave,
    Serve,
    Recycle,
    Ceiling(u32),
    Pass(u64),
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Reload),
        1 => Just(Step::Upgrade),
        1 => Just(Step::Kill),
        2 => Just(Step::Leave),
        2 => Just(Step::Serve),
        1 => Just(Step::Recycle),
        1 => (0u32..5).prop_map(Step::Ceiling),
        2 => (0u64..3000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// That there are never two is checked at each start.
    #[test]
    fn whatever_happens_there_are_never_two_and_one_in_the_end(
        by_load in any::<bool>(),
        steps in prop::collection::vec(arb_step(), 0..60),
    ) {
        let mut config = config(1, 1);
        if by_load {
            config.pool = Pool::BY_LOAD;
        }
        let mut role = Role::new(config.clone());
        for step in steps {
            match step {
                Step::Reload => role.handle(Event::Requested(Request::Reload)),
                Step::Upgrade => {
                    let handover = role.supervisor.hand_over();
                    let adopted_as = AdoptedAs::NewProgram;
                    role.supervisor =
                        Supervisor::adopt(config.clone(), role.now, &handover, adopted_as);
                    role.obey();
                }
                Step::Kill if role.holder.is_some() => role.end(KILLED),
                Step::Leave if role.asked && role.holder.is_some() => role.end(Exit::Code(0)),
                Step::Serve => role.serve(),
                Step::Recycle => {
                    let slot = role.holder.unwrap_or(SlotId(0));
                    role.handle(Event::Recycle { slot });
                }
                Step::Ceiling(children) => role.handle(Event::Ceiling { children }),
                Step::Pass(ms) => role.pass(ms),
                Step::Kill | Step::Leave => {}
            }
        }
        for _ in 0..5 {
            role.pass(20_000);
            role.serve();
            if role.asked && role.holder.is_some() {
                role.end(Exit::Code(0));
            }
        }
        role.pass(20_000);
        prop_assert!(role.holder.is_some() && !role.asked);
    }
}
