//! Sockets that are there before the program asks for them: of the old program, and of the service manager.

use std::{io, net::SocketAddr, os::fd::OwnedFd, path::Path};

use prefork_daemonize::{SocketFile, SocketFileId};
use prefork_sockets::{listens, tcp_address, unix_path};

use super::{
    InheritedListener,
    activation::{self, Activated},
    kept,
    listeners::{KnownBy, Listening},
};
use crate::logs::{ClientMessage, log::Log};

/// More than any system allows; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// What nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Offered {
    /// What the old program has left.
    pub(super) inherited: Vec<InheritedListener>,
    /// What the service manager has passed.
    pub(super) activated: Vec<Activated>,
    /// What it has kept of an earlier daemon.
    pub(super) kept: Vec<Activated>,
}

/// A socket to listen on.
pub(super) struct Found {
    pub(super) socket: OwnedFd,
    /// The name that the service manager has given it, if it comes from there.
    pub(super) activated: Option<String>,
    /// The file of a UNIX socket that the daemon has made.
    pub(super) file: Option<SocketFileId>,
    /// Whether that file is this program's to remove from now on, though another has made it.
    pub(super) owns_file: bool,
}

impl Found {
    /// One that was just made.
    pub(super) fn new(listener: impl Into<OwnedFd>) -> Self {
        Self { socket: listener.into(), activated: None, file: None, owns_file: false }
    }

    /// One that was just made, with the file that it has.
    pub(super) fn with_file(listener: impl Into<OwnedFd>, file: Option<&SocketFile>) -> Self {
        Self { file: file.map(SocketFile::id), ..Self::new(listener) }
    }

    /// Lets as many connections wait as the system allows, unless the service manager has said how many may.
    pub(super) fn let_many_wait(&self) -> io::Result<()> {
        match self.activated {
            None => Ok(rustix::net::listen(&self.socket, BACKLOG)?),
            Some(_) => Ok(()),
        }
    }

    /// An address where a socket listens that was asked for by its name: it is known by that too.
    pub(super) fn known_by(&self) -> KnownBy {
        if !listens(&self.socket) {
            return KnownBy::Name;
        }
        if let Some(address) = tcp_address(&self.socket) {
            return KnownBy::Tcp(vec![address]);
        }
        unix_path(&self.socket).map_or(KnownBy::Name, |path| KnownBy::Unix(path.into()))
    }
}

impl Offered {
    pub(super) const fn nothing() -> Self {
        Self { inherited: Vec::new(), activated: Vec::new(), kept: Vec::new() }
    }

    /// Takes the one that listens on one of these addresses.
    pub(super) fn take_tcp(&mut self, asked: &[SocketAddr]) -> Option<Found> {
        let is_passed = |passed: &Activated| passed.is_tcp(asked);
        self.take(|left| left.is_tcp(asked), is_passed).or_else(|| self.take_kept(is_passed))
    }

    /// Takes the one that listens at this path.
    pub(super) fn take_unix(&mut self, path: &Path) -> Option<Found> {
        let is_passed = |passed: &Activated| passed.is_unix(path);
        self.take(|left| left.is_unix(path), is_passed).or_else(|| self.take_kept(is_passed))
    }

    /// Takes the next one to which the service manager has given this name.
    pub(super) fn take_named(&mut self, name: &str) -> Option<Found> {
        self.take(|left| left.activated.as_deref() == Some(name), |passed| passed.name == name)
    }

    /// Takes the first of those that were left that is the one, or of those that were passed.
    fn take(
        &mut self,
        is_it: impl Fn(&InheritedListener) -> bool,
        is_passed: impl Fn(&Activated) -> bool,
    ) -> Option<Found> {
        if let Some(place) = self.inherited.iter().position(is_it) {
            let InheritedListener { socket, activated, file, .. } = self.inherited.remove(place);
            return Some(Found { socket, activated, file, owns_file: false });
        }
        let place = self.activated.iter().position(is_passed)?;
        let Activated { name, socket } = self.activated.remove(place);
        Some(Found { socket, activated: Some(name), file: None, owns_file: false })
    }

    /// Takes the first of those that were kept that is the one: it is the daemon's own again.
    fn take_kept(&mut self, is_it: impl Fn(&Activated) -> bool) -> Option<Found> {
        let place = self.kept.iter().position(is_it)?;
        let Activated { name, socket } = self.kept.remove(place);
        Some(Found { socket, activated: None, file: kept::file_of(&name), owns_file: true })
    }

    /// Gives up those that the manager has kept and nobody has asked for, with their files; returns their names, as the
    /// manager is to keep them no more.
    pub(super) fn give_up_kept(&mut self) -> Vec<String> {
        let given_up = self.kept.drain(..);
        given_up
            .map(|Activated { name, socket }| {
                if let Some((path, file)) = unix_path(&socket).zip(kept::file_of(&name)) {
                    // Removed while the socket is open: no other file has its number.
                    drop(SocketFile::known(path, file));
                }
                name
            })
            .collect()
    }

    /// Adds to an error that the service manager has passed other addresses, if it has: a typing error there or here is
    /// the likely reason.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        let passed = self.activated.iter().filter(|passed| listens(&passed.socket));
        let passed: Vec<_> =
            passed.map(|passed| activation::describe(&passed.socket, &passed.name)).collect();
        if passed.is_empty() {
            return error;
        }
        let problem = format!(
            "{error}; the service manager has passed {}: one must ask for the address that the other binds",
            passed.join(" and ")
        );
        io::Error::new(error.kind(), problem)
    }

    /// Logs what the service manager has passed and is still there: it goes on holding that. `taken` is what the program
    /// listens on.
    pub(super) fn report_unclaimed(&self, taken: &[Listening], log: &Log) {
        let passed = self.activated.iter().map(|passed| (&passed.socket, Some(&passed.name)));
        let left = self.inherited.iter().map(|left| (&left.socket, left.activated.as_ref()));
        for (socket, name) in passed.chain(left) {
            let Some(name) = name else { continue };
            let asked: Vec<_> = taken.iter().map(|it| prefork_sockets::name(&it.socket)).collect();
            let asked = if asked.is_empty() { "none".to_owned() } else { asked.join(", ") };
            let socket = activation::describe(socket, name);
            log.write(&ClientMessage::SocketUnused { socket: &socket, asked: &asked });
        }
    }
}
