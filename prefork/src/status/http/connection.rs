//! One client, never waited for.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use prefork_core::Time;
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{SendFlags, Shutdown, send, shutdown},
};

use super::{
    answer::{agent, answer, refusal},
    request::{Hosts, LONGEST, Parsed, parse},
};
use crate::status::{Audience, process::Source};

/// How long a client may take for everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes that are read for nothing, behind what was refused.
const MOST_IGNORED: usize = 1 << 20;

/// Who comes by a socket, and for which hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) audience: Audience,
    pub(super) hosts: Hosts,
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    door: Door,
    stage: Stage,
    due: Time,
}

#[derive(Debug)]
enum Stage {
    Reading {
        read: Vec<u8>,
    },
    Writing {
        answer: Vec<u8>,
        sent: usize,
        end: End,
    },
    /// Everything is sent; reads on until the client closes too. Closing a socket with unread input resets
    /// the connection, and the client may lose the answer that is on its way.
    Lingering {
        ignored: usize,
    },
}

/// What comes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client has said all that it has to say.
    Close,
    Linger,
}

/// How it goes on with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Over,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, door: Door, now: Time) -> Self {
        Self { socket, door, stage: Stage::Reading { read: Vec::new() }, due: now + PATIENCE }
    }

    /// By which door it has come.
    pub(super) const fn door(&self) -> Door {
        self.door
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for.
    pub(super) const fn interest(&self) -> PollFlags {
        match self.stage {
            Stage::Reading { .. } | Stage::Lingering { .. } => PollFlags::IN,
            Stage::Writing { .. } => PollFlags::OUT,
        }
    }

    /// When it has taken too long.
    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Does what can be done without waiting.
    pub(super) fn advance(&mut self, source: &Source<'_>) -> Next {
        loop {
            let step = match &mut self.stage {
                Stage::Reading { read } => match self.socket.as_fd().read_into(read) {
                    Ok(0) => return Next::Over,
                    Ok(_) => respond(read, self.door, source),
                    Err(error) => return if_wait(error),
                },
                Stage::Writing { answer, sent, end } => {
                    match send(&self.socket, &answer[*sent..], SendFlags::NOSIGNAL) {
                        Ok(count) => {
                            *sent += count;
                            (*sent == answer.len()).then_some(*end).map(|end| match end {
                                End::Close => Step::Close,
                                End::Linger => Step::Linger,
                            })
                        }
                        Err(error) => return if_wait(error),
                    }
                }
                Stage::Lingering { ignored } => {
                    let mut rest = [0; 4096];
                    match rustix::io::read(&self.socket, &mut rest) {
                        Ok(0) => return Next::Over,
                        Ok(count) => {
                            *ignored += count;
                            (*ignored > MOST_IGNORED).then_some(Step::Close)
                        }
                        Err(error) => return if_wait(error),
                    }
                }
            };
            match step {
                None => {}
                Some(Step::Write(answer, end)) => {
                    self.stage = Stage::Writing { answer, sent: 0, end };
                }
                Some(Step::Close) => return Next::Over,
                Some(Step::Linger) => {
                    if shutdown(&self.socket, Shutdown::Write).is_err() {
                        return Next::Over;
                    }
                    self.stage = Stage::Lingering { ignored: 0 };
                }
            }
        }
    }
}

/// What a stage leads to, if not to more of the same.
enum Step {
    Write(Vec<u8>, End),
    Linger,
    Close,
}

fn respond(read: &[u8], door: Door, source: &Source<'_>) -> Option<Step> {
    match parse(read, door.hosts) {
        Parsed::Partial => None,
        Parsed::Request(request) => {
            Some(Step::Write(answer(&request, door.audience, source), End::Close))
        }
        Parsed::Agent => Some(Step::Write(agent(&source.report()), End::Close)),
        Parsed::Refused(reason) => Some(Step::Write(refusal(reason), End::Linger)),
    }
}

const fn if_wait(error: Errno) -> Next {
    match error {
        Errno::AGAIN | Errno::INTR => Next::Wait,
        _ => Next::Over,
    }
}

/// Reading behind what is there, up to the longest request.
trait ReadInto {
    fn read_into(&self, bytes: &mut Vec<u8>) -> Result<usize, Errno>;
}

impl ReadInto for BorrowedFd<'_> {
    fn read_into(&self, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
        let mut more = [0; LONGEST];
        let room = LONGEST - bytes.len();
        let count = rustix::io::read(self, &mut more[..room])?;
        bytes.extend_from_slice(&more[..count]);
        Ok(count)
    }
}
