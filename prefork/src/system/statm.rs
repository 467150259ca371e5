//! How much memory a process has, as the kernel counts it.

/// Reads from the text of `/proc/PID/statm` how many bytes are resident, shared memory included: see
/// `proc_pid_statm(5)`.
pub(crate) fn resident(text: &str) -> Option<u64> {
    pages(text)?.checked_mul(rustix::param::page_size() as u64)
}

fn pages(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_resident_one() {
        assert_eq!(pages("1234 567 89 1 0 2 0\n"), Some(567));
        assert_eq!(pages(""), None);
        assert_eq!(pages("1 x"), None);
    }

    #[test]
    fn more_than_there_can_be_is_no_number() {
        assert_eq!(resident("1 18446744073709551615"), None);
    }
}
