//! Finding a daemon: by its board, its pid file or its name, or where only one runs.

mod held;
mod places;
mod pools;

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use prefork_core::{
    one_line,
    pools::{Roster, is_pool_name},
};
use prefork_daemonize::{self as daemonize, Holder};
use prefork_scoreboard::{Board, Kind};
use prefork_view::View;

use crate::{failure::Failure, look};
use places::Places;
pub(crate) use pools::{Member, Pooled, Presence, full_name, roster_beside};

/// The files of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) board: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    /// Its pools, of a daemon that has several.
    pub(crate) roster: Option<Roster>,
}

impl Found {
    /// Looks at its pools, if it has several.
    pub(crate) fn pooled(&self) -> Option<Pooled> {
        Some(Pooled::look(self.pid_file.as_deref()?, self.roster.clone()?))
    }

    /// Returns the daemon of a pool that has no board, with that pool alone.
    pub(crate) fn sleeping_pool(&self) -> Option<Pooled> {
        let Self { board, pid_file: Some(pid_file), .. } = self else { return None };
        let is_boardless =
            board.as_ref().is_none_or(|board| board == pid_file && is_missing(board));
        let (daemon, pool) = self.one_of_several().filter(|_| is_boardless)?;
        Some(Pooled { pools: vec![pool], ..daemon })
    }

    /// Returns the daemon of which this is one of several pools, and that pool.
    pub(crate) fn one_of_several(&self) -> Option<(Pooled, Member)> {
        let Self { pid_file: Some(pid_file), roster: None, .. } = self else { return None };
        let mut daemon = pools::daemon_of(pid_file)?;
        let is_it = |pool: &Member| pool.found.pid_file.as_ref() == Some(pid_file);
        let place = daemon.pools.iter().position(is_it)?;
        let pool = daemon.pools.swap_remove(place);
        Some((daemon, pool))
    }

    fn name(&self) -> Option<String> {
        match &self.roster {
            Some(roster) => Some(roster.daemon.clone()),
            None => self.view().and_then(|view| view.name().map(str::to_owned)),
        }
    }

    /// Reads its board.
    pub(crate) fn view(&self) -> Option<View> {
        look::read(self.board.as_deref()?).ok()
    }

    /// Names it for a message.
    fn words(&self) -> String {
        let path = self.board.as_ref().or(self.pid_file.as_ref());
        let path = path.map(|path| one_line(path).to_string()).unwrap_or_default();
        self.name().map_or_else(|| path.clone(), |name| format!("{name} ({path})"))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name().as_deref() == Some(name)
    }

    fn is_daemon(&self) -> bool {
        self.view().is_none_or(|view| view.is_of_daemon())
    }

    fn is_running(&self) -> bool {
        match &self.roster {
            Some(_) => self.pooled().is_some_and(|daemon| daemon.pid.is_some()),
            None => self.view().is_none_or(|view| !view.is_left_behind()),
        }
    }
}

/// Returns all daemons that are found, those that have left a board behind among them, and boards of other processes that
/// have a title. A daemon of several pools is one of them, and its pools are none.
pub(crate) fn all() -> Vec<Found> {
    let places = Places::of_environment();
    let mut all: Vec<Found> = match places {
        Places::Named(_) => Vec::new(),
        Places::Usual(_) => held::holders().into_iter().filter_map(of_process).collect(),
    };
    for board in places.boards() {
        let is_known =
            |found: &Found| found.board.as_ref().is_some_and(|known| is_same_file(known, &board));
        let found = of_board(&board);
        let is_meant =
            found.view().is_some_and(|view| view.kind == Kind::Owned || view.title.is_some());
        if is_meant && !all.iter().any(is_known) {
            all.push(found);
        }
    }
    for pid_file in places.daemons_of_pools() {
        let is_known = |found: &Found| {
            found.pid_file.as_ref().is_some_and(|known| is_same_file(known, &pid_file))
        };
        if !all.iter().any(is_known) {
            all.push(of_pid_file(&pid_file, None));
        }
    }
    let of_pools: Vec<Found> =
        all.iter().filter_map(Found::pooled).flat_map(files_of_pools).collect();
    all.retain(|found| !of_pools.iter().any(|known| is_same(known, found)));
    all.sort_by(|a, b| (&a.board, &a.pid_file).cmp(&(&b.board, &b.pid_file)));
    all
}

fn files_of_pools(daemon: Pooled) -> impl Iterator<Item = Found> {
    daemon.pools.into_iter().map(|pool| pool.found)
}

/// Whether two have a file in common.
fn is_same(one: &Found, other: &Found) -> bool {
    let is_common = |one: &Option<PathBuf>, other: &Option<PathBuf>| match (one, other) {
        (Some(one), Some(other)) => one == other || is_same_file(one, other),
        (None, _) | (_, None) => false,
    };
    is_common(&one.board, &other.board) || is_common(&one.pid_file, &other.pid_file)
}

/// Returns the daemon that a path or a name leads to, or the only one that runs.
pub(crate) fn find(handle: Option<&OsStr>) -> Result<Found, Failure> {
    let Some(handle) = handle else { return only() };
    let path = Path::new(handle);
    match handle.to_str() {
        Some(name) if !is_path(handle) => by_name(name),
        Some(_) | None => Ok(by_path(path)),
    }
}

/// Returns whether this is a path and no name. A folder of the name of its daemon stands in the directory of many a program.
pub(crate) fn is_path(handle: &OsStr) -> bool {
    let path = Path::new(handle);
    let is_there = fs::symlink_metadata(path).is_ok();
    let is_of_pool = handle.to_str().and_then(pool_of).is_some();
    (handle.as_bytes().contains(&b'/') && (is_there || !is_of_pool)) || (is_there && !path.is_dir())
}

/// Takes apart the name of a pool: `app/web`.
fn pool_of(handle: &str) -> Option<(&str, &str)> {
    let (daemon, pool) = handle.split_once('/')?;
    let is_name = !daemon.is_empty() && !daemon.starts_with('.') && is_pool_name(pool);
    is_name.then_some((daemon, pool))
}

/// That none is found.
pub(crate) fn none() -> Failure {
    Failure::NoneFound { places: Places::of_environment().words() }
}

fn only() -> Result<Found, Failure> {
    let mut all = all();
    // Boards of other processes do not stand in the way of the one daemon.
    if all.iter().any(Found::is_daemon) {
        all.retain(Found::is_daemon);
    }
    let (mut running, mut ended): (Vec<_>, Vec<_>) = all.into_iter().partition(Found::is_running);
    match (running.len(), ended.len()) {
        (0, 0) => Err(none()),
        (1, _) => Ok(running.remove(0)),
        // What it has left behind shows what has become of it.
        (0, 1) => Ok(ended.remove(0)),
        (0, _) => Err(Failure::AllEnded { found: words(&ended) }),
        (_, _) => Err(Failure::SeveralFound { found: words(&running) }),
    }
}

fn by_name(name: &str) -> Result<Found, Failure> {
    let all = all();
    let mut called: Vec<_> = all.iter().filter(|found| found.is_called(name)).cloned().collect();
    // One that has left a board behind does not stand before one that runs.
    if called.iter().any(Found::is_running) {
        called.retain(Found::is_running);
    }
    if called.is_empty() {
        called = pools_called(name, &all);
    }
    match called.len() {
        0 => Err(Failure::NoSuchDaemon {
            name: name.to_owned(),
            found: if all.is_empty() { "none".to_owned() } else { words(&all) },
        }),
        1 => Ok(called.remove(0)),
        _ => Err(Failure::SeveralFound { found: words(&called) }),
    }
}

/// Returns the pools that are called so: `app/web`, or `web` of whatever daemon that runs.
fn pools_called(name: &str, all: &[Found]) -> Vec<Found> {
    let (daemon, pool) = match pool_of(name) {
        Some((daemon, pool)) => (Some(daemon), pool),
        None => (None, name),
    };
    let mut daemons: Vec<_> = all.iter().filter_map(Found::pooled).collect();
    daemons.retain(|it| daemon.is_none_or(|name| it.name == name));
    if daemons.iter().any(|it| it.pid.is_some()) {
        daemons.retain(|it| it.pid.is_some());
    }
    daemons.into_iter().filter_map(|it| it.into_pool(pool)).map(|pool| pool.found).collect()
}

fn words(found: &[Found]) -> String {
    found.iter().map(Found::words).collect::<Vec<_>>().join(", ")
}

/// Why a pid file leads to no board.
fn boardless(path: PathBuf) -> Failure {
    match daemonize::running(&path) {
        Ok(Holder::Owner { .. }) => Failure::Boardless { path },
        Ok(Holder::Nobody) => Failure::NotRunning { path },
        Ok(Holder::Unproven) => Failure::Unproven { path },
        Err(error) => Failure::Daemon(error),
    }
}

impl Found {
    /// Returns its board.
    pub(crate) fn into_board(self) -> Result<PathBuf, Failure> {
        if let Some(daemon) = self.pooled() {
            return Err(Failure::SeveralPools { daemon: daemon.name });
        }
        match (self.board, self.pid_file) {
            (Some(board), Some(pid_file)) if board == pid_file && is_missing(&board) => {
                Err(Failure::NoFile { path: board })
            }
            (Some(board), _) => Ok(board),
            (None, path) => Err(boardless(path.unwrap_or_default())),
        }
    }

    /// Returns its pid file.
    pub(crate) fn into_pid_file(self) -> Result<PathBuf, Failure> {
        let board = match (self.pid_file, self.board) {
            (Some(pid_file), _) => return Ok(pid_file),
            (None, board) => board.unwrap_or_default(),
        };
        match look::read(&board) {
            Ok(view) if view.is_left_behind() => {
                Err(Failure::LeftBehind { summary: view.summary() })
            }
            Ok(view) if view.kind == Kind::Owned => {
                Err(Failure::NoPidFile { board, pid: view.creator.unwrap_or(0) })
            }
            Ok(_) | Err(_) => Err(Failure::IsABoard { path: board }),
        }
    }
}

/// What is neither of both is taken for both, so that who asks for one reports what is wrong with it.
fn by_path(path: &Path) -> Found {
    if look::begins_like_a_board(path) {
        return of_board(path);
    }
    let board = match daemonize::running(path) {
        Ok(Holder::Owner { pid }) => board_of(pid.as_raw().unsigned_abs()),
        Ok(Holder::Nobody | Holder::Unproven) | Err(_) => None,
    };
    let list = pools::pid_file_beside(path);
    // At the path itself that all pools were given there is no board.
    let by_board = || pools::pid_file_by_board(path).filter(|_| !path.exists());
    if let Some(pid_file) = list.or_else(by_board) {
        return of_pid_file(&pid_file, None);
    }
    let is_pid_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && look::beginning(path).is_ok_and(|bytes| look::is_pid(&bytes));
    let board = board.or_else(|| (!is_pid_file).then(|| path.to_owned()));
    of_pid_file(path, board)
}

fn of_pid_file(path: &Path, board: Option<PathBuf>) -> Found {
    let roster = pools::roster_beside(path);
    let board = board.filter(|_| roster.is_none());
    Found { board, pid_file: Some(path.to_owned()), roster }
}

/// The pid file that a board names is believed if both belong to the same user: whose it is, the kernel says.
fn of_board(path: &Path) -> Found {
    let owner = |path: &Path| fs::symlink_metadata(path).map(|found| found.uid()).ok();
    let view = look::read(path).ok();
    let named = view.and_then(|view| view.owner.pid_file).map(PathBuf::from);
    let pid_file = named.filter(|named| owner(named).is_some() && owner(named) == owner(path));
    Found { board: Some(path.to_owned()), pid_file, roster: None }
}

/// Returns the files of a process, if it is a daemon.
fn of_process(pid: u32) -> Option<Found> {
    let files = held::files(pid);
    let board = files.iter().find(|path| is_board(path)).cloned();
    let pid_file = files.into_iter().find(|path| is_pid_file_of(path, pid));
    match (&board, &pid_file) {
        (None, None) => None,
        (None, Some(pid_file)) => Some(of_pid_file(pid_file, None)),
        (Some(_), _) => Some(Found { board, pid_file, roster: None }),
    }
}

/// Returns the board of a process.
pub(crate) fn board_of(pid: u32) -> Option<PathBuf> {
    held::files(pid).into_iter().find(|path| is_board(path))
}

fn is_board(path: &Path) -> bool {
    look::begins_like_a_board(path) && Board::open(path).is_ok_and(|it| it.kind() == Kind::Owned)
}

/// Others lock files as well, and only what has the pid in it is worth asking about.
fn is_pid_file_of(path: &Path, pid: u32) -> bool {
    let says_so =
        look::beginning(path).is_ok_and(|bytes| bytes.trim_ascii() == pid.to_string().as_bytes());
    says_so
        && daemonize::running(path)
            .is_ok_and(|holder| holder.pid().is_some_and(|it| it.as_raw().unsigned_abs() == pid))
}

/// Whether there is nothing, as a daemon that has stopped leaves it.
fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}
