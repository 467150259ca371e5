//! What a daemon has before it starts children, and what it leaves in the file system.

mod after_init;
pub(crate) mod failure;
mod harm;
mod introduction;
pub(crate) mod logs;
mod opened;
pub(crate) mod pid_file;

use std::io;

pub(crate) use introduction::Introduction;
pub(crate) use opened::Opened;
use prefork_core::one_line;
use prefork_daemonize::{PidFile, Privileges, SocketFile};
use prefork_isolate::Layers;

use crate::{
    Init, RunError,
    args::AfterInit,
    args::check::{Pool, Settings},
    board::{Identity, ParentBoard, Public},
    hooks,
    logs::log::{self, Log},
    logs::{ChangeMessage, PoolMessage},
    program::Invocation,
    sockets::activation::Activated,
    sockets::listeners::Listeners,
    sockets::predecessor::Predecessor,
    start::pid_file::KeptPidFile,
    status::{Audiences, StatusSocket, StatusSockets},
    system::os::{LeftOpen, Title},
};

/// What a daemon has before it starts children.
pub(crate) struct Initialized<S> {
    pub(crate) state: S,
    pub(crate) listeners: Listeners,
    pub(crate) title: Title,
    pub(crate) left_open: LeftOpen,
    pub(crate) runtime_files: RuntimeFiles,
}

impl<S> Initialized<S> {
    /// Makes what `after_init` has returned optional, as a pool that was taken over may be without.
    pub(crate) fn for_pool(self) -> Initialized<Option<S>> {
        let Self { state, listeners, title, left_open, runtime_files } = self;
        Initialized { state: Some(state), listeners, title, left_open, runtime_files }
    }
}

/// What a daemon leaves in the file system, to be taken away at the end: the pid file last, as its
/// absence means that the daemon is gone.
#[derive(Default)]
pub(crate) struct RuntimeFiles {
    /// The UNIX sockets on which it listens.
    pub(crate) sockets: Vec<SocketFile>,
    pub(crate) status: StatusSockets,
    pub(crate) board: Option<ParentBoard>,
    pub(crate) pid_file: Option<KeptPidFile>,
}

impl RuntimeFiles {
    pub(crate) fn remove(self, log: &Log) {
        drop((self.sockets, self.status, self.board));
        if let Some(pid_file) = self.pid_file {
            pid_file.remove(log);
        }
    }
}

/// Does what comes between the logs and the children.
pub(crate) fn initialize<S>(
    settings: &Settings,
    activated: Vec<Activated>,
    after_init: AfterInit<S>,
    opened: Opened,
) -> Result<Initialized<S>, RunError> {
    let log = Log::new(&settings.name, log::Role::Parent);
    let pid_file = settings.pid_path.as_ref().map(PidFile::create).transpose();
    let pid_file = pid_file.map_err(RunError::PidFile)?;
    let predecessor = Predecessor::of(pid_file.as_ref());
    let pid_file = pid_file.map(|file| KeptPidFile::begin(file, &log));
    let board = create_board(settings)?;
    if settings.wants_scoreboard {
        log.write(&PoolMessage::StaysSmall);
    }
    for warning in &settings.warnings {
        log.write(&ChangeMessage::Misspelt { warning: &one_line(warning) });
    }
    let status = Audiences::try_make(|audience| {
        let bind = |address| predecessor.outlast(|| StatusSocket::bind(address, audience));
        settings.status.get(audience).map(bind).transpose()
    });
    let status = status.map_err(RunError::system("open the status page"))?;
    let title = Title::parent(&settings.name);
    let mut init = Init::new(settings.name.clone(), settings.daemonize, settings.directory.clone());
    init.activate(activated);
    init.follow(predecessor);
    let opened = opened.before_after_init();
    let state = call_after_init(settings, &mut init, after_init)?;
    let left_open = opened.left_open();
    if let Pool::Children(_) = settings.pool {
        opened.warn(&init.shared_on_purpose(), &log);
    }
    init.report_unclaimed(&log);
    let (listeners, sockets) = init.into_listeners();
    let runtime_files = RuntimeFiles { sockets, status, board, pid_file };
    Ok(Initialized { state, listeners, title, left_open, runtime_files })
}

/// Makes the scoreboard that the settings ask for, if they ask for one.
pub(crate) fn create_board(settings: &Settings) -> Result<Option<ParentBoard>, RunError> {
    let create = |place| Public::create(place, settings.slots()).map_err(RunError::Scoreboard);
    Ok(settings.scoreboard.as_ref().map(create).transpose()?.map(ParentBoard::new))
}

/// Returns what a daemon with these settings publishes about itself on its scoreboard.
pub(crate) fn identity(
    settings: &Settings,
    layers: &Layers,
    invocation: Option<&Invocation>,
) -> Identity {
    Identity {
        name: settings.name.clone(),
        version: settings.version.clone(),
        program: invocation.map(|it| one_line(it.running()).to_string()),
        runs: settings.in_force.runs.clone(),
        pid_file: settings.pid_path.as_ref().map(|path| one_line(path).to_string()),
        settings: settings.in_force.paths(),
        isolation: layers.report().clone(),
    }
}

/// Runs `after_init`, and sees that it has left the process as children can be forked from it.
pub(crate) fn call_after_init<S>(
    settings: &Settings,
    init: &mut Init,
    after_init: AfterInit<S>,
) -> Result<S, RunError> {
    init.take_outlets(&settings.hands_to)?;
    call("after_init", || match &settings.pool {
        Pool::Solo => after_init(init),
        Pool::Children(_) => after_init::guarded(|| after_init(init)),
    })
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
