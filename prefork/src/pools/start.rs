//! Executing the program once more, as the parent of a pool.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::signal::SigSet;
use rustix::process::getpid;

use super::words::report_not_executed;
use crate::{
    logs::log::Log,
    program::{Image, open_own},
    seat::{Desk, POOL_VARIABLE},
    sys::{self, Forked},
    system::{KeptDescriptors, helper::Helper, os::LeftOpen, os::fork},
    upgrade::{Executable, Start},
};

/// What all pools are started with.
pub(super) struct Starting<'a> {
    pub(super) image: &'a Image,
    pub(super) in_background: bool,
    /// The signal mask: what is sent to a parent that has not come up yet waits until it has.
    pub(super) mask: &'a SigSet,
    /// Wakes the arbiter.
    pub(super) bell: &'a OwnedFd,
    pub(super) left_open: &'a LeftOpen,
    pub(super) log: &'a Log,
}

/// The variables by which a service manager is reached. It is the arbiter's.
const MANAGERS: [&str; 3] = ["NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC="];

impl Starting<'_> {
    /// Starts the parent of a pool, which gets these sockets under these names, with the very program that runs here, whatever
    /// stands at its path by now.
    pub(super) fn start(
        &self,
        pool: &str,
        desk: &Desk,
        sockets: &[(BorrowedFd<'_>, String)],
    ) -> io::Result<Helper> {
        let program = open_own()?;
        let (arguments, loaded) = self.image.arguments_to_return();
        let mut passed = KeptDescriptors::default();
        let sockets = sockets.iter().map(|(socket, name)| (*socket, name.clone()));
        let order = desk.order((pool, self.in_background), self.bell, sockets, &mut passed);
        loaded.map(|file| passed.pass_borrowed(file));
        let variable = format!("{POOL_VARIABLE}={}", serde_json::to_string(&order)?);
        let arbiter = getpid();
        match fork()? {
            Forked::Child => {
                self.left_open.close_on_exec();
                let start = Start {
                    program: Executable::File(program.as_fd()),
                    arguments: &arguments,
                    environment: &environment(&self.image.environment),
                    directory: self.image.directory.as_fd(),
                };
                let error = passed.become_helper_with(arbiter, self.mask, &start, &variable);
                report_not_executed(pool, &error, self.log);
                sys::exit_now(127)
            }
            Forked::Parent { child } => Ok(Helper::new(child)),
        }
    }
}

/// The environment of the daemon without what is the arbiter's alone.
fn environment(of_daemon: &[CString]) -> Vec<CString> {
    let is_managers = |entry: &&CString| {
        MANAGERS.iter().any(|name| entry.as_bytes().starts_with(name.as_bytes()))
    };
    of_daemon.iter().filter(|entry| !is_managers(entry)).cloned().collect()
}
