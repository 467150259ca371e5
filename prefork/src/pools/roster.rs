//! The list of pools beside the pid file, by which the command finds them, and what has become of changes of the whole:
//! `prefork_core::pools::Roster` as a file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use prefork_core::{
    Time, one_line,
    pools::{LONGEST_ROSTER, Listed, ListedChange, ListedOutcome, PoolsChange, Roster},
};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, getpid},
};

use crate::{RunError, args::check::Settings, seat::Seated};

/// It, removed when it is dropped by the process that has made it.
#[derive(Debug)]
pub(super) struct RosterFile {
    path: PathBuf,
    maker: Pid,
    roster: Roster,
}

impl RosterFile {
    /// Writes the list of a daemon with a pid file; one without is found by nobody anyway.
    pub(super) fn of_daemon(
        settings: &Settings,
        members: &[Seated],
        changes: Vec<ListedChange>,
    ) -> Result<Option<Self>, RunError> {
        let Some(pid_path) = settings.pid_path.as_deref() else { return Ok(None) };
        let path = Roster::beside(pid_path);
        let pools = members.iter().map(|member| Listed {
            name: member.name.clone(),
            kind: member.kind,
            addresses: member.addresses.clone(),
        });
        let roster = Roster { daemon: settings.name.clone(), pools: pools.collect(), changes };
        let file = Self { path, maker: getpid(), roster };
        file.write().map_err(RunError::system("write the list of pools"))?;
        Ok(Some(file))
    }

    fn write(&self) -> io::Result<()> {
        write(&self.path, &self.roster.to_string()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", one_line(&self.path)))
        })
    }

    /// Writes down that a change has begun.
    pub(super) fn note_begun(&mut self, change: PoolsChange, began: Time) -> io::Result<()> {
        self.roster.changes.retain(|known| known.change != change);
        self.roster.changes.push(begun(change, began));
        self.write()
    }

    /// Takes down, for when the outcome is written, that a pool was asked to follow.
    pub(super) fn note_asked(&mut self, change: PoolsChange, pool: &str) {
        for known in self.roster.changes.iter_mut().filter(|known| known.change == change) {
            known.asked.push(pool.to_owned());
        }
    }

    /// Writes down what has become of a change.
    pub(super) fn note_ended(
        &mut self,
        change: PoolsChange,
        outcome: ListedOutcome,
        reason: &str,
    ) -> io::Result<()> {
        for known in self.roster.changes.iter_mut().filter(|known| known.change == change) {
            known.outcome = outcome;
            reason.clone_into(&mut known.reason);
        }
        self.write()
    }
}

/// A change that goes on.
pub(super) fn begun(change: PoolsChange, began: Time) -> ListedChange {
    let (outcome, reason, asked) = (ListedOutcome::Running, String::new(), Vec::new());
    ListedChange { change, outcome, began, reason, asked }
}

/// Returns what the list beside this pid file says of other changes than one for which a program has taken over. Of one that
/// went on nobody sees the end any more. A list that cannot be read says nothing.
pub(super) fn changes_before(pid_path: &Path, change: PoolsChange) -> Vec<ListedChange> {
    let mut changes =
        read_roster(&Roster::beside(pid_path)).map(|roster| roster.changes).unwrap_or_default();
    changes.retain(|known| known.change != change);
    for known in changes.iter_mut().filter(|known| known.outcome == ListedOutcome::Running) {
        known.outcome = ListedOutcome::Failed;
        let begun = match change {
            PoolsChange::Reload => "a reload",
            PoolsChange::Upgrade => "an upgrade",
        };
        known.reason = format!("{begun} has begun before all pools had followed");
    }
    changes
}

/// Reads a list of pools, whoever has written it; `None` if it is none.
#[must_use]
pub fn read_roster(path: &Path) -> Option<Roster> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    file.take(LONGEST_ROSTER).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

impl Drop for RosterFile {
    fn drop(&mut self) {
        if self.maker == getpid() {
            // What stays there says nothing about a daemon that is gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts a file of this text at a path, whole or not at all. Whoever holds the pid file beside it is the only one to write it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    // One that a killed daemon has left.
    let _ = fs::remove_file(&draft);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let mut file = File::from(rustix::fs::open(&draft, flags, mode)?);
    let written = rustix::fs::fchmod(&file, mode).map_err(io::Error::from);
    let written = written.and_then(|()| file.write_all(text.as_bytes()));
    let written = written.and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_list_is_readable_by_all_and_follows_no_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.pools");
        let victim = directory.path().join("victim");
        fs::write(&victim, "kept").expect("a file");
        symlink(&victim, &path).expect("a link");
        symlink(&victim, directory.path().join("app.pools.new")).expect("a link");
        write(&path, "text\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "text\n");
        assert_eq!(fs::read_to_string(&victim).expect("readable"), "kept");
        let found = fs::symlink_metadata(&path).expect("there");
        assert!(found.is_file() && found.mode() & 0o777 == 0o644, "{:o}", found.mode());
        assert!(!directory.path().join("app.pools.new").exists());
        let roster = Roster::default();
        drop(RosterFile { path: path.clone(), maker: getpid(), roster });
        assert!(!path.exists());
    }

    #[test]
    fn a_reload_that_an_upgrade_overtakes_has_an_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let pid_path = directory.path().join("app.pid");
        assert_eq!(changes_before(&pid_path, PoolsChange::Upgrade), []);
        let reload = begun(PoolsChange::Reload, Time::ZERO);
        let upgrade = begun(PoolsChange::Upgrade, Time::ZERO);
        for (reload, expected, reason) in [
            (
                reload.clone(),
                ListedOutcome::Failed,
                "an upgrade has begun before all pools had followed",
            ),
            (ListedChange { outcome: ListedOutcome::Done, ..reload }, ListedOutcome::Done, ""),
        ] {
            let changes = vec![reload.clone(), upgrade.clone()];
            let roster = Roster { changes, ..Roster::default() };
            write(&Roster::beside(&pid_path), &roster.to_string()).expect("written");
            let ended = ListedChange { outcome: expected, reason: reason.to_owned(), ..reload };
            assert_eq!(changes_before(&pid_path, PoolsChange::Upgrade), [ended]);
        }
    }
}
