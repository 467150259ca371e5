//! HTTP/2 frame by frame, where the order matters.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use prefork_tests::PATIENCE;

/// Types of frames and their flags (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://test/`, in the encoding of RFC 7541.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 4, b't', b'e', b's', b't'];

/// A frame that has come.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    stream: u32,
    pub(crate) content: Vec<u8>,
}

impl Frame {
    /// Whether an answer ends with it.
    pub(crate) fn ends(&self, stream: u32) -> bool {
        self.stream == stream
            && (self.kind == DATA || self.kind == HEADERS)
            && self.flags & END_STREAM != 0
    }

    /// Returns, of a farewell, the last request that is answered.
    pub(crate) fn last_stream(&self) -> u32 {
        let number = self.content.first_chunk().expect("a farewell has one");
        u32::from_be_bytes(*number)
    }
}

/// A connection of which each frame is seen.
#[derive(Debug)]
pub(crate) struct Frames(TcpStream);

impl Frames {
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        Ok(Self(stream))
    }

    /// Asks.
    pub(crate) fn send(&mut self, stream: u32) -> io::Result<()> {
        self.0.write_all(&request(stream))
    }

    /// Answers a ping, and asks behind that, in one piece.
    pub(crate) fn send_behind_pong(&mut self, ping: &Frame, stream: u32) -> io::Result<()> {
        self.0.write_all(&[frame(PING, ACK, 0, &ping.content), request(stream)].concat())
    }

    /// Reads the next frame; none if the connection was closed in order.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        if self.0.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut head[1..])?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut content = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.0.read_exact(&mut content)?;
        if kind == SETTINGS && flags & ACK == 0 {
            self.0.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
        }
        Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), content }))
    }

    /// Reads frames up to one that is `wanted`, and returns all.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> io::Result<Vec<Frame>> {
        let mut all = Vec::new();
        loop {
            match self.next()? {
                Some(frame) => all.push(frame),
                None => return Err(io::Error::other(format!("it was closed after {all:?}"))),
            }
            if all.last().is_some_and(&wanted) {
                return Ok(all);
            }
        }
    }
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(content.len()).expect("it is short").to_be_bytes();
    let head = [high, middle, low, kind, flags];
    [&head[..], &stream.to_be_bytes(), content].concat()
}
