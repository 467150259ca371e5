//! The daemon's own page of what it does.
//!
//! # Problem
//!
//! Operators and Prometheus want to ask a daemon what it does, over HTTP. The parent is single-threaded,
//! often root, and keeps everybody alive: it must neither read what strangers send nor wait for them.
//!
//! # Idea
//!
//! A process of its own answers, the *status process*: forked from the parent, with the rights of a child and nothing
//! of the parent's but the listening sockets, the scoreboard to read, and a page of figures to read. The
//! parent writes its [`Counters`](crate::status::counters::Counters) to that page before it sleeps. When the status process
//! ends, another one is forked, at most once a second.
//!
//! The status process holds one end of a pipe, and leaves when the other end is closed: by the parent, or by the
//! kernel when the parent executes another program, which then has a status process of its own. The listening sockets
//! are handed over, so nobody is refused meanwhile.
//!
//! # Files
//!
//! - `audience.rs`, `address.rs`, `socket.rs`, `service.rs`, `queue.rs`: the parent.
//! - `page.rs`, with `counters.rs` and `failure.rs`: both sides.
//! - `process.rs`: the process; `server.rs`, `connection.rs`, `request.rs`: talking HTTP; `answer.rs`,
//!   `report.rs`, `html/`, `metrics.rs`: what is said.

#![cfg_attr(
    not(feature = "status"),
    expect(dead_code, reason = "no address can be given, so that there is no such process")
)]

mod address;
mod audience;
pub(crate) mod counters;
mod failure;
#[cfg(feature = "status")]
mod http;
mod page;
mod process;
pub(crate) mod queue;
mod rate;
mod service;
mod socket;

pub use address::StatusAddress;
pub(crate) use address::{Address, check};
pub(crate) use audience::{Audience, Audiences};
pub(crate) use service::{Service, World};
pub(crate) use socket::{StatusSocket, StatusSockets};
