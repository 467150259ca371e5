//! What a history reports, against an oracle that sees the whole life of each connection at once.

use prefork_netwatch::{Connection, Event, History, Proto, Seen, State};
use proptest::prelude::*;
use std::net::SocketAddr;

/// How many readings a missing connection is remembered for.
const PATIENCE: usize = 3;

fn connection(inode: u64, port: u16, state: State) -> Connection {
    Connection {
        proto: Proto::Tcp,
        local: SocketAddr::from(([192, 0, 2, 1], 80)).into(),
        foreign: SocketAddr::from(([198, 51, 100, 7], port)).into(),
        state,
        inode,
        pid: None,
        interface: 0,
    }
}

/// One reading: what the table shows of the connection, if anything, and whether a process that is
/// asked about holds it.
type Moment = (Option<State>, bool);

/// Runs a history over the life of one connection; the readings after which it reported what.
fn reported(life: &[Moment]) -> Vec<(usize, Seen)> {
    let mut history = History::new();
    let mut found = Vec::new();
    for (reading, (state, held)) in life.iter().enumerate() {
        let row = state.map(|state| connection(7, 1000, state));
        history.take_in(&row);
        let events = history.report(|inode| (inode == 7 && *held).then_some(42));
        found.extend(events.iter().map(|event| (reading, event.seen)));
    }
    found
}

/// The same from the whole life, looking back from each reading.
fn expected(life: &[Moment]) -> Option<(usize, Seen)> {
    use State::{Close, CloseWait, Established};
    // The table shows it no more, or shows that this side closed: from then on nothing follows.
    let shown = |reading: usize| life[reading].0;
    let last = (0..life.len()).rev().find(|reading| shown(*reading).is_some())?;
    let first = (0..life.len()).find(|reading| shown(*reading).is_some())?;
    let over = (first..=last)
        .find(|reading| {
            shown(*reading).is_some_and(|state| ![Established, CloseWait, Close].contains(&state))
        })
        .unwrap_or(life.len().min(last + PATIENCE));
    (first..over).filter(|reading| life[*reading].1).find_map(|reading| {
        let latest = |wanted: State| (first..=reading).rev().find(|at| shown(*at) == Some(wanted));
        match (shown(reading), latest(CloseWait), latest(Close)) {
            (None, _, _) => Some((reading, Seen::Gone)),
            (Some(_), None, None) => None,
            (Some(_), fin, gone) if fin > gone => Some((reading, Seen::PeerClosed)),
            (Some(_), _, _) => Some((reading, Seen::Gone)),
        }
    })
}

fn arb_state() -> impl Strategy<Value = State> {
    prop_oneof![
        6 => Just(State::Established),
        3 => Just(State::CloseWait),
        1 => Just(State::Close),
        1 => Just(State::FinWait1),
        1 => Just(State::FinWait2),
        1 => Just(State::LastAck),
        1 => Just(State::Closing),
        1 => Just(State::TimeWait),
    ]
}

/// A life as the kernel makes it: what is gone for as long as it is remembered stays gone.
fn arb_life() -> impl Strategy<Value = Vec<Moment>> {
    let moment = (proptest::option::weighted(0.75, arb_state()), any::<bool>());
    proptest::collection::vec(moment, 0..12).prop_map(|mut life| {
        let mut missed = 0;
        let mut seen = false;
        for (state, _) in &mut life {
            if missed >= PATIENCE {
                *state = None;
            }
            seen |= state.is_some();
            missed = if state.is_some() || !seen { 0 } else { missed + 1 };
        }
        life
    })
}

proptest! {
    #[test]
    fn reports_what_the_whole_life_says_and_once(life in arb_life()) {
        prop_assert_eq!(reported(&life), expected(&life).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn connections_do_not_disturb_each_other(lives in proptest::collection::vec(arb_life(), 0..20)) {
        let mut history = History::new();
        let mut found: Vec<(u64, usize, Seen)> = Vec::new();
        let port = |inode: u64| u16::try_from(inode).expect("few connections");
        for reading in 0..12 {
            let moments = lives.iter().zip(1..).filter_map(|(life, inode)| {
                life.get(reading).map(|moment| (inode, moment))
            });
            let moments: Vec<(u64, &Moment)> = moments.collect();
            let rows: Vec<_> = moments
                .iter()
                .filter_map(|(inode, (state, _))| {
                    state.map(|state| connection(*inode, port(*inode), state))
                })
                .collect();
            history.take_in(&rows);
            let events = history.report(|inode| {
                moments.iter().any(|(other, (_, held))| *other == inode && *held).then_some(1)
            });
            found.extend(events.iter().map(|event: &Event| {
                (u64::from(event.foreign_port().expect("TCP")), reading, event.seen)
            }));
        }
        found.sort_unstable_by_key(|(inode, ..)| *inode);
        let alone: Vec<_> = lives
            .iter()
            .zip(1..)
            .flat_map(|(life, inode)| {
                reported(life).into_iter().map(move |(reading, seen)| (inode, reading, seen))
            })
            .collect();
        prop_assert_eq!(found, alone);
    }

    #[test]
    fn an_inode_used_again_is_another_connection(lives in (arb_life(), arb_life())) {
        let mut history = History::new();
        let mut found = Vec::new();
        for (port, life) in [(1000, &lives.0), (2000, &lives.1)] {
            // The second begins where its first row replaces what is left of the first.
            let begun = life.iter().position(|(state, _)| state.is_some());
            for (reading, (state, held)) in life.iter().enumerate().skip(begun.unwrap_or(life.len())) {
                let row = state.map(|state| connection(7, port, state));
                history.take_in(&row);
                let events = history.report(|_| held.then_some(1));
                found.extend(events.iter().map(|event| (event.foreign_port(), reading, event.seen)));
            }
        }
        let expected: Vec<_> = [(1000, &lives.0), (2000, &lives.1)]
            .into_iter()
            .flat_map(|(port, life)| {
                reported(life).into_iter().map(move |(reading, seen)| (Some(port), reading, seen))
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// What one state after another makes of a connection that a process in question holds.
#[test]
fn every_pair_of_states_is_reported_as_the_table_says() {
    use State::{Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait};
    let fin = Some(Seen::PeerClosed);
    let gone = Some(Seen::Gone);
    let table = [
        (Some(Established), None, Some(Established), None),
        (Some(Established), None, Some(CloseWait), fin),
        (Some(Established), None, Some(Close), gone),
        (Some(Established), None, None, gone),
        (Some(CloseWait), fin, Some(CloseWait), None),
        (Some(CloseWait), fin, Some(LastAck), None),
        (Some(CloseWait), fin, None, None),
        (Some(FinWait1), None, None, None),
        (Some(FinWait2), None, None, None),
        (Some(FinWait2), None, Some(CloseWait), None),
        (Some(Closing), None, None, None),
        (Some(LastAck), None, None, None),
        (Some(TimeWait), None, None, None),
        (Some(Close), gone, None, None),
        (None, None, Some(CloseWait), fin),
        (None, None, None, None),
    ];
    for (first, seen_first, second, seen_second) in table {
        let expected: Vec<_> = [seen_first, seen_second]
            .into_iter()
            .enumerate()
            .filter_map(|(reading, seen)| seen.map(|seen| (reading, seen)))
            .collect();
        let found = reported(&[(first, true), (second, true)]);
        assert_eq!(found, expected, "{first:?} and then {second:?}");
    }
}

#[test]
fn connections_that_nobody_has_are_never_suspects() {
    let mut history = History::new();
    history.take_in(&[connection(0, 1, State::CloseWait), connection(0, 2, State::Established)]);
    history.take_in(&[]);
    assert_eq!(history.suspects().count(), 0);
}

#[test]
fn a_connection_that_a_reading_skipped_is_not_suspect_once_recalled() {
    let mut history = History::new();
    let row = connection(7, 1000, State::Established);
    history.take_in([&row]);
    history.take_in([]);
    assert!(history.is_suspect(7));
    history.recall(&row);
    assert!(!history.is_suspect(7));
    history.take_in([&row]);
    assert!(!history.is_suspect(7));
}

#[test]
fn a_connection_that_this_side_closed_is_not_suspect_once_settled() {
    let mut history = History::new();
    history.take_in([&connection(7, 1000, State::Established)]);
    history.take_in([]);
    history.settle(7);
    assert_eq!(history.report(|_| Some(1)), []);
}

/// A connection that a process says it has accepted, and what the readings after that show of it.
#[test]
fn what_is_expected_and_not_shown_is_gone() {
    use State::{Close, CloseWait, Established, FinWait2, LastAck};
    let fin = Some(Seen::PeerClosed);
    let gone = Some(Seen::Gone);
    for (readings, held, seen) in [
        (&[None][..], true, gone),
        (&[None], false, None),
        (&[None, None, None, None, None, None], true, gone),
        (&[None, Some(Established)], true, gone),
        (&[Some(Established); 6], true, None),
        (&[Some(Established), None], true, gone),
        (&[Some(CloseWait), Some(CloseWait), None, None, None, None], true, fin),
        (&[Some(Close)], true, gone),
        (&[Some(FinWait2), None, None, None, None, None], true, None),
        (&[Some(LastAck), None], true, None),
    ] {
        let mut history = History::new();
        let mut found = Vec::new();
        for state in readings {
            history.expect(42, &connection(7, 1000, Established));
            history.take_in(&state.map(|state| connection(7, 1000, state)));
            found.extend(history.report(|_| held.then_some(42)).iter().map(|event| event.seen));
        }
        assert_eq!(found, Vec::from_iter(seen), "{readings:?}, held: {held}");
    }
}

/// Nor does it change what is known of a connection.
#[test]
fn who_says_what_is_not_so_gets_nobody_else_reported() {
    let mut history = History::new();
    history.expect(1, &connection(7, 1000, State::Established));
    history.take_in([]);
    assert_eq!(history.report(|_| Some(2)), [], "another process has the socket");
    let shown = connection(8, 1000, State::CloseWait);
    history.take_in([&shown]);
    assert_eq!(history.report(|_| Some(2)).len(), 1);
    history.expect(1, &connection(8, 2000, State::Established));
    history.take_in([&shown]);
    assert_eq!(history.report(|_| Some(2)), [], "it was reported");
}

#[test]
fn nothing_is_expected_of_what_nobody_has() {
    let mut history = History::new();
    history.expect(1, &connection(0, 1000, State::Established));
    history.take_in([]);
    assert_eq!(history.suspects().count(), 0);
}
