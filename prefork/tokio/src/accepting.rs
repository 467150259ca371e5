//! The loop of a child: accept while there is room, until asked to leave; then wait for what is in hand.
//!
//! It runs on the main thread and has the child to itself. What it begins is a task each.

use std::{
    convert::Infallible,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use prefork::{Child, Listener, TryAccept};
use tokio::{
    io::{Interest, unix::AsyncFd},
    select,
    sync::mpsc,
    task::yield_now,
    time::sleep,
};

use crate::{Stop, growth::Growth, room::Room};

/// Is held by all that the child waits for before it leaves.
pub(crate) type Presence = mpsc::Sender<Infallible>;

/// Accepts until the child is asked to leave, and returns when all is finished that was begun.
pub(crate) async fn accept_all<L: Listener + ?Sized>(
    child: &mut Child,
    listener: &L,
    room: &Room,
    stop: &Stop,
    mut begin: impl FnMut(L::Connection, &Presence),
) -> io::Result<()> {
    let (presence, mut presences) = mpsc::channel(1);
    let ready = Ready::new(child.accept_fd(listener)?.try_clone_to_owned()?)?;
    let mut growth = Growth::new(Instant::now());
    loop {
        // Before those are taken who wait when the daemon stops: their answers are the last ones too.
        if child.should_stop() {
            stop.ask();
        }
        if room.is_full() {
            child.pause_accepting()?;
            select! {
                () = room.freed() => {}
                woken = ready.woken() => woken?,
            }
            continue;
        }
        // One presence is that of this loop.
        if let Some(pause) = growth.pause(Instant::now(), presence.strong_count() - 1) {
            sleep(pause).await;
            continue;
        }
        match child.try_accept(listener)? {
            TryAccept::Connection(connection) => {
                begin(connection, &presence);
                // What is in hand goes on.
                yield_now().await;
            }
            TryAccept::Nothing => ready.woken().await?,
            TryAccept::Pause(time) => ready.woken_within(time).await?,
            TryAccept::Stop => break,
        }
    }
    stop.ask();
    drop(presence);
    loop {
        select! {
            // All are dropped, as none is ever sent.
            _ = presences.recv() => return Ok(()),
            woken = ready.woken() => {
                woken?;
                child.pause_accepting()?;
                // Goes over to logs that were opened again.
                child.should_stop();
            }
        }
    }
}

/// The descriptor that wakes a child.
struct Ready(AsyncFd<OwnedFd>);

impl Ready {
    #[expect(deprecated, reason = "its successor is unsafe, for types that are no OwnedFd")]
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self)
    }

    /// Waits until something may have happened since the last time that this returned.
    ///
    /// What the runtime knows is forgotten before the child looks, not after: so what happens meanwhile wakes it again.
    async fn woken(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }

    async fn woken_within(&self, time: Duration) -> io::Result<()> {
        select! {
            () = sleep(time) => Ok(()),
            woken = self.woken() => woken,
        }
    }
}
