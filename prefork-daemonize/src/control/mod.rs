//! Finding the daemon behind a pid file, and signalling it and nobody else.
//!
//! The pid comes from the kernel, which knows who holds the record lock; never from the content
//! of the file. A pid may pass to another process at any moment, so it is pinned:
//!
//! 1. ask who holds the lock: N;
//! 2. open a pidfd for N: from here on it means one process, alive or dead;
//! 3. ask again: still N. The lock ends with its holder, so the process that the pidfd means
//!    holds it: nobody else could have had the number at step 3.
//!
//! Signals go through the pidfd only, see pidfd_send_signal(2).

mod error;
mod look;
mod signal;
mod stop;

pub use error::StopError;
pub use look::{Holder, running};
pub use signal::{Signal, Signalled, signal};
pub use stop::{StopOptions, Stopped, stop};
