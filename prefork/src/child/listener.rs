//! What a child can accept connections from.

use std::{
    borrow::Borrow,
    convert::identity,
    fmt::Display,
    io,
    net::{self, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::net::{self as unix, UnixListener, UnixStream},
    },
    rc::Rc,
    sync::Arc,
};

use prefork_sockets::{AnyAddr, AnyListener, AnyStream, UnixPeer};

use crate::sockets::hand_over::{Came, Either, HandOvers, Handed};

/// One or several listening sockets, for [`Child::accept`](crate::Child::accept).
///
/// Implemented for the listeners of the standard library, and for [`AnyListener`], which may be either; for
/// slices, arrays and vectors of them; for [`HandOvers`], alone and beside one of these; and for references, `Box`, `Rc` and `Arc` of all these. It cannot be
/// implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "a child cannot accept connections from `{Self}`",
    label = "neither a listening socket nor several of one type",
    note = "the main loop is handed what `after_init` returns: end that with `Ok(init.listen(...)?)`",
    note = "it can from a `TcpListener`, a `UnixListener` or an `AnyListener`, and from slices, arrays and \
            vectors of one of these",
    note = "for what other pools hand over, take `Init::hand_overs`, alone or as `(listener, hand_overs)`",
    note = "for TCP and UNIX sockets at once, make each an `AnyListener`, as `Init::listen_any` does",
    note = "for the listener of an async runtime, wait for `Child::stop_fd` besides"
)]
pub trait Listener: sealed::Sockets<Accepted = <Self as Listener>::Connection> {
    /// What accepting yields: the connection and the peer's address.
    type Connection;
}

/// What is done with each socket.
pub(super) use crate::system::os::Visit;

pub(super) mod sealed {
    use std::{net::SocketAddr, os::fd::BorrowedFd};

    use super::{Display, RawFd, Visit, io};

    /// Only the library has one: what takes it cannot be called from elsewhere, not even by code that is
    /// generic over [`Listener`](super::Listener), which sees the methods of this trait.
    #[derive(Clone, Copy, Debug)]
    pub struct Inside(());

    pub(crate) const INSIDE: Inside = Inside(());

    /// What the library does with a [`Listener`](super::Listener).
    #[diagnostic::on_unimplemented(
        message = "a child cannot accept connections from `{Self}`",
        label = "neither a listening socket nor several of one type"
    )]
    pub trait Sockets {
        type Accepted;

        /// Shows whom a connection is from.
        fn peer(_: Inside, accepted: &Self::Accepted) -> impl Display;

        /// Returns the socket of a connection, and over TCP who the client is.
        fn socket(_: Inside, accepted: &Self::Accepted) -> (BorrowedFd<'_>, Option<SocketAddr>);

        /// Calls `visit` with each socket.
        fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()>;

        /// Accepts from the socket with this descriptor; `None` if it is not one of these.
        fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>>;
    }
}

pub(crate) use sealed::INSIDE;
use sealed::{Inside, Sockets};

/// Implements [`Listener`] for a socket, yielding `$stream` and `$address`.
macro_rules! one_socket {
    ($socket:ty, $stream:ty, $address:ty, $shown:expr, $client:expr) => {
        impl Listener for $socket {
            type Connection = ($stream, $address);
        }

        impl Sockets for $socket {
            type Accepted = ($stream, $address);

            fn peer(_: Inside, (_, address): &Self::Accepted) -> impl Display {
                $shown(address)
            }

            fn socket(
                _: Inside,
                (stream, address): &Self::Accepted,
            ) -> (BorrowedFd<'_>, Option<net::SocketAddr>) {
                let client: fn(&$address) -> Option<net::SocketAddr> = $client;
                (stream.as_fd(), client(address))
            }

            fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()> {
                visit(self.as_fd())
            }

            fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>> {
                (self.as_raw_fd() == fd).then(|| self.accept())
            }
        }
    };
}

one_socket!(TcpListener, TcpStream, net::SocketAddr, identity, |address| Some(*address));
one_socket!(UnixListener, UnixStream, unix::SocketAddr, UnixPeer, |_| None);
one_socket!(AnyListener, AnyStream, AnyAddr, identity, AnyAddr::as_tcp);

impl Listener for HandOvers {
    type Connection = Handed;
}

impl Sockets for HandOvers {
    type Accepted = Handed;

    fn peer(_: Inside, handed: &Handed) -> impl Display {
        handed.peer()
    }

    fn socket(_: Inside, handed: &Handed) -> (BorrowedFd<'_>, Option<net::SocketAddr>) {
        (handed.as_fd(), handed.peer().as_tcp())
    }

    /// It is none any more when nothing can come.
    fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()> {
        self.socket().map_or(Ok(()), visit)
    }

    fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Handed>> {
        self.has(fd).then(|| self.take())
    }
}

/// What listens, and what other pools hand over.
impl<L: Listener, H: Borrow<HandOvers>> Listener for (L, H) {
    type Connection = Came<L::Connection>;
}

impl<L: Listener, H: Borrow<HandOvers>> Sockets for (L, H) {
    type Accepted = Came<L::Connection>;

    fn peer(_: Inside, came: &Self::Accepted) -> impl Display {
        match came {
            Came::Accepted(accepted) => Either::One(L::peer(INSIDE, accepted)),
            Came::Handed(handed) => Either::Other(handed.peer()),
        }
    }

    fn socket(_: Inside, came: &Self::Accepted) -> (BorrowedFd<'_>, Option<net::SocketAddr>) {
        match came {
            Came::Accepted(accepted) => L::socket(INSIDE, accepted),
            Came::Handed(handed) => <HandOvers as Sockets>::socket(INSIDE, handed),
        }
    }

    fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()> {
        self.0.each(INSIDE, visit)?;
        self.1.borrow().each(INSIDE, visit)
    }

    fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>> {
        match self.1.borrow().accept_from(INSIDE, fd) {
            Some(handed) => Some(handed.map(Came::Handed)),
            None => Some(self.0.accept_from(INSIDE, fd)?.map(Came::Accepted)),
        }
    }
}

impl<L: Listener> Listener for [L] {
    type Connection = L::Connection;
}

impl<L: Listener> Sockets for [L] {
    type Accepted = L::Connection;

    fn peer(_: Inside, accepted: &Self::Accepted) -> impl Display {
        L::peer(INSIDE, accepted)
    }

    fn socket(_: Inside, accepted: &Self::Accepted) -> (BorrowedFd<'_>, Option<net::SocketAddr>) {
        L::socket(INSIDE, accepted)
    }

    fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()> {
        self.iter().try_for_each(|listener| listener.each(INSIDE, visit))
    }

    fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>> {
        self.iter().find_map(|listener| listener.accept_from(INSIDE, fd))
    }
}

/// Implements [`Listener`] for what leads to one.
macro_rules! leads_to {
    ($listener:ty, $([$($generics:tt)*] $type:ty)*) => { $(
        impl<$($generics)*> Listener for $type {
            type Connection = L::Connection;
        }

        impl<$($generics)*> Sockets for $type {
            type Accepted = L::Connection;

            fn peer(_: Inside, accepted: &Self::Accepted) -> impl Display {
                L::peer(INSIDE, accepted)
            }

            fn socket(
                _: Inside,
                accepted: &Self::Accepted,
            ) -> (BorrowedFd<'_>, Option<net::SocketAddr>) {
                L::socket(INSIDE, accepted)
            }

            fn each(&self, _: Inside, visit: Visit<'_>) -> io::Result<()> {
                <$listener>::each(self, INSIDE, visit)
            }

            fn accept_from(&self, _: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>> {
                <$listener>::accept_from(self, INSIDE, fd)
            }
        }
    )* };
}

leads_to!([L], [L: Listener, const N: usize] [L; N] [L: Listener] Vec<L>);
leads_to!(L, [L: Listener + ?Sized] &L [L: Listener + ?Sized] Box<L>);
leads_to!(L, [L: Listener + ?Sized] Rc<L> [L: Listener + ?Sized] Arc<L>);

#[cfg(test)]
mod tests {
    use super::*;

    fn count<L: Listener + ?Sized>(listener: &L) -> usize {
        let mut sockets = Vec::new();
        let visit = &mut |socket: BorrowedFd<'_>| {
            sockets.push(socket.as_raw_fd());
            Ok(())
        };
        listener.each(INSIDE, visit).expect("nothing fails");
        assert!(listener.accept_from(INSIDE, -1).is_none());
        sockets.iter().filter(|fd| listener.accept_from(INSIDE, **fd).is_some()).count()
    }

    fn bound() -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        listener.set_nonblocking(true).expect("set");
        listener
    }

    #[test]
    fn whatever_leads_to_listeners_is_one() {
        assert_eq!(count(&bound()), 1);
        assert_eq!(count(&&bound()), 1);
        assert_eq!(count(&Box::new(bound())), 1);
        assert_eq!(count(&Rc::new([bound(), bound()])), 2);
        assert_eq!(count(&Arc::new(vec![bound(), bound()])), 2);
        let boxed: Box<[TcpListener]> = Box::new([bound(), bound()]);
        assert_eq!(count(&boxed), 2);
        assert_eq!(count(&[vec![AnyListener::from(bound())], vec![]]), 1);
        assert_eq!(count::<[TcpListener]>(&[]), 0);
    }

    #[test]
    fn peers_without_a_name_are_known_from_others() {
        use std::os::linux::net::SocketAddrExt;

        let named = unix::SocketAddr::from_pathname("/run/x").expect("an address");
        assert_eq!(UnixPeer(&named).to_string(), "unix:/run/x");
        let named = unix::SocketAddr::from_abstract_name(b"a\0b").expect("an address");
        assert_eq!(UnixPeer(&named).to_string(), "unix:@a\\x00b");
        let (end, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(UnixPeer(&end.peer_addr().expect("an address")).to_string(), "unix:");
    }
}
