//! The frames of HTTP/2 that come over a connection, of which one is held back for a while.
//!
//! A server that closes a connection in order says that it will, and sends a ping after that; with the pong it settles which
//! requests it still takes (RFC 9113, 6.8). Some clients send the pong before requests that they have begun already, and
//! those are refused: of 200 requests at once some 20 with each reload. So the pong is held back until the client has
//! had time to send all of them.

use std::ops::Range;

/// What HTTP/2 begins with, before the first frame (RFC 9113, 3.4).
const PREFACE: usize = 24;

/// The head of a frame: its length, its type, its flags, its stream (RFC 9113, 4.1).
const HEAD: usize = 9;

/// The head of the answer to a ping.
const PONG: [u8; HEAD] = [0, 0, 8, 6, 1, 0, 0, 0, 0];

/// A pong with its content.
pub(super) const PONG_LENGTH: usize = HEAD + 8;

/// Where in the frames of a connection its reader is.
#[derive(Debug)]
pub(super) struct Frames {
    /// How many bytes come before the next head.
    left: usize,
    head: [u8; HEAD],
    /// How much of the head has come.
    come: usize,
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self { left: PREFACE, head: [0; HEAD], come: 0 }
    }

    /// Whether the next byte is the first of a frame.
    pub(super) const fn is_between(&self) -> bool {
        self.left == 0 && self.come == 0
    }

    /// Goes on over what has come; returns where in it a pong is, if a whole one is.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let (mut at, mut pong) = (0, None);
        while at < bytes.len() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() - at);
                self.left -= passed;
                at += passed;
                continue;
            }
            let part = (HEAD - self.come).min(bytes.len() - at);
            self.head[self.come..self.come + part].copy_from_slice(&bytes[at..at + part]);
            self.come += part;
            at += part;
            if self.come == HEAD {
                self.come = 0;
                let [high, middle, low, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                let begun = at.checked_sub(HEAD);
                if let Some(begun) = begun
                    && self.head == PONG
                    && begun + PONG_LENGTH <= bytes.len()
                {
                    pong = Some(begun..begun + PONG_LENGTH);
                }
            }
        }
        pong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(length).expect("short").to_be_bytes();
        let mut frame = vec![high, middle, low, kind, u8::from(kind == 6), 0, 0, 0, 0];
        frame.resize(HEAD + length, 0xaa);
        frame
    }

    #[test]
    fn a_pong_is_found_between_other_frames() {
        let preface = vec![b'P'; PREFACE];
        let all = [preface, frame(4, 18), frame(1, 300), frame(6, 8), frame(1, 70_000)].concat();
        let place = PREFACE + HEAD + 18 + HEAD + 300;
        assert_eq!(Frames::new().advance(&all), Some(place..place + PONG_LENGTH));
        // Wherever it is cut into two: found if it is whole, and never somewhere else.
        for cut in 0..all.len().min(1000) {
            let mut frames = Frames::new();
            let (first, second) = all.split_at(cut);
            let found = (frames.advance(first), frames.advance(second));
            let expected = if cut <= place {
                (None, Some(place - cut..place + PONG_LENGTH - cut))
            } else if cut >= place + PONG_LENGTH {
                (Some(place..place + PONG_LENGTH), None)
            } else {
                (None, None)
            };
            assert_eq!(found, expected, "cut at {cut}");
            assert!(frames.is_between());
        }
    }
}
