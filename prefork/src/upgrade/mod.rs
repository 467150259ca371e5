//! Becoming another program without ceasing to be the same process.
//!
//! # Problem
//!
//! A daemon whose program file has changed should run the new program, with the same pid, the same
//! sockets and no request lost; and if the new program is no good, nothing should have happened.
//!
//! # Idea
//!
//! An `execve(2)` in place keeps the pid, the open descriptors, the locks, the children, and the signals
//! that wait. But it cannot be undone. So the new program is first run as a *probe*: as a child of the
//! parent's that goes the same way, up to the end of `after_init`, with the sockets of the parent, and
//! says whether it got there. The probe then stays until the parent has executed the very file that it
//! runs, opened once for both: a file that is being executed cannot be written to. What it has bound, the
//! next program can bind as soon as the probe has gone.
//!
//! *Which* program that is, is found out as a fresh start would (`command.rs`): by the command and the directory, as
//! names that are followed again each time. A probe may be a script that executes something else, so it reports as
//! what it was executed in the end (`image.rs`), and just that is executed in place.
//!
//! What the next program needs is written to a sealed memory file ([`Handover`]), and the numbers of the
//! descriptors in it are left open over the exec. There the *successor* goes its way again, takes what it
//! asks for, and only when nothing can fail any more it claims the pid file, the board and the children.
//! If something fails all the same, it executes the old program, whose file it has open, and hands all
//! back. So do an exit handler and signal handlers for whatever ends it before, set up before `main`. An old program
//! that has come back goes on with its children even if its own `after_init` fails (`parent/bare.rs`), and is executed
//! again after a pause if it does not come so far: with the daemon's process, the children would end.
//!
//! # In which process
//!
//! - `handing_over.rs`, `subject.rs`, `probe.rs`, `exec.rs`: the parent, before; how it was started, and what a fresh start would run,
//!   is known by `program/`.
//! - `inherited.rs`: the new program, as probe and as successor; `probe_reply.rs`: as probe alone;
//!   `takeover.rs`, `takeover_of_pools.rs`: as successor alone.
//! - `reading.rs`: the parent, whose program reads its settings again in a process that goes the way of a probe, but only
//!   as far as to the daemon's arguments.
//! - `station.rs`: what a program is to be among the processes of a daemon: the arbiter of several pools becomes a new
//!   program as the parent of one does, and what it hands over is the parents of its pools.
//! - `way_back.rs`, and `sys/way_back.rs`: the new program, before it has taken over, and what it leaves to the old one.
//! - `handover.rs`: what the one hands to the other; `handed_arbiter.rs`: of several pools.

mod announce;
mod exec;
mod handed_arbiter;
mod handing_over;
mod handover;
mod inherited;
mod leftovers;
mod probe;
mod probe_reply;
mod reading;
mod station;
mod subject;
mod takeover;
mod takeover_of_pools;
mod way_back;

pub(crate) use exec::{Executable, Start};
pub(crate) use handing_over::{HandingOver, Member, Processes, Which};
pub(crate) use handover::HandedChild;
pub(crate) use inherited::{Inherited, inherited};
pub(crate) use leftovers::Leftovers;
pub(crate) use probe::{Probe, Tried, Word};
pub(crate) use reading::{Read, Reading};
pub(crate) use station::Station;
pub(crate) use takeover::{Adopted, Takeover};
pub(crate) use takeover_of_pools::{AdoptedArbiter, AdoptedMember};
pub(crate) use way_back::way_back;
