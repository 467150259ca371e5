//! Saying of a file what it is, and whether all is well with it.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use prefork_core::{Report, one_line};
use prefork_daemonize::{self as daemonize, Holder};
use prefork_scoreboard::{HeaderFault, Kind, Life, OpenError, Standing};
use prefork_view::{View, duration, plural};

use crate::{
    exit::Exit,
    failure::Failure,
    look::{self, read},
    output,
};

/// How long after one look the next comes, at what seemed wrong.
const AGAIN: Duration = Duration::from_millis(100);

/// So many times an owner is looked at that seems to be at work and to get nowhere.
const LOOKS: usize = 15;

/// After so long without a decision a running owner is looked at more closely.
const SLOW: Duration = Duration::from_secs(1);

/// What was found out about one file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    exit: Exit,
    text: String,
}

/// Checks files; the worst of what was found is the outcome.
pub(crate) fn run(files: &[PathBuf]) -> Result<Exit, Failure> {
    let mut worst = Exit::Done;
    let mut text = String::new();
    for path in files {
        let Finding { exit, text: found } = check(path);
        text.push_str(&format!("{}: {}\n", one_line(path), one_line(&found)));
        worst = worst.max(exit);
    }
    output::print(&text)?;
    Ok(worst)
}

fn check(path: &Path) -> Finding {
    match read(path) {
        Ok(first) => {
            if judge(&first, seems_stuck(&first)).exit == Exit::Done {
                return judge(&first, None);
            }
            look_again(path, first)
        }
        Err(Failure::NoBoard { .. }) => Finding {
            exit: Exit::NotRunning,
            text: "there is no such file; no daemon runs with it".into(),
        },
        // Anything that does not begin like a board may be a pid file.
        Err(Failure::Board(OpenError::Header {
            reason: HeaderFault::Magic | HeaderFault::Truncated { .. },
            ..
        })) if !look::begins_like_a_board(path) => pid_file(path),
        Err(failure) => Finding { exit: Exit::Failed, text: Report(&failure).to_string() },
    }
}

/// Looks again at what seemed wrong: a child may have been at its record, or between its end and its successor, and an
/// owner in the middle of something.
fn look_again(path: &Path, first: View) -> Finding {
    let (mut view, mut stuck) = (first, None);
    let looks = if seems_stuck(&view).is_some() { LOOKS } else { 1 };
    for _ in 0..looks {
        thread::sleep(AGAIN);
        let Ok(next) = read(path) else { break };
        let is_same = view.sign.pulse == next.sign.pulse;
        view = next;
        stuck = seems_stuck(&view).filter(|_| is_same);
        if stuck.is_none() {
            break;
        }
    }
    judge(&view, stuck)
}

/// Returns what an owner does that decides nothing and does not rest either.
fn seems_stuck(view: &View) -> Option<Standing> {
    // The main loop of a daemon without children runs in the process itself, and may be at a request.
    let is_slow = view.owner.max_children != Some(0) && view.sign.age.is_some_and(|age| age > SLOW);
    match view.sign.standing {
        Some(standing @ (Standing::Runs | Standing::Waits)) => Some(standing).filter(|_| is_slow),
        Some(Standing::Sleeps | Standing::Stopped | Standing::Traced) | None => None,
    }
}

fn pid_file(path: &Path) -> Finding {
    let (exit, text) = match daemonize::running(path) {
        Ok(Holder::Owner { pid }) => {
            (Exit::Done, format!("a pid file; process {pid} holds it and runs"))
        }
        Ok(Holder::Unproven) => (
            Exit::Unproven,
            "a pid file that is held by no process which proves to be the daemon: the children of \
             one that was killed, as a rule; `fuser` names them"
                .to_owned(),
        ),
        Ok(Holder::Nobody) => match look::beginning(path) {
            Ok(bytes) if is_pid(&bytes) => {
                (Exit::NotRunning, "a pid file that nobody holds; no daemon runs".to_owned())
            }
            Ok(_) => (Exit::Failed, "neither a pid file nor a scoreboard".to_owned()),
            Err(error) => (Exit::Failed, format!("cannot be read: {error}")),
        },
        Err(error) => (Exit::Failed, Report(&error).to_string()),
    };
    Finding { exit, text }
}

/// An empty file is what a daemon leaves that was killed before it wrote its pid.
fn is_pid(bytes: &[u8]) -> bool {
    bytes.trim_ascii().iter().all(u8::is_ascii_digit)
}

/// Says whether all is well with a board.
fn judge(view: &View, stuck: Option<Standing>) -> Finding {
    let troubles = troubles(view, stuck);
    let exit = troubles.iter().map(|(exit, _)| *exit).max().unwrap_or(Exit::Done);
    if view.is_left_behind() {
        return Finding { exit: Exit::NotRunning, text: view.summary() };
    }
    let (summary, full) = (view.summary(), full(view));
    let text = match (troubles.is_empty(), full) {
        (true, None) => format!("all is well: {summary}"),
        (true, Some(full)) => format!("WARNING: {full}: {summary}"),
        (false, _) => {
            let troubles: Vec<_> = troubles.into_iter().map(|(_, text)| text).collect();
            format!("NOT WELL: {}: {summary}", troubles.join("; "))
        }
    };
    Finding { exit, text }
}

fn troubles(view: &View, stuck: Option<Standing>) -> Vec<(Exit, String)> {
    let mut troubles = Vec::new();
    match view.kind {
        Kind::Owned => troubles.extend(troubles_of_owner(view, stuck)),
        Kind::Shared => {}
    }
    if view.gone > 0 {
        let slots = plural(view.gone, "slot belongs", "slots belong");
        let processes = if view.gone == 1 { "a process that is" } else { "processes that are" };
        troubles.push((Exit::Failed, format!("{slots} to {processes} gone")));
    }
    if view.tally.stalled > 0 {
        let slots = plural(view.tally.stalled, "slot", "slots");
        troubles.push((Exit::Failed, format!("{slots} cannot be read, and stay so")));
    }
    troubles
}

fn troubles_of_owner(view: &View, stuck: Option<Standing>) -> Option<(Exit, String)> {
    let pid = view.creator.unwrap_or(0);
    let age = view.sign.age.map_or_else(|| "a while".to_owned(), duration);
    let failed = |text| Some((Exit::Failed, text));
    match (view.creator_life, view.sign.standing, stuck) {
        (Life::Unknown, _, _) => {
            let text = "it cannot be seen from here whether its daemon runs; check its pid file, or check on the machine, \
                        and as the user, that it runs on";
            Some((Exit::Unproven, text.to_owned()))
        }
        (_, Some(Standing::Stopped), _) => failed(format!(
            "process {pid} was stopped by a signal and decides nothing; `kill -CONT {pid}` lets it go on"
        )),
        (_, Some(Standing::Traced), _) => failed(format!(
            "process {pid} is stopped by a debugger, and decides nothing until that lets it go on"
        )),
        (_, _, Some(Standing::Waits)) => failed(format!(
            "process {pid} waits for a disk or a file server, and has decided nothing for {age}"
        )),
        (_, _, Some(Standing::Runs | Standing::Sleeps | Standing::Stopped | Standing::Traced)) => {
            failed(format!("process {pid} uses a processor, and has decided nothing for {age}"))
        }
        (Life::Running | Life::Gone, _, None) => {
            let late = view.is_late().map(|late| {
                let late = duration(late);
                (Exit::Failed, format!("process {pid} was to wake {late} ago, and has not"))
            });
            late.or_else(|| {
                let is_deserted = view.tally.taken() == 0;
                is_deserted.then(|| (Exit::Failed, "it has no child".to_owned()))
            })
        }
    }
}

/// Returns in which way nobody is left for the next client: `2 of 2 busy, 18 waiting`.
fn full(view: &View) -> Option<String> {
    let most = match (view.kind, view.owner.max_children) {
        (Kind::Owned, Some(max)) if max > 0 => max as usize,
        (Kind::Owned | Kind::Shared, _) => view.slots(),
    };
    let waiting = view.owner.queue().map(|queue| queue.waiting).filter(|waiting| *waiting > 0);
    let waiting = waiting.map(|waiting| format!(", {waiting} waiting")).unwrap_or_default();
    let busy = view.tally.busy;
    (most > 0 && busy >= most).then(|| format!("full, {busy} of {most} busy{waiting}"))
}

#[cfg(test)]
mod tests {
    use prefork_scoreboard::{Stall, State, Status};

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
            |view| (view.creator_life, view.gone) = (Life::Gone, 3),
        ] {
            let mut view = idle();
            change(&mut view);
            let Finding { exit, text } = judge(&view, None);
            assert_eq!(exit, Exit::NotRunning, "{text}");
            assert!(
                text.starts_with("NOT RUNNING: hello 0.1.0, pid 3999, has ended with"),
                "{text}"
            );
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

    #[test]
    fn pid_files_hold_digits() {
        for yes in [&b"123\n"[..], b"123", b"", b"\n"] {
            assert!(is_pid(yes), "{yes:?}");
        }
        for no in [&b"12abc"[..], b"-1\n", b"1 2", b"\0"] {
            assert!(!is_pid(no), "{no:?}");
        }
    }
}
