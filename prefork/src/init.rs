//! What `after_init` can ask and have.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

use crate::{
    sys,
    upgrade::{Asked, InheritedListener, Role},
};

/// The daemon as it is after its initialization, before children are started.
#[derive(Debug)]
pub struct Init {
    name: String,
    in_background: bool,
    role: Option<Role>,
    /// What the program of before has left and nobody has asked for yet.
    inherited: Vec<InheritedListener>,
    listeners: Vec<Listening>,
}

impl Init {
    pub(crate) const fn new(name: String, in_background: bool) -> Self {
        Self { name, in_background, role: None, inherited: Vec::new(), listeners: Vec::new() }
    }

    /// Goes on with the sockets that the program of before has left.
    pub(crate) fn inherit(&mut self, role: Role, listeners: Vec<InheritedListener>) {
        self.role = Some(role);
        self.inherited = listeners;
    }

    /// Returns the name of the daemon.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether the daemon runs in the background, with its standard error in a log.
    #[must_use]
    pub const fn is_daemon(&self) -> bool {
        self.in_background
    }

    /// Tells whether this is only a probe: a process beside the daemon that finds out whether this
    /// program would work in its place (see [the crate's documentation](crate#upgrading)).
    ///
    /// Everything that a start needs should be tried, and nothing changed that the running daemon uses.
    /// What the hook returns is never dropped in a probe.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.role == Some(Role::Probe)
    }

    /// Tells whether this program takes over a daemon that serves, or tries to, as a probe.
    #[must_use]
    pub const fn is_upgrade(&self) -> bool {
        self.role.is_some()
    }

    /// Listens on a TCP address.
    ///
    /// The parent keeps an eye on the socket: connections that wait to be accepted tell how many
    /// children are missing, so that a burst is met at once. The socket is close-on-exec, can be
    /// bound again at once after a stop (`SO_REUSEADDR`), and has the longest queue that the system
    /// allows (`net.core.somaxconn`, see `listen(2)`).
    ///
    /// After an upgrade this is the very socket that the program of before has listened on, if it has
    /// asked for the same address: no connection is lost, and port 0 stays the port that it became.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use, is not one of this machine, or needs a privilege; the text
    /// names the address.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new().after_init(|init| Ok(init.listen("127.0.0.1:0")?));
    /// # drop(args);
    /// ```
    pub fn listen(
        &mut self,
        address: impl ToSocketAddrs + std::fmt::Debug,
    ) -> io::Result<TcpListener> {
        let naming = |error| named(&address, &error);
        let asked: Vec<SocketAddr> = address.to_socket_addrs().map_err(naming)?.collect();
        let listener = match self.claim(|listener| listener.is_tcp(&asked)) {
            Some(socket) => socket.into(),
            None => TcpListener::bind(&asked[..]).map_err(naming)?,
        };
        rustix::net::listen(&listener, BACKLOG)?;
        self.watch(listener, Asked::Tcp(asked))
    }

    /// Listens on a UNIX socket at `path`.
    ///
    /// The kernel does not tell cheaply how many connections wait there, so a pool grows by
    /// doubling while all children are busy.
    ///
    /// # Errors
    ///
    /// Fails if something stands at `path` already (but after an upgrade the socket of before), or the directory is missing or not writable; the
    /// text names the path.
    pub fn listen_unix(&mut self, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let naming = |error| named(path.display(), &error);
        let asked = Asked::Unix(std::path::absolute(path).map_err(naming)?.into());
        let listener = match self.claim(|listener| listener.asked == asked) {
            Some(socket) => socket.into(),
            None => UnixListener::bind(path).map_err(naming)?,
        };
        rustix::net::listen(&listener, BACKLOG)?;
        self.watch(listener, asked)
    }

    /// Takes the first of the inherited sockets that is the one.
    fn claim(&mut self, is_it: impl Fn(&InheritedListener) -> bool) -> Option<OwnedFd> {
        let place = self.inherited.iter().position(is_it)?;
        Some(self.inherited.remove(place).socket)
    }

    fn watch<L: AsFd>(&mut self, listener: L, asked: Asked) -> io::Result<L> {
        let socket = listener.as_fd().try_clone_to_owned()?;
        self.listeners.push(Listening { asked, socket });
        Ok(listener)
    }

    pub(crate) fn into_listeners(self) -> Listeners {
        Listeners { sockets: self.listeners }
    }
}

/// More than any system allows; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// The same error, naming the address.
fn named(address: impl std::fmt::Debug, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address:?}: {error}"))
}

impl InheritedListener {
    /// Whether it is what listening on one of these addresses has led to, or would.
    fn is_tcp(&self, wanted: &[SocketAddr]) -> bool {
        let Asked::Tcp(asked) = &self.asked else { return false };
        let bound = rustix::net::getsockname(&self.socket).ok();
        let bound = bound.and_then(|address| SocketAddr::try_from(address).ok());
        asked == wanted || bound.is_some_and(|bound| wanted.contains(&bound))
    }
}

/// The parent's copies of the sockets that it listens on.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    sockets: Vec<Listening>,
}

/// A socket, and the address that was asked for.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) asked: Asked,
    pub(crate) socket: OwnedFd,
}

impl Listeners {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listening> {
        self.sockets.iter()
    }

    /// Lets no more connections in; those that wait stay.
    ///
    /// A client that comes now is not answered at all, tries again after a second (see `tcp(7)`), and
    /// finds a successor or a closed port. UNIX sockets, which cannot be filtered, let in one more.
    pub(crate) fn close_doors(&self) {
        for Listening { socket, .. } in &self.sockets {
            let is_tcp = sys::accept_queue(socket.as_fd()).is_some();
            if !is_tcp || sys::drop_newcomers(socket.as_fd()).is_err() {
                // What cannot be closed is drained all the same.
                let _ = rustix::net::listen(socket, 0);
            }
        }
    }

    /// Returns how many connections wait at all of them, and may; `None` if that is not known.
    #[cfg(feature = "status")]
    pub(crate) fn queue(&self) -> Option<sys::Queue> {
        let queues =
            self.sockets.iter().map(|listening| sys::accept_queue(listening.socket.as_fd()));
        queues.reduce(|sum, queue| {
            let (sum, queue) = (sum?, queue?);
            Some(sys::Queue {
                waiting: sum.waiting.saturating_add(queue.waiting),
                limit: sum.limit.saturating_add(queue.limit),
            })
        })?
    }

    /// Returns how many connections wait at all of them; `None` if that is not known.
    pub(crate) fn waiting(&self) -> Option<u32> {
        if self.sockets.is_empty() {
            return None;
        }
        let queues = self.sockets.iter().map(|listening| listening.socket.as_fd());
        let queues = queues.map(|queue| Some(sys::accept_queue(queue)?.waiting));
        queues.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn waiting_connections_are_counted() {
        let mut init = Init::new("test".to_owned(), false);
        let listener = init.listen("127.0.0.1:0").expect("bound");
        let listeners = init.into_listeners();
        assert_eq!(listeners.waiting(), Some(0));
        let address = listener.local_addr().expect("bound");
        let clients: Vec<_> =
            (0..5).map(|_| TcpStream::connect(address).expect("connected")).collect();
        assert_eq!(listeners.waiting(), Some(5));
        drop(listener.accept().expect("accepted"));
        assert_eq!(listeners.waiting(), Some(4));
        drop(clients);
    }

    #[test]
    fn closed_doors_keep_those_who_are_inside() {
        let mut init = Init::new("test".to_owned(), false);
        let listener = init.listen("127.0.0.1:0").expect("bound");
        let listeners = init.into_listeners();
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).expect("connected");
        listeners.close_doors();
        let limit = std::time::Duration::from_millis(100);
        let late = TcpStream::connect_timeout(&address, limit).expect_err("nobody answers");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(listeners.waiting(), Some(1));
        drop(listener.accept().expect("it still waits"));
        drop(client);
    }

    #[test]
    fn a_taken_address_is_named() {
        let mut init = Init::new("test".to_owned(), false);
        let listener = init.listen("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let error = init.listen(address).expect_err("taken");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
