//! A pool that has more to do than it can lets its children know, and that it is over.

use std::time::Duration;

use prefork_core::{
    Action, Activity, Config, Event, Observation, Pool, Pressure, Share, SlotId, Supervisor, Time,
};

fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of 2 to 3 children, and what is wanted of it.
struct Crowd {
    supervisor: Supervisor,
    /// Whether they are all at work.
    activity: fn(Time) -> Activity,
    waiting: Option<u32>,
    presses: Vec<(u64, Pressure)>,
}

impl Crowd {
    fn new(activity: fn(Time) -> Activity) -> Self {
        let mut config = Config::new(2, 3).expect("valid");
        config.pool = Pool::BY_LOAD;
        let mut supervisor = Supervisor::new(config);
        supervisor.handle(at(0), Event::Start);
        let mut crowd = Self { supervisor, activity, waiting: Some(0), presses: Vec::new() };
        crowd.go_on(0, 100);
        crowd
    }

    /// Lets time pass, in which connections that wait are noticed as they are by a parent.
    fn go_on(&mut self, from: u64, until: u64) {
        let mut now = at(from);
        while now < at(until) {
            while let Some(action) = self.supervisor.next_action() {
                self.carry_out(now, action);
            }
            let next = self.supervisor.deadline().unwrap_or(at(until));
            now = next.max(now + Duration::from_millis(1)).min(at(until));
            self.supervisor.advance(now);
        }
    }

    fn carry_out(&mut self, now: Time, action: Action) {
        let waits = self.waiting.is_some_and(|waiting| waiting > 0);
        match action {
            Action::Spawn { slot, .. } => {
                self.supervisor.handle(now, Event::Spawned { slot, pid: 1 });
                self.supervisor.handle(now, Event::Ready { slot });
            }
            Action::ArmNudge if waits => self.supervisor.handle(now, Event::Queued),
            Action::Observe => {
                let slots = self.supervisor.slots();
                let activities: Vec<(SlotId, Activity)> =
                    slots.map(|slot| (slot, (self.activity)(now))).collect();
                let observation = Observation { activities: &activities, waiting: self.waiting };
                self.supervisor.observe(now, &observation);
            }
            Action::Press(pressure) => {
                let ms = now.since_origin().as_millis();
                self.presses.push((u64::try_from(ms).expect("soon"), pressure));
            }
            _ => {}
        }
    }

    fn come(&mut self, now: u64, waiting: u32) {
        self.waiting = Some(waiting);
        self.supervisor.handle(at(now), Event::Queued);
    }
}

fn busy(_now: Time) -> Activity {
    Activity::Busy { since: Some(at(1)) }
}

#[test]
fn a_queue_that_nobody_is_free_for_is_pressure_once_it_stays_and_until_it_is_gone() {
    let mut crowd = Crowd::new(busy);
    crowd.come(1000, 1);
    crowd.go_on(1000, 5000);
    let [(begun, Pressure::Overloaded)] = crowd.presses[..] else { panic!("{:?}", crowd.presses) };
    assert!((2000..2300).contains(&begun), "{begun}");
    crowd.waiting = Some(0);
    crowd.go_on(5000, 30_000);
    let [_, (over, Pressure::Normal)] = crowd.presses[..] else { panic!("{:?}", crowd.presses) };
    assert!((5700..6500).contains(&over), "{over}");
}

#[test]
fn a_short_queue_and_one_that_somebody_is_free_for_are_none() {
    let mut crowd = Crowd::new(busy);
    crowd.come(1000, 9);
    crowd.go_on(1000, 1900);
    crowd.waiting = Some(0);
    crowd.go_on(1900, 20_000);
    assert_eq!(crowd.presses, [], "it was short");
    // Each is idle again, a moment ago.
    let mut crowd = Crowd::new(|now| Activity::Idle { since: now });
    crowd.come(1000, 1);
    crowd.go_on(1000, 20_000);
    assert_eq!(crowd.presses, [], "they are about to take it");
    let mut crowd = Crowd::new(|now| Activity::Many {
        share: Share::claim(3, 4),
        changed: now,
        since: Some(now),
        grace: Duration::ZERO,
    });
    crowd.come(1000, 1);
    crowd.go_on(1000, 20_000);
    assert_eq!(crowd.presses, [], "each has room");
    let mut crowd = Crowd::new(busy);
    crowd.waiting = None;
    crowd.go_on(100, 20_000);
    assert_eq!(crowd.presses, [], "it is not known");
}

#[test]
fn of_what_cannot_be_seen_nobody_is_pressed() {
    let mut crowd = Crowd::new(busy);
    crowd.come(1000, 1);
    crowd.go_on(1000, 5000);
    assert_eq!(crowd.presses.len(), 1);
    crowd.supervisor.observation_failed(at(5000));
    crowd.waiting = Some(0);
    crowd.go_on(5000, 5001);
    assert_eq!(crowd.presses[1..], [(5000, Pressure::Normal)]);
}
