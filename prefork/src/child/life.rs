//! A child's life, from the fork to its end.
//!
//! The order matters, each step for its reason: with all signals blocked since before the fork, the
//! child first leaves the parent's session, and with it the terminal; then takes the tag by which all that it
//! starts will be known; then parts with what is the parent's;
//! then ties itself to the parent (after any change of user, which unties it again), then lets signals in,
//! and only then runs code of the program. It never returns: what lies above it on the stack is the parent's.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    rc::Rc,
};

use prefork_core::{Generation, SlotId};
use prefork_daemonize::Privileges;
use prefork_isolate::Layers;
use rustix::process::setsid;

use super::{
    Body, By, Child, ChildParts, Clients, Limits, OwnSetting, Queueing, Stop, Work,
    role_lock::RoleLock, stops,
};
use crate::{
    AccessLog, BoxError, ErrorChain,
    channels::{Bell, Channels, ChildChannels, Reporter},
    hooks::Failed,
    logs::PoolMessage,
    logs::log::{Log, Role},
    logs::{Streams, follow, stderr},
    sockets::hand_over::Outlets,
    sys,
    sys::refused::Refusable,
    system::os::{Leaf, LeftOpen, Poller, Signals, Title, orphans, set_signal_mask},
};

/// What a child takes with it from the parent.
#[derive(Debug)]
pub(crate) struct ChildContext {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    /// The tag by which all that it starts is known.
    pub(crate) tag: Option<u64>,
    pub(crate) name: String,
    pub(crate) title: Title,
    pub(crate) signals: Signals,
    pub(crate) channels: Channels,
    pub(crate) bell: Bell,
    /// Whether there is a scoreboard, in which the child reports what it is doing.
    pub(crate) has_board: bool,
    /// The listening sockets that outlive the daemon, by their cookies.
    pub(crate) outliving: Vec<u64>,
    /// The ways to other pools.
    pub(crate) outlets: Outlets,
    pub(crate) limits: Limits,
    /// How many requests the child can have in hand at once.
    pub(crate) concurrency: u32,
    /// How many clients it serves.
    pub(crate) clients: Clients,
    /// What it does about how long clients have waited.
    pub(crate) queueing: Queueing,
    /// Settings of the program's own.
    pub(crate) own: Vec<OwnSetting>,
    /// The file of the lock that it is to have, if it has a role.
    pub(crate) role_lock: Option<PathBuf>,
    pub(crate) privileges: Rc<Privileges>,
    /// What holds it apart from its siblings.
    pub(crate) layers: Rc<Layers>,
    /// What keeps it below limits of its own.
    pub(crate) leaf: Option<Leaf>,
    /// What is not for anybody whom it executes.
    pub(crate) left_open: LeftOpen,
    pub(crate) access_log: AccessLog,
    pub(crate) streams: Streams,
}

/// Lives the life of a child, in a process just forked.
pub(crate) fn live<S>(context: ChildContext, body: &mut Body<S>, state: &S) -> ! {
    let log = Log::new(&context.name, Role::Child);
    let status = match settle(context, &log) {
        // A role is this process's until that has ended.
        Ok(Some((mut child, _role))) => match run(body, &mut child, state, &log) {
            Ok(()) => {
                child.leave();
                0
            }
            Err(failed) => {
                failed.log(&log);
                failed.status()
            }
        },
        // The parent has died, and nobody is left to read of it.
        Ok(None) => 1,
        Err(error) => {
            log.write(&PoolMessage::CannotStart { error: &ErrorChain(&*error) });
            1
        }
    };
    end(status)
}

/// Runs all code of the program that is for a child.
fn run<S>(body: &mut Body<S>, child: &mut Child, state: &S, log: &Log) -> Result<(), Failed> {
    body.note_fork(state)?;
    body.run(child, state, log)
}

/// Parts with the parent's side of everything; `None` if the parent has gone meanwhile.
fn settle(context: ChildContext, log: &Log) -> Result<Option<(Child, Option<File>)>, BoxError> {
    let ChildContext { slot, generation, mut title, signals, channels, bell, privileges, .. } =
        context;
    let ChildContext { tag, has_board, outliving, limits, concurrency, clients, own, .. } = context;
    let ChildContext { mut access_log, streams, layers, leaf, left_open, role_lock, .. } = context;
    let ChildContext { outlets, queueing, .. } = context;
    // Before anything else: no terminal reaches it from here on, Ctrl-C and a closed window neither, and a
    // signal to its own group only what it has started itself.
    setsid().of_call("setsid(2)")?;
    let mask = signals.leave_to_child()?;
    left_open.close_on_exec();
    if let Some(Err(error)) = tag.map(orphans::set_tag) {
        log.write(&PoolMessage::CannotTag { error: &error });
    }
    // As early as that what it takes counts there, and with the rights of the parent.
    leaf.map(|leaf| leaf.enter()).transpose().of_call("a limit of its own")?;
    // Before the change of user, as the new one may not open the logs.
    stderr::open_own()?;
    access_log.make_own(log)?;
    title.become_child();
    let role = role_lock.map(RoleLock::open).transpose()?;
    // Some of it takes the rights that go with the user.
    layers.begin()?;
    // Before the tie to the parent, which the kernel cuts when the user changes.
    privileges.apply()?;
    let poller = Poller::new(std::iter::empty())?;
    let Some(channels) = channels.into_child(slot, bell, &poller)? else { return Ok(None) };
    let ChildChannels { page, bell, logs, tether, cells } = channels;
    let reporter = Reporter::new(page, bell);
    follow::begin(logs, streams, Some(reporter.clone()), log);
    let work = Work::new(has_board.then(|| page.enter()), Some(reporter.clone()), limits);
    let stop = Stop::new(By::Signal, Some(page))?;
    poller.add_stops(stops(&stop, Some(&tether)))?;
    // The last that is done with what is not its own.
    layers.finish()?;
    set_signal_mask(&mask)?;
    let role = role.map(|role| role.wait(log)).transpose()?;
    let parts = ChildParts {
        slot,
        generation,
        stop,
        work,
        tether: Some(tether),
        reporter: Some(reporter),
        poller,
        outliving,
        outlets,
        concurrency,
        clients,
        queueing,
        own,
        access_log,
        cells,
        log: log.clone(),
    };
    Ok(Some((Child::new(parts), role)))
}

/// Ends the process: what it has buffered is written, what is the parent's is left alone.
pub(super) fn end(status: i32) -> ! {
    // Nothing can be done about a closed or full output now.
    let _ = io::stdout().flush();
    sys::flush_c_streams();
    sys::exit_now(status)
}
