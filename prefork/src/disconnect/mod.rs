//! Clients that hang up while a child works for them.
//!
//! The supervisor says when to look, the [`ClientWatch`] looks, and an [`OnDisconnect`] says what is to be
//! done about a client that has gone. Code of the program that is to decide that may take its time, and
//! the parent has none: so it runs in a process of its own, an [`Errand`], one at a time.

mod errand;
mod handler;
mod watch;

pub(crate) use errand::{Errand, Verdict};
pub use handler::{Disconnect, DisconnectHandler, OnDisconnect};
pub(crate) use handler::{Handler, Kind};
pub(crate) use watch::{Busy, ClientWatch, Gone};
