//! What children have started and left behind: when it is looked for, and for how long a stop waits.

use std::time::Duration;

use prefork_core::{
    Action, Config, Descendants, Event, Exit, Generation, Notice, PoolNotice, Request, SlotId,
    Supervisor, Time, Verdict,
};

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of two, which serve.
fn serving(descendants: Descendants) -> Supervisor {
    let mut config = Config::new(2, 2).expect("valid");
    config.descendants = descendants;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in [SlotId(0), SlotId(1)] {
        supervisor.handle(at(0), Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(at(0), Event::Ready { slot });
    }
    supervisor.advance(at(5000));
    actions(&mut supervisor);
    supervisor
}

fn actions(supervisor: &mut Supervisor) -> Vec<Action> {
    std::iter::from_fn(|| supervisor.next_action()).collect()
}

const fn ended(slot: u32) -> Event {
    Event::Exited { slot: SlotId(slot), exit: Exit::Code(0) }
}

const fn looked(left: usize, took: u64) -> Event {
    Event::DescendantsEnded { left, took: Duration::from_millis(took) }
}

/// One look serves all deaths of a moment, and holds up no replacement.
#[test]
fn they_are_looked_for_once_after_all_replacements() {
    let mut supervisor = serving(Descendants::End);
    supervisor.handle(at(10_000), ended(0));
    supervisor.handle(at(10_000), ended(1));
    let spawn = |slot| Action::Spawn { slot: SlotId(slot), generation: Generation(1) };
    assert_eq!(actions(&mut supervisor), [spawn(0), spawn(1), Action::EndDescendants]);
    supervisor.handle(at(10_001), looked(0, 1));
    for slot in [SlotId(0), SlotId(1)] {
        supervisor.handle(at(10_001), Event::Ready { slot });
    }
    assert_eq!((actions(&mut supervisor), supervisor.deadline()), (vec![], None), "it rests");
}

/// What the dead of a large pool have left does not wait until all of them are replaced.
#[test]
fn they_are_looked_for_among_many_replacements() {
    let mut config = Config::new(200, 200).expect("valid");
    config.descendants = Descendants::End;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    actions(&mut supervisor);
    for slot in (0..200).map(SlotId) {
        supervisor.handle(at(0), Event::Worked { slot });
    }
    actions(&mut supervisor);
    for slot in (0..200).map(SlotId) {
        supervisor.handle(at(10_000), Event::Exited { slot, exit: Exit::Code(0) });
    }
    let done = actions(&mut supervisor);
    let place = done.iter().position(|action| *action == Action::EndDescendants);
    assert_eq!((place, done.len()), (Some(64), 201), "{done:?}");
}

#[test]
fn where_they_are_kept_nobody_looks() {
    let mut supervisor = serving(Descendants::Keep);
    supervisor.handle(at(10_000), ended(0));
    supervisor.handle(at(10_000), Event::OrphanEnded);
    assert!(!actions(&mut supervisor).contains(&Action::EndDescendants));
}

/// A flood of ends costs a part of the time, and no end is waited for by timers.
#[test]
fn looks_that_take_long_come_more_rarely() {
    for (took, pause) in [(0, 0), (1, 4), (5, 20), (100, 25)] {
        let mut supervisor = serving(Descendants::End);
        supervisor.handle(at(10_000), Event::OrphanEnded);
        assert_eq!(actions(&mut supervisor), [Action::EndDescendants]);
        supervisor.handle(at(10_000), looked(1, took));
        supervisor.handle(at(10_000), Event::OrphanEnded);
        let due = if pause == 0 { None } else { Some(at(10_000 + pause)) };
        let is_asked = actions(&mut supervisor) == [Action::EndDescendants];
        assert_eq!((supervisor.deadline(), is_asked), (due, pause == 0), "after {took} ms");
    }
}

/// Those that do not end are ended again, ever more rarely.
#[test]
fn who_is_still_there_is_ended_again() {
    let mut supervisor = serving(Descendants::End);
    supervisor.handle(at(10_000), Event::OrphanEnded);
    let (mut now, mut pauses) = (at(10_000), Vec::new());
    for _ in 0..10 {
        assert_eq!(actions(&mut supervisor), [Action::EndDescendants]);
        supervisor.handle(now, looked(1, 0));
        let due = supervisor.deadline().expect("it is tried again");
        pauses.push(due.since(now).as_millis());
        now = due;
        supervisor.advance(now);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
}

/// The end of the daemon waits for theirs, so that ports are free then, and not for ever.
#[test]
fn a_stop_waits_for_them_for_a_second() {
    for are_stubborn in [false, true] {
        let mut supervisor = serving(Descendants::End);
        supervisor.handle(at(10_000), Event::Requested(Request::StopGracefully));
        supervisor.handle(at(10_010), ended(0));
        supervisor.handle(at(10_020), ended(1));
        assert_eq!(actions(&mut supervisor).last(), Some(&Action::EndDescendants));
        supervisor.handle(at(10_020), looked(1, 0));
        assert_eq!(actions(&mut supervisor), []);
        let exit = Action::Exit(Verdict::Stopped);
        if are_stubborn {
            while let Some(due) = supervisor.deadline() {
                supervisor.advance(due);
                let left = Action::Log(Notice::Pool(PoolNotice::DescendantsLeft { left: 1 }));
                match actions(&mut supervisor)[..] {
                    [Action::EndDescendants] => supervisor.handle(due, looked(1, 0)),
                    ref last => assert_eq!((last, due), (&[left, exit][..], at(11_020))),
                }
            }
        } else {
            supervisor.handle(at(10_021), Event::OrphanEnded);
            assert_eq!(actions(&mut supervisor), [Action::EndDescendants]);
            supervisor.handle(at(10_021), looked(0, 0));
            assert_eq!(actions(&mut supervisor), [exit]);
        }
    }
}
