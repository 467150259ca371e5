//! Steering a daemon by its pid file.

mod answers;
mod change;
mod descent;
mod lateness;
mod pools;
mod rollout;
mod scale;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use prefork_daemonize::{self as daemonize, Holder, Pid, Signal, Signalled, StopOptions, Stopped};

use crate::{
    cli::PatienceArgs,
    exit::Exit,
    failure::Failure,
    find::Found,
    look,
    output::{self, Voice},
};
use descent::Descent;
use rollout::{Goal, Rollout};
pub(crate) use scale::scale;

/// Whether to wait until all children have done what is asked for.
#[derive(Debug)]
pub(crate) enum Wait {
    No,
    UntilAll {
        /// The board to look at, if it is not to be found.
        board: Option<PathBuf>,
        timeout: Duration,
    },
}

/// Something that a daemon is asked for.
#[derive(Debug)]
struct Request {
    signal: Signal,
    name: &'static str,
    /// To do what.
    what: &'static str,
    /// What it has done then.
    done: &'static str,
    goal: Goal,
}

/// Fails if the process that was asked is not the daemon any more.
fn still_runs(pid_file: &Path, pid: Pid) -> Result<(), Failure> {
    match daemonize::running(pid_file).map_err(Failure::Daemon)? {
        Holder::Owner { pid: running } if running == pid => Ok(()),
        Holder::Owner { .. } | Holder::Nobody | Holder::Unproven => Err(Failure::Ended { pid }),
    }
}

/// Prints the pid of the daemon if it runs.
pub(crate) fn running(path: &Path) -> Result<Exit, Failure> {
    output::print(&format!("{}\n", find(path)?))
}

/// Stops the daemon; done exactly when it is gone.
pub(crate) fn stop(found: Found, patience: PatienceArgs, voice: Voice) -> Result<Exit, Failure> {
    let board = found.board.clone();
    let (pooled, one) = (found.pooled(), found.one_of_several());
    let path = &found.into_pid_file()?;
    let options = match patience.hurries() {
        false
            if is_stopping(path, board.as_deref())
                || pooled.as_ref().is_some_and(pools::are_stopping) =>
        {
            voice.report("it stops already; waiting for that\n")?;
            StopOptions::from(patience).asked_before()
        }
        false | true => patience.into(),
    };
    let stopped = daemonize::stop(path, &options);
    match stopped.map_err(|error| explain(path, Failure::Daemon(error)))? {
        Stopped::NotRunning => Err(not_running(path)),
        Stopped::Terminated { pid } => {
            let then = one.map(|(daemon, pool)| pools::after_stop(&daemon, &pool));
            voice.report(&format!("stopped process {pid}{}\n", then.unwrap_or_default()))
        }
        Stopped::Killed { pid } => Err(Failure::Killed { pid }),
    }
}

/// Whether somebody has asked it to stop before: its board shows that, and its title.
fn is_stopping(pid_file: &Path, board: Option<&Path>) -> bool {
    let Ok(Holder::Owner { pid }) = daemonize::running(pid_file) else { return false };
    let pid = pid.as_raw().unsigned_abs();
    let shows_it = |board: &Path| {
        look::read(board).is_ok_and(|view| {
            view.creator == Some(pid) && view.owner.phase.as_deref() == Some("stopping")
        })
    };
    title(pid).ends_with("[ending]") || board.is_some_and(shows_it)
}

/// Returns what a process calls itself.
fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
}

/// Has the children replaced.
pub(crate) fn reload(found: Found, wait: Wait, voice: Voice) -> Result<Exit, Failure> {
    let request = Request {
        signal: Signal::Hup,
        name: "SIGHUP",
        what: "to replace its children",
        done: "has replaced its children",
        goal: Goal::Replaced,
    };
    ask(found, &request, wait, voice)
}

/// Has the daemon run the new program.
pub(crate) fn upgrade(found: Found, wait: Wait, voice: Voice) -> Result<Exit, Failure> {
    let request = Request {
        signal: Signal::Usr2,
        name: "SIGUSR2",
        what: "to run the new program",
        done: "runs the new program, and has replaced its children",
        goal: Goal::Upgraded,
    };
    ask(found, &request, wait, voice)
}

/// Has the daemon open its logs again.
pub(crate) fn reopen(found: Found, wait: Wait, voice: Voice) -> Result<Exit, Failure> {
    let request = Request {
        signal: Signal::Usr1,
        name: "SIGUSR1",
        what: "to open its logs again",
        done: "has opened its logs again",
        goal: Goal::WritesToNewLogs,
    };
    ask(found, &request, wait, voice)
}

/// Sends the daemon a signal, whatever comes of it.
pub(crate) fn signal(
    path: &Path,
    signal: crate::cli::Signal,
    voice: Voice,
) -> Result<Exit, Failure> {
    let pid = send(path, signal.into())?;
    let name = format!("{signal:?}").to_uppercase();
    voice.report(&format!("sent SIG{name} to process {pid}\n"))
}

/// Sends a signal that would end a daemon that does not answer to it, if it does.
fn ask(found: Found, request: &Request, wait: Wait, voice: Voice) -> Result<Exit, Failure> {
    if let Some(daemon) = found.pooled() {
        return pools::ask(&daemon, request, &wait, voice);
    }
    let board = found.board.clone();
    let path = &found.into_pid_file()?;
    let pid = find(path)?;
    match answers::to(pid, request.signal) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::Deaf { path: path.clone(), pid, signal: request.name });
        }
        Err(source) => return Err(Failure::Unseen { pid, source }),
    }
    if request.goal.needs_children()
        && board.as_deref().is_some_and(|board| is_childless(board, pid))
    {
        return Err(Failure::Childless { pid });
    }
    let (given, timeout) = match wait {
        Wait::No => {
            let pid = send(path, request.signal)?;
            return voice.report(&format!("asked process {pid} {}\n", request.what));
        }
        Wait::UntilAll { board, timeout } => (board, timeout),
    };
    let done = match (given.or(board), request.goal) {
        (Some(board), goal) => {
            let rollout = Rollout::begin(path, &board, pid, goal)?;
            send(path, request.signal)?;
            rollout.wait(timeout)?.to_string()
        }
        (None, Goal::Replaced | Goal::Upgraded) => {
            let descent = Descent::begin(path, pid);
            send(path, request.signal)?;
            descent.wait(timeout)?
        }
        (None, Goal::WritesToNewLogs) => {
            return Err(Failure::NoLogsToSee { path: path.clone() });
        }
    };
    voice.report(&format!("process {pid} {}: {done}\n", request.done))
}

/// Whether a board shows that this process has no children by its settings.
fn is_childless(board: &Path, pid: Pid) -> bool {
    look::read(board).is_ok_and(|view| {
        view.creator == Some(pid.as_raw().unsigned_abs()) && view.owner.max_children == Some(0)
    })
}

/// Finds the daemon.
fn find(path: &Path) -> Result<Pid, Failure> {
    match daemonize::running(path) {
        Ok(Holder::Owner { pid }) => Ok(pid),
        Ok(Holder::Nobody) => Err(not_running(path)),
        Ok(Holder::Unproven) => Err(explain(path, Failure::Unproven { path: path.to_owned() })),
        Err(error) => Err(Failure::Daemon(error)),
    }
}

fn send(path: &Path, signal: Signal) -> Result<Pid, Failure> {
    match daemonize::signal(path, signal) {
        Ok(Signalled::Sent { pid }) => Ok(pid),
        Ok(Signalled::NotRunning) => Err(not_running(path)),
        Err(error) => Err(explain(path, Failure::Daemon(error))),
    }
}

fn not_running(path: &Path) -> Failure {
    explain(path, Failure::NotRunning { path: path.to_owned() })
}

/// Puts something better in the place of what comes of the two files being mixed up.
fn explain(path: &Path, failure: Failure) -> Failure {
    match failure.exit() {
        Exit::NotRunning | Exit::Unproven if look::begins_like_a_board(path) => {
            Failure::IsABoard { path: path.to_owned() }
        }
        Exit::Done
        | Exit::Failed
        | Exit::Usage
        | Exit::NotRunning
        | Exit::Unproven
        | Exit::TimedOut
        | Exit::Killed
        | Exit::WrongSettings => failure,
    }
}
