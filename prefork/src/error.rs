//! What can go wrong, in words for the person who has to mend it.

mod fault;

use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use prefork_core::{StartFailure, one_line};
use prefork_daemonize::{DaemonizeError, LogError, PidFileError};
use prefork_scoreboard::CreateError;

use crate::{
    SettingsError,
    logs::describe::{Ended as HowEnded, Span},
    system::os::Shortage,
};

pub(crate) use fault::Origin;
pub use fault::{ArgsError, Fault, Lines};

/// Any error, as hooks and main loops return it.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What hooks and main loops return.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// Returns the status with which a program should end that could not run for this reason: 78 (`EX_CONFIG` in
/// `sysexits.h`) where arguments or settings are wrong, and 1 otherwise.
///
/// A service manager can be set not to start it again for such a status: `RestartPreventExitStatus=78` in a unit of
/// systemd (`systemd.service(5)`).
///
/// # Examples
///
/// ```no_run
/// use prefork::{Args, Prefork, ErrorChain, exit_code};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let args = Args::new().prefork(5).max_children(4).main_loop(|_child, ()| Ok(()));
///     match Prefork::new(args) {
///         Ok(_daemon) => ExitCode::SUCCESS, // run() it
///         // 78: five children are more than four.
///         Err(error) => {
///             eprintln!("{}", ErrorChain(&error));
///             exit_code(&error)
///         }
///     }
/// }
/// ```
#[must_use]
pub fn exit_code(error: &(dyn StdError + 'static)) -> ExitCode {
    const EX_CONFIG: u8 = 78;
    let mut next = Some(error);
    while let Some(error) = next {
        let of_pools = matches!(error.downcast_ref(), Some(RunError::Args(_)));
        if of_pools || error.is::<ArgsError>() || error.is::<SettingsError>() {
            return ExitCode::from(EX_CONFIG);
        }
        next = error.source();
    }
    ExitCode::FAILURE
}

/// Why a daemon did not start, or did not end in order.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The process has other threads, so forking it would be unsafe (see `fork(2)`).
    #[error(
        "cannot fork: {count} threads are running where only the main thread may ({}); start threads \
         (and async runtimes) in main_loop instead",
        one_line(names)
    )]
    #[non_exhaustive]
    Threads {
        /// How many threads the process has, the main one included.
        count: usize,
        /// The names of the others, or of the first of them, to be shown.
        names: String,
    },
    /// A log file cannot be used.
    #[error(transparent)]
    Log(LogError),
    /// The pid file cannot be used, or another daemon holds it.
    #[error(transparent)]
    PidFile(PidFileError),
    /// The scoreboard cannot be made, or another daemon holds it.
    #[error(transparent)]
    Scoreboard(CreateError),
    /// The process could not be turned into a daemon, or the daemon could not start; then the text
    /// is the daemon's own.
    #[error(transparent)]
    Daemonize(DaemonizeError),
    /// A hook of the program failed.
    #[error("{hook} failed")]
    #[non_exhaustive]
    Hook {
        /// The name of the argument.
        hook: &'static str,
        /// What the hook returned.
        source: BoxError,
    },
    /// The system refused something that a daemon cannot do without.
    #[error("cannot {action}")]
    #[non_exhaustive]
    System {
        /// What was attempted.
        action: &'static str,
        /// What the system reported.
        source: io::Error,
    },
    /// The way to a pool named in [`Args::hands_to`](crate::Args::hands_to) is not there.
    #[error(
        "cannot hand connections to pool {}: no SOCK_SEQPACKET socket named {} was passed (LISTEN_FDS)",
        one_line(pool),
        one_line(name)
    )]
    #[non_exhaustive]
    NoWayToPool {
        /// The name of the pool.
        pool: String,
        /// The name that the descriptor should have.
        name: String,
    },
    /// A daemon without children cannot take over one that has some.
    #[error("prefork is 0, but the daemon has children; restart it instead of upgrading")]
    NoPool,
    /// The children ended before the daemon was ready.
    #[error(
        "{deaths} children ended before the daemon was ready; the last one {last}{}",
        SeeLog(error_log.as_deref())
    )]
    #[non_exhaustive]
    ChildrenDied {
        /// How many.
        deaths: u32,
        /// How the last one ended, in words.
        last: String,
        /// Where they have logged why, if that is a file of its own.
        error_log: Option<PathBuf>,
    },
    /// Not all children were ready in time.
    #[error(
        "only {ready} of {wanted} children were ready within {}{}",
        Span(*limit),
        CannotFork(cannot_fork.as_deref())
    )]
    #[non_exhaustive]
    StartTimedOut {
        /// How many were ready.
        ready: usize,
        /// How many were wanted.
        wanted: usize,
        /// The time limit.
        limit: Duration,
        /// Why none could be forked, if that was it, and the limit that is likely to be reached.
        cannot_fork: Option<String>,
    },
    /// The arguments of one of several pools are wrong.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// One of several pools has ended before the daemon was ready.
    #[error("the pool {} {last} before the daemon was ready{}", one_line(pool), SeeLog(error_log.as_deref()))]
    #[non_exhaustive]
    PoolDied {
        /// Its name.
        pool: String,
        /// How its parent has ended, in words.
        last: String,
        /// Where it has logged why, if that is a file of its own.
        error_log: Option<PathBuf>,
    },
    /// One of several pools was not ready in time.
    #[error("the pool {} was not ready within {}", one_line(pool), Span(*limit))]
    #[non_exhaustive]
    PoolNotReady {
        /// Its name.
        pool: String,
        /// The time limit.
        limit: Duration,
    },
    /// This program was executed for a pool that it does not have.
    #[error("there is no pool {:?} in this program", one_line(pool).to_string())]
    #[non_exhaustive]
    NoSuchPool {
        /// Its name.
        pool: String,
    },
    /// This program is another kind of daemon than that which it was to take over.
    #[error(
        "this program is {}, and what runs is {}; restart the daemon instead of upgrading",
        one_line(is),
        one_line(was)
    )]
    #[non_exhaustive]
    OtherKind {
        /// What this program is, in words.
        is: String,
        /// What it was to go on with.
        was: String,
    },
    /// A limit of the system is reached.
    #[error("a limit is reached ({})", one_line(limit))]
    #[non_exhaustive]
    Limit {
        /// The one that is likely.
        limit: String,
        /// What failed for that.
        source: Box<RunError>,
    },
    /// Children are left that not even `SIGKILL` has ended.
    #[error("{alive} children are left that SIGKILL does not end; see their state in ps")]
    #[non_exhaustive]
    ChildrenLeft {
        /// How many.
        alive: usize,
    },
}

prefork_core::debug_as_chain!(RunError, ArgsError);

impl RunError {
    /// Makes an error of `action`, for `map_err`.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }

    /// Names the limit that is likely to be behind it, if that can be one.
    pub(crate) fn name_limit(self) -> Self {
        let limit = match &self {
            // Of all that may be asked to wait, a fork alone is refused so for want of processes.
            Self::Daemonize(DaemonizeError::Fork { source, .. }) => Shortage::behind(source),
            _ => Shortage::of_descriptors_or_memory(&self),
        };
        match limit.into_words() {
            Some(limit) => Self::Limit { limit, source: Box::new(self) },
            None => self,
        }
    }

    /// Says in words what the supervisor has decided, and why no child could be forked, or where children have logged.
    pub(crate) fn start_failed(
        failure: StartFailure,
        cannot_fork: Option<String>,
        error_log: Option<PathBuf>,
    ) -> Self {
        match failure {
            StartFailure::ChildrenDied { deaths, last } => {
                Self::ChildrenDied { deaths, last: HowEnded(last).to_string(), error_log }
            }
            StartFailure::TimedOut { ready, wanted, limit } => {
                Self::StartTimedOut { ready, wanted, limit, cannot_fork }
            }
        }
    }
}

/// Writes where to read more, or nothing.
struct SeeLog<'a>(Option<&'a Path>);

impl fmt::Display for SeeLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |path| write!(f, "; see {}", one_line(path)))
    }
}

/// Writes why no child could be forked, or nothing.
struct CannotFork<'a>(Option<&'a str>);

impl fmt::Display for CannotFork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |why| write!(f, ": cannot fork a child: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::ErrorChain;

    #[test]
    fn a_short_limit_is_printed_as_it_is() {
        let limit = Duration::from_millis(500);
        let timed_out = |why: Option<&str>| {
            let cannot_fork = why.map(str::to_owned);
            RunError::StartTimedOut { ready: 0, wanted: 3, limit, cannot_fork }.to_string()
        };
        assert_eq!(timed_out(None), "only 0 of 3 children were ready within 500 ms");
        assert_eq!(
            timed_out(Some("pids.max is 5")),
            "only 0 of 3 children were ready within 500 ms: cannot fork a child: pids.max is 5"
        );
    }

    #[test]
    fn a_limit_is_named_only_where_it_can_be_one() {
        let system = |errno: Errno| RunError::system("open the channels")(errno.into());
        let named = |error: RunError| ErrorChain(&error.name_limit()).to_string();
        let descriptors = named(system(Errno::MFILE));
        assert!(
            descriptors.starts_with("a limit is reached (RLIMIT_NOFILE of this process is ")
                && descriptors
                    .ends_with("): cannot open the channels: Too many open files (os error 24)"),
            "{descriptors}"
        );
        let hook = |errno: Errno| RunError::Hook {
            hook: "after_init",
            source: io::Error::from(errno).into(),
        };
        assert!(named(hook(Errno::MFILE)).contains("RLIMIT_NOFILE"));
        // A disk is full, or a file is locked.
        for errno in [Errno::NOSPC, Errno::AGAIN, Errno::ACCESS] {
            assert!(named(hook(errno)).starts_with("after_init failed: "), "{errno:?}");
        }
    }
}
