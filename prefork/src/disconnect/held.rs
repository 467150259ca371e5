//! The connection that a child has in hand and has not accepted by the library.
//!
//! Code that accepts by itself says with `Child::busy` that a request has begun, and not from whom. So the child looks
//! then what it holds: a connection that has the address of a socket which listens. The parent cannot do that for it: a
//! connection that was reset is in no table, and to its descriptor only the process itself can put questions.

use std::{fs, io, net::SocketAddr, os::fd::BorrowedFd};

use prefork_netwatch::{Connection, Endpoint, Filter, Proto, State};
use rustix::net::{AddressFamily, SocketType, getpeername, sockopt};

use super::Accepted;
use crate::{sys::borrow_descriptor, system::os::open_numbers};

/// A child that has more descriptors open serves many clients at once, and is not to look at all of them for each request.
const MOST: usize = 128;

impl Accepted {
    /// Finds the connection that this process has accepted; `None` if it holds none, or several, of which nobody knows
    /// which the request came by.
    pub(crate) fn held() -> Option<Self> {
        let mut sockets = Vec::new();
        for (entry, count) in fs::read_dir("/proc/self/fd").ok()?.zip(0..) {
            if count == MOST {
                return None;
            }
            sockets.extend(entry.ok().and_then(|entry| descriptor(&entry)));
        }
        Self::only_one(&sockets)
    }

    /// Finds the one among these that was accepted from another of them.
    fn only_one(descriptors: &[BorrowedFd<'_>]) -> Option<Self> {
        let Sockets { listening, others } = Sockets::among(descriptors);
        let filter = Filter::listening(listening.into_iter().flat_map(Endpoint::of_socket));
        let mut accepted = others.into_iter().filter(|fd| is_accepted(*fd, &filter));
        let fd = accepted.next().filter(|_| accepted.next().is_none())?;
        let client = getpeername(fd).ok().flatten();
        Self::new(fd, client.and_then(|client| SocketAddr::try_from(client).ok())).ok()
    }
}

/// Some sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets<'a> {
    pub(crate) listening: Vec<BorrowedFd<'a>>,
    others: Vec<BorrowedFd<'a>>,
}

impl<'a> Sockets<'a> {
    fn among(descriptors: &[BorrowedFd<'a>]) -> Self {
        let mut sockets = Self::default();
        for fd in descriptors {
            match sockopt::socket_acceptconn(fd) {
                Ok(true) => sockets.listening.push(*fd),
                Ok(false) => sockets.others.push(*fd),
                // No socket.
                Err(_) => {}
            }
        }
        sockets
    }

    /// Returns those that were accepted from one which listens at this address.
    pub(crate) fn accepted_at(self, address: Endpoint) -> impl Iterator<Item = BorrowedFd<'a>> {
        let filter = Filter::listening([address]);
        self.others.into_iter().filter(move |fd| is_accepted(*fd, &filter))
    }
}

/// Returns all sockets of this process.
pub(crate) fn sockets() -> io::Result<Sockets<'static>> {
    let descriptors = open_numbers()?.into_iter().filter_map(borrow_descriptor);
    Ok(Sockets::among(&descriptors.collect::<Vec<_>>()))
}

fn descriptor(entry: &fs::DirEntry) -> Option<BorrowedFd<'static>> {
    borrow_descriptor(entry.file_name().to_str()?.parse().ok()?)
}

/// Returns whether a socket that does not listen has the address of one that does.
fn is_accepted(fd: BorrowedFd<'_>, filter: &Filter) -> bool {
    let proto = match (sockopt::socket_type(fd), sockopt::socket_domain(fd)) {
        (Ok(SocketType::STREAM), Ok(AddressFamily::INET)) => Proto::Tcp,
        (Ok(SocketType::STREAM), Ok(AddressFamily::INET6)) => Proto::Tcp6,
        (Ok(SocketType::STREAM), Ok(AddressFamily::UNIX)) => Proto::Unix,
        _ => return false,
    };
    let foreign = Endpoint::Unnamed;
    Endpoint::of_socket(fd).is_ok_and(|local| {
        let state = State::Established;
        let (inode, pid, interface) = (0, None, 0);
        filter.matches(&Connection { proto, local, foreign, state, inode, pid, interface })
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        net::{TcpListener, TcpStream},
        os::{
            fd::AsFd,
            unix::net::{UnixListener, UnixStream},
        },
        time::Duration,
    };

    use rustix::net::sockopt::set_socket_linger;

    use super::*;

    fn tcp() -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        (listener, client, server)
    }

    /// Says which it is, as the parent takes it.
    fn only_one(descriptors: &[BorrowedFd<'_>]) -> Option<Connection> {
        Accepted::only_one(descriptors).map(|accepted| Accepted::connection(accepted.into_words()))
    }

    #[test]
    fn what_was_accepted_is_not_taken_for_what_leads_elsewhere() {
        let (listener, _client, server) = tcp();
        let (elsewhere, outgoing, _) = tcp();
        let (pair, _) = UnixStream::pair().expect("a pair");
        let null = fs::File::open("/dev/null").expect("there");
        drop(elsewhere);
        let held = [null.as_fd(), pair.as_fd(), outgoing.as_fd(), listener.as_fd(), server.as_fd()];
        let found = only_one(&held).expect("it is there");
        assert_eq!(found.foreign, server.peer_addr().expect("connected").into());
        assert_eq!((found.proto, found.state), (Proto::Tcp, State::Established));
        assert_eq!(only_one(&held[..4]), None, "nothing is in hand");
        assert_eq!(only_one(&held[4..]), None, "nobody knows that it was accepted");
    }

    #[test]
    fn of_several_none_is_the_one_in_hand() {
        let (listener, _client, server) = tcp();
        let other = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (second, _) = listener.accept().expect("accepted");
        assert_eq!(only_one(&[listener.as_fd(), server.as_fd(), second.as_fd()]), None);
        drop(other);
    }

    /// The kernel does not report any more who it was.
    #[test]
    fn one_that_was_reset_before_is_gone() {
        let (listener, client, mut server) = tcp();
        set_socket_linger(&client, Some(Duration::ZERO)).expect("set");
        drop(client);
        let end = server.read(&mut [0]).expect_err("it was reset");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        let found = only_one(&[listener.as_fd(), server.as_fd()]).expect("it is there");
        assert_eq!((found.state, found.foreign), (State::Close, Endpoint::Unnamed));
        assert_eq!(found.local, Endpoint::of_socket(&listener).expect("bound"));
    }

    #[test]
    fn one_by_a_unix_socket_is_found() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let client = UnixStream::connect(&path).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let found = only_one(&[client.as_fd(), server.as_fd(), listener.as_fd()]);
        assert_eq!(found.expect("it is there").proto, Proto::Unix);
    }
}
