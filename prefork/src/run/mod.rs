//! `new` and `run`: the order in which a daemon comes up and goes down.

#[cfg(feature = "serde")]
mod inspect;
mod open_logs;
mod prepared;
mod read_settings;
mod solo;
mod take_over;

#[cfg(feature = "serde")]
pub use inspect::Inspect;
pub use read_settings::read_settings;

use std::{fmt, io, os::fd::OwnedFd, time::Duration};

use prefork_core::Verdict;
use prefork_daemonize::{Daemonize, Outcome, Readiness};
use prefork_scoreboard::metrics::Store;
use rustix::process::chdir;

use crate::{
    Args, ArgsError, RunError,
    args::check::{Plan, Pool, Settings, When, check},
    board::ParentBoard,
    channels::Channels,
    child::{self, Body},
    hooks,
    logs::log::{Log, Role},
    logs::stderr,
    logs::{FileMessage, ProcessMessage, set_level},
    parent::{self, Basis, Became, Over, Parent, Parts},
    program::Invocation,
    seat::Seat,
    start::logs::redirect_at_start,
    start::{Initialized, drop_privileges, failure, initialize},
    status::{Service, StatusSockets},
    sys,
    system::clock,
    system::os::{Shortage, Signals, outlive_failed_writes, terminal},
    upgrade::{Inherited, inherited},
};
pub(crate) use prepared::Prepared;
use prepared::prepare;
use take_over::take_over;
pub(crate) use take_over::{Successor, come_up};

/// A daemon whose arguments make sense, ready to be run.
pub struct Prefork<S = ()> {
    plan: Plan<S>,
    invocation: io::Result<Invocation>,
}

/// With what [`Prefork::run`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Returned {
    /// This is the process that was started, and the daemon now serves in the background.
    #[non_exhaustive]
    Launched {
        /// The pid of the daemon's parent process.
        pid: u32,
    },
    /// This is the daemon, and it was asked to stop and did.
    Stopped,
}

impl<S> Prefork<S> {
    /// Checks the arguments.
    ///
    /// Nothing is opened, written or started yet; relative paths are taken from the current
    /// directory.
    ///
    /// # Errors
    ///
    /// Fails with every fault found, each naming its argument.
    pub fn new(args: Args<S>) -> Result<Self, ArgsError> {
        Self::check(args).inspect_err(|error| {
            if let Some(inherited) = &*inherited() {
                inherited.refuse(None, error);
            }
        })
    }

    /// The same, for one of several whose faults are reported together.
    pub(crate) fn check(args: Args<S>) -> Result<Self, ArgsError> {
        let inherited = inherited();
        let invocation =
            Invocation::of_this_process(inherited.as_ref().and_then(Inherited::command));
        let reads = inherited.as_ref().is_some_and(Inherited::reads_settings);
        let when = if reads { When::AtReload } else { When::AtStart };
        let plan = check(args, invocation.as_ref().ok(), when);
        Ok(Self { plan: plan?, invocation })
    }

    /// Runs the daemon.
    ///
    /// With [`daemonize`](Args::daemonize) on, this returns twice: in the process that was started,
    /// as soon as every child is in its main loop or the start has failed; and in the daemon, when
    /// it has stopped. With it off, the caller becomes the parent. In a child it never returns.
    ///
    /// With [`prefork`](Args::prefork) 0 nothing is forked: the main loop runs in this process, on
    /// this thread, and a thread of the library's waits for signals beside it. The daemon ends when
    /// the loop returns. A loop that does not use the stopping methods of [`Child`](crate::Child)
    /// is not asked on a signal: the daemon then ends in order around it. It reaps only what the loop
    /// itself waits for: as process 1 of a container, have an init beside it.
    ///
    /// # Errors
    ///
    /// Fails if the daemon could not start, in the words of what prevented it; nothing is left
    /// running then. Fails also if children are left at the end that nothing could end.
    ///
    /// # Signals
    ///
    /// `SIGTERM` stops gracefully, and another one a second later or more now; `SIGINT` and `SIGQUIT` stop
    /// now. An orderly
    /// stop returns [`Returned::Stopped`], with these signals and `SIGCHLD` still blocked, so that one
    /// more cannot spoil the exit status.
    ///
    /// # Fork
    ///
    /// Fails if the process has threads other than the main one: start them in the main loop. The
    /// parent reaps every child of the process, also those that code of the program has started and
    /// not waited for.
    pub fn run(self) -> Result<Returned, RunError> {
        self.run_in(None)
    }

    /// The same, in a seat under an arbiter if there is one.
    pub(crate) fn run_in(self, seat: Option<Seat>) -> Result<Returned, RunError> {
        self.run_as(seat, serve, take_over)
    }

    /// The same, with something else to serve, or to take over, when it has come up than the pool.
    pub(crate) fn run_as(
        self,
        seat: Option<Seat>,
        serve: impl FnOnce(Prepared<S>, &mut Option<Readiness>) -> Result<Returned, RunError>,
        take_over: impl FnOnce(Prepared<S>, Option<OwnedFd>, Inherited) -> Result<Returned, RunError>,
    ) -> Result<Returned, RunError> {
        let Self { plan, invocation } = self;
        if let Some(inherited) = &*inherited() {
            inherited.report_settings(&plan.settings.in_force);
        }
        set_level(plan.settings.in_force.live.log_level);
        outlive_failed_writes().map_err(RunError::system("set up signals"))?;
        let inherited = inherited().take();
        let prepared = prepare(plan, invocation, inherited.as_ref(), seat);
        let (mut prepared, error_log) = match prepared.map_err(RunError::name_limit) {
            Ok(prepared) => prepared,
            Err(error) => {
                if let Some(inherited) = &inherited {
                    inherited.refuse(None, &error);
                }
                return Err(error);
            }
        };
        if let Some(inherited) = inherited {
            // Whether it runs in the background was decided when the daemon was started.
            prepared.basis.settings.daemonize = inherited.is_in_background();
            return take_over(prepared, error_log, inherited);
        }
        sys::flush_c_streams();
        let log = |settings: &Settings| Log::new(&settings.name, Role::Parent);
        if !prepared.basis.settings.daemonize {
            error_log.map(redirect_at_start).transpose()?;
            follow_to_background(&mut prepared.basis)?;
            let log = log(&prepared.basis.settings);
            return serve(prepared, &mut None)
                .map_err(RunError::name_limit)
                .inspect_err(|error| failure::in_foreground(error, &log));
        }
        // The launcher waits a little longer than the daemon tries, to read its reason.
        let limit = prepared.basis.settings.start_timeout.saturating_add(Duration::from_secs(1));
        let mut daemonize = Daemonize::new().ready_timeout(limit);
        if let Some(log) = error_log {
            daemonize = daemonize.output(log);
        }
        let started = daemonize.start().map_err(RunError::Daemonize);
        match started.map_err(RunError::name_limit)? {
            Outcome::Launcher(launched) => {
                Ok(Returned::Launched { pid: launched.pid.as_raw().unsigned_abs() })
            }
            Outcome::Daemon(readiness) => {
                let (mut readiness, log) = (Some(readiness), log(&prepared.basis.settings));
                let result = serve(prepared, &mut readiness).map_err(RunError::name_limit);
                if let (Err(error), Some(readiness)) = (&result, readiness) {
                    failure::in_background(error, &log);
                    readiness.failed(error);
                }
                result
            }
        }
    }
}

impl<S> fmt::Debug for Prefork<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork").field("settings", &self.plan.settings).finish_non_exhaustive()
    }
}

/// Brings the daemon up, lets it serve, and takes it down again.
pub(crate) fn serve<S>(
    prepared: Prepared<S>,
    readiness: &mut Option<Readiness>,
) -> Result<Returned, RunError> {
    own_stderr()?;
    let mut config = match &prepared.basis.settings.pool {
        Pool::Solo => return solo::serve(prepared, readiness),
        Pool::Children(config) => config.clone(),
    };
    let Prepared { basis, activated, after_init, opened, body } = prepared;
    // From here on a signal waits until somebody can act on it in order.
    let signals = open_signals()?;
    let hangups = terminal::hangups(signals.hangups());
    let began = clock::now();
    let initialized = initialize(&basis.settings, activated, after_init, opened)?.for_pool();
    if !sys::pages::can_seal() {
        Log::new(&basis.settings.name, Role::Parent).write(&ProcessMessage::CannotSeal);
    }
    let channels = Channels::open(basis.settings.slots(), basis.settings.metrics.as_ref())
        .map_err(RunError::system("open the channels to the children"))?;
    // The launcher's time runs already.
    config.start_used = clock::now().since(began);
    let pool = parent::Pool { config: *config, signals, hangups, channels, adopted: None };
    supervise(basis, pool, initialized, body, readiness)
}

/// Runs the pool until it is over, and takes away what is left.
fn supervise<S>(
    basis: Basis,
    pool: parent::Pool,
    initialized: Initialized<Option<S>>,
    mut body: Body<S>,
    readiness: &mut Option<Readiness>,
) -> Result<Returned, RunError> {
    let log = Log::new(&basis.settings.name, Role::Parent);
    let Initialized { state, listeners, title, left_open, mut runtime_files } = initialized;
    let status = std::mem::take(&mut runtime_files.status);
    let metrics = pool.channels.metrics.as_ref();
    let status = open_status(status, runtime_files.board.as_ref(), metrics, &log);
    if basis.users.drop_parent {
        drop_privileges(&basis.users.children)?;
        // The kernel has cut that with the change of user.
        let tied = basis.seat.as_ref().map_or(Ok(()), Seat::tie);
        tied.map_err(RunError::system("end with the arbiter"))?;
    }
    let is_bare = state.is_none();
    let error_log = basis.settings.error_log_path.clone();
    let parts = Parts {
        basis,
        pool,
        title,
        listeners,
        left_open,
        status,
        is_bare,
        readiness,
        runtime_files,
    };
    let Over { verdict, runtime_files, cannot_fork } = match Parent::new(parts)?.run()? {
        Became::Child(context) => match &state {
            Some(state) => child::live(*context, &mut body, state),
            // A bare parent forks none.
            None => sys::exit_now(1),
        },
        Became::Hook(context) => hooks::live(*context, || match &state {
            Some(state) => body.note_fork(state),
            // Nothing was made that is to know of a fork.
            None => Ok(()),
        }),
        Became::Over(over) => *over,
    };
    // Sockets are closed before the pid file goes: a process that waits for that can bind at once.
    drop(state);
    drop(body);
    runtime_files.remove(&log);
    match verdict {
        Verdict::Stopped | Verdict::Asleep => Ok(Returned::Stopped),
        Verdict::StartFailed(failure) => {
            Err(RunError::start_failed(failure, cannot_fork, error_log))
        }
        Verdict::GaveUp { alive } => Err(RunError::ChildrenLeft { alive }),
    }
}

/// Does what is left to do in a pool of a daemon that has gone to the background with all that it starts.
fn follow_to_background(basis: &mut Basis) -> Result<(), RunError> {
    if !basis.seat.as_ref().is_some_and(Seat::is_in_background) {
        return Ok(());
    }
    basis.settings.daemonize = true;
    // It was started where the daemon was, for what is relative to that; see `daemon(7)` for why it does not stay.
    chdir("/").map_err(|error| RunError::system("enter the directory /")(error.into()))
}

/// Makes the status page ready, while the board can be opened. A daemon that serves does not end for it.
fn open_status(
    sockets: StatusSockets,
    board: Option<&ParentBoard>,
    metrics: Option<&Store>,
    log: &Log,
) -> Option<Service> {
    if sockets.is_empty() {
        return None;
    }
    let service = Service::new(sockets, board, metrics, log);
    let no_page = |error: &io::Error| {
        log.write(&FileMessage::NoStatusPage { error, shortage: &Shortage::behind(error) });
    };
    service.inspect_err(no_page).ok()
}

/// From here on no process that shares standard error makes this one wait.
pub(crate) fn own_stderr() -> Result<(), RunError> {
    stderr::open_own().map_err(RunError::system("open standard error once more"))
}

pub(crate) fn open_signals() -> Result<Signals, RunError> {
    Signals::open().map_err(RunError::system("open the signal descriptor"))
}
