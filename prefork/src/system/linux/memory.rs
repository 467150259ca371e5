//! What the control groups of this process count of memory.

use prefork_core::{MemoryCounts, MemoryGroup};

use super::control_groups::{self, Files, Version};

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
