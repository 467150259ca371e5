//! What a program does, seen from outside: its processes, what they wait for, and which connections they hold.
//!
//! All of it is read from `/proc` and from sockets of the program's, of which `pidfd_getfd(2)` gives a duplicate for a moment.
//! That is allowed to a process that may trace the program: its ancestor of the same user. Where it is forbidden, the
//! kernel reports of the sockets by `sock_diag(7)`.

mod acknowledging;
mod call;
mod descriptors;
mod held;
mod listeners;
mod process;
mod signals;
mod sock_diag;
mod tcp;
mod tree;
mod waits;

pub(crate) use call::Call;
pub(crate) use descriptors::Target;
pub(crate) use held::{Client, Connection, Held, written};
pub(crate) use listeners::Listeners;
pub(crate) use process::Process;
pub(crate) use tree::Tree;
pub(crate) use waits::How;

#[cfg(test)]
mod tests;
