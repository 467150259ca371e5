//! Many requests of one child, in this process.

use std::{panic, thread};

use prefork_core::{Generation, SlotId, Time};
use prefork_scoreboard::{State, Status};

use super::*;
use crate::child::{Clients, Queueing};
use crate::{
    AccessLog,
    channels::{Pages, both_sides},
    child::{By, ChildParts, Limits, Stop, Work, stops},
    logs::log::Role,
    sockets::hand_over::Outlets,
    system::os::Poller,
};

const CONCURRENCY: u32 = 16;

/// A child with what its parent reads of it.
struct Subject {
    child: Child,
    pages: Pages,
    slot: SlotId,
}

fn subject(limits: Limits) -> Subject {
    let (pages, slot, own, reporter) = both_sides();
    let stop = Stop::new(By::Thread, None).expect("an event descriptor");
    let log = Log::new("test", Role::Child);
    let poller = Poller::new(stops(&stop, None)).expect("an epoll descriptor");
    let child = Child::new(ChildParts {
        slot,
        generation: Generation(1),
        stop,
        work: Work::new(Some(own.enter()), Some(reporter.clone()), limits),
        tether: None,
        reporter: Some(reporter),
        poller,
        outliving: Vec::new(),
        outlets: Outlets::default(),
        concurrency: CONCURRENCY,
        clients: Clients::Any,
        queueing: Queueing::new(false, None),
        own: Vec::new(),
        cells: None,
        access_log: AccessLog::nowhere(),
        log,
    });
    Subject { child, pages, slot }
}

impl Subject {
    /// How many are in hand, and how many were answered.
    fn counts(&self) -> (u32, u64) {
        let record = self.pages.record(self.slot).expect("there");
        (record.in_hand(), record.requests())
    }

    fn status(&self) -> Status {
        self.pages.record(self.slot).expect("there").status()
    }

    fn has_reported(&self, report: Report) -> bool {
        self.pages.reports(self.slot).contains(report)
    }

    /// Wants to be rung for the next change.
    fn arm(&mut self, seconds: u64) {
        let round = Time::after_origin(Duration::from_secs(seconds));
        self.pages.arm(round, [self.slot].into_iter());
    }
}

const fn is_for_threads<T: Send + Sync + Clone + 'static>() {}
const fn is_for_futures<T: Send + Sync + 'static>() {}
const _: () = (is_for_threads::<InFlight>(), is_for_futures::<InHand>()).0;

#[test]
fn guards_are_dropped_in_any_order_and_in_any_thread() {
    let mut subject = subject(Limits::default());
    let in_flight = subject.child.in_flight();
    assert_eq!(subject.child.in_flight().count(), 0);
    let (threads, each) = (8, 500);
    thread::scope(|scope| {
        for thread in 0..threads {
            let in_flight = in_flight.clone();
            scope.spawn(move || {
                let mut all: Vec<_> = (0..each).map(|_| in_flight.begin("a")).collect();
                if thread % 2 == 0 {
                    all.reverse();
                }
                let elsewhere = all.split_off(each / 2);
                thread::scope(|scope| {
                    scope.spawn(move || drop(elsewhere)).join().expect("dropped");
                });
                drop(all);
            });
        }
    });
    assert_eq!(in_flight.count(), 0);
    assert_eq!(subject.counts(), (0, threads * each as u64));
    assert_eq!(subject.status(), Status::Live(State::Idle));
}

#[test]
fn a_request_that_panics_is_not_in_hand_any_more() {
    let mut subject = subject(Limits::default());
    let in_flight = subject.child.in_flight();
    let kept = in_flight.begin("kept");
    let hit = thread::spawn(move || {
        let _in_hand = in_flight.begin("hit");
        panic::resume_unwind(Box::new("as a handler does"));
    });
    assert!(hit.join().is_err());
    assert_eq!(subject.counts(), (1, 1));
    drop(kept);
    assert_eq!(subject.counts(), (0, 2));
}

#[test]
fn the_first_change_rings_and_the_others_do_not() {
    let mut subject = subject(Limits::default());
    let in_flight = subject.child.in_flight();
    subject.arm(1);
    let first = in_flight.begin("");
    assert!(subject.pages.has_changed(subject.slot));
    assert!(subject.has_reported(Report::Worked));
    subject.arm(2);
    assert!(!subject.pages.has_changed(subject.slot));
    first.set_label("GET /");
    assert!(!subject.pages.has_changed(subject.slot), "it is at work already");
    in_flight.publish();
    assert!(subject.pages.has_changed(subject.slot));
    subject.arm(3);
    drop(first);
    assert!(subject.pages.has_changed(subject.slot));
}

#[test]
fn so_many_answered_requests_have_the_child_replaced() {
    let mut subject = subject(Limits { max_requests: Some(3), max_memory: None });
    let in_flight = subject.child.in_flight();
    let kept: Vec<_> = (0..20).map(|_| in_flight.begin("")).collect();
    assert!(!subject.has_reported(Report::Tired), "none is answered");
    let mut kept = kept.into_iter();
    drop(kept.by_ref().take(2).collect::<Vec<_>>());
    assert!(!subject.has_reported(Report::Tired), "two are");
    drop(kept);
    assert!(subject.has_reported(Report::Tired));
}

/// A main loop may do both, as a server that has jobs of its own.
#[test]
fn what_the_main_loop_begins_itself_is_one_of_many() {
    let mut subject = subject(Limits::default());
    subject.child.busy("before");
    assert_eq!(subject.counts(), (1, 0));
    let in_flight = subject.child.in_flight();
    assert_eq!(subject.counts(), (0, 0), "what was in hand before counts for nothing");
    let other = in_flight.begin("GET /");
    subject.child.busy("a job");
    subject.child.busy("the same job");
    assert_eq!((in_flight.count(), subject.counts()), (2, (2, 0)));
    drop(other);
    assert_eq!(subject.counts(), (1, 1));
    assert_eq!(subject.pages.record(subject.slot).expect("there").label(), "the same job");
    subject.child.keep_alive();
    assert_eq!(subject.counts(), (0, 2));
    assert_eq!(subject.status(), Status::Live(State::Idle), "a connection occupies nobody");
    subject.child.idle();
    subject.child.idle();
    assert_eq!(subject.counts(), (0, 2));
    assert!(subject.child.scoreboard_slot().is_none());
    subject.child.busy("one more");
    subject.child.extend_deadline(Duration::from_secs(3600)).expect("there is a parent");
    let from = subject.pages.first_in_hand(subject.slot).expect("it is in hand");
    assert!(from > clock::now(), "it was given more time");
    subject.child.leave();
    assert_eq!(subject.counts(), (0, 3), "what the loop has begun is finished with it");
}

#[test]
fn a_connection_that_is_accepted_is_no_request_by_itself() {
    let mut subject = subject(Limits { max_requests: Some(2), max_memory: None });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let connect = || std::net::TcpStream::connect(address).expect("connected");
    let _first = connect();
    subject.child.accept(&listener).expect("accepted").expect("one waits");
    assert_eq!(subject.counts(), (1, 0));
    let in_flight = subject.child.in_flight();
    assert_eq!(subject.counts(), (0, 0), "it is none any more");
    for served in 1..=4 {
        let _client = connect();
        subject.child.accept(&listener).expect("accepted").expect("one waits");
        assert_eq!(subject.counts(), (0, served - 1));
        assert!(!subject.has_reported(Report::Tired) || served > 2);
        drop(in_flight.begin("GET /"));
        assert_eq!(subject.counts(), (0, served));
    }
    assert!(subject.has_reported(Report::Tired));
}

#[test]
fn without_a_board_and_a_parent_requests_are_counted_all_the_same() {
    let log = Log::new("test", Role::Child);
    let in_flight = InFlight::new(None, None, Usage::new(Limits::default()), 1, log);
    let in_hand = in_flight.begin("a");
    assert_eq!(in_flight.clone().count(), 1);
    in_hand.extend_deadline(Duration::from_secs(1));
    drop(in_hand);
    assert_eq!(in_flight.count(), 0);
}
