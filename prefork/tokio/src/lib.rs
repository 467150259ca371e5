//! Tokio, hyper and axum in the children of a preforking daemon.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use prefork::{Args, Prefork};
//!
//! # fn main() -> Result<(), prefork::BoxError> {
//! let router = Router::new().route("/", get(async || "hello\n"));
//! let args = Args::new()
//!     .concurrency(1000)
//!     .after_init(|init| Ok(init.listen("127.0.0.1:8080")?))
//!     .main_loop(move |child, listener| prefork_tokio::serve(child, listener, router.clone()));
//! Prefork::new(args)?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The runtime is made in the child, after the fork: its threads and its epoll descriptor would not survive one.
//!
//! # What it sees to
//!
//! - The listener does not block, and a child takes no further connections while it has as many requests in hand as
//!   [`concurrency`](prefork::Args::concurrency) allows. The default is one.
//! - What the child has in hand is counted request by request, whether it is answered, given up by its client, or ended by a
//!   panic.
//! - When the child is asked to leave, it answers what it has in hand. Connections that stay are not closed under a request
//!   that is on its way: each answer from then on says `Connection: close`, over HTTP/2 the client is sent `GOAWAY`, and a
//!   connection on which nothing comes for [a while](Server::grace) is closed in order.
//! - What takes long, such as a WebSocket, reads of it from [`Stop`], and is waited for.
//!
//! [`serve`] takes all that answers requests, [`run`] is a loop for any protocol, and [`Server`] what can be set for both.
//!
//! # Limitations
//!
//! - Linux, as `prefork`.
//! - A connection that is closed after a while of silence can still cross with a request. HTTP clients send that again,
//!   if it is one that can be sent twice.
//! - Over HTTP/2, a request that crosses with the server's farewell by more than the [grace](Server::grace) is refused, with the
//!   word that nobody has looked at it.
//! - A handler that does not await keeps the others waiting, unless there are [more threads](Server::threads).
//! - At most 500 children can wait at one listener in runtimes: the kernel limits how many epoll descriptors within others
//!   lead to one file.

#![forbid(unsafe_code)]

mod accepted;
mod accepting;
mod app;
mod growth;
mod http;
mod room;
mod server;
mod stop;

pub use accepted::{Accepted, AnyStream};
pub use app::App;
pub use server::{Server, run, serve};
pub use stop::Stop;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
