//! Limits of memory that are none.

use prefork_core::too_little_memory;

use super::Faults;
use crate::args::Settings;

pub(super) fn check(settings: &Settings, faults: &mut Faults) {
    let limits = [
        ("max_memory", settings.max_memory),
        ("child_memory_limit", settings.child_memory_limit),
        ("memory_limit", settings.memory_limit),
    ];
    for (argument, bytes) in limits {
        if let Some(problem) = bytes.and_then(too_little_memory) {
            faults.add(argument, problem);
        }
    }
}
