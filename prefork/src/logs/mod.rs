//! Opening the logs, opening them again after they were rotated, and writing to them.
//!
//! - `line_writer.rs`: a line, without waiting for whoever reads it; `reconnect.rs`: where that is a socket.
//! - `stderr.rs`: the error log, as each process has it for itself.
//! - `medium.rs`: what a line needs to arrive whole.
//! - `follow.rs`: going over to logs that the parent has opened again.
//! - `lost.rs`: what could not be written.

pub(crate) mod access_log;
pub(crate) mod describe;
pub(crate) mod follow;
mod line_writer;
pub(crate) mod log;
mod lost;
mod medium;
mod reconnect;
pub(crate) mod stderr;

pub use access_log::AccessLog;
pub(crate) use follow::Streams;
pub(crate) use line_writer::{Format, LineWriter};
pub(crate) use lost::Lost;
