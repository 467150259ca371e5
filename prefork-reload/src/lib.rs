//! Deciding when watched files have changed and come to rest.
//!
//! A daemon wants to reload when its configuration changes, or to start again when its program is
//! replaced. It should do so once, soon after the last byte is written, and never on half a file.
//! That is harder than it looks: editors write in place or rename over, package managers delete
//! first, `rsync -t` and `cp -p` set the time back, deployments switch a link above the file.
//!
//! So files are compared, not believed: device, inode, size, mtime and ctime at two looks. A change
//! is reported when it has come to rest, that is when two looks some time apart agree. The kernel's
//! hints, by `inotify(7)`, make it quick and are not needed.
//!
//! - [`Watcher`] is all of it, for a program with a loop;
//! - [`WatchList`] says which files: named, trees of directories, globs;
//! - [`Policy`] is the decision alone, without files and without a clock;
//! - [`trusted`] returns whether somebody else could have changed the file, and [`trusted_way`] whether they
//!   could put another in its place.
//!
//! # When to use
//!
//! To act on files that change now and then: programs, configurations, certificates, templates. Not
//! to follow files that always change, like logs: as long as one file moves, nothing is reported.
//! Not to know each single change, or its contents.
//!
//! # Examples
//!
//! A loop that does nothing else; `examples/watch.rs` is a whole program.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use prefork_core::Time;
//! use prefork_reload::{WatchList, Watcher};
//! use rustix::event::{PollFd, PollFlags, Timespec, poll};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Instant::now();
//! let now = || Time::after_origin(clock.elapsed());
//! let mut list = WatchList::new();
//! list.file("/etc/exampled.conf")?.glob("/etc/exampled.d/*.conf")?;
//! let mut watcher = Watcher::new(list, Duration::from_secs(5));
//! watcher.begin(now());
//! loop {
//!     let wait = watcher.due().map(|due| Timespec::try_from(due.since(now()))).transpose()?;
//!     let fd = watcher.fd();
//!     let mut fds: Vec<_> = fd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
//!     if poll(&mut fds, wait.as_ref())? > 0 {
//!         watcher.woken(now());
//!     }
//!     if let Some(changes) = watcher.check(now()) {
//!         println!("reloading: {changes}");
//!     }
//! }
//! # }
//! ```
//!
//! # What is promised
//!
//! - No report while anything moves, and one report for all that has moved.
//! - What was changed and is as it was, to the nanosecond, is not reported.
//! - A named file that is missing is not reported; it is when it is there again.
//! - Errors are not changes: what cannot be examined counts as unchanged.
//! - Looking never opens a file and never waits for one, and is rationed: a file that is touched a
//!   thousand times a second costs less than one look a second, and so do hints that lead to nothing.
//!
//! # Limitations
//!
//! - Linux only.
//! - A change of what is in a file that changes neither its size nor its times cannot be seen.
//!   Programs that write through `mmap(2)` set the times late, see `msync(2)`.
//! - A file that stands still for the settle time counts as written, although somebody may go on
//!   writing later. A caller that acts on it must be able to refuse a part of it.
//! - Looking goes on in the thread of the caller, and waits for file systems that do not answer.

#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-reload needs Linux");

mod change;
mod error;
mod hops;
mod notifier;
mod one_line;
mod policy;
mod scan;
mod stamp;
mod trust;
mod watch_list;
mod watcher;

pub use change::{Change, ChangeKind, Changes};
pub use error::WatchError;
pub use policy::Policy;
pub use scan::MAX_ENTRIES;
pub use stamp::{Stamp, Stamps, Unknown};
pub use trust::{Distrust, Writers, trusted, trusted_file, trusted_way};
pub use watch_list::WatchList;
pub use watcher::Watcher;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
