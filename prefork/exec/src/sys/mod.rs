//! Every `unsafe` of this crate: each wrapper states what makes it sound, and callers need none.

#![expect(unsafe_code, reason = "what the operating system offers in no safe form")]

mod fork;
mod poll_once;
pub(crate) mod private_table;
pub(crate) mod sockets;
pub(crate) mod tracing;

pub(crate) use fork::{Forked, exit_now, fork, keep_for_program};
pub(crate) use poll_once::PollOnce;
