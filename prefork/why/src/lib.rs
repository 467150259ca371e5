#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-why needs Linux");

mod call;
mod cause;
mod descriptor;
mod error;
mod family;
mod futex;
mod inquiry;
mod lock;
mod memory;
mod other;
mod proc;
mod resolve;
mod services;
mod shared;
mod thread;
mod wait;

pub use cause::Cause;
pub use descriptor::{Descriptor, Inet, Target, Unix, UnixEnd};
pub use error::{Hidden, WhyError};
pub use futex::{Futex, FutexKind, Owner};
pub use inquiry::Inquiry;
pub use lock::Lock;
pub use other::{Other, Others};
pub use shared::{SharedConnection, shared_connections};
pub use thread::{State, Thread};
