//! What goes over a connection, seen from beside hyper.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frames::{Frames, PONG_LENGTH},
    idle::Seen,
};
use crate::{
    Stop,
    accepting::Presence,
    room::{Expected, Held, Room},
};

/// With what HTTP/2 begins, as far as no request of HTTP/1 does (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI";

/// A connection, as it is seen from beside hyper.
#[derive(Debug)]
pub(super) struct Traffic {
    room: Room,
    stop: Stop,
    /// Keeps room for the first request.
    expected: Mutex<Option<Expected>>,
    marks: Marks,
}

/// What is seen of it.
///
/// Each of these is looked at on its own, and none says that something else can be read: so their order does not matter.
#[derive(Debug, Default)]
struct Marks {
    in_hand: AtomicU32,
    requests: AtomicU32,
    moves: AtomicU32,
    has_unread: AtomicBool,
    is_blocked: AtomicBool,
    is_http2: AtomicBool,
    is_tunnel: AtomicBool,
    is_at_end: AtomicBool,
    is_watched: AtomicBool,
    holds_pong: AtomicBool,
}

impl Traffic {
    /// That of a connection whose first request is kept room for.
    pub(super) fn new(room: Room, stop: Stop) -> Self {
        let expected = Mutex::new(Some(room.expect()));
        Self { room, stop, expected, marks: Marks::default() }
    }

    /// Keeps no room any more.
    pub(super) fn expect_nothing(&self) {
        drop(self.expected.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Whether what is answered now is the last.
    pub(super) fn is_to_end(&self) -> bool {
        self.stop.is_asked()
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            in_hand: self.marks.in_hand.load(Relaxed),
            requests: self.marks.requests.load(Relaxed),
            moves: self.marks.moves.load(Relaxed),
            has_unread: self.marks.has_unread.load(Relaxed),
            is_blocked: self.marks.is_blocked.load(Relaxed),
            is_http2: self.marks.is_http2.load(Relaxed),
            is_tunnel: self.marks.is_tunnel.load(Relaxed),
        }
    }

    /// Whether the client has closed its side.
    pub(super) fn is_at_end(&self) -> bool {
        self.marks.is_at_end.load(Relaxed)
    }

    /// Takes a request in hand.
    pub(super) fn begin_request(&self, label: &str) -> Held {
        let held = self.room.begin(label);
        self.marks.in_hand.fetch_add(1, Relaxed);
        if self.marks.requests.fetch_add(1, Relaxed) == 0 {
            self.expect_nothing();
        }
        held
    }

    pub(super) fn end_request(&self) {
        self.marks.in_hand.fetch_sub(1, Relaxed);
    }

    /// Notes that part of it may be handed over for another protocol.
    pub(super) fn become_tunnel(&self) {
        self.marks.is_tunnel.store(true, Relaxed);
    }

    /// Does something during which each read that finds nothing asks the kernel too: what the runtime knows may be old.
    pub(super) async fn watched<F: Future>(&self, future: F) -> F::Output {
        self.marks.has_unread.store(false, Relaxed);
        self.marks.is_watched.store(true, Relaxed);
        let output = future.await;
        self.marks.is_watched.store(false, Relaxed);
        output
    }

    /// Holds the client's answer to a farewell back from now on, over HTTP/2.
    pub(super) fn hold_pong(&self) {
        self.marks.holds_pong.store(true, Relaxed);
    }

    /// Lets it through, with the next read.
    pub(super) fn release_pong(&self) {
        self.marks.holds_pong.store(false, Relaxed);
    }

    /// Notes that requests come by HTTP/2.
    pub(super) fn become_http2(&self) {
        self.marks.is_http2.store(true, Relaxed);
    }

    /// Notes what was read; returns whether it is the first, and begins HTTP/2.
    fn note_read(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            self.marks.is_at_end.store(true, Relaxed);
            return false;
        }
        let begins = self.marks.moves.fetch_add(1, Relaxed) == 0 && bytes.starts_with(HTTP2);
        if begins {
            self.become_http2();
        }
        begins
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        self.marks.is_blocked.store(written.is_pending(), Relaxed);
        if written.is_ready() {
            self.marks.moves.fetch_add(1, Relaxed);
        }
    }
}

/// The connection itself, which comes back when it is dropped.
pub(super) struct Connection<C> {
    /// None while it is dropped.
    stream: Option<C>,
    traffic: Arc<Traffic>,
    left: Left<C>,
    /// Its frames, if it was seen from its beginning that it has some.
    frames: Option<Frames>,
    /// What is held back of what has come.
    pong: Option<[u8; PONG_LENGTH]>,
    _presence: Presence,
}

/// Where a connection is left by hyper.
#[derive(Debug)]
pub(super) struct Left<C>(Arc<Mutex<Option<C>>>);

impl<C> Left<C> {
    /// Takes what was left, if anything was.
    pub(super) fn take(&self) -> Option<C> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<C> Connection<C> {
    pub(super) fn new(stream: C, traffic: Arc<Traffic>, presence: Presence) -> (Self, Left<C>) {
        let left = Arc::new(Mutex::new(None));
        let connection = Self {
            stream: Some(stream),
            traffic,
            left: Left(left.clone()),
            frames: None,
            pong: None,
            _presence: presence,
        };
        (connection, Left(left))
    }
}

impl<C: Unpin> Connection<C> {
    fn stream(&mut self) -> Pin<&mut C> {
        Pin::new(self.stream.as_mut().expect("it is taken when this is dropped"))
    }
}

impl<C> Connection<C> {
    /// Takes a pong out of what was read from `before` on, if it is to be held back; returns whether that was all.
    fn take_pong(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let Some(frames) = &mut self.frames else { return false };
        let read = &mut buffer.filled_mut()[before..];
        let Some(place) = frames.advance(read) else { return false };
        if !self.traffic.marks.holds_pong.load(Relaxed) || self.pong.is_some() {
            return false;
        }
        let mut pong = [0; PONG_LENGTH];
        pong.copy_from_slice(&read[place.clone()]);
        self.pong = Some(pong);
        read.copy_within(place.end.., place.start);
        let left = read.len() - PONG_LENGTH;
        buffer.set_filled(before + left);
        left == 0
    }

    /// Reads the pong that was held back, if it is not any more; returns whether it has.
    fn give_pong(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let is_time = self.frames.as_ref().is_some_and(Frames::is_between)
            && buffer.remaining() >= PONG_LENGTH
            && !self.traffic.marks.holds_pong.load(Relaxed);
        let Some(pong) = self.pong.take_if(|_| is_time) else { return false };
        buffer.put_slice(&pong);
        true
    }
}

impl<C> Drop for Connection<C> {
    fn drop(&mut self) {
        *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl<C: AsyncRead + AsFd + Unpin> AsyncRead for Connection<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.give_pong(buffer) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let before = buffer.filled().len();
            let read = this.stream().poll_read(context, buffer);
            if read.is_pending() && this.traffic.marks.is_watched.load(Relaxed) {
                let unread = this.stream.as_ref().map_or(Ok(0), ioctl_fionread);
                this.traffic.marks.has_unread.store(unread.is_ok_and(|bytes| bytes > 0), Relaxed);
            }
            ready!(read)?;
            if this.traffic.note_read(&buffer.filled()[before..]) {
                this.frames = Some(Frames::new());
            }
            let was_all = this.take_pong(buffer, before);
            // To have read nothing would be the end.
            if !was_all {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Connection<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream().poll_write(context, bytes);
        this.traffic.note_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream().poll_write_vectored(context, pieces);
        this.traffic.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(context)
    }
}
