//! Which pool a program is to be, and what it is handed for that.

use std::{
    env, io,
    os::fd::{OwnedFd, RawFd},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, getppid},
};
use serde::{Deserialize, Serialize};

use super::Link;
use crate::{sockets::activation::Activated, sys, system::os::end_with};

/// The variable that says it.
pub(crate) const POOL_VARIABLE: &str = "PREFORK_POOL";

/// What an arbiter writes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The name of the pool.
    pub(crate) pool: String,
    /// Whether the daemon is in the background.
    #[serde(default)]
    pub(crate) in_background: bool,
    /// The descriptors of the link.
    pub(crate) page: RawFd,
    pub(crate) bell: RawFd,
    pub(crate) call: RawFd,
    /// The sockets, as a service manager passes them.
    pub(crate) sockets: Vec<PassedSocket>,
}

/// A socket, and the name that it has among the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassedSocket {
    pub(crate) fd: RawFd,
    pub(crate) name: String,
}

impl Order {
    /// Looks at it.
    pub(crate) fn peek() -> Option<Self> {
        let text = env::var(POOL_VARIABLE).ok().filter(|_| !sys::is_privileged_by_file())?;
        serde_json::from_str(&text).ok()
    }

    /// Takes it out of the environment, so that nothing that is started from here takes itself for a pool.
    ///
    /// Without one, or with one that nobody has written for this process, the program is no pool.
    pub(crate) fn take() -> Option<Self> {
        let text = env::var(POOL_VARIABLE).ok()?;
        sys::forget_variable(POOL_VARIABLE);
        if sys::is_privileged_by_file() {
            return None;
        }
        serde_json::from_str(&text).ok()
    }
}

/// The place of a pool under its arbiter.
#[derive(Debug)]
pub(crate) struct Seat {
    order: Order,
    /// The arbiter, which has started this process and ends it with itself.
    arbiter: Option<Pid>,
}

impl Seat {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, arbiter: getppid() }
    }

    /// Has the kernel end this process with the arbiter once more, after a change of user.
    pub(crate) fn tie(&self) -> io::Result<()> {
        match self.arbiter {
            Some(arbiter) if end_with(arbiter)? => Ok(()),
            Some(_) | None => Err(io::Error::other("it has ended")),
        }
    }

    /// Keeps the link from what code of the program may execute. In a program that takes over this is left until nothing can
    /// fail any more: the old one, executed again, is to find it open.
    pub(crate) fn close_link_on_exec(&self) {
        let Order { page, bell, call, .. } = self.order;
        for fd in [page, bell, call].into_iter().filter_map(sys::borrow_descriptor) {
            // One that is open takes it: see `fcntl(2)`.
            let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }

    /// Whether the daemon is in the background, and so is this process.
    pub(crate) const fn is_in_background(&self) -> bool {
        self.order.in_background
    }

    /// Takes the sockets that were passed. To be called once, in a program that the arbiter has started.
    pub(crate) fn sockets(&self) -> Vec<Activated> {
        let passed = self.order.sockets.iter().filter_map(|PassedSocket { fd, name }| {
            let socket: OwnedFd = sys::adopt_descriptor(*fd)?;
            Some(Activated { name: name.clone(), socket })
        });
        passed.collect()
    }

    /// Takes the link. To be called once, in a process that is the pool's parent for good.
    ///
    /// `None` if it is not there, as when somebody has set the variable by hand: the pool then has no arbiter.
    pub(crate) fn link(&self) -> Option<Link> {
        let Order { pool, page, bell, call, .. } = &self.order;
        let [page, bell, call] = [*page, *bell, *call].map(sys::adopt_descriptor);
        Link::new(pool, page?, bell?, call?).ok()
    }

    /// The name of the pool.
    pub(crate) fn pool(&self) -> &str {
        &self.order.pool
    }

    /// Returns whether a descriptor belongs to it.
    pub(crate) fn has(&self, number: RawFd) -> bool {
        [self.order.page, self.order.bell, self.order.call].contains(&number)
    }
}
