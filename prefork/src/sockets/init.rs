//! What `after_init` can ask and have.

mod address;
mod hand_overs;
mod huge_pages;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use address::written;
use prefork_daemonize::SocketFile;
use prefork_sockets::{AnyListener, Written};

use super::{
    InheritedListener,
    activation::Activated,
    kept,
    listeners::{KnownBy, Listeners, Listening},
    offered::{Found, Offered},
    predecessor::Predecessor,
    unix_socket::{self, LISTENING},
};
use crate::{
    logs::log::Log,
    program::Role,
    sys::refused::{self, Refusable},
};

/// The daemon as it is after its initialization, before children are started.
#[derive(Debug)]
pub struct Init {
    name: String,
    in_background: bool,
    /// The directory in which the program was started, from which relative paths are taken; unknown if that is gone.
    directory: Option<PathBuf>,
    predecessor: Predecessor,
    role: Option<Role>,
    offered: Offered,
    listeners: Vec<Listening>,
    /// The UNIX sockets that this program has put into the file system; they go if the start fails.
    files: Vec<SocketFile>,
}

impl Init {
    pub(crate) const fn new(name: String, in_background: bool, directory: Option<PathBuf>) -> Self {
        Self {
            name,
            in_background,
            directory,
            predecessor: Predecessor::Unknown,
            role: None,
            offered: Offered::nothing(),
            listeners: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Goes on with the sockets that the old program has left.
    pub(crate) fn inherit(&mut self, role: Role, listeners: Vec<InheritedListener>) {
        self.role = Some(role);
        self.offered.inherited = listeners;
    }

    /// Binds what a daemon like this may have had.
    pub(crate) const fn follow(&mut self, predecessor: Predecessor) {
        self.predecessor = predecessor;
    }

    /// Goes on with the sockets that the service manager has passed.
    pub(crate) fn activate(&mut self, activated: Vec<Activated>) {
        let (kept, activated) = activated.into_iter().partition(|it| kept::is_kept(&it.name));
        (self.offered.kept, self.offered.activated) = (kept, activated);
    }

    /// Returns the name of the daemon.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the daemon runs in the background, with its standard error in a log.
    #[must_use]
    pub const fn is_daemon(&self) -> bool {
        self.in_background
    }

    /// Returns whether this is only a probe: a process beside the daemon that finds out whether this
    /// program would work in its place (see [upgrading](crate::docs::upgrading)).
    ///
    /// Everything that a start needs should be tried, and nothing changed that the running daemon uses.
    /// What the hook returns is never dropped in a probe.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.role == Some(Role::Probe)
    }

    /// Returns whether this program takes over a daemon that serves, or tries to, as a probe.
    #[must_use]
    pub const fn is_upgrade(&self) -> bool {
        self.role.is_some()
    }

    /// Listens on a TCP address.
    ///
    /// The parent watches the socket: connections that wait to be accepted show how many
    /// children are missing, so that a burst is met at once. The socket is close-on-exec, can be
    /// bound again at once after a stop (`SO_REUSEADDR`), and has the longest queue that the system
    /// allows (`net.core.somaxconn`, see `listen(2)`).
    ///
    /// After an upgrade this is the very socket that the old program has listened on, if it has
    /// asked for the same address: no connection is lost, and port 0 stays the port that it became.
    ///
    /// If the service manager has bound this very address and passed the socket (`LISTEN_FDS`, see
    /// `sd_listen_fds(3)`), that one is used, with the queue that it was given. `0.0.0.0` is also found in a
    /// socket for `[::]` that takes IPv4; a socket that is open to more than `address` otherwise is not used.
    /// It stays open to clients while the daemon stops, unlike all others: clients that come meanwhile wait for the
    /// next start (see [signals](crate::docs::signals)).
    ///
    /// # Errors
    ///
    /// Fails if the address is in use, is not one of this machine, or needs a privilege; the text
    /// names the address, and those that the service manager has passed and nobody has asked for.
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
        let asked = address.to_socket_addrs().map_err(|error| named(&address, error))?;
        let asked: Vec<SocketAddr> = asked.collect();
        let found = match self.offered.take_tcp(&asked) {
            Some(found) => found,
            None => {
                let bound = self.predecessor.outlast(|| TcpListener::bind(&asked[..]));
                let bound = bound.if_refused(LISTENING);
                Found::new(bound.map_err(|error| named(&address, self.offered.explain(error)))?)
            }
        };
        self.watch(found, KnownBy::Tcp(asked))
    }

    /// Listens on a UNIX socket at `path`. A relative path is taken from where
    /// [`Prefork::new`](crate::Prefork::new) was called.
    ///
    /// The file goes with the daemon: it is removed at the end, when the start fails, and when an upgrade
    /// does not ask for it any more. One that a killed daemon has left is replaced, if it is this user's or
    /// this user is root. So is, by the next start, one that the parent may not remove any more, as with
    /// [`drop_parent`](crate::Args::drop_parent) in a directory of root's. A socket that the service manager
    /// has bound and passed is used, and its file left alone.
    ///
    /// Only users that may write to the file may connect (see `unix(7)`). The mask of the process decides; in the
    /// background that is 022, which leaves this user and root. For others there is
    /// [`listen_unix_with_mode`](Self::listen_unix_with_mode).
    ///
    /// # Errors
    ///
    /// Fails if a process listens at `path`, other than the old program, or a file stands there that
    /// is no socket; if the directory is missing or not writable; or if the whole path has more than 107
    /// bytes. The text says which, and names the path.
    pub fn listen_unix(&mut self, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        self.listen_at(path.as_ref(), None)
    }

    /// Listens on a UNIX socket at `path` whose file has the permissions `mode`, up to 0777, from its first
    /// moment on: `0o660` for a group, `0o666` for everybody. All else is as with
    /// [`listen_unix`](Self::listen_unix).
    ///
    /// A socket of the old program, or of the service manager, keeps the mode that it has. Threads that
    /// the program has started, as it may with [`prefork`](crate::Args::prefork) 0, should make no files
    /// meanwhile: the mask is the whole process's.
    ///
    /// # Errors
    ///
    /// Those of [`listen_unix`](Self::listen_unix), and if `mode` has other bits.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// // A web server of the same group may connect.
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen_unix_with_mode("/run/hello/socket", 0o660)?));
    /// # drop(args);
    /// ```
    pub fn listen_unix_with_mode(
        &mut self,
        path: impl AsRef<Path>,
        mode: u32,
    ) -> io::Result<UnixListener> {
        let path = path.as_ref();
        if mode > 0o777 {
            let problem = format!("mode {mode:o} has more than the bits 777");
            return Err(named(path, io::Error::new(io::ErrorKind::InvalidInput, problem)));
        }
        self.listen_at(path, Some(mode))
    }

    /// Listens on a TCP address or a UNIX socket, whichever the text says: a UNIX socket where it has a slash
    /// in it or begins with `unix:`, as `/run/hello/socket` and `unix:socket` do, else TCP, as
    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, and `:8080` for all addresses of this machine do.
    ///
    /// All else is as with [`listen`](Self::listen) and [`listen_unix`](Self::listen_unix). Several of these
    /// make an array or a vector that [`Child::accept`](crate::Child::accept) takes.
    ///
    /// # Errors
    ///
    /// Those of the one or the other, and if the text is no address.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{AnyListener, Args};
    /// use std::{env, io};
    ///
    /// // Wherever the command line says.
    /// let args = Args::new().after_init(|init| {
    ///     let sockets = env::args().skip(1).map(|address| init.listen_any(&address));
    ///     Ok(sockets.collect::<io::Result<Vec<AnyListener>>>()?)
    /// });
    /// # drop(args);
    /// ```
    pub fn listen_any(&mut self, address: impl AsRef<str>) -> io::Result<AnyListener> {
        match written(address.as_ref())? {
            Written::Tcp(text) => match text.parse::<SocketAddr>() {
                Ok(address) => self.listen(address),
                // The name of a host.
                Err(_) => self.listen(text),
            }
            .map(AnyListener::from),
            Written::Port(port) => {
                // The first takes IPv4 too, unless this machine has it otherwise (`IPV6_V6ONLY` in `ipv6(7)`).
                let all: [SocketAddr; 2] =
                    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
                self.listen(&all[..]).map(AnyListener::from)
            }
            Written::Unix(path) => self.listen_unix(path).map(AnyListener::from),
        }
    }

    /// Listens as [`listen_any`](Self::listen_any) does; the file of a UNIX socket has these permissions, if any are given.
    pub(crate) fn listen_with_mode(
        &mut self,
        address: &str,
        mode: Option<u32>,
    ) -> io::Result<AnyListener> {
        match (written(address)?, mode) {
            (Written::Unix(path), Some(mode)) => {
                self.listen_unix_with_mode(path, mode).map(AnyListener::from)
            }
            (Written::Unix(_) | Written::Tcp(_) | Written::Port(_), _) => self.listen_any(address),
        }
    }

    fn listen_at(&mut self, path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
        let wanted = unix_socket::absolute(path, self.directory.as_deref());
        let wanted = wanted.map_err(|error| named(path, error))?;
        let found = match self.offered.take_unix(&wanted) {
            Some(found) => {
                let owned = found.file.filter(|_| found.owns_file);
                self.files.extend(owned.map(|file| SocketFile::known(wanted.clone(), file)));
                found
            }
            None => {
                let bound = self.predecessor.outlast(|| unix_socket::bind(&wanted, mode));
                let (listener, file) =
                    bound.map_err(|error| named(&wanted, self.offered.explain(error)))?;
                let found = Found::with_file(listener, file.as_ref());
                self.files.extend(file);
                found
            }
        };
        self.watch(found, KnownBy::Unix(wanted.into()))
    }

    /// Returns the next descriptor that the service manager has passed under this name
    /// (`FileDescriptorName=` in `systemd.socket(5)`; `unknown` if it has none); `None` when there is none
    /// left.
    ///
    /// For sockets that [`listen`](Self::listen) and [`listen_unix`](Self::listen_unix) do not find by their
    /// address: datagrams, FIFOs, abstract names, or whatever address the administrator chooses. The
    /// descriptor is close-on-exec. After an upgrade it is still there under its name; what a program has
    /// not asked for at the end of [`after_init`](crate::Args::after_init) is named in a warning and closed, and
    /// comes back with the next start alone.
    ///
    /// # Errors
    ///
    /// Fails if the process can have no more descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::net::TcpListener;
    ///
    /// let args = Args::new().after_init(|init| match init.activated("http")? {
    ///     Some(socket) => Ok(TcpListener::from(socket)),
    ///     None => Ok(init.listen("127.0.0.1:8080")?),
    /// });
    /// # drop(args);
    /// ```
    pub fn activated(&mut self, name: &str) -> io::Result<Option<OwnedFd>> {
        let Some(found) = self.offered.take_named(name) else { return Ok(None) };
        let known_by = found.known_by();
        self.watch(found, known_by).map(Some)
    }

    fn watch<L: From<OwnedFd>>(&mut self, found: Found, known_by: KnownBy) -> io::Result<L> {
        found.let_many_wait()?;
        let Found { socket: listener, activated, file, owns_file: _ } = found;
        let socket = listener.try_clone()?;
        self.listeners.push(Listening { known_by, activated, file, socket });
        Ok(listener.into())
    }

    /// Logs what the service manager has passed and nobody has asked for: it goes on holding that.
    pub(crate) fn report_unclaimed(&self, log: &Log) {
        // The successor of a probe logs it.
        if self.is_probe() {
            return;
        }
        self.offered.report_unclaimed(&self.listeners, log);
    }

    /// The sockets, and the files of those that this program has made.
    pub(crate) fn into_listeners(mut self) -> (Listeners, Vec<SocketFile>) {
        let not_wanted = self.offered.give_up_kept();
        (Listeners::new(self.listeners).without(not_wanted), self.files)
    }
}

/// The same error, naming the address.
fn named(address: impl std::fmt::Debug, error: io::Error) -> io::Error {
    refused::named(format!("cannot listen on {address:?}"), error)
}

#[cfg(test)]
mod tests;
