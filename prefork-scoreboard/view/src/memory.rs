//! How much memory a process has.

use std::fs;

/// Returns the resident memory of a process in bytes, shared pages too: see `proc_pid_statm(5)`.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
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
