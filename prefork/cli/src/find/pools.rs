//! The pools of a daemon that has several: which there are stands in a list beside its pid file, and which of them have a
//! process the kernel shows, as the parent of each holds a pid file of its own.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use prefork::read_roster;
use prefork_core::{
    one_line,
    pools::{Listed, PoolKind, Roster, file_of_pool},
};
use prefork_daemonize::{self as daemonize, Holder, Pid};

use super::{Found, board_of};

/// A daemon of several pools, at one moment.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// What it is called.
    pub(crate) name: String,
    pub(crate) pid_file: PathBuf,
    /// Its own process, if that lives.
    pub(crate) pid: Option<Pid>,
    pub(crate) pools: Vec<Member>,
}

/// One of its pools.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: PoolKind,
    pub(crate) addresses: Vec<String>,
    pub(crate) presence: Presence,
    /// Its files.
    pub(crate) found: Found,
}

/// Whether a pool has a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Awake(Pid),
    /// None, as there is nothing to do.
    Asleep,
    /// None, although it should have one.
    Down,
}

impl Presence {
    /// Returns the word for it: part of the JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Awake(_) => "awake",
            Self::Asleep => "asleep",
            Self::Down => "down",
        }
    }
}

impl Member {
    /// Returns its parent, if it has one.
    pub(crate) const fn pid(&self) -> Option<Pid> {
        match self.presence {
            Presence::Awake(pid) => Some(pid),
            Presence::Asleep | Presence::Down => None,
        }
    }
}

impl Pooled {
    /// Looks at the pools of a daemon.
    pub(crate) fn look(pid_file: &Path, roster: Roster) -> Self {
        let pid = holder(pid_file);
        let pools = roster.pools.into_iter().map(|listed| member(pid_file, listed, pid.is_some()));
        let pools = pools.collect();
        Self { name: roster.daemon, pid_file: pid_file.to_owned(), pid, pools }
    }

    /// Takes one of its pools.
    pub(crate) fn into_pool(self, name: &str) -> Option<Member> {
        self.pools.into_iter().find(|pool| pool.name == name)
    }
}

fn member(daemon: &Path, listed: Listed, is_running: bool) -> Member {
    let Listed { name, kind, addresses } = listed;
    let pid_file = file_of_pool(daemon, &name);
    let presence = match (holder(&pid_file), kind) {
        (Some(pid), _) => Presence::Awake(pid),
        (None, PoolKind::OnDemand) if is_running => Presence::Asleep,
        (None, PoolKind::Pool | PoolKind::OnDemand | PoolKind::Role) => Presence::Down,
    };
    let board = match presence {
        Presence::Awake(pid) => board_of(pid.as_raw().unsigned_abs()),
        Presence::Asleep | Presence::Down => None,
    };
    let found = Found { board, pid_file: Some(pid_file), roster: None };
    Member { name, kind, addresses, presence, found }
}

fn holder(pid_file: &Path) -> Option<Pid> {
    match daemonize::running(pid_file) {
        Ok(Holder::Owner { pid }) => Some(pid),
        Ok(Holder::Nobody | Holder::Unproven) | Err(_) => None,
    }
}

/// Reads the list beside a pid file; `None` if that is of a daemon of one pool. It is believed if both files belong to the
/// same user.
pub(crate) fn roster_beside(pid_file: &Path) -> Option<Roster> {
    let path = Roster::beside(pid_file);
    let owner = |path: &Path| fs::symlink_metadata(path).map(|found| found.uid()).ok();
    let is_its = owner(&path).is_some() && owner(&path) == owner(pid_file);
    is_its.then(|| read_roster(&path)).flatten()
}

/// Returns the pid file beside a list.
pub(super) fn pid_file_beside(list: &Path) -> Option<PathBuf> {
    let pid_file = Roster::pid_file_of(list)?;
    read_roster(list).map(|_| pid_file)
}

/// Returns the pid file of the daemon whose pools have their boards beside this path, which all of them were given.
pub(super) fn pid_file_by_board(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    let is_its = |pid_file: &PathBuf| {
        let roster = roster_beside(pid_file);
        let daemon = roster.map(|roster| Pooled::look(pid_file, roster));
        daemon.is_some_and(|daemon| {
            daemon.pools.iter().any(|pool| {
                let board = pool.found.board.as_deref().and_then(Path::file_name);
                board.is_some() && board == file_of_pool(path, &pool.name).file_name()
            })
        })
    };
    let lists = entries.filter_map(|entry| Roster::pid_file_of(&entry.ok()?.path()));
    lists.into_iter().find(is_its)
}

/// Finds the daemon of the pool with this pid file: `/run/app.pid` for `/run/app.web.pid`, `/run/app` for `/run/app.web`.
pub(super) fn daemon_of(pool: &Path) -> Option<Pooled> {
    let (stem, extension) = (pool.file_stem()?, pool.extension()?.to_str()?);
    let with_extension = stem.to_str()?.rsplit_once('.');
    let with_extension = with_extension.map(|(daemon, _)| format!("{daemon}.{extension}"));
    let names = [with_extension.map(Into::into), Some(stem.to_owned())];
    let daemons = names.into_iter().flatten().filter_map(|name| {
        let pid_file = pool.with_file_name(name);
        Some(Pooled::look(&pid_file, roster_beside(&pid_file)?))
    });
    let is_its = |daemon: &Pooled| {
        daemon.pools.iter().any(|member| member.found.pid_file.as_deref() == Some(pool))
    };
    let mut daemons = daemons.filter(is_its);
    daemons.next()
}

/// Names a pool for a message: `app/web`.
pub(crate) fn full_name(daemon: &str, pool: &str) -> String {
    format!("{}/{}", one_line(daemon), one_line(pool))
}
