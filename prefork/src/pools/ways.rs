//! The ways on which pools hand connections to each other: made and kept here, so that a way outlives the parents of both, and
//! passed to them as sockets are.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::pool_process::PoolProcess;
use crate::sockets::hand_over::{TAKES, has_hung_up, name_of_outlet};

/// Both ends of the way to a pool.
#[derive(Debug)]
pub(super) struct Way {
    taking: OwnedFd,
    leading: OwnedFd,
}

impl Way {
    pub(super) fn new() -> io::Result<Self> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (taking, leading) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok(Self { taking, leading })
    }

    /// Goes on with one that an old program has left.
    pub(super) fn adopt((taking, leading): (OwnedFd, OwnedFd)) -> Self {
        Self { taking, leading }
    }

    /// Both ends, for the next program.
    pub(super) const fn ends(&self) -> (&OwnedFd, &OwnedFd) {
        (&self.taking, &self.leading)
    }

    /// The end at which connections can wait for a pool that sleeps. One that a child has shut down for good would be readable
    /// for ever, and wake the pool for nothing.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        Some(self.taking()).filter(|end| !has_hung_up(*end))
    }

    /// The end at which the pool takes connections.
    fn taking(&self) -> BorrowedFd<'_> {
        self.taking.as_fd()
    }
}

/// Returns the ends that belong to a pool, with the names by which it finds them.
pub(super) fn of<'a>(
    all: &'a [PoolProcess],
    pool: &'a PoolProcess,
) -> impl Iterator<Item = (BorrowedFd<'a>, String)> {
    let taking = pool.way.iter().map(|way| (way.taking(), TAKES.to_owned()));
    let leading = pool.identity.hands_to.iter().filter_map(|name| {
        let to = all.iter().find(|other| other.identity.name == *name)?;
        Some((to.way.as_ref()?.leading.as_fd(), name_of_outlet(name)))
    });
    taking.chain(leading)
}
