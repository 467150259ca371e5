//! What can be set, and the ways in.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    time::Duration,
};

use hyper_util::{rt::TokioExecutor, server::conn::auto};
use prefork::{BoxError, Child, Listener};
use tokio::runtime::{self, Runtime};

use crate::{
    Accepted, App, Stop,
    accepted::IntoTokio,
    accepting::accept_all,
    http::{self, Patience},
    room::Room,
};

/// How a child serves: with which threads, and how long it waits for silent clients.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use prefork::Args;
/// use prefork_tokio::Server;
/// use std::time::Duration;
///
/// let server = Server::new().grace(Duration::from_millis(500));
/// let args = Args::new()
///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
///     .main_loop(move |child, listener| server.serve(child, listener, Router::new()));
/// # drop(args);
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    threads: Option<NonZeroUsize>,
    patience: Patience,
    builder: auto::Builder<TokioExecutor>,
}

impl Default for Server {
    fn default() -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // WebSockets over HTTP/2.
        builder.http2().enable_connect_protocol();
        Self { threads: None, patience: Patience::default(), builder }
    }
}

/// Answers requests with `app` until the child is asked to leave; see [`Server::serve`].
///
/// # Errors
///
/// Those of [`Server::serve`].
pub fn serve<L, S>(child: &mut Child, listener: &L, app: S) -> prefork::Result
where
    L: Listener + ?Sized,
    L::Connection: Accepted,
    S: App,
{
    Server::new().serve(child, listener, app)
}

/// Begins a task for each connection until the child is asked to leave; see [`Server::run`].
///
/// # Errors
///
/// Those of [`Server::run`].
pub fn run<L, F>(
    child: &mut Child,
    listener: &L,
    handle: impl FnMut(
        <L::Connection as Accepted>::Stream,
        <L::Connection as Accepted>::Peer,
        Stop,
    ) -> F,
) -> prefork::Result
where
    L: Listener + ?Sized,
    L::Connection: Accepted,
    F: Future<Output = ()> + Send + 'static,
{
    Server::new().run(child, listener, handle)
}

impl Server {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many threads a child answers with; by default none but the main thread, so that all cores are had by as many
    /// children.
    ///
    /// With a number tasks run on that many threads beside the main thread, which accepts.
    #[must_use]
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets for how long nothing must have come over a connection that stays, before a child that is to leave closes it; up to
    /// twice as long. Default 1 s.
    ///
    /// Clients that send their next request within this time lose none by a reload or a stop. It is meant to be shorter than
    /// [`graceful_timeout`](prefork::Args::graceful_timeout), which ends the child.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.patience.grace = grace;
        self
    }

    /// Sets how long a connection may go without a whole request, from when it came or from its last answer, before it is
    /// closed; up to twice as long. Default 60 s.
    #[must_use]
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.patience.idle = time;
        self
    }

    /// Speaks HTTP/1.0 and HTTP/1.1 alone. By default a client that begins with HTTP/2 is answered with that.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.builder = self.builder.http1_only();
        self
    }

    /// Answers requests with `app` until the child is asked to leave: with a `Router` of axum, or whatever else is a service.
    ///
    /// Each request is one that the child has in hand, from when it comes until its answer is sent to the last byte or given up.
    /// While it has as many as [`concurrency`](prefork::Args::concurrency) allows it takes no further connections;
    /// over connections that it has, more may come.
    ///
    /// What takes long reads of a stop from [`Stop`]. A connection that was upgraded is waited for until it is dropped, but is not
    /// in hand.
    ///
    /// # Errors
    ///
    /// Fails if the runtime cannot be had, and with the errors of [`Child::try_accept`](prefork::Child::try_accept).
    pub fn serve<L, S>(&self, child: &mut Child, listener: &L, app: S) -> prefork::Result
    where
        L: Listener + ?Sized,
        L::Connection: Accepted,
        S: App,
    {
        self.serve_with(child, listener, async || Ok(app))
    }

    /// The same with what `make` returns, which runs in the runtime of the child: for what is to be connected there, such as
    /// a pool of connections to a database.
    ///
    /// The child is ready when that is done.
    ///
    /// # Errors
    ///
    /// Those of [`serve`](Self::serve), and that of `make`.
    pub fn serve_with<L, S>(
        &self,
        child: &mut Child,
        listener: &L,
        make: impl AsyncFnOnce() -> Result<S, BoxError>,
    ) -> prefork::Result
    where
        L: Listener + ?Sized,
        L::Connection: Accepted,
        S: App,
    {
        let (room, stop) = (Room::of(child), Stop::of_this_child());
        self.runtime()?.block_on(async {
            let app = make().await?;
            let server = http::Server::new(&self.builder, self.patience, &room, &stop);
            accept_all(child, listener, &room, &stop, |accepted, presence| {
                match accepted.into_tokio() {
                    Ok((stream, _peer)) => {
                        // A client that has gone already is found out by what comes next.
                        let _ = L::Connection::send_at_once(&stream);
                        server.begin(stream, app.clone(), presence.clone());
                    }
                    Err(error) => refuse(&error),
                }
            })
            .await?;
            Ok(())
        })
    }

    /// Begins a task for each connection until the child is asked to leave, with what `handle` returns for it.
    ///
    /// A connection is one request that the child has in hand, from when it comes until its task ends. So
    /// [`concurrency`](prefork::Args::concurrency) is how many it takes at once.
    ///
    /// # Errors
    ///
    /// Those of [`serve`](Self::serve).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         prefork_tokio::run(child, listener, |mut connection, _peer, stop| async move {
    ///             let mut buffer = [0; 1024];
    ///             loop {
    ///                 tokio::select! {
    ///                     () = stop.asked() => return,
    ///                     read = connection.read(&mut buffer) => match read {
    ///                         Ok(0) | Err(_) => return,
    ///                         Ok(length) if connection.write_all(&buffer[..length]).await.is_err() => return,
    ///                         Ok(_) => {}
    ///                     },
    ///                 }
    ///             }
    ///         })
    ///     });
    /// # drop(args);
    /// ```
    pub fn run<L, F>(
        &self,
        child: &mut Child,
        listener: &L,
        mut handle: impl FnMut(
            <L::Connection as Accepted>::Stream,
            <L::Connection as Accepted>::Peer,
            Stop,
        ) -> F,
    ) -> prefork::Result
    where
        L: Listener + ?Sized,
        L::Connection: Accepted,
        F: Future<Output = ()> + Send + 'static,
    {
        let (room, stop) = (Room::of(child), Stop::of_this_child());
        let begin = |accepted: L::Connection, presence: &_| match accepted.into_tokio() {
            Ok((stream, peer)) => {
                let held = (room.begin("connection"), Clone::clone(presence));
                let task = handle(stream, peer, stop.clone());
                tokio::spawn(async move {
                    let _held = held;
                    task.await;
                });
            }
            Err(error) => refuse(&error),
        };
        self.runtime()?.block_on(accept_all(child, listener, &room, &stop, begin))?;
        Ok(())
    }

    fn runtime(&self) -> Result<Runtime, BoxError> {
        let mut builder = match self.threads {
            None => runtime::Builder::new_current_thread(),
            Some(threads) => {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(threads.get());
                builder
            }
        };
        Ok(builder.enable_all().build()?)
    }
}

/// Reports that a connection was closed, as the kernel has no room for it in the runtime.
fn refuse(error: &io::Error) {
    // Not by `eprintln!`, which panics where standard error is gone.
    let _ = writeln!(io::stderr(), "cannot serve a connection, which is closed: {error}");
}
