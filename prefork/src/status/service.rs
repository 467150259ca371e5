//! The parent's side: the socket, the page, and the status process that is to be there.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::sys::signal::SigSet;
use prefork_core::Time;
use prefork_daemonize::Privileges;
use prefork_isolate::Layers;
use prefork_scoreboard::metrics::{Store, StoreError};
use rustix::{
    fs::{Mode, OFlags, open},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, getpid},
};

use super::{
    StatusSockets,
    page::Page,
    process::{self, Desk},
};
use crate::{
    ErrorChain,
    board::ParentBoard,
    channels::Handout,
    logs::FileMessage,
    logs::Streams,
    logs::log::Log,
    sockets::listeners::Listeners,
    status::counters::Counters,
    sys::Forked,
    sys::refused::Refusable,
    system::helper::Helper,
    system::os::{Shortage, Title, fork},
};

/// Two status processes are not forked within less.
const PAUSE: Duration = Duration::from_secs(1);

/// What the parent has and a status process is made of.
pub(crate) struct World<'a> {
    pub(crate) name: &'a str,
    pub(crate) handout: &'a Handout,
    pub(crate) streams: Streams,
    pub(crate) listeners: &'a Listeners,
    pub(crate) privileges: &'a Privileges,
    /// What holds children apart from their siblings, of which it is none.
    pub(crate) layers: &'a Layers,
    pub(crate) title: &'a mut Title,
    pub(crate) mask: &'a SigSet,
    pub(crate) log: &'a Log,
}

/// The status page as the parent keeps it up.
#[derive(Debug)]
pub(crate) struct Service {
    sockets: StatusSockets,
    page: Page,
    /// The board, open for reading alone; none if there is none, or it cannot be had.
    board: Option<Reopened>,
    /// What children count, open for reading alone.
    metrics: Option<Store>,
    process: Option<StatusProcess>,
    /// When the next status process may be forked.
    not_before: Time,
    /// The last failure, so that it is logged once.
    trouble: Option<String>,
}

/// The board, open for reading alone.
#[derive(Debug)]
pub(super) struct Reopened {
    pub(super) file: OwnedFd,
    /// Where it is; empty for one in memory.
    pub(super) path: String,
}

/// A status process that is alive, or not reaped.
#[derive(Debug)]
struct StatusProcess {
    helper: Helper,
    /// The parent's end of the pipe: the status process leaves when it is closed.
    _stay: OwnedFd,
}

impl Service {
    /// Makes it ready, in a process that may still open the board.
    pub(crate) fn new(
        sockets: StatusSockets,
        board: Option<&ParentBoard>,
        metrics: Option<&Store>,
        log: &Log,
    ) -> io::Result<Self> {
        for (_, socket) in sockets.iter() {
            rustix::net::listen(socket.descriptor(), i32::from(i16::MAX))?;
        }
        let (page, board) = (Page::new()?, reopen(board, log));
        let metrics = metrics.and_then(|store| {
            let opened = store.reader();
            let failed = |error: &StoreError| {
                log.write(&FileMessage::StatusWithoutMetrics { error: &ErrorChain(error) });
            };
            opened.inspect_err(failed).ok()
        });
        let (process, not_before, trouble) = (None, Time::ZERO, None);
        Ok(Self { sockets, page, board, metrics, process, not_before, trouble })
    }

    /// What the next program needs to go on with the sockets.
    pub(crate) const fn sockets(&self) -> &StatusSockets {
        &self.sockets
    }

    /// When a status process is to be forked, if nothing happens; `None` while there is one.
    pub(crate) const fn due(&self) -> Option<Time> {
        match self.process {
            None => Some(self.not_before),
            Some(_) => None,
        }
    }

    /// Announces to readers that figures are about to change together with the board.
    pub(crate) fn begin(&mut self) {
        self.page.begin();
    }

    /// Lets readers have the figures.
    pub(crate) fn publish(&mut self, counters: &Counters, alive: usize) {
        self.page.publish(counters, alive);
    }

    /// Forks a status process if there is none and one is due.
    pub(crate) fn tend(&mut self, now: Time, world: World<'_>) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }
        self.not_before = now + PAUSE;
        let log = world.log;
        match self.fork(world) {
            Ok(process) => {
                self.process = Some(process);
                self.trouble = None;
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    let short = Shortage::behind(&error);
                    log.write(&FileMessage::NoStatusPage { error: &error, shortage: &short });
                    self.trouble = Some(text);
                }
            }
        }
    }

    /// Replaces the status process by one that reads the board which is there now; returns the one that
    /// leaves, which finishes what it has in hand.
    pub(crate) fn renew(&mut self, board: Option<&ParentBoard>, log: &Log) -> Option<Helper> {
        self.board = reopen(board, log);
        self.process.take().map(|process| process.helper)
    }

    /// Notes that a process has ended and was reaped; returns whether it was the status process.
    pub(crate) fn reaped(&mut self, pid: Pid) -> bool {
        self.process.take_if(|process| process.helper.pid() == pid).is_some()
    }

    /// Gives up the status process, at the end of the daemon; reaping it is left to the caller.
    pub(crate) fn release(&mut self) -> Option<Helper> {
        self.process.take().map(|process| process.helper)
    }

    fn fork(&self, world: World<'_>) -> io::Result<StatusProcess> {
        let World { name, handout, streams, listeners, privileges, layers, title, mask, .. } =
            world;
        let (leave, stay) = pipe_with(PipeFlags::CLOEXEC).of_call("pipe2(2)")?;
        let parent = getpid();
        match fork()? {
            Forked::Child => {
                title.become_status_process();
                let desk = Desk {
                    name,
                    handout,
                    streams,
                    parent,
                    sockets: &self.sockets,
                    memory: self.page.memory(),
                    board: self.board.as_ref(),
                    metrics: self.metrics.as_ref(),
                    listeners,
                    leave: &leave,
                };
                process::live(&desk, privileges, layers, mask)
            }
            Forked::Parent { child } => {
                Ok(StatusProcess { helper: Helper::new(child), _stay: stay })
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(helper) = self.release() {
            helper.kill();
        }
    }
}

/// Opens the board once more, for reading alone and without its lock.
fn reopen(board: Option<&ParentBoard>, log: &Log) -> Option<Reopened> {
    let board = board?;
    let (file, _lock) = board.public().descriptors()?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = open(link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.inspect_err(|error| {
        log.write(&FileMessage::StatusWithoutBoard { error });
    });
    let path = board.public().path().map(|path| path.to_string_lossy().into_owned());
    Some(Reopened { file: opened.ok()?, path: path.unwrap_or_default() })
}
