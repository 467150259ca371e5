//! How many connections wait at a listening socket.
//!
//! Of TCP a socket option tells. Of a UNIX socket the kernel tells it by `sock_diag(7)`, which looks the socket up by its inode:
//! one question, which is answered before `sendto(2)` returns.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::fstat,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with, sockopt,
    },
};

use crate::sys;

/// How many connections wait to be accepted at a listening socket, and how many may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many wait.
    pub waiting: u32,
    /// How many may.
    pub limit: u32,
}

/// Returns how many connections wait to be accepted at a listening socket, of TCP or UNIX; `None` if the kernel does not
/// say, as for other sockets, or where netlink sockets are forbidden.
#[must_use]
pub fn accept_queue(listener: impl AsFd) -> Option<Queue> {
    let listener = listener.as_fd();
    sys::tcp_queue(listener).or_else(|| unix_queue(listener))
}

/// `SOCK_DIAG_BY_FAMILY` and the constants of `linux/unix_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
/// In a byte, as the kernel has it there.
const AF_UNIX: u8 = 1;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_RQLEN: u16 = 4;
/// `struct nlmsghdr`, and after it `struct unix_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 16;

fn unix_queue(listener: BorrowedFd<'_>) -> Option<Queue> {
    if sockopt::socket_domain(listener) != Ok(AddressFamily::UNIX)
        || sockopt::socket_acceptconn(listener) != Ok(true)
    {
        return None;
    }
    // As in `struct unix_diag_req`, where an inode has 32 bits.
    let inode = u32::try_from(fstat(listener).ok()?.st_ino).ok()?;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    );
    let socket = socket.ok()?;
    sendto(&socket, &question(inode), SendFlags::DONTWAIT, &SocketAddrNetlink::new(0, 0)).ok()?;
    read(&answer(&socket)?, inode)
}

fn question(inode: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 24);
    message.extend(u32::try_from(HEADER + 24).unwrap_or(0).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // No number and no sender: each question has a socket of its own.
    message.extend([0; 8]);
    // The family, a protocol and two bytes of nothing.
    message.extend([AF_UNIX, 0, 0, 0]);
    // In whatever state it is.
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(inode.to_ne_bytes());
    message.extend(UDIAG_SHOW_RQLEN.to_ne_bytes());
    // Whatever its cookie is.
    message.extend([u8::MAX; 8]);
    message
}

fn answer(socket: &OwnedFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 512];
    let (length, _) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

/// Reads the length of the queue of this socket, and its limit.
fn read(message: &[u8], inode: u32) -> Option<Queue> {
    let word = |at: usize| message.get(at..at + 4)?.first_chunk().copied().map(u32::from_ne_bytes);
    let half = |at: usize| message.get(at..at + 2)?.first_chunk().copied().map(u16::from_ne_bytes);
    if half(4)? != SOCK_DIAG_BY_FAMILY || word(HEADER + 4)? != inode {
        return None;
    }
    let mut at = HEADER + MESSAGE;
    while let (Some(length), Some(kind)) = (half(at), half(at + 2)) {
        if kind == UNIX_DIAG_RQLEN {
            return Some(Queue { waiting: word(at + 4)?, limit: word(at + 8)? });
        }
        // Attributes begin at multiples of 4, and have a head of 4 bytes at the least.
        at += usize::from(length.max(4)).next_multiple_of(4);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::*;

    #[test]
    fn who_waits_at_a_unix_socket_is_counted() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        rustix::net::listen(&listener, 50).expect("listens");
        let queue = |waiting| Some(Queue { waiting, limit: 50 });
        assert_eq!(accept_queue(&listener), queue(0));
        let waiting: Vec<_> = (0..7).map(|_| UnixStream::connect(&path).expect("room")).collect();
        assert_eq!(accept_queue(&listener), queue(7));
        let accepted = listener.accept().expect("one waits");
        assert_eq!(accept_queue(&listener), queue(6));
        drop((waiting, accepted));
    }

    #[test]
    fn what_does_not_listen_has_no_queue() {
        let (end, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(accept_queue(&end), None);
        let file = std::fs::File::open("/dev/null").expect("opened");
        assert_eq!(accept_queue(&file), None);
        let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
        assert_eq!(accept_queue(&tcp).map(|queue| queue.waiting), Some(0));
    }

    #[test]
    fn an_answer_that_is_cut_short_or_anothers_is_none() {
        let mut message = question(4711);
        message.truncate(HEADER);
        message.extend([1, 1, 10, 0]);
        message.extend(4711u32.to_ne_bytes());
        message.extend([0; 8]);
        // Another attribute first, of 5 bytes and its padding.
        message.extend([5, 0, 9, 0, 1, 0, 0, 0]);
        message.extend([12, 0, 4, 0, 7, 0, 0, 0, 50, 0, 0, 0]);
        let whole = Some(Queue { waiting: 7, limit: 50 });
        if cfg!(target_endian = "little") {
            assert_eq!(read(&message, 4711), whole);
        }
        assert_eq!(read(&message, 4712), None);
        for length in 0..message.len() {
            assert_eq!(read(&message[..length], 4711), None, "{length}");
        }
        // An attribute without a length does not hold the reader.
        message[32] = 0;
        assert_eq!(read(&message, 4711), whole);
    }
}
