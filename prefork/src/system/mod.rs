//! What is asked of the operating system.

pub(crate) mod clock;
pub(crate) mod helper;
pub(crate) mod memory_file;
#[path = "linux/mod.rs"]
pub(crate) mod os;
pub(crate) mod refused;
pub(crate) mod statm;
pub(crate) mod threads;
