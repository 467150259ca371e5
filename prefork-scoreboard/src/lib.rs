//! A shared-memory scoreboard of worker processes that stands on its own.
//!
//! Workers report what they are doing, each in a slot of its own; a parent, a status page or a
//! person reads all slots at any time. Nobody waits for anybody: a report is a few stores to
//! memory, a reading is a few copies of it.
//!
//! # When to use
//!
//! - A server that forks workers wants to know how many are busy, to fork more or fewer:
//!   [`OwnedBoard`]. The parent assigns slots to children, which report through a [`Slot`].
//! - A supervisor that executes programs gives them slots in the same way: [`OwnedBoard::variables`] in the supervisor,
//!   [`Slot::from_environment`] in the program.
//! - Processes that were not forked by a common parent, cron jobs say, want to show what they do:
//!   [`Board::open_or_create`] and [`Board::claim`].
//! - Parent and children share memory anyway, and the file is for others to look at: [`SlotMemory`] is a
//!   slot there, and [`OwnedBoard::publish`] copies what was read of it.
//! - What everybody does is not all there is to show: [`BoardOptions`] gives a board a title, and columns for bytes, errors, the
//!   length of a queue, or a short text.
//! - A tool wants to show any of these: [`Board::open`], [`Board::snapshot`] and [`Board::values`].
//!
//! Threads of one process are better served by atomics of their own. For counters that must be
//! exact, or that must outlive a crash of the machine, use something else: a board is gossip.
//!
//! # Example
//!
//! ```
//! use prefork_scoreboard::{Board, OwnedBoard};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("board");
//! let owner = OwnedBoard::create(&path, 150)?;
//!
//! // Before each fork the parent gives the child a slot ...
//! owner.assign(0, 1)?;
//! // ... which the child enters, to report what it does.
//! let mut slot = owner.enter(0)?;
//! slot.idle();
//! slot.client("192.0.2.1:4711");
//! slot.busy("GET /index.html");
//!
//! // Anybody with the right to read the file sees it.
//! let snapshot = Board::open(&path)?.snapshot()?;
//! assert_eq!(snapshot.tally().busy, 1);
//! let record = &snapshot.records()[0];
//! assert_eq!((record.status().letter(), record.label()), ('W', "GET /index.html"));
//!
//! // The parent empties the slot once it has reaped the child.
//! drop(slot);
//! owner.clear(0)?;
//! owner.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - A record is read as it was published at one moment, or reported as [`Stall`]ed; it is never a
//!   mixture, though its process may be killed anywhere.
//! - Reading takes bounded time and memory, and never harms the reader, whatever the file holds and
//!   whatever becomes of it. The parent never maps a slot.
//! - A board is complete, with all its space, before it appears at its path. It never replaces one
//!   that is alive, nor a file that is no board.
//! - A child maps its own page alone, so a stray pointer does not reach the slots of others.
//! - Nothing is cleaned up by a process that merely inherited it over fork.
//!
//! # Limitations
//!
//! - Linux only.
//! - What a board says is what the processes say. Never send a signal to a pid read from it. A
//!   child that is hostile, rather than broken, can write anything to its own slot, and by
//!   `mremap(2)` to others': count on the board for scaling and for show, not for safety.
//! - The file must be on a local file system, best in memory, as `/run` is: writing the page of a
//!   board on a disk may wait for the disk, network file systems do not share memory, and one that
//!   compresses or copies on write cannot keep the promise about space.
//! - Truncating the file ends those who report in it with SIGBUS, at their next report. A board
//!   without a name, [`OwnedBoard::anonymous`], is sealed against that.
//! - A slot costs a page of the board, and each process that has one costs one private page more,
//!   by which it notices that it was forked. A process that has claimed one maps the index of free slots too, a bit a slot.
//! - Moments are on `CLOCK_MONOTONIC`, which a time namespace shifts: ages read from outside of it
//!   are wrong by that shift.
//!
//! The format of the file is documented in [`format`](mod@format), for readers in other languages.
//!
//! In `examples/` of the crate: `farm.rs`, a supervisor that executes workers with columns, `shared.rs`, processes without a
//! common parent, and readers in Python and Perl, one of them a page for a browser.

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-scoreboard needs Linux");

mod board;
mod census;
mod check;
mod checksum;
mod claim;
mod clock;
mod column;
mod create;
mod description;
mod enter;
mod error;
mod facts;
mod file;
pub mod format;
mod guard;
mod header;
mod holder;
mod index;
mod life;
mod memfd;
mod memory;
pub mod metrics;
mod occupant;
mod open;
mod options;
mod owned;
mod pauses;
mod process;
mod protocol;
mod pulse;
mod read;
mod record;
mod slot;
mod snapshot;
mod stamp;
mod state;
mod sys;
mod text;
mod update;
mod values;
mod write;

pub use board::Board;
pub use clock::Monotonic;
pub use column::{Column, ColumnKind, NumberColumn, TextColumn, Value};
pub use enter::variables;
pub use error::{
    ClaimError, ColumnError, CreateError, DescriptionFault, EnterError, Fault, Foreign,
    HeaderFault, OpenError, SlotError,
};
pub use facts::{Facts, names};
pub use guard::Maker;
pub use header::Kind;
pub use holder::Holder;
pub use life::Life;
pub use memory::SlotMemory;
pub use options::BoardOptions;
pub use owned::{OwnedBoard, Removal};
pub use process::Standing;
pub use pulse::Pulse;
pub use record::Record;
pub use slot::Slot;
pub use snapshot::{Snapshot, Tally};
pub use stamp::Stamp;
pub use state::{Class, Stall, State, Status};
pub use update::Update;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
