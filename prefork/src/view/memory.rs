//! How much memory a process has.

use std::fs;

use crate::statm;

/// Returns the resident memory of a process in bytes, shared pages too.
pub(super) fn resident(pid: u32) -> Option<u64> {
    statm::resident(&fs::read_to_string(format!("/proc/{pid}/statm")).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some() {
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert_eq!(resident(0), None);
    }
}
