#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork supports Linux; a port is a sibling of src/linux");

mod access_log;
mod activation;
mod address;
mod args;
mod auto_reload;
mod board;
mod bound;
mod channels;
mod check;
mod child;
mod clock;
mod counters;
mod describe;
mod disconnect;
pub mod docs;
mod error;
mod hangup;
mod helper;
mod hooks;
mod init;
mod listeners;
mod log;
mod logs;
mod manager;
mod memory_file;
#[path = "linux/mod.rs"]
mod os;
mod parent;
mod pid_file;
mod predecessor;
mod ready;
mod refused;
mod run;
mod settings;
mod socket_file;
mod solo;
mod start;
mod statm;
#[cfg_attr(not(feature = "status"), path = "no_status.rs")]
mod status;
mod sys;
mod threads;
mod told;
mod upgrade;

pub use access_log::AccessLog;
pub use args::Args;
pub use auto_reload::{AutoReloadHandler, OnChange};
pub use child::{AnyAddr, AnyListener, AnyStream, Child, Listener, Requests};
pub use disconnect::{Disconnect, DisconnectHandler, OnDisconnect};
pub use error::{ArgsError, BoxError, Fault, Result, RunError, exit_code};
pub use init::Init;
pub use prefork_core::{self as policy, Exit, Report};
pub use prefork_daemonize as daemonize;
pub use prefork_netwatch::{self as netwatch, Proto, Seen};
pub use prefork_reload::{self as reload, Changes, WatchList};
pub use prefork_scoreboard::{self as scoreboard, Slot};
pub use run::{Ended, Prefork};
pub use settings::{Settings, SettingsError, read_settings};
#[cfg(feature = "status")]
pub use status::StatusAddress;
pub use told::{ChildExit, HungChild};

/// Compiles the example of the front page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
