//! The program that this process runs, the one that a fresh start would run now, and when that has changed.

mod auto_reload;
mod command;
mod image;
mod invocation;
mod no_probe;
mod role;

pub(crate) use auto_reload::{AutoReload, FileWatch, Handler, Kind};
pub use auto_reload::{AutoReloadHandler, OnChange};
pub(crate) use command::{Command, Found};
pub(crate) use image::{
    Image, ProgramFile, Report, arguments, c_strings, environment, open_own, path_of,
};
pub(crate) use invocation::Invocation;
pub(crate) use no_probe::NoProbe;
pub(crate) use role::Role;

/// The variable of the environment that says to a program where the handover is.
pub(crate) const HANDOVER_VARIABLE: &str = "PREFORK_HANDOVER";

/// The variables, and the number of the first descriptor.
pub(crate) const ACTIVATION_VARIABLES: [&str; 4] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];
