//! Opening the logs, opening them again after they were rotated, and writing to them.
//!
//! How a line is written, without waiting for its reader, is `prefork-log`'s.
//!
//! - `stderr.rs`: the error log, as each process has it for itself; `access_log.rs`: the log of requests.
//! - `follow.rs`: going over to logs that the parent has opened again.
//! - `level.rs`: how much is written; `message/`: what is; `notices.rs`: what of it the supervisor reports;
//!   `in_hand.rs`: what a child was doing, to stand behind it.

pub(crate) mod access_log;
pub(crate) mod describe;
pub(crate) mod follow;
mod in_hand;
mod level;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod notices;
mod said;
pub(crate) mod stderr;

pub use access_log::AccessLog;
pub(crate) use follow::Streams;
pub(crate) use in_hand::InHand;
pub use level::{LogLevel, LogLevelError};
pub(crate) use level::{is_wanted, set_level};
pub(crate) use message::{
    Answered, ArbiterMessage, ChangeMessage, ClientMessage, FileMessage, ForkMessage, HookMessage,
    Message, PoolMessage, ProcessMessage,
};
pub(crate) use said::Said;
