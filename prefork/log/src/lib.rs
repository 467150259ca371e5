//! Writing whole lines to a log without waiting for its reader.
//!
//! A daemon writes lines to whatever it was started with: a file, a pipe to a rotating program, a terminal, a socket of
//! the journal. Each of them can stand still, for ever, and a `write(2)` then stands still with it. `O_NONBLOCK` does not
//! help: it belongs to the open file description, which all processes share that have inherited it, the shell that has
//! started the daemon among them, and is as the last of them has set it. And a write that does not wait may write half a
//! line.
//!
//! - [`LineWriter`] writes a line whole, or not at all, within the time that it is given;
//! - [`Lost`] counts those that did not get through, to be reported when one does;
//! - [`Format`] is how lines begin where the journal reads them.
//!
//! # When to use
//!
//! For programs that have more to do than to be read, as servers and their children, with a log at standard error or in a
//! file that others write to as well. Not for what must not be lost: there somebody has to wait.
//!
//! # Limitations
//!
//! - Linux, with `/proc` mounted: a description of one's own is opened by `/proc/self/fd`. What may not be opened again, as
//!   the terminal of another user, is written to by the shared one, with a look whether it has room.
//! - A regular file is written to at once. A disk that is full returns an error; a file server that does not answer makes
//!   its writers wait.
//! - Long lines of several processes to one pipe, stream or terminal stay whole as their writers take turns, by a lock of
//!   the whole file (`F_SETLK`, see `fcntl(2)`). Programs that write there by other means take no turn.

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-log needs Linux");

mod line_writer;
mod lost;
mod medium;
mod patience;
mod reconnect;
mod sys;

pub use line_writer::{Format, LineWriter, append_always};
pub use lost::Lost;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
