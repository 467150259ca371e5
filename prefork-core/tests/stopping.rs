//! Stopping: what a further request to stop means, and when.

use std::time::Duration;

use prefork_core::{Action, Config, Event, Request, Rung, SlotId, Supervisor, Time};

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of one, which serves.
fn serving() -> Supervisor {
    let mut supervisor = Supervisor::new(Config::new(1, 1).expect("valid"));
    for event in [
        Event::Start,
        Event::Spawned { slot: SlotId(0), pid: 100 },
        Event::Ready { slot: SlotId(0) },
    ] {
        supervisor.handle(at(0), event);
    }
    while supervisor.next_action().is_some() {}
    supervisor
}

/// Returns the measures that are taken now against its child.
fn measures(supervisor: &mut Supervisor) -> Vec<Rung> {
    let actions = std::iter::from_fn(|| supervisor.next_action());
    let rungs = actions.filter_map(|action| match action {
        Action::Retire { .. } => Some(Rung::Retire),
        Action::Interrupt { .. } => Some(Rung::Interrupt),
        Action::Kill { .. } => Some(Rung::Kill),
        _ => None,
    });
    rungs.collect()
}

/// The whole table: two requests, the time between, and what the second one does.
#[test]
fn a_graceful_request_that_comes_again_within_a_second_is_the_same_wish() {
    use Request::{StopGracefully as Term, StopNow as Int};
    const NOTHING: &[Rung] = &[];
    let table = [
        (Term, Term, 0, NOTHING),
        (Term, Term, 1, NOTHING),
        (Term, Term, 999, NOTHING),
        (Term, Term, 1000, &[Rung::Interrupt][..]),
        (Term, Term, 20_000, &[Rung::Interrupt]),
        (Term, Int, 0, &[Rung::Interrupt]),
        (Term, Int, 999, &[Rung::Interrupt]),
        (Term, Int, 20_000, &[Rung::Interrupt]),
        (Int, Term, 0, NOTHING),
        (Int, Term, 999, NOTHING),
        (Int, Int, 0, &[Rung::Kill]),
        (Int, Int, 999, &[Rung::Kill]),
    ];
    for (first, second, after, expected) in table {
        let mut supervisor = serving();
        supervisor.handle(at(5000), Event::Requested(first));
        assert_eq!(measures(&mut supervisor).len(), 1);
        supervisor.handle(at(5000 + after), Event::Requested(second));
        assert_eq!(measures(&mut supervisor), expected, "{first:?}, {second:?} {after} ms later");
    }
}

/// Who keeps sending is impatient: a wish is not made again by those that were the same one.
#[test]
fn a_second_counts_from_the_first_of_one_wish() {
    let mut supervisor = serving();
    let mut taken = Vec::new();
    for ms in (0..2500).step_by(300) {
        supervisor.handle(at(5000 + ms), Event::Requested(Request::StopGracefully));
        taken.extend(measures(&mut supervisor).into_iter().map(|rung| (ms, rung)));
    }
    assert_eq!(taken, [(0, Rung::Retire), (1200, Rung::Interrupt), (2400, Rung::Kill)]);
}

/// A daemon that stops because its start has failed does not stop harder for being asked to.
#[test]
fn a_request_just_after_a_stop_of_its_own_is_the_same_wish() {
    let mut supervisor = Supervisor::new(Config::new(1, 1).expect("valid"));
    supervisor.handle(at(0), Event::Start);
    supervisor.handle(at(0), Event::Spawned { slot: SlotId(0), pid: 100 });
    supervisor.advance(at(60_000));
    assert_eq!(measures(&mut supervisor), [Rung::Retire]);
    supervisor.handle(at(60_500), Event::Requested(Request::StopGracefully));
    assert_eq!(measures(&mut supervisor), []);
}
