//! The settings of a launch, and the launch itself.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::channel::Channel;
use super::descriptors::Descriptors;
use super::error::DaemonizeError;
use super::launcher::Launcher;
use super::readiness::Readiness;
use super::setup::{Setup, above_stdio};
use super::watcher::{become_daemon, give_up};
use crate::pid::Pid;
use crate::pidfile::held_here;
use crate::signals::InheritedSignals;
use crate::sys::{self, Forked};
use crate::threads::SingleThreaded;

/// Which of the two processes `start` has returned in.
#[derive(Debug)]
#[must_use = "the launcher and the daemon go separate ways from here"]
pub enum Outcome {
    /// The process that called `start`: the daemon serves, and this one may exit with 0.
    Launcher(Launched),
    /// The daemon, which now sets itself up and then says whether it serves.
    Daemon(Readiness),
}

/// A daemon that has said that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Launched {
    /// The daemon.
    pub pid: Pid,
}

/// Turns the process into a daemon while the launcher waits for its word.
///
/// [`start`](Self::start) returns twice: in the daemon, with the [`Readiness`] it has to
/// redeem; and in the launcher, once the daemon has done so or has failed. The daemon has
/// no terminal, is not the leader of its session, and descriptors 0 to 2 are open, so that
/// nothing printed can end up in a client's connection. See daemon(7) and credentials(7).
///
/// # Examples
///
/// ```no_run
/// use prefork_daemonize::{Daemonize, Outcome, open_log};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let log = open_log("/var/log/tinyd.log")?;
///     match Daemonize::new().output(log).start()? {
///         Outcome::Launcher(launched) => println!("serving as pid {}", launched.pid),
///         Outcome::Daemon(readiness) => match std::net::TcpListener::bind("127.0.0.1:8080") {
///             Ok(listener) => {
///                 readiness.ready()?;
///                 for _client in listener.incoming() { /* serve */ }
///             }
///             Err(error) => readiness.failed(&error),
///         },
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before start is called"]
pub struct Daemonize {
    setup: Setup,
    ready_timeout: Duration,
}

impl Default for Daemonize {
    fn default() -> Self {
        Self::new()
    }
}

impl Daemonize {
    /// Begins with every setting at its default.
    pub fn new() -> Self {
        Self {
            setup: Setup {
                directory: PathBuf::from("/"),
                umask: 0o022,
                output: None,
                keep: Vec::new(),
                descriptors: Descriptors::default(),
                signals: InheritedSignals::default(),
            },
            ready_timeout: Duration::from_secs(60),
        }
    }

    /// Sets the working directory of the daemon. A daemon in any other directory keeps its
    /// file system from being unmounted. Default: `/`.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.setup.directory = directory.into();
        self
    }

    /// Sets the file mode creation mask of the daemon, 0 to `0o777`; other bits are ignored, as
    /// umask(2) does. Default: `0o022`, whatever the launcher had.
    pub fn umask(mut self, mask: u32) -> Self {
        self.setup.umask = mask;
        self
    }

    /// Sends standard output and standard error there, a log made by
    /// [`open_log`](crate::open_log) for example. Default: `/dev/null`.
    pub fn output(mut self, output: impl Into<OwnedFd>) -> Self {
        self.setup.output = Some(output.into());
        self
    }

    /// Keeps one descriptor open that [`Descriptors::CloseInherited`] would close; once for each.
    ///
    /// Needed only for descriptors without close-on-exec. Notes the number and does not take
    /// part in owning it. Default: none.
    pub fn keep(mut self, fd: impl AsFd) -> Self {
        self.setup.keep.push(fd.as_fd().as_raw_fd());
        self
    }

    /// Chooses which descriptors from 3 upwards reach the daemon. Default:
    /// [`Descriptors::CloseInherited`].
    pub fn descriptors(mut self, descriptors: Descriptors) -> Self {
        self.setup.descriptors = descriptors;
        self
    }

    /// Chooses whether ignored and blocked signals are reset in the daemon. Default:
    /// [`InheritedSignals::Reset`].
    pub fn signals(mut self, signals: InheritedSignals) -> Self {
        self.setup.signals = signals;
        self
    }

    /// Sets how long the launcher waits for the daemon to be ready. Default: 60 seconds.
    ///
    /// Then the launcher reports a failure, and the daemon is sent SIGTERM. A limit too large
    /// for the clock, [`Duration::MAX`] say, is none.
    pub fn ready_timeout(mut self, limit: Duration) -> Self {
        self.ready_timeout = limit;
        self
    }

    /// Forks the daemon, and in the launcher waits until it serves or has failed.
    ///
    /// Call it from the main thread, before any thread is started; before the pid file is made,
    /// since that belongs to the process that makes it; with paths already
    /// [absolute](std::path::absolute).
    ///
    /// # Errors
    ///
    /// Every error is returned in the launcher, those of the daemon's own making included;
    /// in the daemon `start` never fails. By then the daemon has ended or was sent SIGTERM.
    ///
    /// # Fork
    ///
    /// Flushes Rust's standard output and error first, so that no buffered text is written
    /// twice. The process between the two forks runs no code of the caller, not even a
    /// destructor or an atexit handler, and is reaped. What C code has buffered with stdio is
    /// not flushed.
    ///
    /// # Signals
    ///
    /// All signals are blocked during the forks, then the launcher gets its mask back: Ctrl-C
    /// ends it as usual, and the daemon is then sent SIGTERM. In the daemon see
    /// [`InheritedSignals`].
    pub fn start(self) -> Result<Outcome, DaemonizeError> {
        let proof = SingleThreaded::prove()?;
        if let Some(path) = held_here() {
            return Err(DaemonizeError::PidFileHeld { path });
        }
        let Self { mut setup, ready_timeout } = self;
        let channel = |source| DaemonizeError::Channel { source };
        setup.output = setup.output.map(above_stdio).transpose().map_err(channel)?;
        let (daemon_here, daemon_there) = Channel::pair().map_err(channel)?;
        let (watcher_here, watcher_there) = Channel::pair().map_err(channel)?;
        flush();
        let mask = SigSet::all()
            .thread_swap_mask(SigmaskHow::SIG_SETMASK)
            .map_err(|errno| DaemonizeError::Signals { source: errno.into() })?;
        let forked = sys::fork(&proof);
        if let Ok(Forked::Child) = forked {
            // The launcher must hold the only copies of its ends, or nobody would see it go.
            drop((daemon_here, watcher_here));
            become_daemon(&proof, &watcher_there);
            drop(watcher_there);
            return Ok(Outcome::Daemon(finish(setup, &mask, daemon_there)));
        }
        drop((daemon_there, watcher_there));
        let restored = mask.thread_set_mask();
        let watcher = match forked {
            Ok(Forked::Parent(watcher)) => watcher,
            Ok(Forked::Child) => unreachable!("the child has left above"),
            Err(source) => return Err(DaemonizeError::Fork { source }),
        };
        restored.map_err(|errno| DaemonizeError::Signals { source: errno.into() })?;
        Launcher::new(daemon_here, watcher_here, watcher, setup.directory, ready_timeout)
            .wait()
            .map(|pid| Outcome::Launcher(Launched { pid }))
    }
}

/// Sets the daemon up; on failure reports to the launcher and ends, so that the caller's code after
/// `start` never runs in a daemon that is half made.
fn finish(setup: Setup, mask: &SigSet, launcher: Channel) -> Readiness {
    match setup.apply(mask) {
        Ok(()) => Readiness::new(launcher),
        Err((step, error)) => give_up(&launcher, step, &error),
    }
}

/// Empties Rust's buffers. A standard output that cannot be written to (a full disk, a reader
/// that has gone) must not keep a daemon from starting.
fn flush() {
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
}
