//! Connections over which requests come.

mod frames;
mod idle;
mod service;
mod traffic;

use std::{
    future::poll_fn,
    mem,
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    select,
    time::{Instant, sleep, timeout},
};

use crate::{App, Stop, accepting::Presence, room::Room};
use idle::{Idle, Next, Phase};
use service::Counting;
use traffic::{Connection, Traffic};

/// For how long a client must have sent nothing after the last answer before its connection is given up.
const SILENCE: Duration = Duration::from_secs(2);

/// For how long what it sends then is read, and thrown away, at most.
const LINGER: Duration = Duration::from_secs(30);

/// For how long room is kept for the first request of a connection.
const EXPECTATION: Duration = Duration::from_millis(100);

/// How long silent clients are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), grace: Duration::from_secs(1) }
    }
}

/// What all connections of a child have in common.
pub(crate) struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    builder: auto::Builder<TokioExecutor>,
    patience: Patience,
    room: Room,
    stop: Stop,
}

impl Server {
    pub(crate) fn new(
        builder: &auto::Builder<TokioExecutor>,
        patience: Patience,
        room: &Room,
        stop: &Stop,
    ) -> Self {
        let (builder, room, stop) = (builder.clone(), room.clone(), stop.clone());
        Self { shared: Arc::new(Shared { builder, patience, room, stop }) }
    }

    /// Begins to serve a connection.
    pub(crate) fn begin<C, S>(&self, stream: C, app: S, presence: Presence)
    where
        C: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
        S: App,
    {
        let shared = self.shared.clone();
        let traffic = Arc::new(Traffic::new(shared.room.clone(), shared.stop.clone()));
        tokio::spawn(async move {
            let (connection, left) = Connection::new(stream, traffic.clone(), presence);
            let app = Counting::new(app, traffic.clone());
            let served =
                shared.builder.serve_connection_with_upgrades(TokioIo::new(connection), app);
            drive(pin!(served), &traffic, shared.patience).await;
            // It is not left where it was upgraded, and those that talk over it have it.
            if let Some(stream) = left.take()
                && !traffic.is_at_end()
            {
                linger(stream).await;
            }
        });
    }
}

/// A connection of hyper's, as far as it matters here.
trait Served: Future {
    fn begin_to_close(self: Pin<&mut Self>);
}

impl<C, S> Served
    for auto::UpgradeableConnection<'_, TokioIo<Connection<C>>, Counting<S>, TokioExecutor>
where
    C: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
    S: App,
{
    fn begin_to_close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Serves until the connection has ended: by the client, by its last answer, or as it was silent for too long.
async fn drive(mut served: Pin<&mut impl Served>, traffic: &Traffic, patience: Patience) {
    let mut asked = pin!(traffic.stop().asked());
    let mut timer = pin!(sleep(EXPECTATION));
    let (mut is_new, mut idle) = (true, Idle::default());
    loop {
        let next = select! {
            biased;
            _ = served.as_mut() => return,
            () = asked.as_mut(), if idle.phase() == Phase::Serving => idle.leave(traffic.seen()),
            () = timer.as_mut() => {
                traffic.expect_nothing();
                traffic.release_pong();
                if mem::replace(&mut is_new, false) {
                    Next::Wait
                } else if traffic.watched(poll_once(served.as_mut())).await.is_ready() {
                    // What has come meanwhile was read before anything is decided.
                    return;
                } else {
                    idle.next(traffic.seen())
                }
            }
        };
        match next {
            Next::Wait => {}
            Next::Close => {
                traffic.hold_pong();
                served.as_mut().begin_to_close();
            }
            Next::Drop => return,
        }
        let pause = match idle.phase() {
            Phase::Serving => patience.idle,
            Phase::Leaving | Phase::Closing => patience.grace,
        };
        timer.as_mut().reset(Instant::now() + pause);
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Closes a connection for writing, and reads on until the client has closed it too.
///
/// What is unread when a socket is closed has the kernel send a reset, which takes from the client the answer before it
/// (see RFC 9112, 9.6).
async fn linger<C: AsyncRead + AsyncWrite + Unpin>(mut stream: C) {
    // Where the client has gone there is nothing to be done.
    let _ = stream.shutdown().await;
    let read_to_end = async {
        let mut nowhere = [0; 4096];
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read(&mut nowhere)).await {}
    };
    let _ = timeout(LINGER, read_to_end).await;
}
