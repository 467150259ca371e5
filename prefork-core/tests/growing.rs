//! A pool whose children come to nothing does not grow for that.

use std::time::Duration;

use prefork_core::{
    Action, Activity, Config, Event, Exit, Observation, Pool, SlotId, Supervisor, Time,
};

const STEP: Duration = Duration::from_millis(1);

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of 4 to 20 whose queue nobody knows, as of jobs; all four serve and wait.
fn waiting() -> Supervisor {
    let mut config = Config::new(4, 20).expect("valid");
    config.pool = Pool::ByLoad { min_spare: 1, max_spare: None };
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in (0..4).map(SlotId) {
        supervisor.handle(at(1), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1), Event::Ready { slot });
    }
    supervisor
}

/// Goes on from `from` to `until`: who is spawned ends at once, or waits; each look shows the same.
fn go_on(supervisor: &mut Supervisor, from: Time, until: Time, works: bool) {
    let mut now = from;
    let idle = Activity::Idle { since: from };
    while now < until {
        let mut ended = Vec::new();
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    supervisor.handle(now, Event::Spawned { slot, pid: 1 });
                    if works {
                        supervisor.handle(now, Event::Ready { slot });
                    } else {
                        ended.push(slot);
                    }
                }
                Action::Observe => {
                    let activities: Vec<_> = supervisor.slots().map(|slot| (slot, idle)).collect();
                    let observation = Observation { activities: &activities, waiting: None };
                    supervisor.observe(now, &observation);
                }
                _ => {}
            }
        }
        now = now + STEP;
        for slot in ended {
            supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(1) });
        }
        // Whoever looks for work says so.
        supervisor.handle(now, Event::Nudged);
        supervisor.advance(now);
    }
}

#[test]
fn children_that_are_waited_for_are_not_wanted_once_more() {
    let mut supervisor = waiting();
    go_on(&mut supervisor, at(1), at(5000), true);
    assert_eq!(supervisor.alive(), 4);
    for slot in (0..4).map(SlotId) {
        supervisor.handle(at(5000), Event::Exited { slot, exit: Exit::Code(1) });
    }
    // What they all need has gone, and comes back.
    go_on(&mut supervisor, at(5000), at(15_000), false);
    go_on(&mut supervisor, at(15_000), at(40_000), true);
    assert_eq!(supervisor.alive(), 4);
    assert_eq!(supervisor.stats().retired, 0, "there were never more");
}
