//! Whether a thread that is about to make a system call may accept by it.

use std::{io, time::Duration};

use prefork_core::program::Judgement;

use super::thread::Thread;
use crate::look::{Call, Connection, Held, Listeners, Process, Target, Tree};

/// What a thread is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It may accept, and can be kept from it without harm to what is in hand.
    Accepts,
    /// It asks for a connection and does not wait for one.
    AsksForOne,
    Other,
}

/// What is needed to decide that.
pub(super) struct Scene<'a> {
    pub(super) tree: &'a Tree,
    pub(super) listeners: &'a Listeners,
    pub(super) held: &'a mut Held,
}

impl<'a> Scene<'a> {
    pub(super) fn process_of(&self, thread: &Thread) -> Option<&'a Process> {
        self.tree.processes().iter().find(|process| process.pid() == thread.pid)
    }

    /// Returns what a thread that is at the entry of a system call is about to do.
    pub(super) fn next(&mut self, thread: &Thread) -> io::Result<Next> {
        let Some(process) = self.process_of(thread) else { return Ok(Next::Other) };
        let call = match process.call(thread.id)? {
            Call::Restarted => thread.was_in.clone(),
            call => call,
        };
        let is_single = process.threads().is_ok_and(|threads| threads.len() == 1);
        let is_alone = is_single && self.tree.processes().len() == 1;
        let listens = |fd: &i32| process.is_listener(*fd, self.listeners);
        let may_accept = match &call {
            Call::Accept(fd) if !is_single && listens(fd) && process.is_nonblocking(*fd) => {
                return Ok(Next::AsksForOne);
            }
            Call::Accept(fd) => listens(fd),
            // One that waits for something else may work for another process of the program, which has the connection.
            Call::Poll(_) | Call::Epoll(_) if is_alone => true,
            Call::Poll(fds) if is_single => fds.iter().any(listens),
            // What is polled beside the socket may be connections in hand, unless it is no socket: a pipe that wakes.
            Call::Poll(fds) => {
                let may_be = |fd: &i32| match process.descriptor(*fd) {
                    Some(Target::Socket(_)) => listens(fd),
                    Some(Target::Epoll | Target::Other) | None => true,
                };
                fds.iter().any(listens) && fds.iter().all(may_be)
            }
            Call::Epoll(fd) if is_single => {
                process.registered(self.listeners)?.iter().any(|(epoll, ..)| epoll == fd)
            }
            Call::Epoll(_) | Call::Read(_) | Call::Restarted | Call::Other | Call::None => false,
        };
        if !may_accept {
            return Ok(Next::Other);
        }
        if !is_single {
            return Ok(Next::Accepts);
        }
        // The one thread of a process does all that is in hand there.
        let connections = self.held.look(self.tree, self.listeners)?;
        let is_its_own = |it: &&Connection| it.pid == thread.pid;
        let in_hand = connections.iter().filter(is_its_own).any(is_in_hand);
        Ok(if in_hand { Next::Other } else { Next::Accepts })
    }
}

fn is_in_hand(connection: &Connection) -> bool {
    match connection.facts.judge(Duration::ZERO) {
        Judgement::AtWork | Judgement::Silent => true,
        Judgement::Answered | Judgement::KeptAlive => false,
    }
}
