#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork supports Linux; a port is a sibling of src/linux");

// The rooms, in the order in which to read them: none uses one above it, as `.ci/check-arrows` sees to.
mod args;
mod board;
mod channels;
mod child;
mod disconnect;
mod error;
mod hooks;
mod logs;
mod manager;
mod parent;
mod run;
mod sockets;
mod start;
mod status;
mod sys;
mod system;
mod upgrade;

pub mod docs;

pub use args::{Args, Settings, SettingsError, read_settings};
pub use child::{AnyAddr, AnyListener, AnyStream, Child, Listener, Requests};
pub use disconnect::{Disconnect, DisconnectHandler, OnDisconnect};
pub use error::{ArgsError, BoxError, Fault, Result, RunError, exit_code};
pub use hooks::{ChildExit, HungChild};
pub use logs::AccessLog;
pub use prefork_core::{self as policy, Exit, Report};
pub use prefork_daemonize as daemonize;
pub use prefork_netwatch::{self as netwatch, Proto, Seen};
pub use prefork_reload::{self as reload, Changes, WatchList};
pub use prefork_scoreboard::{self as scoreboard, Slot};
pub use run::{Ended, Prefork};
pub use start::Init;
pub use status::StatusAddress;
pub use upgrade::{AutoReloadHandler, OnChange};

/// Compiles the example of the front page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
