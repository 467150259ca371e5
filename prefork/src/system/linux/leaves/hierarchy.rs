//! The groups of children in one hierarchy.
//!
//! The group of the daemon is left to the groups that are made in it: below one that has limits for others there can be no
//! process in version 2 (see "no internal processes" in `cgroups(7)`). So the parent goes into one of its own,
//! `prefork-PID`, and the child of a slot into `prefork-PID-SLOT`, which the next one in that slot has too. They are removed
//! at the end; those of a daemon that was killed by the next one that is started in the same place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use nix::errno::Errno;
use prefork_core::SlotId;
use rustix::fs::{Access, access};

use super::{
    super::control_groups::{self, Version},
    Controller, write,
};

/// What all groups that are made here begin with.
const PREFIX: &str = "prefork-";

/// Where a service manager says that what is below a group is the service's own.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// Where the groups of children are to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    version: Version,
    base: PathBuf,
    /// Whether this process is in a group of its own there.
    is_divided: bool,
}

/// The groups of children in a hierarchy.
#[derive(Debug)]
pub(super) struct Hierarchy {
    place: Place,
    kept: Vec<Kept>,
}

/// A limit of each group.
#[derive(Debug)]
struct Kept {
    controller: Controller,
    limit: u64,
    /// How often it had been met in the group of each slot when its child was started.
    before: Vec<u64>,
}

impl Place {
    /// Finds it, where groups limit this.
    pub(super) fn of_this_process(controller: Controller) -> Option<Self> {
        let groups = control_groups::of_this_process_with_own(controller.name());
        let (version, own) = groups.first().map(|group| (group.version(), group.path()))?;
        let is_divided = own.file_name().is_some_and(|file| file == &*own_name());
        let base = if is_divided { own.parent().unwrap_or(own) } else { own }.to_owned();
        Some(Self { version, base, is_divided })
    }

    pub(super) const fn is_divided(&self) -> bool {
        self.is_divided
    }
}

impl Hierarchy {
    pub(super) const fn at(place: Place) -> Self {
        Self { place, kept: Vec::new() }
    }

    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.place.base == place.base
    }

    /// Has each group keep this limit as well. Those who wait for the daemon to be ready, and end then, are no reason against it:
    /// they go with the parent.
    ///
    /// # Errors
    ///
    /// Fails with the reason why it cannot.
    pub(super) fn keep(
        &mut self,
        controller: Controller,
        limit: u64,
        waiting: &[u32],
    ) -> Result<(), String> {
        if self.kept.is_empty() && !self.place.is_divided {
            self.remove_those_of_the_dead();
        }
        self.enable(controller, waiting)?;
        self.kept.push(Kept { controller, limit, before: Vec::new() });
        Ok(())
    }

    /// Has groups in the base limit this.
    fn enable(&mut self, controller: Controller, waiting: &[u32]) -> Result<(), String> {
        let Place { version, base, is_divided } = &self.place;
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
            text.split_whitespace().any(|there| there == controller.name())
        };
        if has("cgroup.subtree_control") {
            return Ok(());
        }
        if !has("cgroup.controllers") {
            return Err(format!("the controller of {} is not for {shown}", controller.what()));
        }
        let own = base.join(own_name());
        let divide = || {
            make(&own).and_then(|()| write(&own.join("cgroup.procs"), "0"))?;
            for pid in members(base).filter(|pid| waiting.contains(pid)) {
                let _ = write(&own.join("cgroup.procs"), &pid.to_string());
            }
            Ok(())
        };
        let divided = if *is_divided { Ok(()) } else { divide() };
        let enable = format!("+{}", controller.name());
        let enabled = divided.and_then(|()| write(&base.join("cgroup.subtree_control"), &enable));
        match enabled {
            Ok(()) => {
                self.place.is_divided = true;
                Ok(())
            }
            Err(error) => {
                if !is_divided {
                    self.bring_back(&own);
                }
                let why = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EBUSY => "others than this daemon are in it".to_owned(),
                    _ => error.to_string(),
                };
                Err(format!("{shown} cannot be divided: {why}"))
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn keeps(&self, controller: Controller) -> bool {
        self.kept().any(|kept| kept == controller)
    }

    /// Returns what its groups limit.
    pub(super) fn kept(&self) -> impl Iterator<Item = Controller> {
        self.kept.iter().map(|kept| kept.controller)
    }

    /// Returns the group in which those of the children are, to be named in the log.
    pub(super) fn place(&self) -> String {
        prefork_core::one_line(&self.place.base).to_string()
    }

    /// Makes the group of a slot ready for the next child, and returns it.
    pub(super) fn prepare(&mut self, slot: SlotId) -> io::Result<PathBuf> {
        let (group, version) = (self.of(slot), self.place.version);
        make(&group)?;
        for Kept { controller, limit, before } in &mut self.kept {
            write(&group.join(limit_file(*controller, version)), &limit.to_string())?;
            if before.len() <= slot.index() {
                before.resize(slot.index() + 1, 0);
            }
            before[slot.index()] = times_met(&group, *controller, version);
        }
        if version == Version::Two && self.keeps(Controller::Memory) {
            // Before Linux 4.19 there is none; then the kernel kills one after the other.
            let _ = write(&group.join("memory.oom.group"), "1");
        }
        Ok(group)
    }

    /// Returns the limits that were met in the group of a slot since its child was started.
    pub(super) fn met(&self, slot: SlotId) -> impl Iterator<Item = (Controller, u64)> {
        let (group, version) = (self.of(slot), self.place.version);
        self.kept.iter().filter_map(move |kept| {
            let before = *kept.before.get(slot.index())?;
            let now = times_met(&group, kept.controller, version);
            (now > before).then_some((kept.controller, kept.limit))
        })
    }

    /// Ends what is left in the group of a child that has ended.
    pub(super) fn end(&self, slot: SlotId) {
        // Before Linux 5.14, and in version 1, there is no such file; then they are looked for.
        if self.place.version == Version::Two {
            let _ = write(&self.of(slot).join("cgroup.kill"), "1");
        }
    }

    /// Removes all groups, and has this process where it was at first.
    pub(super) fn remove(&self) {
        let Place { version, base, .. } = &self.place;
        let own = base.join(own_name());
        for group in self.made().filter(|group| *group != own) {
            let _ = fs::remove_dir(group);
        }
        if *version == Version::Two && own.exists() {
            // Processes can be in it again once it divides nothing. An old program may have divided more than this one.
            for controller in [Controller::Memory, Controller::Processes] {
                let disable = format!("-{}", controller.name());
                let _ = write(&base.join("cgroup.subtree_control"), &disable);
            }
            self.bring_back(&own);
        }
    }

    /// Has all processes of a group where they were, and removes it.
    fn bring_back(&self, group: &Path) {
        for pid in members(group) {
            let _ = write(&self.place.base.join("cgroup.procs"), &pid.to_string());
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
        let entries = fs::read_dir(&self.place.base).ok().into_iter().flatten().flatten();
        let groups = entries.map(|entry| entry.path());
        groups.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let rest = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
            !name.is_empty() && name.starts_with(PREFIX) && rest.into_iter().all(is_number)
        })
    }

    fn of(&self, slot: SlotId) -> PathBuf {
        self.place.base.join(format!("{}-{slot}", own_name()))
    }
}

/// The file that has a limit.
const fn limit_file(controller: Controller, version: Version) -> &'static str {
    match (controller, version) {
        (Controller::Memory, Version::One) => "memory.limit_in_bytes",
        (Controller::Memory, Version::Two) => "memory.max",
        (Controller::Processes, Version::One | Version::Two) => "pids.max",
    }
}

/// How often a limit was met in a group: processes killed, or refused.
fn times_met(group: &Path, controller: Controller, version: Version) -> u64 {
    let (file, key) = match (controller, version) {
        (Controller::Memory, Version::One) => ("memory.oom_control", "oom_kill "),
        (Controller::Memory, Version::Two) => ("memory.events", "oom_kill "),
        (Controller::Processes, Version::One | Version::Two) => ("pids.events", "max "),
    };
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix(key));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The name of the group of this parent.
pub(crate) fn own_name() -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(base: &Path, kept: &[(Controller, u64)]) -> Hierarchy {
        let (version, base) = (Version::One, base.to_owned());
        let kept = kept.iter().map(|(controller, limit)| Kept {
            controller: *controller,
            limit: *limit,
            before: Vec::new(),
        });
        let kept = kept.collect();
        Hierarchy { place: Place { version, base, is_divided: false }, kept }
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
        hierarchy(folder.path(), &[]).remove_those_of_the_dead();
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
    fn limits_that_were_met_since_the_child_was_started_are_seen() {
        for (controller, limit, counts, key) in [
            (Controller::Memory, "memory.limit_in_bytes", "memory.oom_control", "oom_kill"),
            (Controller::Processes, "pids.max", "pids.events", "max"),
        ] {
            let folder = tempfile::tempdir().expect("a directory");
            let mut hierarchy = hierarchy(folder.path(), &[(controller, 7)]);
            let slot = SlotId(3);
            let met = |hierarchy: &Hierarchy| hierarchy.met(slot).collect::<Vec<_>>();
            assert_eq!(met(&hierarchy), [], "there was never a child");
            let group = hierarchy.of(slot);
            fs::create_dir(&group).expect("made");
            let count = |times| fs::write(group.join(counts), format!("other 9\n{key} {times}\n"));
            count(4).expect("written");
            fs::write(group.join(limit), "").expect("written");
            assert_eq!(hierarchy.prepare(slot).expect("made"), group);
            assert_eq!(fs::read_to_string(group.join(limit)).expect("read"), "7");
            assert_eq!(met(&hierarchy), []);
            count(5).expect("written");
            assert_eq!(met(&hierarchy), [(controller, 7)]);
        }
    }
}
