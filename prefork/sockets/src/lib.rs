//! Listening sockets that several processes share.
//!
//! A server whose processes accept from one socket has one queue, and loses no connection when a process ends. But what one
//! process does to the socket it does to all: `shutdown(2)`, `connect(2)`, `listen(2)` and every option belong to the socket.
//! And a stop that closes it resets the clients that wait. This crate has what the standard library does not offer for that:
//!
//! - [`accept_queue`] and [`dropped`] return how many clients wait, and for how many there was no room;
//! - [`waited`] and [`side`] return how long a client has waited for its connection to be accepted, and whether it still does;
//! - [`close_to_newcomers`] refuses those who come, and leaves those who wait;
//! - [`Terms`] remembers how a socket listens, and sets back what somebody has changed;
//! - [`AnyListener`], [`AnyStream`] and [`AnyAddr`] are of TCP or UNIX, and [`Written`] is an address as people write it;
//! - [`listens`], [`name`], [`peer_name`], [`tcp_address`] and [`unix_address`] return what a descriptor is, that came from somewhere.
//!
//! # When to use
//!
//! In servers of several processes, and where sockets are handed from program to program. One that has its socket alone needs
//! at most the types for both kinds.
//!
//! # Limitations
//!
//! - Linux 5.7 or later.
//! - The queue of a UNIX socket is looked up among all of the network namespace.
//! - What somebody changes between two looks is in force until the second.

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-sockets needs Linux");

mod any;
mod bound;
mod door;
mod queue;
mod sys;
mod terms;
mod waited;
mod written;

pub use any::{AnyAddr, AnyListener, AnyStream};
pub use bound::{listens, name, peer_name, tcp_address, unix_address, unix_path};
pub use door::{close_to_newcomers, is_closed};
pub use queue::{Queue, accept_queue};
pub use sys::{Exchange, dropped, exchange};
pub use terms::{Damage, Terms, disarm, is_deaf};
pub use waited::{side, waited};
pub use written::{EXAMPLES, UnixPeer, Written};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
