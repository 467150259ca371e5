//! How the kernel acknowledges what comes by a connection, where that says something: see `prefork_core::program`.

use std::{collections::HashMap, fs, io, os::fd::BorrowedFd, sync::OnceLock};

use prefork_core::program::Acked;
use rustix::net::sockopt::tcp_quickack;

/// Returns how data is acknowledged that comes by this connection.
pub(super) fn acked(socket: BorrowedFd<'_>) -> Acked {
    match tcp_quickack(socket) {
        Ok(alone) if says_so() => known(alone),
        Ok(_) | Err(_) => Acked::Unknown,
    }
}

/// Returns the same of all connections of this network namespace, by the inodes of their sockets, see `proc_net(5)`.
///
/// # Errors
///
/// If that is not to be read.
pub(super) fn of_all() -> io::Result<HashMap<u64, Acked>> {
    let mut all = HashMap::new();
    if says_so() {
        for name in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            match fs::read_to_string(name) {
                Ok(text) => all.extend(text.lines().filter_map(parse)),
                // Without IPv6.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(all)
}

/// Reads the inode of a row, and the last bit of a column without a name: whether acknowledgements go with answers.
fn parse(line: &str) -> Option<(u64, Acked)> {
    let mut words = line.split_ascii_whitespace().skip(9);
    let inode = words.next()?.parse().ok()?;
    let mode: u64 = words.nth(4)?.parse().ok()?;
    Some((inode, known(mode & 1 == 0)))
}

const fn known(alone: bool) -> Acked {
    if alone { Acked::Alone } else { Acked::WithAnswers }
}

fn says_so() -> bool {
    static SAYS_SO: OnceLock<bool> = OnceLock::new();
    *SAYS_SO.get_or_init(|| {
        let read = |name| fs::read_to_string(name).ok();
        let release = read("/proc/sys/kernel/osrelease");
        let threshold = read("/proc/sys/net/ipv4/tcp_pingpong_thresh");
        one_answer_counts(release.as_deref(), threshold.as_deref())
    })
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
    fn a_row_says_how_its_data_is_acknowledged() {
        let row = |mode: &str| {
            format!(
                "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 \
                 0000000000000000 20 4 {mode} 10 -1"
            )
        };
        assert_eq!(parse(&row("31")), Some((4711, Acked::WithAnswers)));
        assert_eq!(parse(&row("30")), Some((4711, Acked::Alone)));
        // A row of TIME_WAIT ends before it.
        let short = row("0");
        assert_eq!(parse(short.split(" 20 4").next().expect("a row")), None);
        assert_eq!(
            parse("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"),
            None
        );
    }

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
