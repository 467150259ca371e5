//! Any program in the children of a preforking daemon, unchanged.

mod check;
mod environment;
mod notify;
mod output;
mod program;
mod ready;
mod run;
mod sockets;
mod spawn;
mod sys;
mod template;

pub use check::{Identity, LIMITS, ProgramFault, limit_name};
pub use program::{Listen, Output, Program, Ready, Stdin};
pub use run::attach;
pub use sockets::Sockets;
pub use spawn::SpawnError;
