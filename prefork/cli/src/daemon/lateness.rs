//! Why a daemon has not done yet what it was asked for, as far as that can be seen.

use prefork_daemonize::Pid;
use prefork_scoreboard::{Class, Standing};
use prefork_view::{Change, Outcome, Row, View, duration, plural};

use super::rollout::Goal;
use crate::look;

/// Where there is nothing to be seen.
const ELSEWHERE: &str = "see the daemon's error log";

/// Returns why it is late: first what ails the process, then what the board shows, if there is one.
pub(super) fn why(pid: Pid, goal: Goal, newest_before: u64, view: Option<&View>) -> String {
    let of_process = look::trouble(pid);
    let seen = of_process.or_else(|| view.and_then(|view| on_board(view, goal, newest_before)));
    seen.unwrap_or_else(|| ELSEWHERE.to_owned())
}

/// Returns why a daemon without a board is late, which has so many children.
pub(super) fn why_unseen(pid: Pid, children: usize) -> String {
    look::trouble(pid).unwrap_or_else(|| match children {
        0 => format!(
            "it has no children, as one with prefork = 0, or one that can start none; {ELSEWHERE}"
        ),
        _ => ELSEWHERE.to_owned(),
    })
}

fn on_board(view: &View, goal: Goal, newest_before: u64) -> Option<String> {
    if let Some(trouble) = view.trouble() {
        return Some(trouble);
    }
    match goal {
        Goal::WritesToNewLogs => None,
        Goal::Replaced | Goal::Upgraded => {
            let change = match goal {
                Goal::Upgraded => view.owner.upgrade.as_ref(),
                Goal::Replaced | Goal::WritesToNewLogs => view.owner.reload.as_ref(),
            };
            let is_new = |row: &&Row| row.generation > newest_before;
            change.and_then(step).or_else(|| of_new_children(view.taken().filter(is_new)))
        }
    }
}

/// What a change that goes on is at.
fn step(change: &Change) -> Option<String> {
    let step = change.reason.as_ref().filter(|_| change.outcome == Outcome::Running)?;
    let ago = change.since_begin().map(|time| format!(" for {}", duration(time)));
    Some(format!("it has been {step}{}", ago.unwrap_or_default()))
}

/// What new children do that do not serve yet.
fn of_new_children<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<String> {
    let starting: Vec<_> = rows.filter(|row| row.class() == Class::Starting).collect();
    let stopped = starting
        .iter()
        .filter_map(|row| row.pid)
        .find(|pid| matches!(Standing::of(*pid), Some(Standing::Stopped | Standing::Traced)));
    if let Some(pid) = stopped {
        return Some(format!(
            "new child {pid} was stopped by a signal before it served: `kill -CONT {pid}` lets it go on"
        ));
    }
    let count = plural(starting.len(), "new child has", "new children have");
    let longest = starting.iter().filter_map(|row| row.age).max();
    longest.map(|age| format!("{count} been starting for {}", duration(age)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prefork_scoreboard::{State, Status};
    use prefork_view::samples::{of_rows, row};

    use super::*;

    #[test]
    fn what_can_be_seen_is_named() {
        let ours = Pid::current();
        let mut new = row(1, Status::Live(State::Starting));
        (new.generation, new.pid, new.age) = (2, None, Some(Duration::from_secs(200)));
        let rows = vec![row(0, Status::Live(State::Idle)), new];
        let found = |change: fn(&mut View), goal| {
            let mut view = of_rows(rows.clone());
            change(&mut view);
            why(ours, goal, 1, Some(&view))
        };
        let running = |reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            Some(Change { outcome: Outcome::Running, reason, began: None, ended: None })
        };
        assert_eq!(found(|_| {}, Goal::Replaced), "1 new child has been starting for 3m20s");
        assert_eq!(found(|view| view.rows.truncate(1), Goal::Replaced), ELSEWHERE);
        assert_eq!(
            found(|view| view.owner.cannot_fork = Some("pids.max is 5".into()), Goal::Replaced),
            "cannot fork a child: pids.max is 5"
        );
        let mut view = of_rows(rows.clone());
        view.owner.upgrade = running(Some("trying the new program"));
        let words = why(ours, Goal::Upgraded, 1, Some(&view));
        assert_eq!(words, "it has been trying the new program");
        // It serves, and children are being replaced.
        view.owner.upgrade = running(None);
        let words = why(ours, Goal::Upgraded, 1, Some(&view));
        assert_eq!(words, "1 new child has been starting for 3m20s");
        assert_eq!(why(ours, Goal::Replaced, 1, None), ELSEWHERE);
        assert_eq!(
            why_unseen(ours, 0),
            "it has no children, as one with prefork = 0, or one that can start none; see the daemon's error log"
        );
    }
}
