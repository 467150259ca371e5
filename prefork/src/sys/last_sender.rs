//! Who has sent a signal that a handler takes down.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

/// The sender of the last signal of a kind.
#[derive(Debug, Default)]
pub(crate) struct LastSender(AtomicU64);

/// What no process is: the kernel by itself, as for a terminal. Pids end long before.
const KERNEL: u64 = u64::MAX;

impl LastSender {
    /// Takes it down; to be called in a handler with what that is given.
    pub(super) fn note(&self, info: &libc::siginfo_t) {
        let sender = match info.si_code {
            libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
                // SAFETY: a signal with one of these codes has the pid of its sender (see `sigaction(2)`).
                let pid = unsafe { info.si_pid() };
                // SAFETY: and its uid.
                let uid = unsafe { info.si_uid() };
                u64::from(pid.unsigned_abs()) << 32 | u64::from(uid)
            }
            _ => KERNEL,
        };
        // Relaxed: the flag that is raised next publishes it.
        self.0.store(sender, Ordering::Relaxed);
    }

    /// Returns pid and user of the process that has sent the signal, once its flag was seen; `None` for the kernel.
    #[expect(clippy::cast_possible_truncation, reason = "each half is a number of 32 bits")]
    pub(crate) fn process(&self) -> Option<(u32, u32)> {
        match self.0.load(Ordering::Relaxed) {
            KERNEL => None,
            sender => Some(((sender >> 32) as u32, sender as u32)),
        }
    }
}
