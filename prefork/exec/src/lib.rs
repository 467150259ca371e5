#![doc = include_str!("../README.md")]

mod arm;
mod check;
mod demand;
mod door;
mod environment;
mod handed;
mod inetd;
mod leave;
mod lifeline;
mod look;
mod notify;
mod observe;
mod output;
mod program;
mod ready;
mod run;
mod sockets;
mod spawn;
mod started;
mod stop;
mod sys;
mod template;
#[cfg(test)]
#[expect(dead_code, reason = "tests of the main loop are to use all of it")]
mod testing;
mod written;

pub use check::{Identity, LIMITS, ProgramFault, limit_name};
pub use demand::Demand;
pub use program::{Listen, Output, Program, Ready, Stdin};
pub use run::attach;
pub use sockets::Sockets;
pub use spawn::SpawnError;
pub use template::literal;
