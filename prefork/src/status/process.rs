//! The process that answers.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::sys::signal::SigSet;
use prefork_daemonize::Privileges;
use prefork_isolate::Layers;
use prefork_scoreboard::{Board, metrics::Store};
use rustix::process::{Pid, setsid};

use super::{StatusSocket, StatusSockets, page::Reader, rate::Looks, service::Reopened};
use crate::{
    BoxError, ErrorChain,
    channels::Handout,
    logs::PoolMessage,
    logs::log::{Log, Role},
    logs::{Streams, follow, stderr},
    sockets::listeners::Listeners,
    sys,
    sys::refused::Refusable,
    system::os::{end_with, set_signal_mask},
};

/// What a status process keeps of the parent's.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) name: &'a str,
    /// The socket in which it finds logs that were opened again.
    pub(super) handout: &'a Handout,
    pub(super) streams: Streams,
    pub(super) parent: Pid,
    pub(super) sockets: &'a StatusSockets,
    pub(super) memory: &'a OwnedFd,
    pub(super) board: Option<&'a Reopened>,
    pub(super) metrics: Option<&'a Store>,
    /// The sockets whose queues are looked at.
    pub(super) listeners: &'a Listeners,
    /// Hangs up when the status process is to leave.
    pub(super) leave: &'a OwnedFd,
}

/// Where everything is read.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) parent: Pid,
    pub(super) reader: Reader,
    /// With its path.
    pub(super) board: Option<(Board, &'a str)>,
    /// What children count.
    pub(super) metrics: Option<&'a Store>,
    pub(super) listeners: &'a Listeners,
    /// The most requests that were ever reported.
    pub(super) requests: Cell<u64>,
    /// How many there were at the last looks.
    pub(super) looks: RefCell<Looks>,
}

/// Lives the life of a status process, in a process just forked, with all signals blocked.
pub(super) fn live(desk: &Desk<'_>, privileges: &Privileges, layers: &Layers, mask: &SigSet) -> ! {
    let log = Log::new(desk.name, Role::Status);
    let status = match settle(desk, privileges, layers, mask, &log) {
        Ok(Some(source)) => {
            serve(desk, &source);
            0
        }
        // The parent has died.
        Ok(None) => 1,
        Err(error) => {
            log.write(&PoolMessage::CannotStart { error: &ErrorChain(&*error) });
            1
        }
    };
    sys::exit_now(status)
}

#[cfg(feature = "status")]
fn serve(desk: &Desk<'_>, source: &Source<'_>) {
    let news = follow::wakes();
    let news = news.as_ref().map(AsFd::as_fd);
    let sockets = desk.sockets.iter();
    let sockets: Vec<_> =
        sockets.map(|(audience, socket)| (audience, socket.descriptor().as_fd())).collect();
    super::http::serve(&sockets, desk.leave.as_fd(), news, source);
}

/// No address can be given without the feature, so that there is no such process.
#[cfg(not(feature = "status"))]
const fn serve(_: &Desk<'_>, _: &Source<'_>) {}

/// Parts with all that is the parent's; `None` if the parent has gone meanwhile.
fn settle<'a>(
    desk: &Desk<'a>,
    privileges: &Privileges,
    layers: &Layers,
    mask: &SigSet,
    log: &Log,
) -> Result<Option<Source<'a>>, BoxError> {
    let taker = desk.handout.taker().again()?;
    let sockets = desk.sockets.iter().map(|(_, socket)| StatusSocket::descriptor(socket));
    let kept = [desk.memory, desk.leave].into_iter().chain(desk.board.map(|it| &it.file));
    let kept = kept.chain(sockets);
    let listening = desk.listeners.iter().map(|listening| &listening.socket);
    let metrics = desk.metrics.map(AsFd::as_fd);
    let kept: Vec<_> =
        kept.chain(listening).map(AsFd::as_fd).chain([taker.as_fd()]).chain(metrics).collect();
    // No terminal reaches it.
    setsid().of_call("setsid(2)")?;
    stderr::close_own();
    // Not the pid file's lock, not a way to the children, not what the program has opened. What owns them
    // stays on the stack below and is never used again, as this process never returns there.
    sys::close_all_but(&kept)?;
    stderr::open_own()?;
    privileges.apply()?;
    // Not before the change of user, which undoes it.
    if !end_with(desk.parent)? {
        return Ok(None);
    }
    let board = desk.board.map(|Reopened { file, path }| {
        let board = Board::of_file(File::from(file.try_clone()?), Path::new(path))?;
        Ok::<_, BoxError>((board, path.as_str()))
    });
    let board = board.transpose()?;
    follow::begin((taker, desk.handout.edition()), desk.streams, None, log);
    let reader = Reader::new(desk.memory)?;
    // Whoever gets hold of it by a request is no nearer to the children than one of them is to another.
    layers.siblings_apart().finish()?;
    set_signal_mask(mask)?;
    let (name, parent, listeners) = (desk.name, desk.parent, desk.listeners);
    let (requests, looks) = Default::default();
    let metrics = desk.metrics;
    Ok(Some(Source { name, parent, reader, board, metrics, listeners, requests, looks }))
}
