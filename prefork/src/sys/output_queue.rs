//! How much of what was written to a socket is still on its way.

use std::{io, os::fd::BorrowedFd};

use nix::libc;
use rustix::ioctl::{Getter, ioctl};

/// Returns how many bytes of memory wait to be read at the other end of a UNIX socket, or to be acknowledged at that
/// of TCP (`SIOCOUTQ`, see `unix(7)` and `tcp(7)`).
pub(crate) fn output_queue(socket: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: the request, known to sockets and terminals alike as `TIOCOUTQ`, writes one `int` and nothing else.
    let queued = unsafe { ioctl(socket, Getter::<{ libc::TIOCOUTQ as u32 }, libc::c_int>::new()) }?;
    Ok(usize::try_from(queued).unwrap_or(0))
}
