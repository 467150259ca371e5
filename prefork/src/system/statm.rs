//! How much memory a process has, as the kernel counts it.

/// Reads from the text of `/proc/PID/statm` how many bytes are resident, shared memory included: see
/// `proc_pid_statm(5)`.
pub(crate) fn resident(text: &str) -> Option<u64> {
    in_bytes(pages(text, RESIDENT)?)
}

/// Reads there how many bytes are resident that are no file's and no shared memory's.
pub(crate) fn own(text: &str) -> Option<u64> {
    in_bytes(pages(text, RESIDENT)?.saturating_sub(pages(text, SHARED)?))
}

/// Which of the numbers it is.
const RESIDENT: usize = 1;
const SHARED: usize = 2;

fn pages(text: &str, which: usize) -> Option<u64> {
    text.split_ascii_whitespace().nth(which)?.parse().ok()
}

fn in_bytes(pages: u64) -> Option<u64> {
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_resident_one_and_the_third_what_of_it_is_shared() {
        let page = rustix::param::page_size() as u64;
        let text = "1234 567 89 1 0 2 0\n";
        assert_eq!((resident(text), own(text)), (Some(567 * page), Some(478 * page)));
        for text in ["", "1 x", "1 18446744073709551616 1"] {
            assert_eq!((resident(text), own(text)), (None, None), "{text}");
        }
        assert_eq!(own("9 1 2"), Some(0));
    }

    #[test]
    fn more_than_there_can_be_is_no_number() {
        assert_eq!(resident("1 18446744073709551615"), None);
    }
}
