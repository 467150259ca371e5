//! The sockets at which the program listens, made in the parent and inherited by it.

use std::{io, os::fd::AsFd};

use prefork::{AnyAddr, AnyListener, Init};

use crate::{Listen, look::Listeners};

/// The listening sockets of a program, in their order.
#[derive(Debug)]
pub struct Sockets(pub(crate) Vec<Socket>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: AnyListener,
    pub(crate) address: AnyAddr,
    /// Its name in `LISTEN_FDNAMES`.
    pub(crate) name: String,
}

/// The number of the first descriptor that a program is handed, as in `sd_listen_fds(3)`.
pub(crate) const FIRST: usize = 3;

impl Sockets {
    /// Listens.
    pub(crate) fn open(init: &mut Init, wanted: &[Listen]) -> io::Result<Self> {
        let open = |(index, wanted): (usize, &Listen)| {
            let listener = match wanted.mode {
                Some(mode) => {
                    let path = wanted.address.strip_prefix("unix:").unwrap_or(&wanted.address);
                    init.listen_unix_with_mode(path, mode)?.into()
                }
                None => init.listen_any(&wanted.address)?,
            };
            // Programs that block in accept(2) cannot do with it. After an upgrade, those that still run may have set it, and
            // cannot do without.
            if !init.is_upgrade() {
                rustix::io::ioctl_fionbio(&listener, false)?;
            }
            let address = listener.local_addr()?;
            let name = wanted.name_at(index);
            Ok(Socket { listener, address, name })
        };
        wanted.iter().enumerate().map(open).collect::<io::Result<_>>().map(Self)
    }

    /// Refuses sockets at which nobody counts what is written: a service manager may hand over any.
    pub(crate) fn require_tcp(&self) -> Result<(), String> {
        let unix = self.0.iter().find(|socket| matches!(socket.address, AnyAddr::Unix(_)));
        unix.map_or(Ok(()), |socket| {
            let name = prefork_core::one_line(&socket.name);
            Err(format!(
                "max_output is counted on TCP connections alone, and socket {name} is of UNIX"
            ))
        })
    }

    /// Returns what to look for in a program's descriptors.
    pub(crate) fn listeners(&self) -> io::Result<Listeners> {
        Listeners::of(self.0.iter().map(|socket| socket.listener.as_fd()))
    }

    /// Returns the sockets, each with the number of the descriptor as which the program has it.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Socket)> {
        (FIRST..).zip(&self.0)
    }
}

impl Socket {
    /// Where it listens, as `Server::Starter` writes that: `127.0.0.1:80`, or a path.
    pub(crate) fn place(&self) -> String {
        match &self.address {
            AnyAddr::Unix(address) => match address.as_pathname() {
                Some(path) => path.display().to_string(),
                None => self.address.to_string(),
            },
            address => address.to_string(),
        }
    }
}
