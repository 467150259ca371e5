//! Saying of a file what it is, and whether all is well with it.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use prefork_core::{Report, one_line};
use prefork_daemonize::{self as daemonize, Holder};
use prefork_scoreboard::{Class, HeaderFault, Kind, Life, OpenError};
use prefork_view::{View, duration, plural, words};

use crate::{
    exit::Exit,
    failure::Failure,
    look::{self, read},
    output,
};

/// How long after the first look the second comes, at what seemed wrong at the first.
const AGAIN: Duration = Duration::from_millis(100);

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
            let first = judge(&first);
            if first.exit == Exit::Done {
                return first;
            }
            // A child may have been at its record, or between its end and its successor.
            thread::sleep(AGAIN);
            read(path).map_or(first, |second| judge(&second))
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
fn judge(view: &View) -> Finding {
    let kind = match view.kind {
        Kind::Owned => "a scoreboard",
        Kind::Shared => "a shared scoreboard",
    };
    let troubles = troubles(view);
    let exit = troubles.iter().map(|(exit, _)| *exit).max().unwrap_or(Exit::Done);
    let what = if troubles.is_empty() {
        let age = view.age.map_or_else(|| "-".to_owned(), duration);
        let children = plural(view.tally.taken(), "child", "children");
        let full = if is_at_the_limit(view) { "; all slots are taken and busy" } else { "" };
        format!("all is well after {age} with {children}: {}{full}", words::tally(&view.tally))
    } else {
        troubles.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ")
    };
    Finding { exit, text: format!("{kind}; {what}") }
}

fn troubles(view: &View) -> Vec<(Exit, String)> {
    let mut troubles = Vec::new();
    let is_owned = view.kind == Kind::Owned;
    if view.age.is_none() {
        return vec![(Exit::NotRunning, "it is left over from another boot".into())];
    }
    if is_owned && view.creator_life == Life::Gone {
        let pid = view.creator.map_or_else(String::new, |pid| format!(" {pid}"));
        let text = format!("its daemon, process{pid}, has gone without removing it");
        return vec![(Exit::NotRunning, text)];
    }
    if is_owned && view.tally.taken() == 0 {
        troubles.push((Exit::Failed, "it has no child".into()));
    }
    let gone = view.taken().filter(|row| row.life == Life::Gone).count();
    if gone > 0 {
        let slots = plural(gone, "slot belongs", "slots belong");
        troubles.push((Exit::Failed, format!("{slots} to a process that is gone")));
    }
    let stalled = view.rows.iter().filter(|row| row.class() == Class::Stalled).count();
    if stalled > 0 {
        let slots = plural(stalled, "slot", "slots");
        troubles.push((Exit::Failed, format!("{slots} cannot be read, and stay so")));
    }
    troubles
}

fn is_at_the_limit(view: &View) -> bool {
    view.slots() > 0 && view.tally.busy == view.slots()
}

#[cfg(test)]
mod tests {
    use prefork_scoreboard::{Stall, State, Status};

    use super::*;
    use prefork_view::samples::{of_rows, row};

    fn idle() -> View {
        of_rows(vec![row(0, Status::Live(State::Idle)), row(1, Status::Empty)])
    }

    #[test]
    fn every_trouble_is_said_and_counted() {
        type Change = fn(&mut View);
        let table: [(Change, Exit, &str); 7] = [
            (|_| {}, Exit::Done, "all is well after 1h02m with 1 child: 1 idle, 0 busy"),
            (|view| view.age = None, Exit::NotRunning, "another boot"),
            (|view| view.creator_life = Life::Gone, Exit::NotRunning, "process 3999, has gone"),
            (|view| view.creator_life = Life::Unknown, Exit::Done, "all is well"),
            (|view| view.rows[0].life = Life::Gone, Exit::Failed, "1 slot belongs to a process"),
            (|view| *view = of_rows(vec![row(0, Status::Empty)]), Exit::Failed, "no child"),
            (
                |view| *view = of_rows(vec![row(0, Status::Stalled(Stall::Damaged))]),
                Exit::Failed,
                "1 slot cannot be read",
            ),
        ];
        for (number, (change, exit, text)) in table.into_iter().enumerate() {
            let mut view = idle();
            change(&mut view);
            let finding = judge(&view);
            assert_eq!(finding.exit, exit, "row {number}: {finding:?}");
            assert!(finding.text.contains(text), "row {number}: {finding:?}");
        }
    }

    #[test]
    fn the_creator_of_a_shared_board_may_go() {
        let mut view = idle();
        (view.kind, view.creator_life) = (Kind::Shared, Life::Gone);
        assert_eq!(judge(&view).exit, Exit::Done);
    }

    #[test]
    fn a_pool_at_its_limit_is_well_and_it_is_said() {
        let view = of_rows(vec![row(0, Status::Live(State::Writing))]);
        let finding = judge(&view);
        assert!(finding.exit == Exit::Done && finding.text.contains("all slots are taken"));
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
