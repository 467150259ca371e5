//! Whether the kernel writes a core dump of a process.

use std::fs;

use rustix::process::Pid;

/// Returns whether one is being written, by the kernel itself or through the program that `/proc/sys/kernel/core_pattern`
/// names; false if that is not known.
///
/// See `CoreDumping` in `proc_pid_status(5)`. Nothing in that file takes the lock of the memory of its process.
pub(crate) fn dumps_core(pid: Pid) -> bool {
    fs::read(format!("/proc/{}/status", pid.as_raw_nonzero())).is_ok_and(|status| shown(&status))
}

/// Reads it from a status. The name of the process in there is one line, whatever it is.
fn shown(status: &[u8]) -> bool {
    let mut lines = status.split(|byte| *byte == b'\n');
    lines.any(|line| line.strip_prefix(b"CoreDumping:").is_some_and(|it| it.trim_ascii() == b"1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_shows_whether_a_dump_is_written() {
        assert!(shown(b"Name:\tx\nThreads:\t1\nCoreDumping:\t1\nTHP_enabled:\t1\n"));
        assert!(!shown(b"Name:\tx\nCoreDumping:\t0\nTHP_enabled:\t1\n"));
        assert!(!shown(b"Name:\tCoreDumping:\\n1\n"), "a kernel that does not say, and a name");
    }

    #[test]
    fn of_this_process_none_is_written() {
        assert!(!dumps_core(rustix::process::getpid()));
    }
}
