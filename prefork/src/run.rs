//! `new` and `run`: the order in which a daemon comes up and goes down.

use std::{fmt, io, time::Duration};

use prefork_core::{Config, Verdict};
use prefork_daemonize::{Daemonize, Outcome, PidFile, Readiness};

use crate::{
    AccessLog, Args, ArgsError, Init, Report, RunError,
    args::{AfterInit, ParentHooks},
    board::{self, ParentBoard},
    check::{Checked, Pool, Settings, Users, check},
    child::{self, Body},
    hooks,
    init::Listeners,
    log::{Log, Role},
    logs::{open_access_log, open_error_log, redirect_stderr},
    os::{Privileges, Signals, Title},
    parent::{Became, Parent, Parts},
    solo, sys, threads,
};

/// A daemon whose arguments make sense, ready to be run.
pub struct Prefork<S = ()> {
    checked: Checked<S>,
}

/// How [`Prefork::run`] ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// This is the process that was started, and the daemon now serves in the background.
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
        Ok(Self { checked: check(args)? })
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
    /// `SIGTERM` stops gracefully, and a second one now; `SIGINT` and `SIGQUIT` stop now. An orderly
    /// stop returns [`Ended::Stopped`], with these signals and `SIGCHLD` still blocked, so that one
    /// more cannot spoil the exit status.
    ///
    /// # Fork
    ///
    /// Fails if the process has threads other than the main one: start them in the main loop. The
    /// parent reaps every child of the process, also those that code of the program has started and
    /// not waited for.
    pub fn run(self) -> Result<Ended, RunError> {
        let Checked { settings, error_log, access_log, before_daemonize, .. } = self.checked;
        let Checked { users, after_init, body, parent_hooks, .. } = self.checked;
        let program = Program { users, after_init, body, parent_hooks };
        refuse_threads(&settings)?;
        if let Some(hook) = before_daemonize {
            call("before_daemonize", hook)?;
        }
        let error_log = error_log.map(open_error_log).transpose()?;
        let access_log = open_access_log(access_log)?;
        sys::flush_c_streams();
        if !settings.daemonize {
            error_log.map(redirect_stderr).transpose()?;
            return serve(&settings, program, access_log, &mut None);
        }
        // The launcher waits a little longer than the daemon tries, to hear its reason.
        let limit = settings.start_timeout.saturating_add(Duration::from_secs(1));
        let mut daemonize = Daemonize::new().ready_timeout(limit);
        if let Some(log) = error_log {
            daemonize = daemonize.output(log);
        }
        match daemonize.start()? {
            Outcome::Launcher(launched) => {
                Ok(Ended::Launched { pid: launched.pid.as_raw().unsigned_abs() })
            }
            Outcome::Daemon(readiness) => {
                let mut readiness = Some(readiness);
                let result = serve(&settings, program, access_log, &mut readiness);
                if let (Err(error), Some(readiness)) = (&result, readiness) {
                    readiness.failed(error);
                }
                result
            }
        }
    }
}

impl<S> fmt::Debug for Prefork<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork").field("settings", &self.checked.settings).finish_non_exhaustive()
    }
}

/// The code of the program that is still to be run.
pub(crate) struct Program<S> {
    pub(crate) users: Users,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) body: Body<S>,
    pub(crate) parent_hooks: ParentHooks,
}

/// Brings the daemon up, lets it serve, and takes it down again.
fn serve<S>(
    settings: &Settings,
    program: Program<S>,
    access_log: AccessLog,
    readiness: &mut Option<Readiness>,
) -> Result<Ended, RunError> {
    match &settings.pool {
        Pool::Solo => solo::serve(settings, program, access_log, readiness),
        Pool::Children(config) => serve_pool(settings, config, program, access_log, readiness),
    }
}

fn serve_pool<S>(
    settings: &Settings,
    config: &Config,
    program: Program<S>,
    access_log: AccessLog,
    readiness: &mut Option<Readiness>,
) -> Result<Ended, RunError> {
    let Program { users, after_init, mut body, parent_hooks } = program;
    // From here on a signal waits until somebody can act on it in order.
    let signals = Signals::open().map_err(RunError::system("open the signal descriptor"))?;
    let Initialized { state, listeners, title, belongings } = initialize(settings, after_init)?;
    let Belongings { board, pid_file } = belongings;
    if users.drop_parent {
        drop_privileges(&users.children)?;
    }
    let parts = Parts {
        config: config.clone(),
        signals,
        title,
        access_log,
        board,
        listeners,
        hooks: parent_hooks,
        privileges: users.children,
        readiness,
    };
    let verdict = match Parent::new(settings, parts)?.run()? {
        Became::Child(seat) => {
            // The child keeps a share of the lock, so that no second daemon starts beside orphans,
            // but nothing to write with: one that was taken over could put another's pid there, for
            // a script of root's to kill. A child that can have no descriptor does without.
            let _lock = pid_file.as_ref().and_then(|pid_file| pid_file.share().ok());
            drop(pid_file);
            child::live(*seat, &mut body, &state)
        }
        Became::Over(verdict) => verdict,
    };
    // Sockets are closed before the pid file goes: who waits for that can bind at once.
    drop(state);
    drop(body);
    Belongings { board: None, pid_file }.remove(settings);
    match verdict {
        Verdict::Stopped => Ok(Ended::Stopped),
        Verdict::StartFailed(failure) => Err(failure.into()),
        Verdict::GaveUp { alive } => Err(RunError::ChildrenLeft { alive }),
    }
}

/// What a daemon has before it starts children.
pub(crate) struct Initialized<S> {
    pub(crate) state: S,
    pub(crate) listeners: Listeners,
    pub(crate) title: Title,
    pub(crate) belongings: Belongings,
}

/// What a daemon leaves in the file system, to be taken away at the end: the pid file last, as its
/// absence tells that the daemon is gone.
#[derive(Default)]
pub(crate) struct Belongings {
    pub(crate) board: Option<ParentBoard>,
    pub(crate) pid_file: Option<PidFile>,
}

impl Belongings {
    pub(crate) fn remove(self, settings: &Settings) {
        drop(self.board);
        // That it cannot be removed is no reason for a failed stop: a stale one is harmless.
        if let Some(Err(error)) = self.pid_file.map(PidFile::remove) {
            Log::new(&settings.name, Role::Parent).warning(Report(&error));
        }
    }
}

/// Does what comes between the logs and the children.
pub(crate) fn initialize<S>(
    settings: &Settings,
    after_init: AfterInit<S>,
) -> Result<Initialized<S>, RunError> {
    let pid_file = settings.pid_path.as_ref().map(PidFile::create).transpose()?;
    let board = board::open(settings)?;
    if settings.wants_scoreboard {
        let log = Log::new(&settings.name, Role::Parent);
        log.warning("the pool stays at prefork: to grow to max_children, set scoreboard_path");
    }
    let title = Title::parent(&settings.name);
    let mut init = Init::new(settings.name.clone(), settings.daemonize);
    let state = call("after_init", || after_init(&mut init))?;
    let belongings = Belongings { board, pid_file };
    Ok(Initialized { state, listeners: init.into_listeners(), title, belongings })
}

pub(crate) fn call<T>(
    hook: &'static str,
    code: impl FnOnce() -> crate::Result<T>,
) -> Result<T, RunError> {
    hooks::call(code).map_err(|failure| RunError::Hook { hook, source: failure.into_error() })
}

/// Makes this process what its children are to be. Everything that needs more has been done.
pub(crate) fn drop_privileges(privileges: &Privileges) -> Result<(), RunError> {
    let drop = RunError::system("drop privileges");
    privileges.apply().map_err(io::Error::other).map_err(drop)
}

fn refuse_threads(settings: &Settings) -> Result<(), RunError> {
    let forks = settings.daemonize || matches!(settings.pool, Pool::Children(_));
    let count = threads::count().map_err(RunError::system("count the threads of this process"))?;
    if forks && count > 1 { Err(RunError::Threads { count }) } else { Ok(()) }
}
