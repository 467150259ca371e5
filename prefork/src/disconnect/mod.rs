//! Clients that hang up while a child works for them.
//!
//! A child reports which connection it has in hand: what it has accepted ([`Accepted`]), or is found to hold (`held.rs`).
//! The supervisor says when to look, the [`ClientWatch`] looks, and an [`OnDisconnect`] says what is to be
//! done about a client that has gone.

mod accepted;
mod handler;
mod held;
mod watch;

pub(crate) use accepted::Accepted;
pub use handler::{Disconnect, DisconnectHandler, OnDisconnect};
pub(crate) use handler::{Handler, Kind};
pub(crate) use held::sockets;
pub(crate) use watch::{Busy, ClientWatch, Gone};
