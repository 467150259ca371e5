//! Why the command did not do as asked.

use std::{io, path::PathBuf, time::Duration};

use prefork_core::one_line;
use prefork_daemonize::{Pid, StopError};
use prefork_scoreboard::{OpenError, SlotError};
use prefork_view::{ReadError, plural};

use crate::exit::Exit;

/// What the command says when it fails, and how it exits then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no such board: {}; does the daemon run with scoreboard_path?", one_line(path))]
    NoBoard { path: PathBuf },
    #[error("not running: there is no board or pid file {}", one_line(path))]
    NoFile { path: PathBuf },
    #[error(
        "no right to read board {}; ask as root, or as the user who runs the daemon",
        one_line(path)
    )]
    BoardForbidden { path: PathBuf },
    #[error(transparent)]
    Board(OpenError),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error(
        "no daemon is found in {places}; name its board or its pid file, or in PREFORK_PATH the directory that they are in"
    )]
    NoneFound { places: String },
    #[error("not running: all daemons that are found have ended: {found}")]
    AllEnded { found: String },
    #[error("more than one daemon is found: {found}; name one of them by its board or pid file")]
    SeveralFound { found: String },
    #[error(
        "{} is no file here, and no daemon is found that is called so; found: {found}",
        one_line(name)
    )]
    NoSuchDaemon { name: String, found: String },
    #[error(
        "board {} names no pid file that belongs to the same user, by which its daemon could be signalled for certain; name \
         the pid file, or signal process {pid} yourself",
        one_line(board)
    )]
    NoPidFile { board: PathBuf, pid: u32 },
    #[error(
        "the daemon of pid file {} has no scoreboard; `prefork check {}` reports whether it runs",
        one_line(path),
        one_line(path)
    )]
    Boardless { path: PathBuf },
    #[error(
        "{} is a daemon of several pools; name one of them, as `{}/NAME`",
        one_line(daemon),
        one_line(daemon)
    )]
    SeveralPools { daemon: String },
    #[error("no pool of {} has a process and a board now", one_line(daemon))]
    NoPoolAwake { daemon: String },
    #[error("pool {} has no process now", one_line(pool))]
    PoolHasNoProcess { pool: String },
    #[error("process {pid} has no slot on board {board}; `prefork status` shows which have")]
    NoSuchChild { pid: u32, board: String },
    #[error("{summary}")]
    LeftBehind { summary: String },
    #[error("not running: no daemon holds pid file {}", one_line(path))]
    NotRunning { path: PathBuf },
    #[error(
        "pid file {} is locked, but no process proves to own it; \
         `fuser {}` names those that hold it",
        one_line(path),
        one_line(path)
    )]
    Unproven { path: PathBuf },
    #[error("{} is a scoreboard, not a pid file; `prefork status` shows it", one_line(path))]
    IsABoard { path: PathBuf },
    #[error(transparent)]
    Daemon(StopError),
    #[error(
        "process {pid}, which holds pid file {}, does not answer to {signal}, which would end it; \
         nothing was sent",
        one_line(path)
    )]
    Deaf { path: PathBuf, pid: Pid, signal: &'static str },
    #[error("cannot see which signals process {pid} answers to; nothing was sent")]
    Unseen { pid: Pid, source: io::Error },
    #[error(
        "board {} was made by process {creator}, but process {pid} holds the pid file; \
         name the board of that daemon; nothing was sent",
        one_line(board)
    )]
    OtherBoard { board: PathBuf, creator: u32, pid: Pid },
    #[error(
        "the slots of board {} are not assigned by a daemon; nothing was sent",
        one_line(board)
    )]
    SharedBoard { board: PathBuf },
    #[error(
        "killed process {pid}, which had not ended in time; what its children had in hand is lost"
    )]
    Killed { pid: Pid },
    #[error("process {pid} ended before its children were replaced; see its error log")]
    Ended { pid: Pid },
    #[error("{old} of {all} children are still of an old generation after {waited:?}; {why}")]
    NotReplaced { old: usize, all: usize, waited: Duration, why: String },
    #[error(
        "process {pid} runs with prefork = 0: it has no children to replace and does not upgrade; nothing was sent; restart it \
         instead"
    )]
    Childless { pid: Pid },
    #[error("pool {pool}")]
    OfPool { pool: String, source: Box<Failure> },
    #[error(
        "process {pid} cannot have {children} children at rest: 1 to {most}, its max_children; nothing was sent"
    )]
    NoSuchSize { children: u32, most: u32, pid: Pid },
    #[error(
        "process {pid} has {children} children at rest after {waited:?}, and not {wanted}; see its error log"
    )]
    NotResized { pid: Pid, children: u32, wanted: u32, waited: Duration },
    #[error("process {pid} has not opened all its logs again{reason}")]
    LogsStay { pid: Pid, reason: String },
    #[error("children still write to old logs after {waited:?}; {why}")]
    NotReopened { waited: Duration, why: String },
    #[error(
        "generation {generation} does not work: its children end before they have worked, and {} stay; \
         see the daemon's error log",
        plural(*old, "old child", "old children")
    )]
    RolloutFailed { generation: u64, old: usize },
    #[error(
        "process {pid} has refused its settings{reason}; those in force stay, and its children were not replaced"
    )]
    SettingsRefused { pid: Pid, reason: String },
    #[error("process {pid} is still at the {what} after {waited:?}; see its error log")]
    StillChanging { pid: Pid, what: &'static str, waited: Duration },
    #[error("process {pid} has not done all of the {what}{reason}")]
    InPart { pid: Pid, what: &'static str, reason: String },
    #[error("process {pid} goes on as it was; {what} {outcome}{reason}")]
    GivenUp { what: &'static str, outcome: &'static str, pid: Pid, reason: String },
    #[error(
        "the daemon of pid file {} has no scoreboard, which alone shows to which logs its children write; nothing was sent; \
         leave out --wait",
        one_line(path)
    )]
    NoLogsToSee { path: PathBuf },
    #[error("`top` needs a terminal to draw on; `prefork status` prints to anything")]
    NoTerminal,
    #[error(
        "`top` needs a terminal whose cursor it can move, and TERM says that this is none; \
         `prefork status` prints to anything"
    )]
    DumbTerminal,
    #[error("cannot use the terminal")]
    Terminal { source: io::Error },
    #[error("cannot write to standard output")]
    Output { source: io::Error },
    #[error("cannot write {}", one_line(path))]
    NotWritten { path: PathBuf, source: io::Error },
    #[error("there is no command {}; `prefork help` lists them", one_line(name))]
    NoSuchCommand { name: String },
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NotRunning { .. }
            | Self::NoFile { .. }
            | Self::AllEnded { .. }
            | Self::Ended { .. }
            | Self::LeftBehind { .. }
            | Self::NoPoolAwake { .. }
            | Self::PoolHasNoProcess { .. }
            | Self::NoneFound { .. }
            | Self::NoSuchDaemon { .. } => Exit::NotRunning,
            Self::OfPool { source, .. } => source.exit(),
            Self::NotReplaced { .. }
            | Self::StillChanging { .. }
            | Self::NotReopened { .. }
            | Self::NotResized { .. } => Exit::TimedOut,
            Self::Killed { .. } => Exit::Killed,
            Self::SettingsRefused { .. } => Exit::WrongSettings,
            Self::Unproven { .. } => Exit::Unproven,
            Self::SeveralFound { .. }
            | Self::SeveralPools { .. }
            | Self::NoTerminal
            | Self::NoSuchSize { .. }
            | Self::DumbTerminal
            | Self::NoSuchChild { .. }
            | Self::NoSuchCommand { .. } => Exit::Usage,
            Self::Daemon(error) => of_daemon(error),
            Self::NoBoard { .. }
            | Self::GivenUp { .. }
            | Self::InPart { .. }
            | Self::Childless { .. }
            | Self::LogsStay { .. }
            | Self::NoLogsToSee { .. }
            | Self::NoPidFile { .. }
            | Self::Boardless { .. }
            | Self::BoardForbidden { .. }
            | Self::Board(_)
            | Self::Slot(_)
            | Self::Unreadable(_)
            | Self::IsABoard { .. }
            | Self::Deaf { .. }
            | Self::Unseen { .. }
            | Self::OtherBoard { .. }
            | Self::SharedBoard { .. }
            | Self::RolloutFailed { .. }
            | Self::Terminal { .. }
            | Self::NotWritten { .. }
            | Self::Output { .. } => Exit::Failed,
        }
    }
}

impl From<OpenError> for Failure {
    /// Says what to do about the usual ones.
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::NoBoard { path }
            }
            OpenError::Io { path, source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::BoardForbidden { path }
            }
            error => Self::Board(error),
        }
    }
}

fn of_daemon(error: &StopError) -> Exit {
    match error {
        StopError::Unproven { .. } | StopError::LeftBehind { .. } => Exit::Unproven,
        StopError::StillStopping { .. } | StopError::StillAlive { .. } => Exit::TimedOut,
        // The rest, and what later versions add, is that it could not be done.
        _ => Exit::Failed,
    }
}
