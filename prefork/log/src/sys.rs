//! Every `unsafe` of this crate: how much of what was written to a socket is still on its way.

#![expect(unsafe_code, reason = "rustix has no SIOCOUTQ")]

use std::{io, os::fd::BorrowedFd};

use nix::libc;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ`, which is `TIOCOUTQ`.
#[expect(clippy::cast_possible_truncation, reason = "requests have 32 bits")]
const QUEUED: Opcode = libc::TIOCOUTQ as Opcode;

/// Returns how many bytes of memory wait to be read at the other end of a UNIX socket, or to be acknowledged at that
/// of TCP (`SIOCOUTQ`, see `unix(7)` and `tcp(7)`).
pub(crate) fn output_queue(socket: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: the request writes one `int`, which is what the getter has room for.
    let request = unsafe { Getter::<QUEUED, libc::c_int>::new() };
    // SAFETY: it changes nothing but that.
    let queued = unsafe { ioctl(socket, request) }?;
    Ok(usize::try_from(queued).unwrap_or(0))
}
