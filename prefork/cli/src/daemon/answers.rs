//! Which signals a process answers to.
//!
//! The default action of most signals is to end the process. A daemon that is asked to upgrade, and
//! does not know how, must not die of it.

use std::{fs, io};

use prefork_daemonize::{Pid, Signal};

/// Returns whether a process handles, blocks (for a `signalfd(2)`) or ignores a signal.
pub(super) fn to(pid: Pid, signal: Signal) -> io::Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(answers(&status, signal.number()))
}

/// Reads the masks of `proc_pid_status(5)`, hexadecimal, signal 1 in the lowest bit.
fn answers(status: &str, number: i32) -> bool {
    let masks = ["SigBlk:", "SigIgn:", "SigCgt:"];
    let is_in = |line: &str| {
        let mask = masks.iter().find_map(|name| line.strip_prefix(name));
        let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
    };
    status.lines().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_in_any_mask_is_answered() {
        let table = [
            ("SigBlk:\t0000000000000200\nSigIgn:\t0\nSigCgt:\t0\n", true),
            ("SigBlk:\t0\nSigIgn:\t0000000000000200\nSigCgt:\t0\n", true),
            ("SigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0000000000000a00\n", true),
            ("SigBlk:\t0000000000000800\nSigIgn:\t1000\nSigCgt:\t0000000000000100\n", false),
            ("SigPnd:\t0000000000000200\nShdPnd:\t0000000000000200\n", false),
            ("SigCgt:\tx\n", false),
            ("", false),
        ];
        for (status, expected) in table {
            assert_eq!(answers(status, Signal::Usr1.number()), expected, "{status:?}");
        }
    }
}
