use prefork_scoreboard::{Life, Stall, State, Status};

use prefork_view::{
    Queue,
    samples::{of_rows, row},
};

use super::*;

fn idle() -> View {
    of_rows(vec![row(0, Status::Live(State::Idle)), row(1, Status::Empty)])
}

/// The whole line for a board on which something was changed.
#[track_caller]
fn assert_found(change: fn(&mut View), stuck: Option<Standing>, exit: Exit, text: &str) {
    let mut view = idle();
    change(&mut view);
    assert_eq!(judge(&view, stuck), Finding { exit, text: text.to_owned() });
}

#[test]
fn every_trouble_of_the_daemon_is_named_with_what_to_do() {
    let rest =
        "hello 0.1.0, pid 3999, up 3h05m: 1 child of 3 to 150, 1 idle, 0 busy, queue 0 of 4096";
    let found = |change, stuck, exit, text: &str| {
        assert_found(change, stuck, exit, &text.replace("REST", rest));
    };
    found(|_| {}, None, Exit::Done, "all is well: REST");
    found(
        |view| {
            view.owner.isolation = vec!["signals".into(), "open-files 256".into()];
            view.owner.not_isolated = vec!["private-tmp (needs root)".into()];
        },
        None,
        Exit::Done,
        "all is well: REST; isolation: signals, open-files 256; not possible there: private-tmp (needs root)",
    );
    found(
        |view| view.creator_life = Life::Unknown,
        None,
        Exit::Unproven,
        "NOT WELL: it cannot be seen from here whether its daemon runs; check its pid file, or check on the machine, and \
         as the user, that it runs on: REST",
    );
    found(
        |view| view.sign.standing = Some(Standing::Stopped),
        None,
        Exit::Failed,
        "NOT WELL: process 3999 was stopped by a signal and decides nothing; `kill -CONT 3999` lets it go on: STOPPED: \
         REST",
    );
    found(
        |view| view.sign.age = Some(Duration::from_secs(9)),
        Some(Standing::Runs),
        Exit::Failed,
        "NOT WELL: process 3999 uses a processor, and has decided nothing for 9.0s: REST",
    );
    found(
        |view| view.sign.age = Some(Duration::from_secs(9)),
        Some(Standing::Waits),
        Exit::Failed,
        "NOT WELL: process 3999 waits for a disk or a file server, and has decided nothing for 9.0s: REST",
    );
    found(
        |view| view.sign.overdue = Some(Duration::from_secs(9)),
        None,
        Exit::Failed,
        "NOT WELL: process 3999 was to wake 9.0s ago, and has not: NOT RESPONDING: REST",
    );
}

#[test]
fn a_daemon_that_does_not_run_is_not_running() {
    for change in [
        (|view| view.age = None) as fn(&mut View),
        |view| view.creator_life = Life::Gone,
        |view| (view.creator_life, view.tally.gone) = (Life::Gone, 3),
    ] {
        let mut view = idle();
        change(&mut view);
        let Finding { exit, text } = judge(&view, None);
        assert_eq!(exit, Exit::NotRunning, "{text}");
        assert!(text.starts_with("NOT RUNNING: hello 0.1.0, pid 3999, has ended with"), "{text}");
    }
}

#[test]
fn every_trouble_of_children_is_counted() {
    let of = "hello 0.1.0, pid 3999, up 3h05m";
    let counted = |view: View, troubles: &str, pool: &str| {
        let text = format!("NOT WELL: {troubles}: {of}: {pool}, queue 0 of 4096");
        assert_eq!(judge(&view, None), Finding { exit: Exit::Failed, text });
    };
    let mut gone = row(0, Status::Live(State::Idle));
    gone.life = Life::Gone;
    counted(
        of_rows(vec![gone.clone(), row(1, Status::Live(State::Idle))]),
        "1 slot belongs to a process that is gone",
        "1 child of 3 to 150, 1 idle, 0 busy, 1 gone",
    );
    counted(
        of_rows(vec![row(0, Status::Empty)]),
        "it has no child",
        "0 children of 3 to 150, 0 idle, 0 busy",
    );
    counted(
        of_rows(vec![row(0, Status::Stalled(Stall::Damaged))]),
        "1 slot cannot be read, and stay so",
        "1 child of 3 to 150, 0 idle, 0 busy, 1 stalled",
    );
}

#[test]
fn the_creator_of_a_shared_board_may_go() {
    let mut view = idle();
    (view.kind, view.creator_life) = (Kind::Shared, Life::Gone);
    assert_eq!(judge(&view, None).exit, Exit::Done);
}

#[test]
fn a_full_pool_is_well_and_it_is_warned_of_those_that_wait() {
    let mut view = of_rows(vec![
        row(0, Status::Live(State::Writing)),
        row(1, Status::Live(State::Reading)),
        row(2, Status::Empty),
    ]);
    (view.owner.min_children, view.owner.max_children) = (Some(1), Some(2));
    view.owner.listeners[0].queue = Some(Queue { waiting: 18, limit: 4096 });
    let text = "WARNING: full, 2 of 2 busy, 18 waiting: hello 0.1.0, pid 3999, up 3h05m: 2 children of 1 to 2, 0 idle, 2 \
                busy, queue 18 of 4096";
    assert_eq!(judge(&view, None), Finding { exit: Exit::Done, text: text.into() });
    // One of them can have many requests in hand, and has room.
    (view.rows[0].in_hand, view.rows[0].concurrency) = (63, 64);
    assert!(judge(&view, None).text.starts_with("all is well: "), "{:?}", judge(&view, None));
    view.rows[0].in_hand = 64;
    assert!(judge(&view, None).text.starts_with("WARNING: full"), "{:?}", judge(&view, None));
}

#[test]
fn only_what_neither_rests_nor_decides_seems_stuck() {
    let mut view = idle();
    for (standing, age, expected) in [
        (Standing::Runs, 2000, Some(Standing::Runs)),
        (Standing::Waits, 2000, Some(Standing::Waits)),
        (Standing::Runs, 900, None),
        (Standing::Sleeps, 90_000_000, None),
        (Standing::Stopped, 2000, None),
    ] {
        view.sign.standing = Some(standing);
        view.sign.age = Some(Duration::from_millis(age));
        assert_eq!(seems_stuck(&view), expected, "{standing:?} {age}");
    }
    (view.sign.standing, view.owner.max_children) = (Some(Standing::Runs), Some(0));
    assert_eq!(seems_stuck(&view), None, "it is at a request itself");
}
