#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork needs Linux");

// The rooms, in the order in which to read them. None uses one above it: `.ci/check-arrows` sees to that.

// Several pools in one daemon: the arguments, and the arbiter above them.
mod pools;
// `new` and `run`: coming up and going down, with children and without.
mod run;
// The loop: wait, take in what has happened, carry out what was decided.
mod parent;
// Becoming another program in place.
mod upgrade;
// What there is before the first child, and what is left in the file system.
mod start;
// The arguments: as given, from files, checked.
mod args;
// The status page, the process that serves it, and what is counted for it.
mod status;
// What the parent believes of its children, and the scoreboard that shows it.
mod board;
// A child: its life, accepting, stopping.
mod child;
// Code of the program, called where it can neither end nor delay the daemon.
mod hooks;
// Clients that hang up.
mod disconnect;
// What a pool has of the arbiter above it, where there is one.
mod seat;
// The service manager.
mod manager;
// Listening sockets: made, found, inherited; the files of UNIX sockets.
mod sockets;
// The program that runs, and the one that a fresh start would run.
mod program;
// Errors.
mod error;
// Log lines, and how they are written without waiting.
mod logs;
// What lies between parent and children.
mod channels;
// What is asked of the operating system; what is Linux-only.
mod system;
// All `unsafe`.
mod sys;

pub mod docs;

#[cfg(feature = "serde")]
pub use args::Setting;
pub use args::{Args, Settings, SettingsError};
pub use child::{Child, InFlight, InHand, Lent, Listener, Requests, TryAccept, Waited};
pub use disconnect::{Disconnect, DisconnectHandler, OnDisconnect};
pub use error::{ArgsError, BoxError, Fault, Lines, Result, RunError, exit_code};
pub use hooks::{ChildExit, EndAs, HungChild};
pub use logs::{AccessLog, LogLevel, LogLevelError};
pub use pools::Pools;
// For the command, which finds pools by what the daemon has written.
#[doc(hidden)]
pub use pools::read_roster;
pub use prefork_core::{ErrorChain, Exit};
pub use prefork_daemonize as daemonize;
pub use prefork_isolate::{self as isolate, Isolation, Layer};
pub use prefork_netwatch::{self as netwatch, Proto, Seen};
pub use prefork_reload::{self as reload, Changes, WatchList};
pub use prefork_scoreboard::{self as scoreboard, Slot, metrics::Metrics};
pub use prefork_sockets::{AnyAddr, AnyListener, AnyStream};
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub use prefork_testing as testing;
pub use program::{AutoReloadHandler, OnChange};
#[cfg(feature = "serde")]
pub use run::Inspect;
pub use run::{Prefork, Returned, read_settings};
pub use sockets::{Came, HandOverError, HandOvers, Handed, Init, NotHanded};
pub use status::StatusAddress;

/// How the pool follows its load, to be tried on figures of one's own. What else the parent decides is in the crate
/// `prefork-core`, and no part of this one's interface.
pub mod policy {
    pub use prefork_core::{Load, Ramp, Scaling, ScalingPolicy, Tally, Time, Tuning};
}
