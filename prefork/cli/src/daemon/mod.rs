//! Steering a daemon by its pid file.

mod answers;
mod rollout;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prefork_daemonize::{self as daemonize, Holder, Pid, Signal, Signalled, StopOptions, Stopped};

use crate::{exit::Exit, failure::Failure, look, output};
use rollout::{Goal, Rollout};

/// Whether to wait until all children have done what is asked for.
#[derive(Debug)]
pub(crate) enum Wait {
    No,
    UntilAll { board: PathBuf, timeout: Duration },
}

/// Prints the pid of the daemon if it runs.
pub(crate) fn running(path: &Path) -> Result<Exit, Failure> {
    output::print(&format!("{}\n", find(path)?))
}

/// Stops the daemon; done exactly when it is gone.
pub(crate) fn stop(path: &Path, options: &StopOptions) -> Result<Exit, Failure> {
    let stopped = daemonize::stop(path, options);
    match stopped.map_err(|error| explain(path, Failure::Daemon(error)))? {
        Stopped::NotRunning => Err(not_running(path)),
        Stopped::Terminated { pid } => output::print(&format!("stopped process {pid}\n")),
        Stopped::Killed { pid } => {
            output::warn(&format!(
                "killed process {pid}, which had not ended in time; what its children had in hand \
                 is lost"
            ));
            Ok(Exit::Done)
        }
    }
}

/// Has the children replaced.
pub(crate) fn reload(path: &Path, wait: &Wait) -> Result<Exit, Failure> {
    ask(path, Signal::Hup, "SIGHUP", "to replace its children", Goal::Replaced, wait)
}

/// Has the daemon run the new program.
pub(crate) fn upgrade(path: &Path, wait: &Wait) -> Result<Exit, Failure> {
    ask(path, Signal::Usr2, "SIGUSR2", "to run the new program", Goal::Replaced, wait)
}

/// Has the daemon open its logs again.
pub(crate) fn reopen(path: &Path, wait: &Wait) -> Result<Exit, Failure> {
    ask(path, Signal::Usr1, "SIGUSR1", "to open its logs again", Goal::WritesToNewLogs, wait)
}

/// Sends the daemon a signal, whatever comes of it.
pub(crate) fn signal(path: &Path, signal: crate::cli::Signal) -> Result<Exit, Failure> {
    let pid = send(path, signal.into())?;
    output::print(&format!("sent SIG{} to process {pid}\n", format!("{signal:?}").to_uppercase()))
}

/// Sends a signal that would end a daemon that does not answer to it, if it does.
fn ask(
    path: &Path,
    signal: Signal,
    name: &'static str,
    what: &str,
    goal: Goal,
    wait: &Wait,
) -> Result<Exit, Failure> {
    let pid = find(path)?;
    match answers::to(pid, signal) {
        Ok(true) => {}
        Ok(false) => return Err(Failure::Deaf { path: path.to_owned(), pid, signal: name }),
        Err(source) => return Err(Failure::Unseen { pid, source }),
    }
    match wait {
        Wait::No => {
            let pid = send(path, signal)?;
            output::print(&format!("told process {pid} {what}\n"))
        }
        Wait::UntilAll { board, timeout } => {
            let rollout = Rollout::begin(path, board, pid, goal)?;
            send(path, signal)?;
            let done = rollout.wait(*timeout)?;
            output::print(&match goal {
                Goal::Replaced => format!("process {pid} has replaced its children: {done}\n"),
                Goal::WritesToNewLogs => {
                    format!("process {pid} has opened its logs again: {done}\n")
                }
            })
        }
    }
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
        | Exit::WrongSettings => failure,
    }
}
