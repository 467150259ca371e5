//! What the kernel reports of a TCP connection: the beginning of `struct tcp_info` in `linux/tcp.h`.

use std::time::Duration;

use prefork_core::program::{Acked, Exchange};

/// The bytes that the kernel has filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpInfo<'a>(pub(super) &'a [u8]);

/// States of `include/net/tcp_states.h` in which the client has closed its side.
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;
const CLOSE: u8 = 7;
const TIME_WAIT: u8 = 6;
/// In which there is no connection yet.
const SYN_SENT: u8 = 2;
const SYN_RECEIVED: u8 = 3;
const LISTEN: u8 = 10;

impl TcpInfo<'_> {
    /// Returns whether there is, or was, a connection.
    pub(super) fn is_connection(self) -> bool {
        !matches!(self.state(), SYN_SENT | SYN_RECEIVED | LISTEN)
    }

    /// Returns whether the client has closed its side, or all of it.
    pub(super) fn peer_closed(self) -> bool {
        matches!(self.state(), CLOSE_WAIT | LAST_ACK | CLOSING | CLOSE | TIME_WAIT)
    }

    /// Returns what has come and gone, except how it is acknowledged; `None` of kernels that do not say.
    pub(super) fn exchange(self) -> Option<Exchange> {
        let milliseconds = |at| self.word(at).map(|word| Duration::from_millis(word.into()));
        Some(Exchange {
            ack_delay: Duration::from_micros(self.word(12)?.into()),
            sent_ago: milliseconds(44)?,
            received_ago: milliseconds(52)?,
            received: self.word(152)?,
            sent: self.word(156)?,
            acked: Acked::Unknown,
        })
    }

    /// Returns how many bytes were sent and acknowledged; `None` of kernels before 4.1.
    pub(super) fn acknowledged(self) -> Option<u64> {
        self.0.get(120..)?.first_chunk().copied().map(u64::from_ne_bytes)
    }

    fn state(self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    fn word(self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_does_not_say_is_none() {
        let bytes = [1; 160];
        assert!(TcpInfo(&bytes).exchange().is_some());
        for length in 0..160 {
            assert_eq!(TcpInfo(&bytes[..length]).exchange(), None, "{length}");
        }
    }
}
