//! What a process is doing at this moment, and how many can do anything at a time: see `proc_pid_stat(5)`.

use std::{fs::File, io::Read, thread::available_parallelism};

use rustix::process::Pid;

/// Returns whether the first thread of a process runs or waits for a processor; `None` if the process has ended, or cannot be
/// seen.
pub(crate) fn computes(pid: Pid) -> Option<bool> {
    // The state comes soon after the name, of which there are 64 bytes at most.
    let mut text = [0; 128];
    let mut file = File::open(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let length = file.read(&mut text).ok()?;
    match state(&text[..length])? {
        b'R' => Some(true),
        b'Z' | b'X' => None,
        _ => Some(false),
    }
}

/// How many processors this process may use, by its affinity and its control groups.
pub(crate) fn processors() -> Option<u32> {
    let processors = available_parallelism().ok()?;
    u32::try_from(processors.get()).ok()
}

/// The letter after the name, which stands in parentheses, with anything in it.
fn state(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use rustix::process::getpid;

    use super::*;

    #[test]
    fn the_letter_stands_after_the_last_parenthesis() {
        assert_eq!(state(b"7 (a) R (b)) S 1 7 7"), Some(b'S'));
        assert_eq!(state(b"7 (a)"), None);
        assert_eq!(state(b""), None);
    }

    #[test]
    fn who_sleeps_does_not_compute_and_who_has_ended_does_nothing() {
        // Another thread asks, so this one sleeps; the first thread of a test program waits for all tests.
        assert_eq!(computes(getpid()), Some(false));
        let mut child =
            Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("started");
        let pid = Pid::from_child(&child);
        let begun = Instant::now();
        while computes(pid) != Some(true) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never computes");
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("signalled");
        // It is a zombie until it is reaped.
        while computes(pid).is_some() {
            assert!(begun.elapsed() < Duration::from_secs(40), "it never ends");
            thread::sleep(Duration::from_millis(1));
        }
        child.wait().expect("reaped");
    }
}
