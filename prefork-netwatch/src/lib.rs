//! Noticing which connections of a set of processes have ended.
//!
//! A process that works on an answer for a minute does not notice that its client hung up after a
//! second. Another one, its parent say, can: the kernel's tables show which connections have ended,
//! and `/proc/PID/fd` shows whose they were. So it can end work that nobody waits for.
//!
//! # When to use
//!
//! - A server with a process per request: [`Watch`], checked every while with the processes that
//!   are busy.
//! - Other tables, or tables of other machines: a [`Source`] of your own, or a [`History`], which is
//!   the same without a single system call.
//! - What a single socket is connected to, by its inode: [`inet_sockets`], [`unix_socket`].
//!
//! A process that can poll its own sockets needs nothing of this: `POLLRDHUP` in `poll(2)`.
//!
//! # Example
//!
//! ```
//! use prefork_netwatch::{Endpoint, Filter, Watch};
//! use std::net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut watch = Watch::new(Filter::listening([Endpoint::of_socket(&listener)?]));
//!
//! let client = TcpStream::connect(listener.local_addr()?)?;
//! let (_served, _) = listener.accept()?;
//! drop(client);
//!
//! for event in watch.check([std::process::id()])?.events {
//!     println!("{event}"); // 4711 tcp 127.0.0.1:80 127.0.0.1:50000 peer closed
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - One [`Event`] for each connection over its life, and it says what was [`Seen`]: the peer's FIN,
//!   after which it may still be reading, or that the connection is no more.
//! - No event for what the process itself closed, for connections that wait to be accepted, nor for
//!   those that it opened to others, given a [`Filter`] of its listeners.
//! - A connection that merely was not in a reading, as happens while others come and go, is looked
//!   for again and is not reported.
//! - Only `/proc/PID/fd` of the processes asked about is read, and only when something has ended.
//!   One that may not be read is named as [`Unreadable`], and the others are watched.
//!
//! # Limitations
//!
//! - Linux only, and the network namespace of the calling thread only.
//! - A reset leaves nothing in the tables. It is reported if a check saw the connection before, in
//!   whatever process, or if the connection was [expected](Watch::expect); else one that is reset before the
//!   first check after it was accepted is not.
//! - A client may use its port again after a reset. If the later connection was closed by this side before the next
//!   check, it is taken for the first one, which is then not reported; unless the caller
//!   [knows better](Watch::check_reused).
//! - Where both sides close between two checks, what came first is not known in two cases: the
//!   process sends its FIN after the peer's, or is reset after its own, and holds the descriptor
//!   still. Both are reported as [`Seen::Gone`].
//! - In UNIX, `shutdown(2)` of its own receiving side looks like a half-close by the peer; and that
//!   the peer has gone is shown by [`SockDiag`] alone.

#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-netwatch needs Linux");

mod connection;
mod endpoint;
mod error;
mod event;
mod filter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod holders;
mod lookup;
mod source;
mod watch;

pub use connection::{Connection, Proto, State};
pub use endpoint::{Endpoint, UnixName};
pub use error::{SourceError, Unreadable};
pub use event::{Event, Seen};
pub use filter::Filter;
pub use history::{History, Suspect};
pub use lookup::{
    InetSocket, Transport, UnixSocket, inet_sockets, inet_sockets_are_shown, shares_network,
    unix_backlog_of, unix_socket,
};
pub use source::Source;
pub use source::netstat::Netstat;
pub use source::proc_net::ProcNet;
pub use source::sock_diag::SockDiag;
pub use source::tables::Tables;
pub use watch::{Report, Watch};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
