//! Forking, in the way in which everything is forked here.

use std::io::{self, Write};

use super::signals::{block_all_signals, set_signal_mask};
use crate::sys::{self, Forked};

/// Finds out what the processor can do, which code of the program may ask for in each child: the answer is kept, and
/// inherited. In a virtual machine each `cpuid` is a trap, and together they take longer than many a system call.
pub(crate) fn know_processor() {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let _ = std::arch::is_x86_feature_detected!("avx2");
}

/// Forks with nothing buffered, which both would write, and with every signal blocked, so that nothing
/// interrupts the child before it has parted with what is the parent's.
///
/// In the parent the signal mask is as before; the child has to set one.
///
/// # Errors
///
/// Fails as `fork(2)` does, and if there are further threads.
pub(crate) fn fork() -> io::Result<Forked> {
    let _ = io::stdout().flush();
    sys::flush_c_streams();
    let before = block_all_signals()?;
    let forked = sys::fork();
    if !matches!(forked, Ok(Forked::Child)) {
        // A mask that was read is one that can be set: see `pthread_sigmask(3)`.
        let _ = set_signal_mask(&before);
    }
    forked
}
