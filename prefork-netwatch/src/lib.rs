//! Telling which connections of a set of processes have ended.
//!
//! A process that computes an answer for a minute does not notice that its client hung up after a
//! second. Its parent can: the kernel's tables tell which connections have ended, and
//! `/proc/PID/fd` tells whose they are.

#![forbid(unsafe_code)]

mod connection;
mod endpoint;
mod error;
mod event;
mod filter;
mod history;
mod holders;
mod source;
mod watch;

pub use connection::{Connection, Proto, State};
pub use endpoint::{Endpoint, UnixName};
pub use error::{SourceError, Unreadable};
pub use event::{Event, Seen};
pub use filter::Filter;
pub use history::{History, Suspect};
pub use source::Source;
pub use source::netstat::{Netstat, parse as parse_netstat};
pub use source::proc_net::{ProcNet, parse as parse_proc_net};
pub use source::sock_diag::{SockDiag, parse as parse_sock_diag};
pub use watch::{Report, Watch};
