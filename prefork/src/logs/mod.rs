//! Opening the logs, opening them again after they were rotated, and writing to them.
//!
//! - `line_writer.rs`: a line, without waiting for its reader; `patience.rs`: how long it may take; `reconnect.rs`: where
//!   the reader is at a socket.
//! - `stderr.rs`: the error log, as each process has it for itself.
//! - `medium.rs`: what a line needs to arrive whole.
//! - `follow.rs`: going over to logs that the parent has opened again.
//! - `lost.rs`: what could not be written.
//! - `level.rs`: how much is written; `message/`: what is; `notices.rs`: what of it the supervisor reports;
//!   `in_hand.rs`: what a child was doing, to stand behind it.

pub(crate) mod access_log;
pub(crate) mod describe;
pub(crate) mod follow;
mod in_hand;
mod level;
mod line_writer;
pub(crate) mod log;
mod lost;
mod medium;
pub(crate) mod message;
pub(crate) mod notices;
mod patience;
mod reconnect;
pub(crate) mod stderr;

pub use access_log::AccessLog;
pub(crate) use follow::Streams;
pub(crate) use in_hand::InHand;
pub use level::{LogLevel, LogLevelError};
pub(crate) use level::{is_wanted, set_level};
pub(crate) use line_writer::{Format, LineWriter};
pub(crate) use lost::Lost;
pub(crate) use message::{
    Answered, ChangeMessage, ClientMessage, FileMessage, HookMessage, Message, PoolMessage,
    ProcessMessage,
};
