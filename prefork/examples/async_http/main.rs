//! Children that each run an async runtime: axum on tokio, many connections a child.
//!
//! ```text
//! cargo run --example async_http -- 127.0.0.1:8081
//! ```
//!
//! Then `curl http://127.0.0.1:8081/`, or `/sleep?ms=2000`, and stop it with Ctrl-C or `kill`.
//!
//! The listener is made once, in the parent; the runtime is started after the fork, as its threads and
//! its epoll descriptor would not survive one.
//!
//! What [`Child::accept`] does and a runtime does not: it waits with `EPOLLEXCLUSIVE`, so that the kernel
//! wakes one child a connection. Tokio registers sockets without (see `epoll_ctl(2)`), so each connection
//! wakes every child that waits in its runtime, and all but one find nothing. With a few children that
//! costs little, and one async child has room for thousands of connections. And on an orderly stop
//! `accept` takes the connections that wait already; here they are closed with the listener.

use std::{
    env,
    future::pending,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
    serve::Listener,
};
use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
    runtime,
    sync::Notify,
    time::sleep,
};

/// How long a child that is to leave waits for the requests of clients that have just connected. A
/// graceful shutdown closes connections on which nothing was sent yet.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "async_http: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let args = Args::new()
        .name("async_http")
        .daemonize(false)
        .prefork(2)
        .after_init(move |init| {
            let listener = init.listen(address.as_str())?;
            // Tokio wants it so. The mode belongs to the socket: all children share it.
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .main_loop(|child, listener| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(answer(child, listener.try_clone()?))
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Serves until asked to leave, and then finishes the requests in hand.
async fn answer(child: &mut Child, listener: TcpListener) -> prefork::Result {
    let stop = stop_of(child)?;
    let at_work = Arc::new(AtWork::default());
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/pid", get(async || format!("{}\n", process::id())))
        .route(
            "/sleep",
            get(async |RawQuery(query): RawQuery| {
                let ms = query.as_deref().and_then(|query| query.strip_prefix("ms="));
                let ms = ms.and_then(|ms| ms.parse().ok()).unwrap_or(1000);
                sleep(Duration::from_millis(ms)).await;
                "hello\n"
            }),
        )
        .layer(middleware::from_fn_with_state(at_work.clone(), count));
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let door = Door { listener, stop: stop_of(child)? };
    let shutdown = async move {
        // A runtime that cannot wait any more is a reason to leave as well.
        let _ = stop.readable().await;
        sleep(GRACE).await;
    };
    let server = axum::serve(door, app).with_graceful_shutdown(shutdown).into_future();
    tokio::pin!(server);
    // The child belongs to this task, which reports for all: busy while any request is in hand. With a
    // scoreboard that makes the pool grow, and an async child is better given more requests: so this
    // example has none, and it serves to count requests and to report that the child works.
    loop {
        tokio::select! {
            served = &mut server => return Ok(served?),
            () = at_work.changed.notified() => match at_work.requests.load(Ordering::Relaxed) {
                0 => child.idle(),
                _ => child.busy("serving"),
            },
        }
    }
}

/// Returns what becomes readable when the child is asked to leave.
#[expect(deprecated, reason = "its successor is unsafe, for types that are no OwnedFd")]
fn stop_of(child: &mut Child) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(child.stop_fd().try_clone_to_owned()?, Interest::READABLE)
}

/// A listener that is closed for new connections as soon as the child is asked to leave.
struct Door {
    listener: tokio::net::TcpListener,
    stop: AsyncFd<OwnedFd>,
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        tokio::select! {
            biased;
            _ = self.stop.readable() => pending().await,
            accepted = Listener::accept(&mut self.listener) => accepted,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// How many requests are in hand.
#[derive(Debug, Default)]
struct AtWork {
    requests: AtomicUsize,
    changed: Notify,
}

async fn count(State(at_work): State<Arc<AtWork>>, request: Request, next: Next) -> Response {
    at_work.requests.fetch_add(1, Ordering::Relaxed);
    at_work.changed.notify_one();
    let response = next.run(request).await;
    at_work.requests.fetch_sub(1, Ordering::Relaxed);
    at_work.changed.notify_one();
    response
}
