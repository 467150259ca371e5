//! Messages about the daemon's own files: logs, pid file, scoreboard, and the status page.

use std::fmt::Display;

use rustix::process::Pid;

use super::messages;
use crate::logs::describe::Span;

messages! {
    /// About the daemon's own files.
    FileMessage<'a>

    Warn LinesLost { log: &'a str, lost: &'a dyn Display } => "{log}: {lost}";
    Info LogReopened { reason: &'a dyn Display } => "error log opened again, on {reason}";
    Error LogNotReopened { log: &'a str, error: &'a dyn Display } => "the {log} stays as it was: {error}";
    Error LogsNotTaken { error: &'a dyn Display, consequence: &'a str } =>
        "this process goes on with the old logs: {error}{consequence}";
    Error LogsNotHandedOut { error: &'a dyn Display } =>
        "new logs cannot be handed to the children: {error}; they are replaced instead";
    Warn OldLogInUse { child_pid: Pid } =>
        "child {child_pid} still writes to an old log; prefork reopen --wait goes on waiting for it";
    Info LogsReopened { duration: Span } =>
        "the logs are open again; {duration} later no child writes to an old one any more";

    Warn PidFileNotWatched { path: &'a dyn Display, error: &'a dyn Display } =>
        "pid file {path} is not watched: {error}; if it is removed, a reload makes it again";
    Warn PidFileNotRemoved { error: &'a dyn Display } => "{error}; the stop goes on, as a stale pid file does no harm";
    Warn PidFileRewritten { path: &'a dyn Display } => "pid file {path} was overwritten; the pid is in it again";
    Warn PidFileMadeAgain { path: &'a dyn Display } => "pid file {path} was removed or replaced; made it again";
    Error PidFileLost { error: &'a dyn Display } => "the pid file is lost: {error}; serving without it";
    Error PidFileNotAdopted { error: &'a dyn Display } => "no pid file: {error}; serving without it";

    Error ScoreboardNotAdopted { error: &'a dyn Display } => "{error}; making a new scoreboard";
    Error ScoreboardNotMapped { error: &'a dyn Display } => "serving without the scoreboard: {error}";
    Warn SlotsOverwritten { path: &'a dyn Display, slots: usize } =>
        "scoreboard {path}: {slots} slots were written over by another process; written again";
    Error ScoreboardDamaged { error: &'a dyn Display } => "{error}; making the scoreboard again";
    Error NoScoreboard { error: &'a dyn Display } => "no scoreboard, tried again every second: {error}";
    Info ScoreboardRestored => "the scoreboard is there again";

    Error NoStatusPage { error: &'a dyn Display, shortage: &'a dyn Display } =>
        "no status page: {error}{shortage}; serving without it";
    Error MetricsNotDeclared { error: &'a dyn Display } =>
        "what this program counts otherwise than the old one is not shown: {error}";
    Error StatusWithoutMetrics { error: &'a dyn Display } =>
        "the status page does not show what the program counts: {error}";
    Error StatusWithoutBoard { error: &'a dyn Display } =>
        "the status page shows no children, as it has no scoreboard to read: {error}";
}
