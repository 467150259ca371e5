//! Serving some clients at a time, none of which is waited for.

use std::{os::fd::BorrowedFd, time::Duration};

use prefork_core::Time;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::{
    connection::{Connection, Door, Next},
    request::Hosts,
};
use crate::status::{Audience, process::Source};
use crate::{logs::follow, system::clock};

/// More clients of one audience than these wait in the queue of its socket.
const MOST_CLIENTS: usize = 32;

/// How long nobody is accepted after that has failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the other end of `leave` is closed, and then the clients that are being served.
///
/// Goes over to the newest logs when `news` becomes readable, so that old ones are not kept open.
pub(crate) fn serve(
    sockets: &[(Audience, BorrowedFd<'_>)],
    leave: BorrowedFd<'_>,
    news: Option<BorrowedFd<'_>>,
    source: &Source<'_>,
) {
    let doors: Vec<_> =
        sockets.iter().map(|(audience, socket)| (door(*audience, *socket), *socket)).collect();
    let mut clients: Vec<Connection> = Vec::new();
    let mut leaving = false;
    let mut paused_until: Option<Time> = None;
    while !(leaving && clients.is_empty()) {
        let now = clock::now();
        paused_until = paused_until.filter(|until| now < *until);
        let has_room = |door: Door| {
            clients.iter().filter(|client| client.door() == door).count() < MOST_CLIENTS
        };
        let is_accepting = !leaving && paused_until.is_none();
        let open: Vec<_> =
            doors.iter().filter(|(door, _)| is_accepting && has_room(*door)).copied().collect();
        let mut fds: Vec<PollFd<'_>> = clients
            .iter()
            .map(|client| PollFd::from_borrowed_fd(client.fd(), client.interest()))
            .chain(open.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)))
            .chain(news.map(|news| PollFd::from_borrowed_fd(news, PollFlags::IN)))
            .collect();
        // Nothing is ever written to it; a hang-up is reported whatever is asked for. After that it is not
        // waited for any more.
        if !leaving {
            fds.push(PollFd::from_borrowed_fd(leave, PollFlags::empty()));
        }
        let due = clients.iter().map(Connection::due).chain(paused_until).min();
        if clock::sleep(&mut fds, due).is_err() {
            return;
        }
        let stirred: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let (of_clients, others) = stirred.split_at(clients.len());
        let (of_doors, others) = others.split_at(open.len());
        let (has_news, others) = others.split_at(usize::from(news.is_some()));
        if let (Some(news), [true]) = (news, has_news) {
            follow::quieten(news);
            follow::follow();
        }
        let now = clock::now();
        let mut of_clients = of_clients.iter();
        clients.retain_mut(|client| {
            let has_stirred = of_clients.next().is_some_and(|stirred| *stirred);
            now < client.due() && (!has_stirred || client.advance(source) == Next::Wait)
        });
        leaving |= others.first() == Some(&true);
        for ((door, socket), _) in open.iter().zip(of_doors).filter(|(_, stirred)| **stirred) {
            match accept(*socket, *door, now, source) {
                Ok(client) => clients.extend(client),
                Err(_) => paused_until = Some(now + PAUSE),
            }
        }
    }
}

/// Who comes by a socket. Names of hosts matter where a stranger's page could have a browser of this machine ask: at a TCP
/// address that is not for everybody.
fn door(audience: Audience, socket: BorrowedFd<'_>) -> Door {
    let is_tcp = rustix::net::getsockname(socket)
        .is_ok_and(|address| std::net::SocketAddr::try_from(address).is_ok());
    let hosts = match audience {
        Audience::Operators if is_tcp => Hosts::Here,
        Audience::Operators | Audience::Everybody => Hosts::Any,
    };
    Door { audience, hosts }
}

/// Accepts a client; returns it if its request is not answered yet.
fn accept(
    socket: BorrowedFd<'_>,
    door: Door,
    now: Time,
    source: &Source<'_>,
) -> Result<Option<Connection>, Errno> {
    let accepted = match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(accepted) => accepted,
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut client = Connection::new(accepted, door, now);
    // Its request is mostly there already.
    Ok(match client.advance(source) {
        Next::Wait => Some(client),
        Next::Over => None,
    })
}
