//! Every `unsafe` of this crate: what the kernel reports of listening sockets, and what it does to them, beyond what others
//! offer.

#![expect(unsafe_code, reason = "socket options that no other crate has")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::Duration,
};

use nix::libc;

use crate::Queue;

/// The first bytes of what the kernel reports of a TCP socket: see `struct tcp_info` in `linux/tcp.h`.
struct TcpInfo<const SIZE: usize>([u8; SIZE]);

/// Where in that is how many ms ago data came last.
const RECEIVED_AGO: usize = 52;

impl<const SIZE: usize> TcpInfo<SIZE> {
    /// Asks the kernel; `None` of other sockets, and where it has fewer bytes.
    fn of(socket: BorrowedFd<'_>) -> Option<Self> {
        let mut info = [0u8; SIZE];
        let mut length = libc::socklen_t::try_from(SIZE).ok()?;
        let (fd, level, name) = (socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO);
        let into = info.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `length` bytes to `into`, which is as long, and the new length to `length`.
        let result = unsafe { libc::getsockopt(fd, level, name, into, &raw mut length) };
        (result == 0 && length as usize == SIZE).then_some(Self(info))
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
    }
}

/// Returns how many connections wait to be accepted at a listening TCP socket; `None` of other sockets.
pub(crate) fn tcp_queue(listener: BorrowedFd<'_>) -> Option<Queue> {
    /// The length of the queue is where the kernel has `tcpi_unacked` for connections, after 8 bytes and four words; its
    /// limit is in the next word.
    const QUEUE: usize = 24;
    const LIMIT: usize = QUEUE + 4;
    const STATE_LISTEN: u8 = 10;
    let info = TcpInfo::<{ LIMIT + 4 }>::of(listener).filter(|info| info.0[0] == STATE_LISTEN)?;
    Some(Queue { waiting: info.word(QUEUE)?, limit: info.word(LIMIT)? })
}

/// What has come and gone by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How many segments with data have come from the peer.
    pub received: u32,
    /// How many were sent to it.
    pub sent: u32,
    /// How long ago something came last; since the connection was made, if nothing has.
    pub received_ago: Duration,
    /// The same of what was sent.
    pub sent_ago: Duration,
}

/// Returns what has come and gone by a TCP connection; `None` if the kernel does not say, as for other sockets.
///
/// Times are in ms.
#[must_use]
pub fn exchange(connection: impl AsFd) -> Option<Exchange> {
    const SENT_AGO: usize = 44;
    const RECEIVED: usize = 152;
    const SENT: usize = RECEIVED + 4;
    let info = TcpInfo::<{ SENT + 4 }>::of(connection.as_fd())?;
    Some(Exchange {
        received: info.word(RECEIVED)?,
        sent: info.word(SENT)?,
        received_ago: Duration::from_millis(info.word(RECEIVED_AGO)?.into()),
        sent_ago: Duration::from_millis(info.word(SENT_AGO)?.into()),
    })
}

/// Returns in which state a TCP connection is, and how long ago data came last, or the connection was made if none has;
/// `None` of other sockets.
pub(crate) fn tcp_arrival(connection: BorrowedFd<'_>) -> Option<(u8, Duration)> {
    let info = TcpInfo::<{ RECEIVED_AGO + 4 }>::of(connection)?;
    Some((info.0[0], Duration::from_millis(info.word(RECEIVED_AGO)?.into())))
}

/// Returns how many connection attempts the kernel has dropped at a listening socket since it was made: of TCP, those
/// for which its queue had no room (see `SO_MEMINFO` in `asm-generic/socket.h`). `None` if the kernel does not say.
#[must_use]
pub fn dropped(listener: impl AsFd) -> Option<u32> {
    /// The same number on every architecture that Rust has but SPARC and PA-RISC; see `asm-generic/socket.h`.
    const SO_MEMINFO: libc::c_int = 55;
    /// `SK_MEMINFO_DROPS` in `linux/sock_diag.h`.
    const DROPS: usize = 8;
    let mut words = [0u32; DROPS + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&words)).ok()?;
    let (fd, into) = (listener.as_fd().as_raw_fd(), words.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes to `into`, which is as long, and the new length to `length`.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, into, &raw mut length) };
    (result == 0 && length as usize == size_of_val(&words)).then_some(words[DROPS])
}

/// Returns the index of the interface to which a socket is bound; 0 for none (see `SO_BINDTOIFINDEX` in
/// `socket(7)`).
pub(crate) fn bound_interface(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let (mut index, mut length): (libc::c_int, libc::socklen_t) = (0, 4);
    let (level, into) = (libc::SOL_SOCKET, (&raw mut index).cast());
    let fd = socket.as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes to `into`, which is as long, and the new length to
    // `length`.
    let result = unsafe { libc::getsockopt(fd, level, SO_BINDTOIFINDEX, into, &raw mut length) };
    if result == 0 { Ok(index) } else { Err(io::Error::last_os_error()) }
}

/// Binds a socket to the interface with this index; 0 for none.
pub(crate) fn bind_to_interface(socket: BorrowedFd<'_>, index: libc::c_int) -> io::Result<()> {
    set_number(socket, SO_BINDTOIFINDEX, index)
}

/// The same number on every architecture that Rust has but SPARC and PA-RISC; see `asm-generic/socket.h`.
const SO_BINDTOIFINDEX: libc::c_int = 62;

/// Returns whether a filter decides what comes to a socket (see `SO_ATTACH_FILTER` in `socket(7)`).
pub(crate) fn is_filtered(socket: BorrowedFd<'_>) -> bool {
    let (mut instructions, nowhere): (libc::socklen_t, _) = (0, std::ptr::null_mut());
    let (level, fd) = (libc::SOL_SOCKET, socket.as_raw_fd());
    // SAFETY: the kernel writes nothing to where 0 bytes are, and how many instructions there are to `instructions`.
    let result =
        unsafe { libc::getsockopt(fd, level, libc::SO_GET_FILTER, nowhere, &raw mut instructions) };
    match result {
        0 => instructions > 0,
        // One that was not made of such instructions is not shown.
        _ => io::Error::last_os_error().raw_os_error() == Some(libc::EACCES),
    }
}

/// Removes the filter of a socket.
pub(crate) fn remove_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_number(socket, libc::SO_DETACH_FILTER, 0)
}

/// Attaches a filter that keeps everything from a socket, or is refused that.
#[cfg(test)]
pub(crate) fn keep_everything_out(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut nothing = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    let (level, value) = (libc::SOL_SOCKET, (&raw const program).cast());
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    let fd = socket.as_raw_fd();
    // SAFETY: `value` points to a program of one instruction, which the kernel copies.
    let result = unsafe { libc::setsockopt(fd, level, libc::SO_ATTACH_FILTER, value, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has nobody remove the filter of a socket any more.
#[cfg(test)]
pub(crate) fn lock_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_number(socket, libc::SO_LOCK_FILTER, 1)
}

fn set_number(socket: BorrowedFd<'_>, name: libc::c_int, number: libc::c_int) -> io::Result<()> {
    let (level, value) = (libc::SOL_SOCKET, (&raw const number).cast());
    // SAFETY: `value` points to a number of four bytes, which the kernel copies.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, 4) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Dissolves whatever connection a TCP socket is, without waiting for what is still to be sent (see `AF_UNSPEC` in
/// `connect(2)`); it stays bound.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let family = libc::sa_family_t::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?;
    let address = libc::sockaddr { sa_family: family, sa_data: [0; 14] };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: `address` is as long as is said, and alive during the call, in which the kernel copies it.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const address, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    #[test]
    fn an_exchange_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (mut server, _) = listener.accept().expect("accepted");
        let seen = |server: &TcpStream| exchange(server).expect("the kernel says so");
        assert_eq!((seen(&server).received, seen(&server).sent), (0, 0));
        client.write_all(b"?").expect("sent");
        server.read_exact(&mut [0]).expect("received");
        assert_eq!((seen(&server).received, seen(&server).sent), (1, 0));
        thread::sleep(Duration::from_millis(20));
        server.write_all(b"!").expect("sent");
        let after = seen(&server);
        assert_eq!((after.received, after.sent), (1, 1));
        assert!(after.sent_ago < after.received_ago, "{after:?}");
        assert_eq!(exchange(std::fs::File::open("/dev/null").expect("there")), None);
    }
}
