//! Becoming a daemon, and reporting to the launcher how that went.
//!
//! Three processes take part, joined by two socket pairs that carry whole messages:
//!
//! ```text
//! launcher ── fork ──► watcher ── setsid, fork ──► daemon
//!    │ ▲──────────────────┘ "forked", "ended so"      │
//!    └──◄─── "ready", "failed because ..." ───────────┘
//! ```
//!
//! The *watcher* is the process between the two forks. Elsewhere it exits at once; here it
//! stays until the launcher has its answer, because only a parent learns how a process
//! ended (waitpid(2)), on every kernel and without a race over pids. It runs no code of the
//! caller, has every signal blocked, and ends when the launcher says so or is gone.
//!
//! The daemon gets an answer: [`Readiness::ready`] returns only when the launcher has
//! acknowledged it, so a daemon never serves behind a launcher that reported a failure.

mod builder;
mod channel;
mod descriptors;
mod error;
mod launcher;
mod message;
mod readiness;
mod setup;
mod watcher;

pub use builder::{Daemonize, Launched, Outcome};
pub use descriptors::Descriptors;
pub use error::{DaemonizeError, Ended};
pub use readiness::{Readiness, ReadyError};
