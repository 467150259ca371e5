//! The parent's own hold on the sockets that it listens on.

use std::{
    ffi::OsString,
    mem::ManuallyDrop,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use prefork_core::{Allowance, Time};
use prefork_daemonize::SocketFileId;
use prefork_sockets::{Damage, Queue, Terms, accept_queue, close_to_newcomers, disarm, name};
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use super::hand_over::{End, Outlet, Outlets, has_hung_up};
use crate::{ErrorChain, logs::ClientMessage, logs::log::Log};

/// How often it is logged that a socket was mended: one that spoils it again and again fills no log.
const COMPLAINTS: Allowance = Allowance::new(3, Duration::from_secs(60));

/// The name under which an arbiter passes a socket that ends with the daemon.
pub(crate) const ARBITERS: &str = "prefork-arbiter";

/// The parent's copies of the sockets that it listens on.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<Listening>,
    /// On what terms each of them listens; none for one that does not.
    terms: Vec<Option<Terms>>,
    complaints: Allowance,
    /// Why one could not be mended the last time.
    beyond_repair: Option<String>,
    /// Whether the doors were closed.
    are_closed: bool,
    /// Whether no connection can be handed over any more, as far as anybody has looked.
    hand_overs_ended: bool,
    /// The names under which the service manager has kept others, and is to keep them no more.
    not_wanted: Vec<String>,
}

/// A socket, and by what it is known again.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) known_by: KnownBy,
    /// The name that the service manager has given it, if it comes from there.
    pub(crate) activated: Option<String>,
    /// The file of a UNIX socket that the daemon has made, and is to remove.
    pub(crate) file: Option<SocketFileId>,
    pub(crate) socket: OwnedFd,
}

/// A place at which it listens, as shown to people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: String,
    /// `None` where that is not known.
    pub(crate) queue: Option<Queue>,
}

/// By what a program asks for a socket, and the next one finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KnownBy {
    /// The addresses that were asked for; of these it is bound to one.
    Tcp(Vec<SocketAddr>),
    /// The path that was asked for.
    Unix(OsString),
    /// The name that the service manager has given it, and nothing else.
    #[serde(rename = "ByName")]
    Name,
}

impl Listeners {
    pub(crate) const fn new(sockets: Vec<Listening>) -> Self {
        Self {
            sockets,
            terms: Vec::new(),
            complaints: COMPLAINTS,
            beyond_repair: None,
            are_closed: false,
            hand_overs_ended: false,
            not_wanted: Vec::new(),
        }
    }

    /// Notes which the service manager is to keep no more.
    pub(crate) fn without(mut self, names: Vec<String>) -> Self {
        self.not_wanted.extend(names);
        self
    }

    /// The names under which the service manager has kept others, and is to keep them no more.
    pub(crate) fn not_wanted(&self) -> &[String] {
        &self.not_wanted
    }

    /// Takes the terms on which all of them listen for those on which they are to.
    pub(crate) fn settle_terms(&mut self) {
        let terms = |listening: &Listening| Terms::of(&listening.socket).ok().flatten();
        self.terms = self.sockets.iter().map(terms).collect();
    }

    /// Looks whether another holder of the sockets has changed those terms, and sets them back.
    pub(crate) fn mend(&mut self, now: Time, log: &Log) {
        for (Listening { socket, .. }, terms) in self.sockets.iter().zip(&self.terms) {
            let Some(terms) = terms else { continue };
            match terms.mend(socket) {
                Ok(damages) if damages.is_empty() => {}
                Ok(damages) => {
                    self.beyond_repair = None;
                    if self.complaints.take(now) {
                        let is_usual = damages == [Damage::Limit];
                        let words: Vec<_> = damages.into_iter().map(Damage::words).collect();
                        let (socket, damage) = (&name(socket), &*words.join(" and "));
                        log.write(&if is_usual {
                            ClientMessage::ListenerLengthened { socket, damage }
                        } else {
                            ClientMessage::ListenerMended { socket, damage }
                        });
                    }
                }
                Err(error) => {
                    let (name, error) = (name(socket), ErrorChain(&error));
                    let message = ClientMessage::ListenerDamaged { socket: &name, error: &error };
                    let text = message.to_string();
                    if self.beyond_repair.as_ref() != Some(&text) {
                        log.write(&message);
                        self.beyond_repair = Some(text);
                    }
                }
            }
        }
    }

    /// Sees to it that closing them waits for nothing, whatever others have made of them, when no child is left. Those
    /// of the service manager are not closed with this process, and set back instead.
    pub(crate) fn disarm(&self) {
        for (listening, terms) in self.sockets.iter().zip(&self.terms) {
            let Listening { socket, activated, .. } = listening;
            match (activated, terms) {
                (None, _) => disarm(socket),
                // Its door stays closed until the arbiter has closed it too.
                (Some(_), _) if self.are_closed && listening.ends_with_daemon() => {}
                (Some(_), Some(terms)) => {
                    // Nobody is left who could do anything about it.
                    let _ = terms.mend(socket);
                }
                (Some(_), None) => {}
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listening> {
        self.sockets.iter()
    }

    /// Lets no more connections in; those that wait stay.
    ///
    /// Sockets of the service manager stay as they are: newcomers wait for the next start, and nobody could
    /// open them again.
    pub(crate) fn close_doors(&mut self, log: &Log) {
        self.are_closed = true;
        for Listening { socket, .. } in self.sockets.iter().filter(|it| it.ends_with_daemon()) {
            if let Err(error) = close_to_newcomers(socket) {
                let name = name(socket);
                log.write(&ClientMessage::ListenerNotClosed {
                    socket: &name,
                    error: &ErrorChain(&error),
                });
                // So few wait there at least.
                let _ = rustix::net::listen(socket, 0);
            }
        }
    }

    /// Returns the cookies (`SO_COOKIE` in `socket(7)`) of the sockets that the service manager has:
    /// clients that wait there are served by its next start, and not by children that leave.
    pub(crate) fn outliving(&self) -> Vec<u64> {
        // What was handed over before the stop is answered: by then those who hand over have stopped too.
        let managers = self.sockets.iter().filter(|it| !it.ends_with_daemon() && !it.takes());
        managers.filter_map(|it| sockopt::socket_cookie(&it.socket).ok()).collect()
    }

    /// Closes them in a process just forked, whose memory stays as it is; what leads to other pools is the child's.
    pub(crate) fn close(mut self) -> Outlets {
        let outlets = self.take_outlets();
        let Self { mut sockets, terms, beyond_repair, not_wanted, complaints: _, .. } = self;
        for Listening { known_by, activated, file, socket } in sockets.drain(..) {
            let _shared = ManuallyDrop::new((known_by, activated, file));
            drop(socket);
        }
        let _shared = ManuallyDrop::new((sockets, terms, beyond_repair, not_wanted));
        outlets
    }

    /// Returns how many connections wait at all of them, and may; `None` if that is not known of one, or no
    /// connection can wait at any.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn queue(&self) -> Option<Queue> {
        in_all(self.queues().map(accept_queue))
    }

    /// Those at which connections can wait.
    pub(crate) fn queues(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queues = self.sockets.iter().filter(|listening| listening.can_queue());
        queues.map(|listening| listening.socket.as_fd())
    }

    /// Takes out the ends that lead to other pools, which children send by.
    pub(crate) fn take_outlets(&mut self) -> Outlets {
        let mut outlets = Vec::new();
        for place in (0..self.sockets.len()).rev() {
            let Some(End::LeadsTo(pool)) = self.sockets[place].end() else { continue };
            let pool = pool.to_owned();
            if place < self.terms.len() {
                self.terms.remove(place);
            }
            outlets.push(Outlet { pool, socket: self.sockets.remove(place).socket });
        }
        outlets.into_iter().collect()
    }

    /// Those at which connections can wait, also such that other pools hand over.
    pub(crate) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let takers = self.sockets.iter().filter(|it| !self.hand_overs_ended && it.takes());
        self.queues().chain(takers.map(|listening| listening.socket.as_fd()))
    }

    /// Returns how many connections wait at these places and are handed over; `None` if that is not known, as the kernel
    /// reports whether any was handed over and not how many.
    pub(crate) fn waiting(&mut self, places: &[Place]) -> Option<u32> {
        let mut waiting = waiting_at(places);
        for listening in self.sockets.iter().filter(|listening| listening.takes()) {
            // Each message has bytes.
            if rustix::io::ioctl_fionread(&listening.socket) != Ok(0) {
                return None;
            }
            // Children log it. That nothing comes is not to wake this process.
            self.hand_overs_ended = has_hung_up(listening.socket.as_fd());
            if places.is_empty() {
                waiting = Some(0);
            }
        }
        waiting
    }

    /// The identities of those that look like connections, and that children share on purpose.
    pub(crate) fn shared_on_purpose(listeners: &[Listening]) -> Vec<(u64, u64)> {
        let between_pools = listeners.iter().filter(|listening| listening.is_between_pools());
        let stats = between_pools.filter_map(|it| rustix::fs::fstat(&it.socket).ok());
        stats.map(|stat| (stat.st_dev, stat.st_ino)).collect()
    }

    /// Returns how many connection attempts were dropped at all of them, as there was no room in the queue; `None` if
    /// that is not known of one, or no connection can wait at any.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn dropped(&self) -> Option<u64> {
        let dropped = self.queues().map(|it| prefork_sockets::dropped(it).map(u64::from));
        dropped.reduce(|sum, dropped| Some(sum? + dropped?))?
    }

    /// Returns where it listens, and how many connections wait there.
    pub(crate) fn places(&self) -> Vec<Place> {
        let place = |Listening { socket, .. }: &Listening| Place {
            address: name(socket),
            queue: accept_queue(socket),
        };
        self.sockets.iter().filter(|listening| listening.can_queue()).map(place).collect()
    }
}

/// Returns how many connections wait at all of these places; `None` if that is not known of one, or
/// there is none.
pub(crate) fn waiting_at(places: &[Place]) -> Option<u32> {
    in_all(places.iter().map(|place| place.queue)).map(|queue| queue.waiting)
}

/// Adds queues up; `None` if one is not known, or there is none.
fn in_all(queues: impl Iterator<Item = Option<Queue>>) -> Option<Queue> {
    queues.reduce(|sum, queue| {
        let (sum, queue) = (sum?, queue?);
        Some(Queue {
            waiting: sum.waiting.saturating_add(queue.waiting),
            limit: sum.limit.saturating_add(queue.limit),
        })
    })?
}

impl Listening {
    /// Whether it is closed when the daemon ends, and not left to the next start of a service manager.
    fn ends_with_daemon(&self) -> bool {
        self.activated.as_deref().is_none_or(|name| name == ARBITERS)
    }

    /// Which end it is of a way between pools, if it is one.
    fn end(&self) -> Option<End<'_>> {
        End::of(self.activated.as_deref(), &self.socket)
    }

    /// Whether other pools hand connections over there.
    pub(crate) fn takes(&self) -> bool {
        self.end() == Some(End::Takes)
    }

    /// Whether it is an end of a way between pools.
    pub(crate) fn is_between_pools(&self) -> bool {
        self.end().is_some()
    }

    /// Whether connections can wait there, and not only datagrams or bytes.
    fn can_queue(&self) -> bool {
        self.activated.is_none() || sockopt::socket_acceptconn(&self.socket) == Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        time::{Duration, Instant},
    };

    use rustix::{
        io::Errno,
        net::{Shutdown, connect, getsockname, shutdown},
    };

    use super::*;

    /// What a child can do to a socket that it shares with its parent.
    fn take_over(socket: &OwnedFd, other: &TcpListener) {
        shutdown(socket, Shutdown::Both).expect("it listened");
        let address = getsockname(other).expect("bound");
        connect(socket, &address).expect("connected");
        sockopt::set_socket_linger(socket, Some(Duration::from_secs(20))).expect("set");
        rustix::io::ioctl_fionbio(socket, true).expect("set");
        // Nobody reads what is sent.
        loop {
            match rustix::io::write(socket, &[0; 65_536]) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_socket_that_was_made_to_linger_is_closed_at_once() {
        let other = TcpListener::bind("127.0.0.1:0").expect("bound");
        let socket: OwnedFd = TcpListener::bind("127.0.0.1:0").expect("bound").into();
        take_over(&socket, &other);
        let known_by = KnownBy::Tcp(Vec::new());
        let listening = Listening { known_by, activated: None, file: None, socket };
        let mut listeners = Listeners::new(vec![listening]);
        listeners.settle_terms();
        let begun = Instant::now();
        listeners.disarm();
        drop(listeners);
        assert!(begun.elapsed() < Duration::from_secs(5), "it has lingered {:?}", begun.elapsed());
    }

    #[test]
    fn clients_for_whom_there_is_no_room_are_counted() {
        let socket: OwnedFd = TcpListener::bind("127.0.0.1:0").expect("bound").into();
        rustix::net::listen(&socket, 0).expect("it listens");
        let address = getsockname(&socket).expect("bound");
        let known_by = KnownBy::Tcp(Vec::new());
        let listening = Listening { known_by, activated: None, file: None, socket };
        let listeners = Listeners::new(vec![listening]);
        assert_eq!(listeners.dropped(), Some(0));
        // One waits; the next ones are not answered, and would try again.
        let clients: Vec<_> = (0..3).map(|_| connect_without_waiting(&address)).collect();
        assert_eq!(waiting_at(&listeners.places()), Some(1));
        assert_eq!(listeners.dropped(), Some(2));
        drop(clients);
    }

    fn connect_without_waiting(address: &rustix::net::SocketAddrAny) -> OwnedFd {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let client =
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("made");
        assert_eq!(connect(&client, address), Err(Errno::INPROGRESS));
        client
    }
}
