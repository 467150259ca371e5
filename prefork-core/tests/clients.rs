//! Clients that go away while a child works for them.

use std::time::Duration;

use prefork_core::{
    Action, Activity, Config, Event, Exit, Notice, Observation, Pool, PoolNotice, Request, SlotId,
    Supervisor, Time,
};

const INTERVAL: Duration = Duration::from_secs(2);
const SLOT: SlotId = SlotId(0);
const IDLE: Activity = Activity::Idle { since: Time::ZERO };

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

const fn busy(since: Time) -> Activity {
    Activity::Busy { since: Some(since) }
}

/// A pool of two, ready at time 0, whose driver carries everything out.
struct World {
    supervisor: Supervisor,
    now: Time,
    /// What the first child is doing.
    first: Activity,
    /// How long a check takes.
    took: Duration,
    armed: bool,
    done: Vec<(Time, Action)>,
}

impl World {
    fn new() -> Self {
        Self::looking_every(INTERVAL)
    }

    fn looking_every(interval: Duration) -> Self {
        let mut config = Config::new(2, 4).expect("valid");
        config.pool = Pool::BY_LOAD;
        config.netwatch_interval = Some(interval);
        let mut supervisor = Supervisor::new(config);
        supervisor.handle(at(0), Event::Start);
        for slot in [0, 1].map(SlotId) {
            supervisor.handle(at(0), Event::Spawned { slot, pid: 100 + slot.0 });
            supervisor.handle(at(0), Event::Ready { slot });
        }
        let took = Duration::from_micros(100);
        let mut world =
            Self { supervisor, now: at(0), first: IDLE, took, armed: false, done: Vec::new() };
        world.run(at(1));
        world
    }

    /// The first child turns busy, and says so if it is to.
    fn work(&mut self) {
        self.first = busy(self.now);
        if std::mem::take(&mut self.armed) {
            self.handle(Event::Nudged);
        }
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn run(&mut self, end: Time) {
        self.obey();
        while let Some(due) = self.supervisor.deadline().filter(|due| *due <= end) {
            self.now = due;
            self.supervisor.advance(due);
            self.obey();
        }
        self.now = end;
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Observe => {
                    let activities = [(SLOT, self.first), (SlotId(1), IDLE)];
                    let observation = Observation { activities: &activities, waiting: Some(0) };
                    self.supervisor.observe(self.now, &observation);
                }
                Action::ArmNudge => self.armed = true,
                Action::CheckConnections => {
                    self.done.push((self.now, action));
                    let busy = matches!(self.first, Activity::Busy { .. });
                    let took = self.took;
                    self.now = self.now + took;
                    self.supervisor.handle(self.now, Event::ConnectionsChecked { busy, took });
                }
                Action::Spawn { slot, .. } => {
                    self.done.push((self.now, action));
                    self.supervisor.handle(self.now, Event::Spawned { slot, pid: 100 + slot.0 });
                    self.supervisor.handle(self.now, Event::Ready { slot });
                }
                Action::LookForCoreDump { slot } => {
                    self.supervisor.handle(self.now, Event::NoCoreDump { slot });
                }
                Action::Log(Notice::Pool(PoolNotice::ClientsNoticedLate { .. }))
                | Action::Retire { .. }
                | Action::Interrupt { .. }
                | Action::Kill { .. } => {
                    self.done.push((self.now, action));
                }
                _ => {}
            }
        }
    }

    /// When connections were checked.
    fn checks(&self) -> Vec<Time> {
        let checks = self.done.iter().filter(|(_, action)| *action == Action::CheckConnections);
        checks.map(|(time, _)| *time).collect()
    }

    /// When it was logged that checks take too long.
    fn complaints(&self) -> Vec<Time> {
        let is_meant = |action: &Action| {
            matches!(action, Action::Log(Notice::Pool(PoolNotice::ClientsNoticedLate { .. })))
        };
        self.done.iter().filter(|(_, action)| is_meant(action)).map(|(time, _)| *time).collect()
    }

    /// What was done to the first child.
    fn measures(&self) -> Vec<(Time, Action)> {
        let all = [Action::Retire { slot: SLOT }, Action::Interrupt { slot: SLOT }]
            .into_iter()
            .chain([Action::Kill { slot: SLOT }])
            .collect::<Vec<_>>();
        self.done.iter().copied().filter(|(_, action)| all.contains(action)).collect()
    }
}

#[test]
fn a_pool_at_rest_has_nothing_checked() {
    let mut world = World::new();
    world.run(at(60_000));
    assert_eq!(world.checks(), []);
    assert_eq!(world.supervisor.deadline(), None);
}

#[test]
fn work_is_looked_at_at_once_and_then_within_every_interval() {
    let mut world = World::new();
    world.took = Duration::ZERO;
    world.run(at(10_000));
    world.work();
    world.run(at(15_000));
    assert_eq!(world.checks(), [at(10_005), at(11_755), at(13_505)]);
    world.first = IDLE;
    world.run(at(60_000));
    assert_eq!(world.checks().len(), 4, "once more, and then never");
    assert_eq!(world.supervisor.deadline(), None);
}

/// Whenever work begins, however little before that the parent has looked, and whenever its client goes.
#[test]
fn a_client_that_goes_is_noticed_within_the_interval() {
    for interval in [50, 100, 200, 2000].map(Duration::from_millis) {
        for begins in 0..400 {
            let mut world = World::looking_every(interval);
            world.took = Duration::from_millis(2);
            world.run(at(10_000));
            // This takes up the only bell of the round.
            world.work();
            world.run(at(10_001));
            world.first = IDLE;
            world.run(at(10_001 + begins));
            world.work();
            let mut gone = world.now;
            let end = at(13_000 + begins);
            world.run(end);
            let checks = world.checks().into_iter().filter(|check| *check >= gone);
            for check in checks.collect::<Vec<_>>().into_iter().chain([end]) {
                let noticed = (check + world.took).since(gone);
                assert!(noticed <= interval || check == end, "{noticed:?} after {begins} ms");
                gone = check;
            }
            assert!(end.since(gone) < interval, "it goes on");
            assert_eq!(world.complaints(), []);
        }
    }
}

#[test]
fn a_check_that_takes_too_long_for_the_interval_leaves_time_for_others_and_is_logged() {
    let mut world = World::looking_every(Duration::from_millis(200));
    world.took = Duration::from_millis(100);
    world.run(at(10_000));
    world.work();
    world.run(at(20_000));
    let checks = world.checks();
    assert!((19..=21).contains(&checks.len()), "a fifth of the time: {checks:?}");
    assert_eq!(world.complaints().len(), 1);
    world.run(at(620_000));
    assert_eq!(world.complaints().len(), 2, "once in ten minutes");
}

#[test]
fn new_work_is_looked_at_soon_as_far_as_that_is_cheap() {
    for (took, fewest, most) in [(100, 50, 100), (2_000, 18, 28), (20_000, 5, 6)] {
        let mut world = World::new();
        world.took = Duration::from_micros(took);
        world.run(at(10_000));
        short_jobs(&mut world);
        let checks = world.checks().len();
        assert!((fewest..=most).contains(&checks), "{checks} checks of {took} us in 10 s");
    }
}

/// Jobs of 30 ms for ten seconds, with the child idle for a moment between two.
fn short_jobs(world: &mut World) {
    for ms in (10_000..20_000).step_by(40) {
        world.work();
        world.run(at(ms + 30));
        world.first = IDLE;
        world.run(at(ms + 40));
    }
}

#[test]
fn a_child_that_stays_at_a_cancelled_request_is_ended_and_replaced_at_once() {
    let mut world = World::new();
    world.run(at(10_000));
    world.work();
    world.run(at(11_000));
    world.handle(Event::Cancelled { slot: SLOT, since: at(10_000) });
    let spawned = world.done.iter().any(|(time, action)| {
        *time == at(11_000) && matches!(action, Action::Spawn { slot: SlotId(2), .. })
    });
    assert!(spawned, "{:?}", world.done);
    world.run(at(15_000));
    assert_eq!(
        world.measures(),
        [
            (at(11_000), Action::Retire { slot: SLOT }),
            (at(11_200), Action::Interrupt { slot: SLOT }),
            (at(12_200), Action::Kill { slot: SLOT }),
        ]
    );
}

#[test]
fn a_child_that_has_gone_on_to_another_request_is_left_to_finish_that() {
    let mut world = World::new();
    world.run(at(10_000));
    world.work();
    world.run(at(11_000));
    world.handle(Event::Cancelled { slot: SLOT, since: at(10_000) });
    // It had accepted the next one when it was asked.
    world.first = busy(at(11_000));
    world.run(at(30_000));
    assert_eq!(world.measures(), [(at(11_000), Action::Retire { slot: SLOT })]);
}

#[test]
fn a_child_that_leaves_when_asked_is_not_interrupted() {
    let mut world = World::new();
    world.run(at(10_000));
    world.work();
    world.handle(Event::Cancelled { slot: SLOT, since: at(10_000) });
    world.handle(Event::Exited { slot: SLOT, exit: Exit::Code(0) });
    world.first = IDLE;
    world.run(at(30_000));
    assert_eq!(world.measures(), [(at(10_000), Action::Retire { slot: SLOT })]);
}

#[test]
fn nobody_is_cancelled_twice_or_during_a_stop() {
    let mut world = World::new();
    world.run(at(10_000));
    world.work();
    world.handle(Event::Cancelled { slot: SLOT, since: at(10_000) });
    world.handle(Event::Cancelled { slot: SLOT, since: at(10_000) });
    world.handle(Event::Cancelled { slot: SlotId(77), since: at(10_000) });
    let asked = world.measures();
    assert_eq!(asked, [(at(10_000), Action::Retire { slot: SLOT })]);
    world.handle(Event::Requested(Request::StopGracefully));
    world.handle(Event::Cancelled { slot: SlotId(1), since: at(10_000) });
    world.run(at(20_000));
    let interrupted = world.measures().iter().any(|(_, a)| matches!(a, Action::Interrupt { .. }));
    assert!(!interrupted, "a stop has a ladder of its own");
}
