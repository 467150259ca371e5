//! Files in memory, for what processes share and programs leave to each other.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
};

use crate::sys::refused::Refusable;

const CALL: &str = "memfd_create(2)";

/// Makes one that can be sealed, and is closed by an exec unless that is changed.
///
/// It can never be executed, which a system may demand of all (`vm.memfd_noexec`, see `memfd_create(2)`).
pub(crate) fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => memfd_create(name, flags).of_call(CALL),
        made => made.of_call(CALL),
    }
}
