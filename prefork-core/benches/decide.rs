//! What a decision costs: `cargo bench -p prefork-core`.

use std::time::Duration;

use divan::{Bencher, black_box};
use prefork_core::{
    Activity, Config, Event, Exit, Load, Observation, Pool, Ramp, ScalingPolicy, SlotId,
    Supervisor, Tally, Time,
};

fn main() {
    divan::main();
}

const SIZES: [u32; 4] = [150, 1000, 5000, 10_000];

/// A pool of so many children, all serving, with what they would say of themselves.
fn pool(children: u32) -> (Supervisor, Vec<(SlotId, Activity)>) {
    let mut config = Config::new(children, children).expect("valid");
    config.pool = Pool::BY_LOAD;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(Time::ZERO, Event::Start);
    while supervisor.next_action().is_some() {}
    for slot in (0..children).map(SlotId) {
        supervisor.handle(Time::ZERO, Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(Time::ZERO, Event::Ready { slot });
    }
    while supervisor.next_action().is_some() {}
    let activities = (0..children)
        .map(|slot| {
            let idle = Activity::Idle { since: Time::ZERO };
            (SlotId(slot), if slot % 2 == 0 { idle } else { Activity::Busy { since: None } })
        })
        .collect();
    (supervisor, activities)
}

/// The policy alone.
#[divan::bench]
fn policy(bencher: Bencher<'_, '_>) {
    let policy = ScalingPolicy::new(3, 150);
    let (mut ramp, mut now) = (Ramp::new(), Time::ZERO);
    let tally = Tally { idle: 10, busy: 40, ..Tally::default() };
    bencher.bench_local(move || {
        now = now + Duration::from_millis(50);
        policy.decide(&mut ramp, black_box(Load { tally, waiting: Some(0) }), now)
    });
}

/// The supervisor's whole response to a look at the children.
#[divan::bench(args = SIZES)]
fn look(bencher: Bencher<'_, '_>, children: u32) {
    let (mut supervisor, activities) = pool(children);
    let mut now = Time::ZERO;
    bencher.bench_local(move || {
        now = now + Duration::from_millis(50);
        supervisor
            .observe(now, &Observation { activities: black_box(&activities), waiting: Some(0) });
        while supervisor.next_action().is_some() {}
    });
}

/// A death and its replacement.
#[divan::bench(args = SIZES)]
fn replace(bencher: Bencher<'_, '_>, children: u32) {
    let (mut supervisor, _) = pool(children);
    let slot = SlotId(children / 2);
    let mut now = Time::ZERO;
    bencher.bench_local(move || {
        now = now + Duration::from_secs(2);
        supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
        while supervisor.next_action().is_some() {}
        supervisor.handle(now, Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(now, Event::Ready { slot });
    });
}
