//! What a supervisor has done is counted once for each child, whatever the reason.

use std::time::Duration;

use prefork_core::{Action, Config, Event, Exit, Request, Supervisor, Time};

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// Spawns what is asked for, has it wait for work, and has everybody leave who is asked to.
fn settle(supervisor: &mut Supervisor, now: Time) {
    while let Some(action) = supervisor.next_action() {
        match action {
            Action::Spawn { slot, .. } => {
                supervisor.handle(now, Event::Spawned { slot, pid: 100 + slot.0 });
                supervisor.handle(now, Event::Ready { slot });
            }
            Action::Retire { slot } => {
                supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
            }
            _ => {}
        }
    }
}

fn serving() -> Supervisor {
    let mut supervisor = Supervisor::new(Config::new(3, 5).expect("within limits"));
    supervisor.handle(at(0), Event::Start);
    settle(&mut supervisor, at(0));
    assert_eq!(supervisor.stats(), prefork_core::Stats::default());
    supervisor
}

#[test]
fn children_that_others_stand_in_for_are_replaced() {
    let mut supervisor = serving();
    supervisor.handle(at(2000), Event::Requested(Request::Reload));
    settle(&mut supervisor, at(2000));
    let stats = supervisor.stats();
    assert_eq!((stats.replaced, stats.retired, stats.early_deaths), (3, 0, 0));
    let slot = supervisor.slots().next().expect("there are children");
    supervisor.handle(at(3000), Event::Recycle { slot });
    settle(&mut supervisor, at(3000));
    let stats = supervisor.stats();
    assert_eq!((stats.replaced, stats.replaced_old_generation, stats.replaced_old_age), (4, 3, 0));
}

#[test]
fn children_that_have_lived_too_long_are_counted_as_that() {
    let mut config = Config::new(3, 5).expect("within limits");
    config.max_lifetime = Some(Duration::from_secs(60));
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    settle(&mut supervisor, at(0));
    supervisor.advance(at(90_000));
    settle(&mut supervisor, at(90_000));
    let stats = supervisor.stats();
    assert_eq!((stats.replaced, stats.replaced_old_generation, stats.replaced_old_age), (3, 0, 3));
}

#[test]
fn children_that_are_too_many_are_retired() {
    let mut supervisor = serving();
    supervisor.handle(at(2000), Event::Requested(Request::More));
    settle(&mut supervisor, at(2000));
    supervisor.handle(at(3000), Event::Requested(Request::Fewer));
    settle(&mut supervisor, at(3000));
    let stats = supervisor.stats();
    assert_eq!((stats.replaced, stats.retired, stats.early_deaths), (0, 1, 0));
}

#[test]
fn only_early_deaths_are_early_deaths() {
    let mut supervisor = serving();
    let slots: Vec<_> = supervisor.slots().collect();
    supervisor.handle(at(10), Event::Worked { slot: slots[0] });
    for (slot, now, early) in [(slots[0], 20, 0), (slots[1], 30, 1), (slots[2], 5000, 1)] {
        supervisor.handle(at(now), Event::Exited { slot, exit: Exit::Code(1) });
        assert_eq!(supervisor.stats().early_deaths, early, "{slot} at {now} ms");
    }
}
