//! What both measurements need: the yardstick, and looking at processes.

pub mod bare;
pub mod load;
pub mod proc;
mod sys;

pub use sys::{exit_now, fork, live};
