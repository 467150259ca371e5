//! Turning a process into a daemon whose launcher knows whether it serves.
//!
//! `mydaemon start` should return 0 when, and only when, the daemon serves; otherwise it should
//! say why not, in the daemon's own words. A second start should say that the first one runs. And
//! `mydaemon stop` should end that daemon, never some other process that happens to have the
//! number which a file contains. That is this crate:
//!
//! - [`Daemonize`] forks the daemon and waits for its [`Readiness`];
//! - [`PidFile`] lets one daemon run at a time and proves which process it is;
//! - [`running`], [`signal()`] and [`stop()`] find that process from anywhere;
//! - [`Privileges`] are what a process runs as: looked up by name once, applied in a child, and read back;
//! - [`SocketFile`] is the file of a UNIX socket: it replaces what a killed daemon has left, and goes with the daemon;
//! - [`open_log`] and [`reset_signals`] are what a daemon needs besides.
//!
//! # When to use
//!
//! For programs that are started by init scripts, by hand, or by `Type=forking` units. A program
//! that runs only under a supervisor which keeps it in the foreground needs no daemonizing, but
//! may still want the pid file, the log and the signals.
//!
//! # Examples
//!
//! The whole life of a daemon; `examples/tinyd.rs` is the same with a service to offer.
//!
//! ```no_run
//! use std::error::Error;
//! use prefork_daemonize::{Daemonize, Outcome, PidFile, Readiness, StopOptions, Stopped};
//!
//! const PID_FILE: &str = "/run/tinyd.pid";
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     if std::env::args().nth(1).as_deref() == Some("stop") {
//!         if let Stopped::NotRunning = prefork_daemonize::stop(PID_FILE, &StopOptions::new())? {
//!             println!("not running");
//!         }
//!         return Ok(());
//!     }
//!     match Daemonize::new().start()? {
//!         Outcome::Launcher(launched) => println!("serving as pid {}", launched.pid),
//!         Outcome::Daemon(readiness) => match PidFile::create(PID_FILE) {
//!             Ok(pid_file) => serve(readiness, pid_file)?,
//!             Err(error) => readiness.failed(&error),
//!         },
//!     }
//!     Ok(())
//! }
//!
//! fn serve(readiness: Readiness, pid_file: PidFile) -> Result<(), Box<dyn Error>> {
//!     // Bind sockets here, then:
//!     readiness.ready()?;
//!     // Serve here until asked to stop, then:
//!     Ok(pid_file.remove()?)
//! }
//! ```
//!
//! # Limitations
//!
//! - Linux 5.4 or later, with `/proc` mounted: pidfds, and `/proc/self/fd`.
//! - One thread until [`Daemonize::start`] has returned; it refuses to fork with more.
//! - The pid file must be on a local file system, see [`PidFile`].
//! - [`Privileges`] are dropped when the program says so: after the pid file and the logs are open.

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-daemonize needs Linux");

mod control;
#[cfg(test)]
mod error_texts;
mod launch;
mod log;
mod nofollow;
mod pid;
mod pidfile;
mod privileges;
mod signals;
mod socket_file;
mod sys;
mod threads;
mod wait;

pub use control::{
    Holder, Signal, Signalled, StopError, StopOptions, Stopped, running, signal, stop,
};
pub use launch::{
    Daemonize, DaemonizeError, Descriptors, Ended, Launched, Outcome, Readiness, ReadyError,
};
pub use log::{LogError, open_log};
pub use pid::Pid;
pub use pidfile::{PidFile, PidFileError, Restored};
pub use privileges::{Privileges, PrivilegesError, PrivilegesFault, WantedPrivileges};
pub use signals::{InheritedSignals, reset_signals};
pub use socket_file::{Obstacle, SocketFile, SocketFileError, SocketFileId};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
