//! On what terms a socket listens, which every holder can change, and setting that back.
//!
//! Processes that accept hold the listening socket themselves: one that was taken over can shut it down for all, or set
//! something that others suffer from. The kernel cannot keep it from that; but another holder can look whether the terms
//! are still those of the start, and restore them. That needs no new socket: its other holders go on.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt,
};

use crate::sys;

/// As many may wait as the system lets wait (`net.core.somaxconn`), where it is not known how many might.
const ALL: i32 = i32::MAX;

/// More than there is to be mended, unless that does not last.
const MOST: usize = 4;

/// What a listening socket is set to, to be set back to.
///
/// # Examples
///
/// ```
/// use prefork_sockets::{Damage, Terms};
/// use rustix::net::{Shutdown, shutdown};
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let terms = Terms::of(&listener)?.expect("it listens");
/// // As any process may that has the socket.
/// shutdown(&listener, Shutdown::Both)?;
/// assert_eq!(terms.mend(&listener)?, [Damage::Deaf]);
/// TcpStream::connect(listener.local_addr()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many connections may wait, if the kernel reports that.
    limit: Option<u32>,
    /// What connections that are accepted from it inherit, for their closing (`SO_LINGER`).
    linger: Option<Duration>,
    /// The interface that it is bound to, by its index; 0 for none.
    interface: i32,
    /// Whether a filter decides what comes to it.
    is_filtered: bool,
}

/// What somebody has done to a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It does not listen.
    Deaf,
    /// Fewer connections can wait.
    Limit,
    /// Connections are closed in another way.
    Linger,
    /// It is bound to another interface, or to one.
    Interface,
    /// A filter keeps out what it likes. Not every kernel allows that to everybody.
    Filter,
}

impl Damage {
    /// Returns it in words that follow the name of the socket: `did not listen any more`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Deaf => "did not listen any more",
            Self::Limit => "was set to let fewer connections wait (listen(2))",
            Self::Linger => "was set to close connections otherwise (SO_LINGER)",
            Self::Interface => "was bound to an interface (SO_BINDTOIFINDEX)",
            Self::Filter => "was given a filter (SO_ATTACH_FILTER)",
        }
    }
}

impl Terms {
    /// Reads them; `None` if the socket does not listen, as one for datagrams.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`, as for what is no socket.
    pub fn of(socket: impl AsFd) -> io::Result<Option<Self>> {
        let socket = socket.as_fd();
        if !sockopt::socket_acceptconn(socket)? {
            return Ok(None);
        }
        Ok(Some(Self {
            limit: sys::tcp_queue(socket).map(|queue| queue.limit),
            linger: sockopt::socket_linger(socket)?,
            // An old kernel does not say; then nobody is accused.
            interface: sys::bound_interface(socket).unwrap_or(0),
            is_filtered: sys::is_filtered(socket),
        }))
    }

    /// Returns those of a socket that was just made: bound to no interface, closed as usual, with no filter, and whatever
    /// queue.
    ///
    /// For one that comes from elsewhere and is to be as good: [`mend`](Self::mend) has it listen, too.
    #[must_use]
    pub const fn fresh() -> Self {
        Self { limit: None, linger: None, interface: 0, is_filtered: false }
    }

    /// Finds what is not as it was.
    fn damage(self, socket: BorrowedFd<'_>) -> io::Result<Vec<Damage>> {
        if is_deaf(socket)? {
            // What else there may be is seen when it listens again.
            return Ok(vec![Damage::Deaf]);
        }
        let found = Self::of(socket)?.unwrap_or(self);
        let all = [
            (found.limit < self.limit, Damage::Limit),
            (found.linger != self.linger, Damage::Linger),
            (found.interface != self.interface, Damage::Interface),
            // A filter of the program's own that is gone is nowhere to be had again.
            (found.is_filtered && !self.is_filtered, Damage::Filter),
        ];
        Ok(all.into_iter().filter_map(|(is_so, damage)| is_so.then_some(damage)).collect())
    }

    /// Sets back what is not as it was, and returns what that is.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not allow that, as with a UNIX socket that was shut down, or if it is done again
    /// meanwhile.
    pub fn mend(self, socket: impl AsFd) -> io::Result<Vec<Damage>> {
        let socket = socket.as_fd();
        let mut mended = Vec::new();
        loop {
            // A socket that listens again may have been set to something else as well.
            let damages = self.damage(socket)?;
            if damages.is_empty() {
                return Ok(mended);
            }
            if mended.len() > MOST {
                return Err(io::Error::other("it cannot be set back to what it was"));
            }
            for damage in damages {
                self.set_back(damage, socket)?;
                mended.push(damage);
            }
        }
    }

    fn set_back(self, damage: Damage, socket: BorrowedFd<'_>) -> io::Result<()> {
        let limit = self.limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(ALL);
        match damage {
            Damage::Deaf => {
                disarm(socket);
                Ok(rustix::net::listen(socket, limit)?)
            }
            Damage::Limit => Ok(rustix::net::listen(socket, limit)?),
            Damage::Linger => Ok(sockopt::set_socket_linger(socket, self.linger)?),
            Damage::Interface => sys::bind_to_interface(socket, self.interface),
            Damage::Filter => sys::remove_filter(socket).map_err(|error| {
                io::Error::new(error.kind(), format!("SO_DETACH_FILTER: {error}"))
            }),
        }
    }
}

/// Sees to it that closing a socket waits for nothing, whatever it has been made into: a connection that lingers keeps
/// the process that closes it last (`SO_LINGER`, see `socket(7)`).
pub fn disarm(socket: impl AsFd) {
    let socket = socket.as_fd();
    // One that is no connection, or not of TCP, has nothing to dissolve.
    let _ = sys::disconnect(socket);
    let _ = sockopt::set_socket_linger(socket, None);
}

/// Returns whether a socket that has listened does not any more.
///
/// # Errors
///
/// Those of `poll(2)` and `getsockopt(2)`.
pub fn is_deaf(socket: impl AsFd) -> io::Result<bool> {
    let socket = socket.as_fd();
    // A UNIX socket that was shut down counts as one that listens, and hangs up.
    let hang_up = PollFlags::RDHUP;
    let mut fds = [PollFd::from_borrowed_fd(socket, hang_up)];
    poll(&mut fds, Some(&Timespec::default()))?;
    let has_hung_up = fds[0].revents().intersects(hang_up | PollFlags::HUP);
    Ok(has_hung_up || !sockopt::socket_acceptconn(socket)?)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::net::UnixListener,
    };

    use super::*;

    fn bound() -> (TcpListener, Terms) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let terms = Terms::of(listener.as_fd()).expect("read").expect("it listens");
        (listener, terms)
    }

    #[test]
    fn what_is_as_it_was_is_left_alone() {
        let (listener, terms) = bound();
        assert_eq!(terms.mend(listener.as_fd()).expect("looked"), []);
    }

    #[test]
    fn everything_that_was_changed_is_set_back() {
        let (listener, terms) = bound();
        let socket = listener.as_fd();
        let hour = Duration::from_secs(3600);
        for (spoil, damage) in [
            (
                &(|| Ok(rustix::net::listen(&listener, 0)?)) as &dyn Fn() -> io::Result<()>,
                Damage::Limit,
            ),
            (&|| Ok(sockopt::set_socket_linger(&listener, Some(hour))?), Damage::Linger),
            (&|| sys::bind_to_interface(listener.as_fd(), i32::MAX), Damage::Interface),
            (&|| Ok(rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?), Damage::Deaf),
            (&|| sys::disconnect(listener.as_fd()), Damage::Deaf),
        ] {
            // Everybody may bind a socket to an interface, and only root change that (see `socket(7)`).
            if damage == Damage::Interface && !rustix::process::geteuid().is_root() {
                eprintln!("SKIPPED: interfaces are set back by root alone");
                continue;
            }
            spoil().expect("everybody may");
            assert_eq!(terms.mend(socket).expect("mended"), [damage]);
            assert_eq!(Terms::of(socket).expect("read"), Some(terms), "{damage:?}");
        }
        assert!(TcpStream::connect(listener.local_addr().expect("bound")).is_ok());
    }

    /// It would take as long as somebody likes to be closed.
    #[test]
    fn a_connection_is_made_a_listener_again_with_everything_it_was_set_to() {
        let (listener, terms) = bound();
        let deaf = TcpListener::bind("127.0.0.1:0").expect("bound");
        sys::disconnect(listener.as_fd()).expect("dissolved");
        let rustix_address = deaf.local_addr().expect("bound");
        rustix::net::connect(&listener, &rustix_address).expect("connected");
        sockopt::set_socket_linger(&listener, Some(Duration::from_secs(20))).expect("set");
        let mended = terms.mend(listener.as_fd()).expect("mended");
        assert_eq!(mended, [Damage::Deaf]);
        assert_eq!(Terms::of(listener.as_fd()).expect("read"), Some(terms));
        assert!(TcpStream::connect(listener.local_addr().expect("bound")).is_ok());
    }

    #[test]
    fn a_filter_is_removed_and_one_that_is_locked_is_reported() {
        let (listener, terms) = bound();
        let socket = listener.as_fd();
        if let Err(error) = sys::keep_everything_out(socket) {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            eprintln!("SKIPPED: this kernel refuses filters");
            return;
        }
        assert_eq!(terms.mend(socket).expect("mended"), [Damage::Filter]);
        assert_eq!(Terms::of(socket).expect("read"), Some(terms));
        assert!(TcpStream::connect(listener.local_addr().expect("bound")).is_ok());
        sys::keep_everything_out(socket).expect("again");
        sys::lock_filter(socket).expect("everybody may");
        let error = terms.mend(socket).expect_err("nobody can").to_string();
        assert!(error.contains("SO_DETACH_FILTER"), "{error}");
    }

    /// One of the program's own is none of an attacker's.
    #[test]
    fn a_filter_that_was_there_at_first_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        if sys::keep_everything_out(listener.as_fd()).is_err() {
            eprintln!("SKIPPED: this kernel refuses filters");
            return;
        }
        let terms = Terms::of(listener.as_fd()).expect("read").expect("it listens");
        assert_eq!(terms.mend(listener.as_fd()).expect("looked"), []);
        assert!(sys::is_filtered(listener.as_fd()));
    }

    #[test]
    fn a_unix_socket_that_was_shut_down_is_said_not_to_listen() {
        let directory = tempfile::tempdir().expect("made");
        let listener = UnixListener::bind(directory.path().join("socket")).expect("bound");
        let terms = Terms::of(listener.as_fd()).expect("read").expect("it listens");
        assert_eq!(terms.mend(listener.as_fd()).expect("looked"), []);
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("everybody may");
        assert!(terms.mend(listener.as_fd()).is_err());
    }

    #[test]
    fn what_does_not_listen_has_no_terms() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
        assert_eq!(Terms::of(socket.as_fd()).expect("read"), None);
    }

    #[test]
    fn a_socket_from_elsewhere_is_made_as_good_as_new() {
        let (listener, _) = bound();
        assert_eq!(Terms::fresh().mend(&listener).expect("mended"), []);
        sockopt::set_socket_linger(&listener, Some(Duration::from_secs(7))).expect("set");
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("everybody may");
        let mended = Terms::fresh().mend(&listener).expect("mended");
        assert!(mended.contains(&Damage::Deaf), "{mended:?}");
        let terms = Terms::of(&listener).expect("read").expect("it listens");
        assert_eq!((terms.linger, terms.interface, terms.is_filtered), (None, 0, false));
        TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    }
}
