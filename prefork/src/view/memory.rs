//! How much memory a process has.

use std::fs;

/// Returns the resident memory of a process in bytes, shared pages too: see `proc_pid_statm(5)`.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let pages = parse(&fs::read_to_string(format!("/proc/{pid}/statm")).ok()?)?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

fn parse(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_resident_one() {
        assert_eq!(parse("1234 567 89 1 0 2 0\n"), Some(567));
        assert_eq!(parse(""), None);
        assert_eq!(parse("1 x"), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert_eq!(resident(0), None);
    }
}
