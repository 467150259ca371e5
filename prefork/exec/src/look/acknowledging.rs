//! How the kernel acknowledges what comes by a connection, where that says something: see `prefork_core::program`.

use std::{fs, os::fd::BorrowedFd, sync::OnceLock};

use prefork_core::program::Acked;
use rustix::net::sockopt::tcp_quickack;

/// Returns how data is acknowledged that comes by this connection.
pub(super) fn acked(socket: BorrowedFd<'_>) -> Acked {
    static SAYS_SO: OnceLock<bool> = OnceLock::new();
    let says_so = SAYS_SO.get_or_init(|| {
        let read = |name| fs::read_to_string(name).ok();
        let release = read("/proc/sys/kernel/osrelease");
        let threshold = read("/proc/sys/net/ipv4/tcp_pingpong_thresh");
        one_answer_counts(release.as_deref(), threshold.as_deref())
    });
    match tcp_quickack(socket) {
        Ok(alone) if *says_so => {
            if alone {
                Acked::Alone
            } else {
                Acked::WithAnswers
            }
        }
        Ok(_) | Err(_) => Acked::Unknown,
    }
}

/// Whether one prompt answer is enough for the kernel to send acknowledgements with answers: since Linux 6.0, unless
/// `tcp_pingpong_thresh` demands more. It were three from 5.1 on.
fn one_answer_counts(release: Option<&str>, threshold: Option<&str>) -> bool {
    let major = release.and_then(|release| release.split('.').next()?.parse::<u32>().ok());
    let threshold = threshold.is_none_or(|threshold| threshold.trim() == "1");
    major.is_some_and(|major| major >= 6) && threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_count_to_three_say_nothing() {
        for (release, threshold, expected) in [
            (Some("6.18.44-fc-v669\n"), Some("1\n"), true),
            (Some("6.1.0-44-amd64\n"), None, true),
            (Some("6.12.1"), Some("3\n"), false),
            (Some("5.15.0-100-generic\n"), None, false),
            (Some("10.0"), None, true),
            (Some("x"), None, false),
            (None, None, false),
        ] {
            assert_eq!(one_answer_counts(release, threshold), expected, "{release:?}");
        }
    }
}
