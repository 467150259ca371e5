//! What is asked of the operating system.

pub(crate) mod clock;
pub(crate) mod helper;
#[path = "linux/mod.rs"]
pub(crate) mod os;
mod passed;
pub(crate) mod statm;

pub(crate) use passed::Passed;
