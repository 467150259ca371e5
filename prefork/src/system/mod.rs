//! What is asked of the operating system.

pub(crate) mod clock;
pub(crate) mod helper;
mod kept_descriptors;
#[path = "linux/mod.rs"]
pub(crate) mod os;
pub(crate) mod statm;

pub(crate) use kept_descriptors::KeptDescriptors;
