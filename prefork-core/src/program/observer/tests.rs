use proptest::prelude::*;

use super::*;
use crate::program::budget::LATEST;
use crate::program::{Acked, Exchange};

const BUDGET: Duration = Duration::from_micros(50);

fn at(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

/// A connection by which so many segments came and went, so long ago.
fn tcp(inode: u64, received: u32, sent: u32, received_ago: u64, sent_ago: u64) -> Found {
    let exchange = Exchange {
        received,
        sent,
        received_ago: Duration::from_millis(received_ago),
        sent_ago: Duration::from_millis(sent_ago),
        ack_delay: Duration::from_millis(40),
        acked: Acked::Unknown,
    };
    let facts = Facts { unread: 0, unsent: 0, peer_closed: false, exchange: Some(exchange) };
    Found { inode, facts }
}

fn at_work(inode: u64) -> Found {
    tcp(inode, 1, 0, 10, 20)
}

fn kept_alive(inode: u64) -> Found {
    tcp(inode, 1, 1, 900, 500)
}

fn changes(observer: &mut Observer) -> Vec<Change> {
    std::iter::from_fn(|| observer.next_change()).collect()
}

/// One that was woken and has found this in its first look, at 50 ms.
fn woken(at_once: AtOnce, found: &[Found]) -> Observer {
    let mut observer = Observer::new(Time::ZERO, at_once, Duration::from_millis(5));
    observer.stirred(at(0));
    assert_eq!(observer.look(at(50), true), Look::AtConnections);
    observer.found(at(50), found);
    observer
}

/// An answer that is being made may have begun long ago, and a program that waits for a client takes nobody else.
#[test]
fn one_of_one_connection_is_occupied_unless_it_accepts() {
    use Stance::{Accepts, Reads, Works};
    let begun = &[Change::Begun(1)][..];
    let waits = &[Change::Begun(1), Change::Waits(1)][..];
    let table = [
        (Accepts, kept_alive(1), &[][..]),
        (Accepts, at_work(1), begun),
        (Works, kept_alive(1), begun),
        (Works, at_work(1), begun),
        (Reads, kept_alive(1), waits),
        (Reads, at_work(1), begun),
    ];
    for (stance, found, expected) in table {
        for at_once in [AtOnce::One, AtOnce::Many] {
            let mut observer = Observer::new(Time::ZERO, at_once, Duration::from_millis(5));
            observer.stirred(at(0));
            assert_eq!(observer.look(at(50), true), Look::AtConnections);
            observer.in_stance(stance);
            observer.found(at(50), &[found]);
            let expected = match at_once {
                AtOnce::One => expected,
                AtOnce::Many if found == at_work(1) => begun,
                AtOnce::Many => &[],
            };
            assert_eq!(changes(&mut observer), expected, "{stance:?} {found:?} {at_once:?}");
        }
    }
}

#[test]
fn a_request_that_follows_a_wait_is_another() {
    let mut observer = Observer::new(Time::ZERO, AtOnce::One, Duration::from_millis(5));
    observer.stirred(at(0));
    let mut seen = Vec::new();
    let course = [
        (Stance::Works, at_work(1)),
        (Stance::Reads, kept_alive(1)),
        (Stance::Reads, kept_alive(1)),
        (Stance::Works, kept_alive(1)),
        (Stance::Reads, kept_alive(1)),
    ];
    for (number, (stance, found)) in (1..).zip(course) {
        let now = at(number * 1000);
        assert_eq!(observer.look(now, true), Look::AtConnections);
        observer.in_stance(stance);
        observer.found(now, &[found]);
        seen.push(changes(&mut observer));
    }
    let (begun, waits, ended) = (Change::Begun(1), Change::Waits(1), Change::Ended(1));
    assert_eq!(seen, [vec![begun], vec![waits], vec![], vec![ended, begun], vec![waits]]);
}

#[test]
fn nothing_is_due_until_a_connection_comes() {
    let mut observer = Observer::new(Time::ZERO, AtOnce::One, BUDGET);
    assert_eq!((observer.due(), observer.is_armed()), (None, true));
    observer.stirred(at(10_000));
    assert_eq!((observer.due(), observer.is_armed()), (Some(at(10_050)), false));
}

#[test]
fn looks_follow_each_other_at_twice_the_distance() {
    let mut observer = woken(AtOnce::One, &[at_work(1)]);
    assert_eq!(changes(&mut observer), [Change::Begun(1)]);
    let mut now = at(50);
    let mut distances = Vec::new();
    for _ in 0..7 {
        let due = observer.due().expect("a connection is held");
        distances.push(due.since(now).as_millis());
        now = due;
        // What works without running, for an answer of its own, is asked only that.
        assert_eq!(observer.look(now, false), Look::NotNow);
    }
    assert_eq!(distances, [50, 50, 100, 200, 400, 800, 1000]);
    assert_eq!((observer.in_hand(), observer.is_armed()), (1, false));
}

#[test]
fn a_program_whose_siblings_take_all_that_comes_is_asked_ever_less_often() {
    let mut observer = Observer::new(Time::ZERO, AtOnce::One, BUDGET);
    let (mut now, mut distances) = (at(5000), Vec::new());
    for _ in 0..7 {
        // The next one comes at once.
        observer.stirred(now);
        let due = observer.due().expect("somebody came");
        distances.push(due.since(now).as_millis());
        now = due;
        assert_eq!(observer.look(now, false), Look::NotNow);
        assert_eq!((observer.due(), observer.is_armed()), (None, true));
    }
    assert_eq!(distances, [50, 100, 200, 400, 800, 1000, 1000]);
    // One that comes after a pause is looked at soon, and so is one that has run.
    observer.stirred(now + EMPTY);
    assert_eq!(observer.due(), Some(now + EMPTY + FIRST));
}

#[test]
fn it_rests_when_nothing_was_held_for_two_seconds() {
    let mut observer = woken(AtOnce::Many, &[at_work(1)]);
    let mut now = at(50);
    while let Some(due) = observer.due() {
        now = due;
        assert_eq!(observer.look(now, true), Look::AtConnections);
        observer.found(now, &[]);
    }
    assert!(observer.is_armed());
    assert!((at(2050)..at(3100)).contains(&now), "{now:?}");
    assert_eq!(changes(&mut observer), [Change::Begun(1), Change::Ended(1)]);
}

#[test]
fn a_program_that_has_not_run_rests_at_once() {
    let mut observer = woken(AtOnce::Many, &[]);
    let now = observer.due().expect("it has run");
    assert_eq!(observer.look(now, false), Look::NotNow);
    assert_eq!((observer.due(), observer.is_armed()), (None, true));
}

#[test]
fn what_is_silent_keeps_only_a_program_of_one_busy() {
    let silent = tcp(1, 0, 0, 5, 5);
    assert_eq!(changes(&mut woken(AtOnce::One, &[silent])), [Change::Begun(1)]);
    assert_eq!(changes(&mut woken(AtOnce::Many, &[silent])), []);
}

#[test]
fn every_connection_counts_as_accepted_once() {
    let mut observer = woken(AtOnce::Many, &[at_work(1), kept_alive(2)]);
    assert_eq!((observer.accepted(), observer.connections(), observer.in_hand()), (2, 2, 1));
    observer.found(at(100), &[kept_alive(1), at_work(3)]);
    assert_eq!((observer.accepted(), observer.connections(), observer.in_hand()), (3, 2, 1));
    assert_eq!(changes(&mut observer), [Change::Begun(1), Change::Ended(1), Change::Begun(3)]);
    // A number that comes again is another connection.
    observer.found(at(150), &[]);
    observer.found(at(200), &[at_work(3)]);
    assert_eq!(observer.accepted(), 4);
}

/// Two looks at one connection, 50 ms apart, and whether another request is in hand at the second.
#[test]
fn a_request_that_follows_another_is_another_one() {
    let first = tcp(1, 3, 2, 10, 20);
    for (second, is_another) in [
        // Answered, and the next one came.
        (tcp(1, 4, 3, 5, 9), true),
        // The same one, still in hand.
        (tcp(1, 3, 2, 60, 70), false),
        // More of it came.
        (tcp(1, 9, 2, 5, 70), false),
        // More of its answer went.
        (tcp(1, 3, 9, 60, 0), false),
    ] {
        let mut observer = woken(AtOnce::One, &[first]);
        assert_eq!(changes(&mut observer), [Change::Begun(1)]);
        observer.found(at(100), &[second]);
        let expected = [Change::Ended(1), Change::Begun(1)];
        let expected = if is_another { &expected[..] } else { &[] };
        assert_eq!(changes(&mut observer), expected, "{second:?}");
        assert_eq!(observer.in_hand(), 1);
    }
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let mut stuck = kept_alive(1);
    stuck.facts.unsent = 5000;
    let mut observer = woken(AtOnce::Many, &[stuck]);
    assert_eq!(observer.in_hand(), 1);
    assert_eq!(observer.look(at(10_000), false), Look::AtConnections);
    observer.found(at(10_000), &[stuck]);
    assert_eq!(observer.in_hand(), 1);
    observer.found(at(10_050), &[stuck]);
    assert_eq!(observer.in_hand(), 0);
    // It takes some: it is served again.
    stuck.facts.unsent = 4000;
    observer.found(at(11_000), &[stuck]);
    assert_eq!(observer.in_hand(), 1);
}

#[test]
fn what_a_program_reports_itself_is_believed() {
    let mut observer = woken(AtOnce::Many, &[at_work(1)]);
    observer.reported(at(60), Some(2));
    let (one, two) = (u64::MAX, u64::MAX - 1);
    let expected = [1, one, two].map(Change::Begun);
    let found = changes(&mut observer);
    assert_eq!(found, [expected[0], Change::Ended(1), expected[1], expected[2]]);
    assert_eq!((observer.due(), observer.is_armed(), observer.in_hand()), (None, false, 2));
    observer.reported(at(70), Some(1));
    assert_eq!(changes(&mut observer), [Change::Ended(two)]);
    // It does so no more.
    observer.reported(at(80), None);
    assert_eq!(changes(&mut observer), [Change::Ended(one)]);
    assert_eq!(observer.due(), Some(at(80)));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Stir,
    Look { ran: bool, found: Vec<Found>, cost: u64 },
    Report(Option<u32>),
}

fn arb_step() -> impl Strategy<Value = Step> {
    let found = (1..6_u64, 0..3_u32, 0..3_u32, 0..300_u64, 0..300_u64, 0..2_u32);
    let found = found.prop_map(|(inode, received, sent, received_ago, sent_ago, unsent)| {
        let mut found = tcp(inode, received, sent, received_ago, sent_ago);
        found.facts.unsent = unsent;
        found
    });
    let look = (any::<bool>(), prop::collection::vec(found, 0..4), 0..5000_u64);
    prop_oneof![
        (0..3000_u64).prop_map(Step::Wait),
        Just(Step::Stir),
        look.prop_map(|(ran, found, cost)| Step::Look { ran, found, cost }),
        prop::option::of(0..4_u32).prop_map(Step::Report),
    ]
}

proptest! {
    #[test]
    fn what_has_begun_ends_once_and_nothing_is_forgotten(
        steps in prop::collection::vec(arb_step(), 1..80),
        many in any::<bool>(),
    ) {
        let at_once = if many { AtOnce::Many } else { AtOnce::One };
        let mut observer = Observer::new(Time::ZERO, at_once, BUDGET);
        let mut now = Time::ZERO;
        let mut open = std::collections::BTreeSet::new();
        let mut reports = false;
        for step in steps {
            match step {
                Step::Wait(milliseconds) => now = now + Duration::from_millis(milliseconds),
                Step::Stir => observer.stirred(now),
                Step::Look { ran, found, cost } => if let Some(due) = observer.due() {
                    now = now.max(due);
                    if observer.look(now, ran) == Look::AtConnections {
                        let stances = [Stance::Accepts, Stance::Reads, Stance::Works];
                        observer.in_stance(stances[usize::try_from(cost % 3).expect("small")]);
                        observer.spent(now, Duration::from_micros(cost));
                        observer.found(now, &found);
                    }
                    // Whatever was found, the next look is in time, and never at once.
                    if let Some(due) = observer.due() {
                        prop_assert!(due.since(now) >= FIRST && due.since(now) <= LATEST);
                    }
                },
                Step::Report(in_hand) => {
                    reports = in_hand.is_some();
                    observer.reported(now, in_hand);
                }
            }
            for change in changes(&mut observer) {
                match change {
                    Change::Begun(key) => prop_assert!(open.insert(key), "begun twice: {key}"),
                    Change::Waits(key) => prop_assert!(open.contains(&key), "never begun: {key}"),
                    Change::Ended(key) => prop_assert!(open.remove(&key), "never begun: {key}"),
                }
            }
            prop_assert_eq!(open.len(), observer.in_hand() as usize);
            // Something always brings it to the next look, except where none is needed.
            prop_assert!(observer.due().is_some() != observer.is_armed() || reports);
        }
    }
}

/// What a wake-up was measured to cost, on a machine with more to do; so was what a look costs.
const WAKE: Duration = Duration::from_micros(40);

/// A pool of programs that share a socket, under traffic, in ticks of a millisecond.
struct Pool {
    programs: Vec<(Observer, Vec<Serving>, bool)>,
    random: u64,
    next_inode: u64,
    looks: u64,
    asks: u64,
    wakes: u64,
    cost: Duration,
}

struct Serving {
    inode: u64,
    begun: u64,
    answered: u64,
    closed: u64,
}

impl Pool {
    fn new(size: u32) -> Self {
        let budget = Observer::budget_of(size);
        let program = || (Observer::new(Time::ZERO, AtOnce::Many, budget), Vec::new(), false);
        let programs = (0..size).map(|_| program()).collect();
        let (looks, asks, wakes, cost) = (0, 0, 0, Duration::ZERO);
        Self { programs, random: 1, next_inode: 1, looks, asks, wakes, cost }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// A client comes, and one of the first `warm` programs takes it.
    fn arrive(&mut self, now: u64, warm: u64, takes: u64, stays: u64) {
        for (observer, ..) in &mut self.programs {
            if observer.is_armed() {
                observer.spent(at(now), WAKE);
                observer.stirred(at(now));
                self.wakes += 1;
            }
        }
        let taker = usize::try_from(self.random(warm)).expect("few");
        let answered = now + 1 + self.random(2 * takes);
        let serving =
            Serving { inode: self.next_inode, begun: now, answered, closed: answered + stays };
        self.next_inode += 1;
        self.programs[taker].1.push(serving);
        self.programs[taker].2 = true;
    }

    fn tick(&mut self, now: u64) {
        for (observer, serving, ran) in &mut self.programs {
            *ran |= serving.iter().any(|it| it.answered == now || it.closed == now);
            serving.retain(|it| it.closed > now);
            if observer.due().is_none_or(|due| due > at(now)) {
                continue;
            }
            self.asks += 1;
            observer.spent(at(now), WAKE);
            if observer.look(at(now), std::mem::take(ran)) == Look::AtConnections {
                let found: Vec<_> = serving
                    .iter()
                    .map(|it| {
                        let is_answered = it.answered <= now;
                        let sent_ago = now - if is_answered { it.answered } else { it.begun };
                        tcp(it.inode, 1, u32::from(is_answered), now - it.begun, sent_ago)
                    })
                    .collect();
                let cost = Duration::from_micros(100 + 15 * found.len() as u64);
                observer.spent(at(now), cost);
                observer.found(at(now), &found);
                self.looks += 1;
                self.cost += cost;
            }
            while observer.next_change().is_some() {}
        }
    }

    /// Of a second, in parts of a thousand.
    fn share(&self, seconds: u64) -> f64 {
        (self.cost + WAKE * u32::try_from(self.asks + self.wakes).expect("few")).as_secs_f64()
            * 1000.0
            / Duration::from_secs(seconds).as_secs_f64()
    }
}

#[test]
fn observers_of_a_hundred_programs_cost_half_a_percent_under_any_traffic() {
    for (every, warm, takes, stays) in [
        // Few clients, who come to a few.
        (100, 4, 5, 0),
        (2, 4, 1, 0),
        // Many, to all.
        (1, 100, 50, 0),
        (5, 100, 500, 0),
        // Who stay.
        (20, 100, 5, 20_000),
        (1000, 100, 30_000, 0),
    ] {
        let mut pool = Pool::new(100);
        let seconds = 300;
        for now in 0..seconds * 1000 {
            if now % every == 0 {
                pool.arrive(now, warm, takes, stays);
            }
            pool.tick(now);
        }
        let share = pool.share(seconds);
        println!("every {every} ms: {share:.2} of 1000, {} looks, {} asked", pool.looks, pool.asks);
        // What was saved up is spent once, in the beginning.
        assert!(share <= 4.3, "every {every} ms: {share:.2} of 1000");
        // And after it, nothing.
        let mut now = seconds * 1000;
        while pool.programs.iter().any(|(observer, ..)| observer.due().is_some()) {
            pool.tick(now);
            now += 1;
            assert!(now < seconds * 1000 + 120_000, "it rests");
        }
    }
}
