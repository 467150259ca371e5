//! What the kernel reports of a connection beyond what others offer.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc;

/// How many bytes of `struct tcp_info` are of interest, see `linux/tcp.h`; kernels before 4.2 have fewer.
pub(crate) const TCP_INFO: usize = 160;

/// Reads the first bytes of `struct tcp_info` of a connection, and returns how many the kernel has filled in.
///
/// # Errors
///
/// `ENOTSUP` or the like of a socket that is not of TCP.
pub(crate) fn tcp_info(socket: BorrowedFd<'_>, into: &mut [u8; TCP_INFO]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(TCP_INFO).map_err(io::Error::other)?;
    let (fd, at) = (socket.as_raw_fd(), into.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes to `at`, where as many are, and the new length to `length`.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, at, &raw mut length) };
    if result == 0 { Ok(length as usize) } else { Err(io::Error::last_os_error()) }
}

/// Returns how many bytes were written to a connection and are not acknowledged, of TCP, or not read, of a UNIX socket
/// (`SIOCOUTQ` in `tcp(7)` and `unix(7)`).
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request, `SIOCOUTQ` by its other name, writes one number to where one is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { Ok(bytes.try_into().unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
