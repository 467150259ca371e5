//! What the control groups of this process count of memory.

use std::io;

use prefork_core::{MemoryCounts, MemoryGroup, PoolMemory};
use rustix::event::PollFd;

use super::{
    control_groups::{self, ControlGroup, Files, Version},
    memory_alarm::Alarm,
};

/// What version 1 has for no limit, and a little less: whole pages.
const UNLIMITED: u64 = 1 << 62;

/// Reads it. `None` where nothing counts, as in the root group of version 2 or a sandbox without control groups.
///
/// Of version 2 the group whose limit was the reason says so (`oom` in `memory.events.local`). Of version 1 it only counts
/// how often its limit was reached, also where memory was found then.
pub(crate) fn memory_counts() -> Option<MemoryCounts> {
    let groups = control_groups::of_this_process("memory");
    let files = &mut Files::default();
    let kills = groups.iter().find_map(|group| match group.version() {
        Version::One => group.number_of("memory.oom_control", "oom_kill", files),
        Version::Two => group.number_of("memory.events", "oom_kill", files),
    })?;
    let groups = groups.iter().filter_map(|group| {
        let (file, refusals) = match group.version() {
            Version::One => ("memory.limit_in_bytes", group.number("memory.failcnt", files)?),
            Version::Two => ("memory.max", group.number_of("memory.events.local", "oom", files)?),
        };
        let limit = group.number(file, files).filter(|limit| *limit < UNLIMITED);
        Some(MemoryGroup { name: group.name_of(file), limit, refusals })
    });
    Some(MemoryCounts { kills, groups: groups.collect() })
}

/// The control groups whose limits of memory hold for this process.
#[derive(Debug)]
pub(crate) struct MemoryLimits {
    groups: Vec<(ControlGroup, Alarm)>,
    files: Files,
}

impl MemoryLimits {
    /// Finds them. Whether they have a limit may change while the daemon serves.
    pub(crate) fn find() -> Self {
        let mut files = Files::default();
        let mut groups = control_groups::of_this_process("memory");
        groups.retain(|group| group.number(used_in(group), &mut files).is_some());
        let groups = groups.into_iter().map(|group| {
            let mut alarm = Alarm::default();
            alarm.keep(&group, limit_of(&group, &mut files));
            (group, alarm)
        });
        Self { groups: groups.collect(), files }
    }

    /// Whether there is none that could have a limit.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns the lowest limit, in bytes, and how it is named in the log.
    pub(crate) fn lowest(&mut self) -> Option<(u64, String)> {
        let Self { groups, files } = self;
        let limits = groups.iter().filter_map(|(group, _)| {
            limit_of(group, files).map(|limit| (limit, group.name_of(limit_in(group))))
        });
        limits.min_by_key(|(limit, _)| *limit)
    }

    /// Returns what is ready to be waited for when memory runs short, of each group that has a limit and allows it.
    pub(crate) fn alarms(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.groups.iter().flat_map(|(_, alarm)| alarm.descriptors())
    }

    /// Returns why there is no alarm, of the first group that has a limit and refuses one.
    pub(crate) fn refused_alarm(&self) -> Option<&io::Error> {
        self.groups.iter().find_map(|(_, alarm)| alarm.refused())
    }

    /// Takes in that memory runs short: the alarms are ready when something new happens.
    pub(crate) fn silence(&self) {
        self.groups.iter().for_each(|(_, alarm)| alarm.silence());
    }

    /// Closes what belongs to another process.
    pub(crate) fn close(&mut self) {
        self.groups.iter_mut().for_each(|(_, alarm)| *alarm = Alarm::default());
    }

    /// Reads what is in use where the least is free. Alarms are set again where a limit has changed.
    pub(crate) fn read(&mut self) -> Option<PoolMemory> {
        let Self { groups, files } = self;
        let read = groups.iter_mut().filter_map(|(group, alarm)| {
            let limit = limit_of(group, files);
            alarm.keep(group, limit);
            let limit = limit?;
            let used = group.number(used_in(group), files)?;
            // Files that are cached count, and do not matter. To read how much they are costs more, and they can be no reason
            // where there is enough with them.
            let cached = if used > limit / 4 * 3 { cached_in(group, files) } else { 0 };
            Some(PoolMemory { used: used.saturating_sub(cached), limit })
        });
        read.reduce(PoolMemory::tighter)
    }
}

fn limit_of(group: &ControlGroup, files: &mut Files) -> Option<u64> {
    group.number(limit_in(group), files).filter(|limit| *limit < UNLIMITED)
}

const fn limit_in(group: &ControlGroup) -> &'static str {
    match group.version() {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    }
}

const fn used_in(group: &ControlGroup) -> &'static str {
    match group.version() {
        Version::One => "memory.usage_in_bytes",
        Version::Two => "memory.current",
    }
}

/// Returns how much the kernel would take back before it ends anybody.
fn cached_in(group: &ControlGroup, files: &mut Files) -> u64 {
    let keys: &[&str] = match group.version() {
        Version::One => &["total_inactive_file", "total_active_file"],
        Version::Two => &["inactive_file", "active_file", "slab_reclaimable"],
    };
    group.sum_of("memory.stat", keys, files).unwrap_or(0)
}
