#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-testing needs Linux");

mod change;
mod chaos;
mod child;
mod daemon;
mod end;
mod http;
mod launch;
mod load;
mod log_line;
mod notices;
mod places;
pub mod proc;
mod reaper;
mod report;
mod signal;
mod silent;
mod sys;
mod tally;
mod wait;

/// For another harness in the same program.
#[doc(hidden)]
pub mod beside {
    pub use crate::reaper::{note_end, report_ends_to, signal_if};
}

pub use change::{Change, ChangeError};
pub use chaos::{Chaos, Fault, Survived, plan};
pub use child::{Child, ChildStatus};
pub use daemon::Daemon;
pub use end::End;
pub use http::{Reply, get};
pub use launch::{Launch, StartError};
pub use load::{Clients, Load};
pub use log_line::{Level, LogLine};
pub use signal::Signal;
pub use silent::SilentClients;
pub use tally::{Failure, FailureKind, Tally};
pub use wait::{PATIENCE, wait_until};
