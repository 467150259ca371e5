//! Saying of a file what it is, and whether all is well with it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use prefork_core::{ErrorChain, one_line};
use prefork_daemonize::{self as daemonize, Holder};
use prefork_scoreboard::{HeaderFault, Kind, Life, OpenError, Standing};
use prefork_view::{Condition, View, duration, plural};
use prefork_why::{SharedConnection, shared_connections};

use crate::{
    exit::Exit,
    failure::Failure,
    find::{self, Found, Presence},
    look::{self, read},
    output,
};

/// How long after one look the next comes, at what seemed wrong.
const AGAIN: Duration = Duration::from_millis(100);

/// So many times an owner is looked at that seems to be at work and to get nowhere.
const LOOKS: usize = 15;

/// For so long at the most it is looked which connections children share.
const SHARED: Duration = Duration::from_secs(1);

/// After so long without a decision a running owner is looked at more closely.
const SLOW: Duration = Duration::from_secs(1);

/// What was found out about one file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    exit: Exit,
    text: String,
}

/// Checks files; the worst of what was found is the outcome.
///
/// Where none is named, the only daemon that is found, by its board if it has one.
pub(crate) fn run(daemons: &[OsString]) -> Result<Exit, Failure> {
    let mut checked = Vec::new();
    for daemon in daemons {
        let found = find::find(Some(daemon))?;
        let path = if find::is_path(daemon) { daemon.into() } else { any_of(&found) };
        add(&found, path, &mut checked);
    }
    if daemons.is_empty() {
        let found = find::find(None)?;
        let path = any_of(&found);
        add(&found, path, &mut checked);
    }
    let mut worst = Exit::Done;
    let mut text = String::new();
    for (path, finding) in &checked {
        let Finding { exit, text: found } = finding;
        text.push_str(&format!("{}: {}\n", one_line(path), one_line(&found)));
        worst = worst.max(*exit);
    }
    output::print(&text)?;
    Ok(worst)
}

fn any_of(found: &Found) -> PathBuf {
    found.board.clone().or_else(|| found.pid_file.clone()).unwrap_or_default()
}

/// Checks a file; of a daemon of several pools the pid file, and what each pool has.
fn add(found: &Found, path: PathBuf, checked: &mut Vec<(PathBuf, Finding)>) {
    let Some(daemon) = found.pooled() else {
        let finding = check(&path);
        checked.push((path, finding));
        return;
    };
    checked.push((daemon.pid_file.clone(), check(&daemon.pid_file)));
    for pool in daemon.pools {
        let name = find::full_name(&daemon.name, &pool.name);
        let file = any_of(&pool.found);
        let finding = match pool.presence {
            Presence::Awake(_) => check(&file),
            Presence::Asleep => {
                let text = format!("all is well: {name} sleeps until a client comes");
                Finding { exit: Exit::Done, text }
            }
            Presence::Down if daemon.pid.is_none() => {
                Finding { exit: Exit::NotRunning, text: format!("{name} does not run") }
            }
            Presence::Down => {
                let text = format!("NOT WELL: {name} has no process; see the daemon's error log");
                Finding { exit: Exit::Failed, text }
            }
        };
        checked.push((file, finding));
    }
}

fn check(path: &Path) -> Finding {
    match read(path) {
        Ok(first) => match judge(&first, seems_stuck(&first)).exit {
            Exit::Done => warn_of(&shared(&first), judge(&first, None)),
            _ => look_again(path, first),
        },
        Err(Failure::NoBoard { .. }) => Finding {
            exit: Exit::NotRunning,
            text: "there is no such file; no daemon runs with it".into(),
        },
        // Anything that does not begin like a board may be a pid file.
        Err(Failure::Board(OpenError::Header {
            reason: HeaderFault::Magic | HeaderFault::Truncated { .. },
            ..
        })) if !look::begins_like_a_board(path) => pid_file(path),
        Err(failure) => Finding { exit: Exit::Failed, text: ErrorChain(&failure).to_string() },
    }
}

/// Finds the connections that several children have from the one that has opened them.
fn shared(view: &View) -> Vec<SharedConnection> {
    if !view.is_of_daemon() || view.is_left_behind() {
        return Vec::new();
    }
    let living = view.taken().filter(|row| row.life != Life::Gone);
    let pids: Vec<_> = living.filter_map(|row| row.pid).collect();
    shared_connections(&pids, Instant::now() + SHARED)
}

/// Puts a warning of them before what was found, as it is a fault of the program and not of the daemon.
fn warn_of(shared: &[SharedConnection], finding: Finding) -> Finding {
    let Some(first) = shared.first() else { return finding };
    let more = match shared.len() - 1 {
        0 => String::new(),
        more => format!(" (and {} more)", plural(more, "connection", "connections")),
    };
    let warning = format!(
        "a connection that was opened before the fork is shared by children, who get each other's answers: {first}{more}; \
         open it in main_loop"
    );
    let text = match finding.text.strip_prefix("all is well: ") {
        Some(rest) => format!("WARNING: {warning}: {rest}"),
        None => format!("WARNING: {warning}; {}", finding.text),
    };
    Finding { text, ..finding }
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
        Ok(Holder::Owner { pid }) => match look::trouble(pid) {
            None => (Exit::Done, format!("a pid file; process {pid} holds it and runs")),
            Some(trouble) => (Exit::Failed, format!("NOT WELL: it is held, but {trouble}")),
        },
        Ok(Holder::Unproven) => (
            Exit::Unproven,
            "a pid file that is held by no process which proves to be the daemon: the children of \
             one that was killed, as a rule; `fuser` names them"
                .to_owned(),
        ),
        Ok(Holder::Nobody) => match look::beginning(path) {
            Ok(bytes) if look::is_pid(&bytes) => {
                (Exit::NotRunning, "a pid file that nobody holds; no daemon runs".to_owned())
            }
            Ok(_) => (Exit::Failed, "neither a pid file nor a scoreboard".to_owned()),
            Err(error) => (Exit::Failed, format!("cannot be read: {error}")),
        },
        Err(error) => (Exit::Failed, ErrorChain(&error).to_string()),
    };
    Finding { exit, text }
}

/// Says whether all is well with a board.
fn judge(view: &View, stuck: Option<Standing>) -> Finding {
    let troubles = troubles(view, stuck);
    let exit = troubles.iter().map(|(exit, _)| *exit).max().unwrap_or(Exit::Done);
    if view.is_left_behind() {
        return Finding { exit: Exit::NotRunning, text: view.summary() };
    }
    let isolation = view.owner.isolation_in_words().map(|words| format!("; {words}"));
    let summary = format!("{}{}", view.summary(), isolation.unwrap_or_default());
    let full = full(view);
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
        Kind::Owned => troubles.extend(trouble_of_owner(view, stuck)),
        Kind::Shared => {}
    }
    if view.tally.gone > 0 {
        let slots = plural(view.tally.gone, "slot belongs", "slots belong");
        let processes =
            if view.tally.gone == 1 { "a process that is" } else { "processes that are" };
        troubles.push((Exit::Failed, format!("{slots} to {processes} gone")));
    }
    if view.tally.stalled > 0 {
        let slots = plural(view.tally.stalled, "slot", "slots");
        troubles.push((Exit::Failed, format!("{slots} cannot be read, and stay so")));
    }
    troubles
}

fn trouble_of_owner(view: &View, stuck: Option<Standing>) -> Option<(Exit, String)> {
    let exit = match view.condition() {
        Condition::Unseen => Exit::Unproven,
        Condition::Gone => Exit::NotRunning,
        Condition::Well | Condition::Stopped | Condition::Traced | Condition::Late(_) => {
            Exit::Failed
        }
    };
    let is_deserted =
        || (view.is_of_daemon() && view.tally.taken() == 0).then(|| "it has no child".to_owned());
    let text = match (view.condition(), stuck) {
        (Condition::Well | Condition::Late(_), Some(standing)) => Some(stuck_at(view, standing)),
        _ => view.trouble().or_else(is_deserted),
    };
    text.map(|text| (exit, text))
}

/// Names what an owner does that decides nothing.
fn stuck_at(view: &View, standing: Standing) -> String {
    let pid = view.creator.unwrap_or(0);
    let age = view.sign.age.map_or_else(|| "a while".to_owned(), duration);
    let what = match standing {
        Standing::Waits => "waits for a disk or a file server",
        Standing::Runs | Standing::Sleeps | Standing::Stopped | Standing::Traced => {
            "uses a processor"
        }
    };
    format!("process {pid} {what}, and has decided nothing for {age}")
}

/// Returns in which way nobody is left for the next client: `2 of 2 busy, 18 waiting`.
///
/// Of processes that are no daemon's it is not known whether they have clients: workers are all busy in good times.
fn full(view: &View) -> Option<String> {
    if !view.is_of_daemon() {
        return None;
    }
    let most = match view.owner.max_children {
        Some(max) if max > 0 => max as usize,
        Some(_) | None => view.slots(),
    };
    let jobs = view.owner.jobs_waiting.unwrap_or(0);
    let waiting = view.owner.queue().map_or(jobs, |queue| queue.waiting.saturating_add(jobs));
    let waiting = Some(waiting).filter(|waiting| *waiting > 0);
    let waiting = waiting.map(|waiting| format!(", {waiting} waiting")).unwrap_or_default();
    let busy = view.tally.busy;
    let is_full = most > 0 && busy >= most && !view.has_room();
    is_full.then(|| format!("full, {busy} of {most} busy{waiting}"))
}

#[cfg(test)]
mod tests;
