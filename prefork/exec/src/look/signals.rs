//! What a process does with a signal.

use std::io;

use nix::sys::signal::Signal;
use prefork_core::program::Treatment;

use super::Process;

impl Process {
    /// Returns what it does with a signal, see `SigCgt` in `proc_pid_status(5)`.
    ///
    /// # Errors
    ///
    /// If it is no more.
    pub(crate) fn treats(&self, signal: Signal) -> io::Result<Treatment> {
        let mut buffer = [0; 4096];
        let status = self.read("status", &mut buffer)?;
        Ok(parse(status, signal as i32))
    }

    /// Returns whether a signal is on its way to it, see `ShdPnd` in `proc_pid_status(5)`; true if it is no more.
    pub(crate) fn is_signalled(&self) -> bool {
        let mut buffer = [0; 4096];
        let Ok(status) = self.read("status", &mut buffer) else { return true };
        [&b"SigPnd:"[..], b"ShdPnd:"].into_iter().any(|name| mask(status, name) != Some(0))
    }
}

/// Returns a mask of signals, of which 1 is the lowest bit.
fn mask(status: &[u8], name: &[u8]) -> Option<u64> {
    let mask = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(std::str::from_utf8(mask).ok()?.trim(), 16).ok()
}

fn parse(status: &[u8], signal: i32) -> Treatment {
    let has = |name| mask(status, name).is_some_and(|mask| mask >> (signal - 1) & 1 == 1);
    if has(b"SigIgn:") {
        Treatment::Ignored
    } else if has(b"SigCgt:") || has(b"SigBlk:") {
        // Who has it blocked waits for it by sigwait(3) or signalfd(2).
        Treatment::Handled
    } else {
        Treatment::Default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_are_read() {
        let status = |blocked: &str, ignored: &str, caught: &str| {
            format!(
                "Name:\tx\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\nCap:\t0\n"
            )
        };
        let (none, term, hup) = ("0000000000000000", "0000000000004000", "0000000000000001");
        for (blocked, ignored, caught, expected) in [
            (none, none, none, Treatment::Default),
            (none, hup, hup, Treatment::Default),
            (none, none, term, Treatment::Handled),
            (term, none, none, Treatment::Handled),
            (none, term, none, Treatment::Ignored),
            (term, term, none, Treatment::Ignored),
        ] {
            let status = status(blocked, ignored, caught);
            assert_eq!(parse(status.as_bytes(), 15), expected, "{status}");
        }
        assert_eq!(parse(b"", 15), Treatment::Default);
    }
}
