//! A control group for each child, with limits of its own.
//!
//! Memory and processes are limited in one hierarchy of groups (version 2), or in one each (version 1). A limit that no group
//! can keep is left to [`Leaf`], or missing: the reason is kept for the log.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use prefork_core::SlotId;
use rustix::process::{Resource, Rlimit, setrlimit};

pub(super) use self::hierarchy::own_name;
use self::hierarchy::{Hierarchy, Place};

mod hierarchy;

/// What a limit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Processes,
}

/// What each child may have, with all that it starts; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChildLimits {
    /// In bytes.
    pub(crate) memory: Option<u64>,
    /// Threads count as processes.
    pub(crate) processes: Option<u64>,
}

/// The groups of the children of this daemon.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    limits: ChildLimits,
    hierarchies: Vec<Hierarchy>,
    missing: Vec<(Controller, String)>,
}

/// What keeps a child below its limits.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    /// These control groups, with all that it starts.
    groups: Vec<PathBuf>,
    /// `RLIMIT_DATA`, in bytes, each process that it starts anew.
    data: Option<u64>,
}

/// Why a child has no group, and of which limits that was to be.
#[derive(Debug)]
pub(crate) struct NoGroup {
    pub(crate) error: io::Error,
    /// What it has instead, in words.
    pub(crate) instead: &'static str,
}

impl Leaf {
    /// Has this process kept below its limits from now on, with all that it starts.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.groups.iter().try_for_each(|group| write(&group.join("cgroup.procs"), "0"))?;
        match self.data {
            Some(bytes) => {
                let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
                Ok(setrlimit(Resource::Data, limit)?)
            }
            None => Ok(()),
        }
    }
}

impl Leaves {
    /// Makes ready that children have groups of their own with these limits, where that is possible.
    ///
    /// Those who wait for the daemon to be ready, and end then, are no reason against it: they go with the parent.
    ///
    /// Without a limit nothing is done, unless an old program in this process has made groups: these are to be removed.
    pub(crate) fn begin(limits: ChildLimits, waiting: &[u32]) -> Self {
        let mut this = Self { limits, ..Self::default() };
        for (controller, limit) in
            [(Controller::Memory, limits.memory), (Controller::Processes, limits.processes)]
        {
            let Some(place) = Place::of_this_process(controller) else {
                if limit.is_some() {
                    let why = format!("no control group limits {} here", controller.what());
                    this.missing.push((controller, why));
                }
                continue;
            };
            if limit.is_some() || place.is_divided() {
                this.keep(place, controller, limit, waiting);
            }
        }
        this
    }

    fn keep(&mut self, place: Place, controller: Controller, limit: Option<u64>, waiting: &[u32]) {
        let at = self.hierarchies.iter().position(|it| it.is_at(&place)).unwrap_or_else(|| {
            self.hierarchies.push(Hierarchy::at(place));
            self.hierarchies.len() - 1
        });
        if let Some(limit) = limit
            && let Err(why) = self.hierarchies[at].keep(controller, limit, waiting)
        {
            self.missing.push((controller, why));
        }
    }

    /// Returns in which group those of the children are, to be named in the log.
    ///
    /// # Errors
    ///
    /// Fails with the reason why none of them keeps this limit.
    pub(crate) fn place(&self, controller: Controller) -> Result<String, &str> {
        match self.missing.iter().find(|(missing, _)| *missing == controller) {
            Some((_, why)) => Err(why),
            None => {
                let found = self.hierarchies.iter().find(|it| it.keeps(controller));
                found.map(Hierarchy::place).ok_or("it has no limit")
            }
        }
    }

    /// Makes the groups of a slot ready for the next child; `None` without a limit. What cannot be made is returned beside.
    pub(crate) fn prepare(&mut self, slot: SlotId) -> (Option<Leaf>, Option<NoGroup>) {
        let ChildLimits { memory, processes } = self.limits;
        if memory.is_none() && processes.is_none() {
            return (None, None);
        }
        let (mut leaf, mut failed, mut kept) = (Leaf::default(), None, Vec::new());
        for hierarchy in self.hierarchies.iter_mut().filter(|it| !it.is_empty()) {
            match hierarchy.prepare(slot) {
                Ok(group) => {
                    leaf.groups.push(group);
                    kept.extend(hierarchy.kept());
                }
                Err(error) => {
                    let keeps = |controller| hierarchy.keeps(controller);
                    let instead = match (keeps(Controller::Memory), keeps(Controller::Processes)) {
                        (true, true) => "RLIMIT_DATA instead, and no limit of processes",
                        (true, false) => "RLIMIT_DATA instead",
                        (false, _) => "no limit of processes",
                    };
                    failed = Some(NoGroup { error, instead });
                }
            }
        }
        leaf.data = memory.filter(|_| !kept.contains(&Controller::Memory));
        (Some(leaf), failed)
    }

    /// Returns the limits that a child has met since it was started: memory, for want of which the kernel has killed somebody
    /// in its group, or processes, of which it was refused one more.
    pub(crate) fn met(&self, slot: SlotId) -> Vec<(Controller, u64)> {
        self.hierarchies.iter().flat_map(|hierarchy| hierarchy.met(slot)).collect()
    }

    /// Ends what is left in the groups of a child that has ended.
    pub(crate) fn end(&self, slot: SlotId) {
        self.hierarchies.iter().for_each(|hierarchy| hierarchy.end(slot));
    }

    /// Removes all groups, and has this process where it was at first.
    pub(crate) fn remove(&self) {
        self.hierarchies.iter().for_each(Hierarchy::remove);
    }
}

impl Controller {
    const fn what(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
        }
    }

    /// Its name, as the kernel has it.
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
        }
    }
}

/// Writes to a file that is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}
