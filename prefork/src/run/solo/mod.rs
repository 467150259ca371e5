//! A daemon without children: the main loop runs in the parent itself.
//!
//! The loop has the main thread. A second thread, the watcher, sleeps until a signal comes or the
//! loop returns, and lets the same supervisor decide that decides for a pool: the loop is its one
//! child. So signals, hooks, time limits and the pid file mean here what they mean there. What
//! cannot be done to a loop that runs in one's own process is to end it; when that is decided, the
//! watcher takes the whole daemon down in order, files and exit status included, around it.

mod bell;
mod watcher;

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    thread,
};

use prefork_core::{Config, Generation, Hook, SlotId, Stage, Supervisor, Verdict};
use prefork_daemonize::Readiness;
use prefork_scoreboard::{
    Slot,
    metrics::{Cells, Store},
};

use super::prepared::Prepared;
use crate::{
    AccessLog, Returned, RunError,
    args::check::{Settings, Users},
    board::ParentBoard,
    child::{By, Child, ChildParts, Clients, Stop, Work, stops},
    hooks::{Failed, ParentHooks},
    logs::log::{Log, Role},
    logs::{ChangeMessage, PoolMessage},
    manager::Begun,
    parent::Basis,
    program::Invocation,
    sockets::hand_over::Outlets,
    sockets::listeners::Listeners,
    start::{Initialized, Introduction, drop_privileges, identity, initialize},
    system::clock,
    system::os::{Poller, hangups_now, terminal},
};

use bell::Bell;
use watcher::{Launch, Watcher};

/// The one place in this pool.
const SLOT: SlotId = SlotId(0);
const GENERATION: Generation = Generation(1);

/// Brings the daemon up, runs the main loop, and takes the daemon down.
pub(crate) fn serve<S>(
    prepared: Prepared<S>,
    readiness: &mut Option<Readiness>,
) -> Result<Returned, RunError> {
    let Prepared { basis, activated, after_init, opened, mut body } = prepared;
    let Basis { settings, users, mut access_log, hooks, invocation, .. } = basis;
    let settings = &settings;
    let hangups = terminal::hangups(hangups_now());
    let bell = Arc::new(Bell::new().map_err(RunError::system("set up signals"))?);
    let Initialized { state, mut runtime_files, mut listeners, .. } =
        initialize(settings, activated, after_init, opened)?;
    let log = Log::new(&settings.name, Role::Parent);
    let invocation = invocation.as_ref().ok();
    let (_store, cells) = count_alone(settings, runtime_files.board.as_mut())?.unzip();
    introduce(settings, &users, invocation, &listeners, runtime_files.board.as_mut(), &log);
    let slot = runtime_files.board.as_ref().and_then(|board| board.public().enter(SLOT, &log));
    let stop = Stop::new(By::Thread, None).map_err(RunError::system("open an event descriptor"))?;
    // Before the change of user, as the new one may not open it.
    access_log.make_own(&log).map_err(RunError::system("open the access log once more"))?;
    // This process is what children are elsewhere. Now, while it has but one thread.
    drop_privileges(&users.children)?;
    let config = pool_of_one(settings, hooks.set());
    let ParentHooks { ready, before_shutdown, .. } = hooks;
    let (outliving, outlets) = (listeners.outliving(), listeners.take_outlets());
    let mut watcher = Watcher {
        settings: settings.clone(),
        reporting: settings.manager.report(&config, Begun::Alone, &log),
        supervisor: Supervisor::new(config),
        bell: bell.clone(),
        stop: stop.clone(),
        listeners,
        reopen_access_log: access_log.reopen_on_request(),
        runtime_files,
        before_shutdown,
        hangups,
        began: clock::now(),
        log: log.clone(),
    };
    if let Some(Verdict::Stopped) = watcher.begin(&mut Launch { ready, readiness }) {
        drop(state);
        watcher.log_stopped("the main loop has not begun");
        watcher.runtime_files.remove(&log);
        return Ok(Returned::Stopped);
    }
    let watcher = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || watcher.watch())
        .map_err(RunError::system("start a thread"))?;
    let mut child =
        only_child((stop, slot), (outliving, outlets), cells, settings, access_log, &log)?;
    let outcome = body.run(&mut child, &state, &log).map_err(Failed::into_error);
    bell.ring_for_end();
    let runtime_files = watcher.join().unwrap_or_default();
    drop(child);
    drop(state);
    drop(body);
    runtime_files.remove(&log);
    outcome.map(|()| Returned::Stopped)
}

/// Makes the memory in which the loop counts, if it is to count anything, and shows where that is.
fn count_alone(
    settings: &Settings,
    board: Option<&mut ParentBoard>,
) -> Result<Option<(Store, Cells)>, RunError> {
    let Some(metrics) = &settings.metrics else { return Ok(None) };
    let store = Store::in_memory(metrics, 1);
    let counting = store.and_then(|store| store.enter(SLOT.index()).map(|cells| (store, cells)));
    let counting = counting.map_err(io::Error::other).map_err(RunError::system("count"))?;
    if let Some(board) = board {
        board.about.metrics(counting.0.as_fd().as_raw_fd());
    }
    Ok(Some(counting))
}

/// What the main loop is handed: a child without a parent.
fn only_child(
    (stop, slot): (Stop, Option<Slot>),
    (outliving, outlets): (Vec<u64>, Outlets),
    cells: Option<Cells>,
    settings: &Settings,
    access_log: AccessLog,
    log: &Log,
) -> Result<Child, RunError> {
    let poller = Poller::new(stops(&stop, None)).map_err(RunError::system("wait for events"))?;
    Ok(Child::new(ChildParts {
        slot: SLOT,
        generation: GENERATION,
        stop,
        work: Work::new(slot, None, settings.limits),
        tether: None,
        reporter: None,
        poller,
        outliving,
        outlets,
        clients: Clients::Any,
        queueing: settings.in_force.live.queueing(),
        concurrency: settings.in_force.live.concurrency,
        own: settings.in_force.own.clone(),
        access_log,
        cells,
        log: log.clone(),
    }))
}

/// Says whose daemon begins, on the board and in the log.
fn introduce(
    settings: &Settings,
    users: &Users,
    invocation: Option<&Invocation>,
    listeners: &Listeners,
    board: Option<&mut ParentBoard>,
    log: &Log,
) {
    if let Some(board) = board {
        board.about.introduce(identity(settings, &users.layers, invocation));
        board.about.places(listeners.places());
        board.about.phase(Stage::Serving);
        // Who reads it as soon as the launcher has returned is to find it.
        board.rest(None, log);
    }
    let daemon = &Introduction { settings, users, invocation, listeners };
    log.write(&ChangeMessage::Starting { daemon });
    if !settings.without_effect.is_empty() {
        let arguments = settings.without_effect.join(", ");
        log.write(&PoolMessage::WithoutEffect { arguments: &arguments });
    }
}

fn pool_of_one(settings: &Settings, hooks: Vec<Hook>) -> Config {
    let mut config = Config::new(1, 1).expect("one of one is within limits");
    config.graceful_timeout = settings.graceful_timeout;
    config.hook_timeout = settings.hook_timeout;
    // There is nothing for which the others could be called.
    config.hooks = hooks;
    config.hooks.retain(|hook| matches!(hook, Hook::Ready | Hook::BeforeShutdown));
    config
}
