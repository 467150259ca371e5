#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork supports Linux; a port is a sibling of src/linux");

mod access_log;
mod args;
mod asks;
mod auto_reload;
mod board;
mod check;
mod child;
mod clock;
mod describe;
mod disconnect;
pub mod docs;
mod error;
mod hooks;
mod init;
mod log;
mod logs;
mod nudge;
#[path = "linux/mod.rs"]
mod os;
mod parent;
mod ready;
mod run;
mod sanitize;
mod solo;
mod start;
mod sys;
mod threads;
mod told;
mod upgrade;

pub use access_log::AccessLog;
pub use args::Args;
pub use auto_reload::{AutoReloadHandler, OnChange};
pub use child::{Child, Listener, Requests};
pub use disconnect::{Disconnect, DisconnectHandler, OnDisconnect};
pub use error::{ArgsError, BoxError, Fault, Report, Result, RunError};
pub use init::Init;
pub use prefork_core as core;
pub use prefork_daemonize as daemonize;
pub use prefork_netwatch as netwatch;
pub use prefork_reload as reload;
pub use prefork_scoreboard as scoreboard;
pub use run::{Ended, Prefork};
pub use told::{ChildExit, HungChild};
