use proptest::prelude::*;

use super::*;
use crate::program::{Acked, Exchange};

const PATIENCE: Duration = Duration::from_secs(3);

fn at(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

fn tcp(received: u32, sent: u32, received_ago: u64, sent_ago: u64) -> Facts {
    let exchange = Exchange {
        received,
        sent,
        received_ago: Duration::from_millis(received_ago),
        sent_ago: Duration::from_millis(sent_ago),
        ack_delay: Duration::from_millis(40),
        acked: Acked::WithAnswers,
    };
    Facts { unread: 0, unsent: 0, peer_closed: false, exchange: Some(exchange) }
}

fn at_work() -> Facts {
    tcp(1, 0, 10, 20)
}

fn answered() -> Facts {
    tcp(1, 1, 30, 10)
}

fn kept_alive() -> Facts {
    tcp(1, 1, 900, 500)
}

/// The next action, which is to be due within 100 ms, and when it was.
fn next(stop: &mut Stop, now: &mut Time) -> StopAction {
    let due = stop.due().expect("something remains to be done");
    assert!(due.since(*now) <= Duration::from_millis(100), "{due:?} after {now:?}");
    *now = due.max(*now);
    stop.next_action(*now).expect("due")
}

/// A program whose door was closed, or not.
fn with_door(treatment: Treatment, door: Door) -> (Stop, Time) {
    let (mut stop, mut now) = (Stop::new(at(0), treatment, PATIENCE), at(0));
    assert_eq!(next(&mut stop, &mut now), StopAction::CloseDoor);
    assert_eq!(stop.due(), None);
    stop.door(now, door);
    (stop, now)
}

/// Reports these connections of a program that sleeps for as long as it is to be looked at, and returns the action after.
fn after_looks(stop: &mut Stop, now: &mut Time, connections: &[Facts], most: u32) -> StopAction {
    for _ in 0..most {
        match next(stop, now) {
            StopAction::Look => stop.seen(*now, connections, false, true),
            other => return other,
        }
    }
    StopAction::Look
}

#[test]
fn a_program_whose_door_is_closed_is_signalled_when_nothing_is_in_hand() {
    for treatment in [Treatment::Default, Treatment::Handled] {
        for quiet in [&[][..], &[kept_alive()]] {
            let (mut stop, mut now) = with_door(treatment, Door::Closed);
            assert_eq!(after_looks(&mut stop, &mut now, &[at_work()], 20), StopAction::Look);
            assert_eq!(stop.in_hand(), 1);
            assert_eq!(after_looks(&mut stop, &mut now, &[answered()], 20), StopAction::Look);
            assert_eq!(after_looks(&mut stop, &mut now, quiet, 3), StopAction::Signal);
            assert!(stop.is_ending() && stop.in_hand() == 0);
        }
    }
}

#[test]
fn one_look_is_not_enough_as_a_connection_may_be_on_its_way() {
    for (ran, asleep) in [(true, true), (false, false), (true, false)] {
        let (mut stop, mut now) = with_door(Treatment::Default, Door::Closed);
        for _ in 0..CALM - 1 {
            assert_eq!(next(&mut stop, &mut now), StopAction::Look);
            stop.seen(now, &[], ran, asleep);
        }
        // One that always runs is not waited for until it sleeps.
        assert_eq!(next(&mut stop, &mut now), StopAction::Look);
        stop.seen(now, &[], ran, asleep);
        assert_eq!(next(&mut stop, &mut now), StopAction::Signal);
    }
}

#[test]
fn a_program_that_accepts_and_handles_the_signal_is_held_before_it_is_sent_it() {
    let (mut stop, mut now) = with_door(Treatment::Handled, Door::Open);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
    stop.held(now, Holding::Everything);
    assert_eq!(next(&mut stop, &mut now), StopAction::Signal);
}

/// It alone knows between what it can end.
#[test]
fn a_program_that_cannot_be_held_and_handles_the_signal_is_sent_it_at_once() {
    let (mut stop, mut now) = with_door(Treatment::Handled, Door::Open);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
    stop.held(now, Holding::Refused);
    assert_eq!(next(&mut stop, &mut now), StopAction::Signal);
    // What is in hand is seen until it ends.
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.seen(now, &[at_work(), kept_alive()], true, true);
    assert_eq!(stop.in_hand(), 1);
}

#[test]
fn a_program_that_accepts_and_would_die_of_the_signal_is_held() {
    for treatment in [Treatment::Default, Treatment::Ignored] {
        let (mut stop, mut now) = with_door(treatment, Door::Open);
        for holding in [Holding::Moving, Holding::Waiting, Holding::Waiting, Holding::Moving] {
            assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
            stop.held(now, holding);
            // It may not come to accept.
            if holding == Holding::Waiting {
                assert_eq!(next(&mut stop, &mut now), StopAction::Look);
                stop.seen(now, &[at_work()], true, true);
            }
        }
        assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
        stop.held(now, Holding::Everything);
        assert_eq!(next(&mut stop, &mut now), StopAction::Kill);
        assert_eq!(stop.due(), None);
    }
}

#[test]
fn a_program_that_waits_for_the_next_request_of_a_connection_is_not_waited_for() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Open);
    for _ in 0..2 {
        assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
        stop.held(now, Holding::Waiting);
        assert_eq!(next(&mut stop, &mut now), StopAction::Look);
        stop.seen(now, &[kept_alive()], false, true);
    }
    assert_eq!(next(&mut stop, &mut now), StopAction::Freeze);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    // The request has come meanwhile.
    stop.seen(now, &[at_work()], false, true);
    assert_eq!(next(&mut stop, &mut now), StopAction::Thaw);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
}

/// It asks for connections again and again, and is answered that there is none.
#[test]
fn a_program_that_never_waits_is_looked_at_and_ends_when_nothing_is_in_hand() {
    for (treatment, expected) in
        [(Treatment::Handled, StopAction::Signal), (Treatment::Default, StopAction::Freeze)]
    {
        let (mut stop, mut now) = with_door(treatment, Door::Open);
        let mut looks = 0;
        let action = loop {
            match next(&mut stop, &mut now) {
                StopAction::Hold => {
                    now = now + Duration::from_millis(3);
                    stop.held(now, Holding::Moving);
                }
                StopAction::Look => {
                    looks += 1;
                    let in_hand = if looks < 10 { vec![at_work()] } else { Vec::new() };
                    stop.seen(now, &in_hand, true, false);
                }
                other => break other,
            }
            assert!(now < at(2500), "it is not left: {stop:?}");
        };
        assert_eq!((action, looks), (expected, 9 + CALM));
    }
}

#[test]
fn of_a_program_of_many_threads_those_are_waited_for_that_do_not_accept() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Open);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
    stop.held(now, Holding::Acceptors);
    assert_eq!(after_looks(&mut stop, &mut now, &[at_work()], 10), StopAction::Look);
    assert_eq!(after_looks(&mut stop, &mut now, &[], 3), StopAction::Freeze);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    // Not all stand yet.
    stop.seen(now, &[], true, false);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.seen(now, &[], false, true);
    assert_eq!(next(&mut stop, &mut now), StopAction::Kill);
}

#[test]
fn where_tracing_is_refused_it_is_stopped_until_nothing_is_in_hand() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Open);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
    stop.held(now, Holding::Refused);
    for _ in 0..100 {
        assert_eq!(next(&mut stop, &mut now), StopAction::Freeze);
        assert_eq!(next(&mut stop, &mut now), StopAction::Look);
        stop.seen(now, &[at_work()], false, true);
        assert_eq!(next(&mut stop, &mut now), StopAction::Thaw);
    }
    assert_eq!(next(&mut stop, &mut now), StopAction::Freeze);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.seen(now, &[kept_alive()], false, true);
    assert_eq!(next(&mut stop, &mut now), StopAction::Kill);
}

#[test]
fn clients_that_never_pause_are_not_waited_for_for_ever() {
    for (treatment, expected) in [
        (Treatment::Handled, StopAction::Signal),
        (Treatment::Default, StopAction::Freeze),
        (Treatment::Ignored, StopAction::Freeze),
    ] {
        let (mut stop, mut now) = with_door(treatment, Door::Closed);
        assert_eq!(after_looks(&mut stop, &mut now, &[answered()], 1000), expected);
        assert!((at(3000)..at(3100)).contains(&now), "{now:?}");
        if expected == StopAction::Freeze {
            // Between two requests will do now.
            assert_eq!(after_looks(&mut stop, &mut now, &[answered()], 2), StopAction::Kill);
        }
    }
}

#[test]
fn what_cannot_be_judged_yet_is_waited_for_while_it_stands() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Closed);
    // An answer and perhaps another request within one tick, 20 ms ago.
    let unclear = |ago| tcp(2, 1, ago, ago);
    assert_eq!(after_looks(&mut stop, &mut now, &[unclear(20)], 1000), StopAction::Freeze);
    let stood = now;
    for _ in 0..15 {
        assert_eq!(next(&mut stop, &mut now), StopAction::Look);
        stop.seen(now, &[unclear(20)], false, true);
    }
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.seen(now, &[unclear(60)], false, true);
    assert_eq!(next(&mut stop, &mut now), StopAction::Kill);
    assert!(now.since(stood) < FROZEN);
}

#[test]
fn a_program_of_which_nothing_can_be_seen_is_signalled_and_does_not_stand() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Closed);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.unseen(now);
    assert_eq!(next(&mut stop, &mut now), StopAction::Signal);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.unseen(now);
    assert_eq!(stop.due(), None);

    let (mut stop, mut now) = with_door(Treatment::Default, Door::Open);
    assert_eq!(next(&mut stop, &mut now), StopAction::Hold);
    stop.held(now, Holding::Refused);
    assert_eq!(next(&mut stop, &mut now), StopAction::Freeze);
    assert_eq!(next(&mut stop, &mut now), StopAction::Look);
    stop.unseen(now);
    assert_eq!(next(&mut stop, &mut now), StopAction::Thaw);
    assert_eq!(next(&mut stop, &mut now), StopAction::Signal);
}

#[test]
fn who_is_silent_is_waited_for_for_three_seconds() {
    let (mut stop, mut now) = with_door(Treatment::Default, Door::Closed);
    let silent = |ago| tcp(0, 0, ago, ago);
    assert_eq!(after_looks(&mut stop, &mut now, &[silent(2999)], 20), StopAction::Look);
    assert_eq!(after_looks(&mut stop, &mut now, &[silent(3000)], 3), StopAction::Signal);
}

/// What a driver may report to any action.
#[derive(Clone, Debug)]
struct Report {
    wait: u64,
    door: bool,
    holding: Holding,
    connections: Vec<Facts>,
    ran: bool,
    asleep: bool,
}

fn arb_report() -> impl Strategy<Value = Report> {
    let holding = prop::sample::select(vec![
        Holding::Moving,
        Holding::Waiting,
        Holding::Acceptors,
        Holding::Everything,
        Holding::Refused,
    ]);
    let facts = prop::sample::select(vec![at_work(), answered(), kept_alive(), tcp(0, 0, 5, 5)]);
    let connections = prop::collection::vec(facts, 0..3);
    (0..60_u64, any::<bool>(), holding, connections, any::<bool>(), any::<bool>()).prop_map(
        |(wait, door, holding, connections, ran, asleep)| Report {
            wait,
            door,
            holding,
            connections,
            ran,
            asleep,
        },
    )
}

proptest! {
    #[test]
    fn no_program_is_killed_with_a_request_in_hand_or_left_standing(
        reports in prop::collection::vec(arb_report(), 1..300),
        treatment in prop::sample::select(vec![
            Treatment::Default, Treatment::Handled, Treatment::Ignored,
        ]),
    ) {
        let mut stop = Stop::new(at(0), treatment, PATIENCE);
        let mut now = at(0);
        let mut stands = false;
        // Whether the last that was reported says that nothing is in hand and nothing runs.
        let mut may_end = false;
        for report in reports {
            now = now + Duration::from_millis(report.wait);
            let Some(action) = stop.next_action(now) else {
                // Only one that was killed needs no more.
                prop_assert!(stop.due().is_some() || stop.is_ending());
                continue;
            };
            let in_hand = report.connections.iter().any(|facts| *facts != kept_alive() && *facts != answered());
            match action {
                StopAction::CloseDoor => {
                    stop.door(now, if report.door { Door::Closed } else { Door::Open });
                }
                StopAction::Hold => {
                    may_end = report.holding == Holding::Everything;
                    stop.held(now, report.holding);
                }
                StopAction::Look => {
                    stop.seen(now, &report.connections, report.ran, report.asleep);
                    may_end = !in_hand && (report.asleep || !stands);
                }
                StopAction::Freeze => {
                    prop_assert!(!std::mem::replace(&mut stands, true));
                }
                StopAction::Thaw => prop_assert!(std::mem::replace(&mut stands, false)),
                StopAction::Kill => {
                    prop_assert!(may_end);
                    stands = false;
                }
                StopAction::Signal => {
                    prop_assert!(!stands);
                    prop_assert!(may_end || treatment == Treatment::Handled);
                    prop_assert!(treatment != Treatment::Ignored);
                }
            }
            prop_assert!(stop.due().is_some() || action == StopAction::Kill);
        }
    }
}
