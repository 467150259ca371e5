//! A control group for each child, with a limit of memory of its own.
//!
//! The group of the daemon is left to the groups that are made in it: below one that has limits for others there can be no
//! process in version 2 (see "no internal processes" in `cgroups(7)`). So the parent goes into one of its own,
//! `prefork-PID`, and the child of a slot into `prefork-PID-SLOT`, which the next one in that slot has too. They are removed
//! at the end; those of a daemon that was killed by the next one that is started in the same place.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use nix::errno::Errno;
use prefork_core::SlotId;
use rustix::{
    fs::{Access, access},
    process::{Resource, Rlimit, setrlimit},
};

use super::control_groups::{self, Version};

/// What all groups that are made here begin with.
const PREFIX: &str = "prefork-";

/// Where a service manager says that what is below a group is the service's own.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// The groups of the children of this daemon.
#[derive(Debug)]
pub(crate) struct Leaves {
    version: Version,
    /// In which they are.
    base: PathBuf,
    /// What each child may have, in bytes; none if they are only to be removed.
    limit: Option<u64>,
    /// How often the kernel had killed somebody in each group when its child was started.
    kills: Vec<u64>,
}

/// What keeps a child below its limit.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// This control group, with all that it starts.
    Group(PathBuf),
    /// `RLIMIT_DATA`, in bytes, each process that it starts anew.
    Data(u64),
}

impl Leaf {
    /// Has this process kept below the limit from now on, with all that it starts.
    pub(crate) fn enter(&self) -> io::Result<()> {
        match self {
            Self::Group(group) => write(&group.join("cgroup.procs"), "0"),
            Self::Data(bytes) => {
                let limit = Rlimit { current: Some(*bytes), maximum: Some(*bytes) };
                Ok(setrlimit(Resource::Data, limit)?)
            }
        }
    }
}

impl Leaves {
    /// Makes ready that children have groups of their own with this limit; says why not, where that is not possible.
    ///
    /// Those who wait for the daemon to be ready, and end then, are no reason: they go with the parent.
    ///
    /// Without a limit nothing is done, unless an old program in this process has made groups: these are to be removed.
    pub(crate) fn begin(limit: Option<u64>, waiting: &[u32]) -> Result<Option<Self>, String> {
        let groups = control_groups::of_this_process_with_own("memory");
        let Some((version, own)) = groups.first().map(|group| (group.version(), group.path()))
        else {
            return limit
                .map_or(Ok(None), |_| Err("no control group limits memory here".to_owned()));
        };
        let name = own_name();
        let is_moved = own.file_name().is_some_and(|file| file == &*name);
        let base = if is_moved { own.parent().unwrap_or(own) } else { own }.to_owned();
        let leaves = Self { version, base, limit, kills: Vec::new() };
        match (limit, is_moved) {
            (None, false) => return Ok(None),
            (None, true) | (Some(_), true) => return Ok(Some(leaves)),
            (Some(_), false) => {}
        }
        leaves.remove_those_of_the_dead();
        leaves.settle(waiting)?;
        Ok(Some(leaves))
    }

    /// Makes the base ready for groups in it.
    fn settle(&self, waiting: &[u32]) -> Result<(), String> {
        let Self { version, base, .. } = self;
        let shown = prefork_core::one_line(base);
        if access(base, Access::WRITE_OK).is_err() {
            return Err(format!("no group can be made in {shown}: it is not writable"));
        }
        if *version == Version::One {
            return Ok(());
        }
        if is_managed() && !is_delegated(base) {
            return Err(format!("{shown} is the service manager's; set Delegate=yes"));
        }
        let has = |file| {
            let text = fs::read_to_string(base.join(file)).unwrap_or_default();
            text.split_whitespace().any(|controller| controller == "memory")
        };
        if has("cgroup.subtree_control") {
            return Ok(());
        }
        if !has("cgroup.controllers") {
            return Err(format!("the controller of memory is not for {shown}"));
        }
        let own = base.join(own_name());
        let moved = make(&own).and_then(|()| write(&own.join("cgroup.procs"), "0"));
        for pid in members(base).filter(|pid| waiting.contains(pid)) {
            let _ = write(&own.join("cgroup.procs"), &pid.to_string());
        }
        let enabled = moved.and_then(|()| write(&base.join("cgroup.subtree_control"), "+memory"));
        enabled.map_err(|error| {
            self.bring_back(&own);
            let why = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EBUSY => "others than this daemon are in it".to_owned(),
                _ => error.to_string(),
            };
            format!("{shown} cannot be divided: {why}")
        })
    }

    /// The group in which those of the children are, to be named in the log.
    pub(crate) fn place(&self) -> String {
        prefork_core::one_line(&self.base).to_string()
    }

    /// Makes the group of a slot ready for the next child; `None` without a limit.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be made. The child may have a [`Leaf::Data`] instead.
    pub(crate) fn prepare(&mut self, slot: SlotId) -> io::Result<Option<Leaf>> {
        let Some(limit) = self.limit else { return Ok(None) };
        let group = self.of(slot);
        make(&group)?;
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        write(&group.join(file), &limit.to_string())?;
        if self.version == Version::Two {
            // Before Linux 4.19 there is none; then the kernel kills one after the other.
            let _ = write(&group.join("memory.oom.group"), "1");
        }
        let kills = self.kills_in(slot);
        if self.kills.len() <= slot.index() {
            self.kills.resize(slot.index() + 1, 0);
        }
        self.kills[slot.index()] = kills;
        Ok(Some(Leaf::Group(group)))
    }

    /// Returns the limit if the kernel has killed somebody in the group of a child for want of memory since it was started.
    pub(crate) fn used_up(&self, slot: SlotId) -> Option<u64> {
        let before = *self.kills.get(slot.index())?;
        self.limit.filter(|_| self.kills_in(slot) > before)
    }

    /// Ends what is left in the group of a child that has ended.
    pub(crate) fn end(&self, slot: SlotId) {
        // Before Linux 5.14, and in version 1, there is no such file; then they are looked for.
        if self.version == Version::Two {
            let _ = write(&self.of(slot).join("cgroup.kill"), "1");
        }
    }

    /// Removes all groups, and has this process where it was at first.
    pub(crate) fn remove(&self) {
        let own = self.base.join(own_name());
        for group in self.made().filter(|group| *group != own) {
            let _ = fs::remove_dir(group);
        }
        if self.version == Version::Two && own.exists() {
            // Processes can be in it again once it divides nothing.
            let _ = write(&self.base.join("cgroup.subtree_control"), "-memory");
            self.bring_back(&own);
        }
    }

    /// Has all processes of a group where they were, and removes it.
    fn bring_back(&self, group: &Path) {
        for pid in members(group) {
            let _ = write(&self.base.join("cgroup.procs"), &pid.to_string());
        }
        let _ = fs::remove_dir(group);
    }

    /// Those of daemons that are no more go, and those that are not in use of one that is makes again itself.
    fn remove_those_of_the_dead(&self) {
        for group in self.made() {
            let name = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let pid = name[PREFIX.len()..].split('-').next().unwrap_or_default();
            if !Path::new("/proc").join(pid).exists() || pid == process::id().to_string() {
                let _ = fs::remove_dir(group);
            }
        }
    }

    /// All groups of daemons that are in the base.
    fn made(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.base).ok().into_iter().flatten().flatten();
        let groups = entries.map(|entry| entry.path());
        groups.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let rest = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
            !name.is_empty() && name.starts_with(PREFIX) && rest.into_iter().all(is_number)
        })
    }

    fn of(&self, slot: SlotId) -> PathBuf {
        self.base.join(format!("{}-{slot}", own_name()))
    }

    fn kills_in(&self, slot: SlotId) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.of(slot).join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

/// The name of the group of this parent.
pub(super) fn own_name() -> String {
    format!("{PREFIX}{}", process::id())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The processes of a group.
fn members(group: &Path) -> impl Iterator<Item = u32> {
    let there = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let pids: Vec<_> = there.lines().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter()
}

/// Whether systemd manages the groups of this machine: see `sd_booted(3)`.
fn is_managed() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn is_delegated(group: &Path) -> bool {
    let mut value = [0; 8];
    DELEGATED.iter().any(|name| {
        let read = rustix::fs::getxattr(group, *name, &mut value[..]);
        read.is_ok_and(|length| &value[..length] == b"1")
    })
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Writes to a file that is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(base: &Path) -> Leaves {
        let (version, base) = (Version::One, base.to_owned());
        Leaves { version, base, limit: Some(1), kills: Vec::new() }
    }

    #[test]
    fn groups_of_others_are_left_alone() {
        let folder = tempfile::tempdir().expect("a directory");
        let own = own_name();
        let left = ["prefork-1-0", "prefork-x", "prefork-", "prefork-4194305-x", "other"];
        let gone = [own.clone(), format!("{own}-0"), "prefork-4194305-7".to_owned()];
        for name in left.iter().copied().chain(gone.iter().map(String::as_str)) {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        // No process has a number above the largest that there can be; the first process is there.
        leaves(folder.path()).remove_those_of_the_dead();
        let entries = fs::read_dir(folder.path()).expect("read");
        let mut there: Vec<_> = entries
            .map(|entry| entry.expect("one").file_name().into_string().expect("a name"))
            .collect();
        there.sort_unstable();
        let mut left = left.map(str::to_owned);
        left.sort_unstable();
        assert_eq!(there, left);
    }

    #[test]
    fn a_kill_since_the_child_was_started_is_seen() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut leaves = leaves(folder.path());
        let slot = SlotId(3);
        assert_eq!(leaves.used_up(slot), None, "there was never a child");
        let group = leaves.of(slot);
        fs::create_dir(&group).expect("made");
        let count = |kills| {
            fs::write(group.join("memory.oom_control"), format!("under_oom 0\noom_kill {kills}\n"))
        };
        count(4).expect("written");
        fs::write(group.join("memory.limit_in_bytes"), "").expect("written");
        let leaf = leaves.prepare(slot).expect("made");
        assert!(matches!(leaf, Some(Leaf::Group(path)) if path == group));
        assert_eq!(fs::read_to_string(group.join("memory.limit_in_bytes")).expect("read"), "1");
        assert_eq!(leaves.used_up(slot), None);
        count(5).expect("written");
        assert_eq!(leaves.used_up(slot), Some(1));
    }
}
