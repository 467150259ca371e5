//! Processes of one user that cannot harm one another.
//!
//! To the kernel, two processes of one user are one: each may kill, trace, read, slow down the other. A server whose
//! processes serve different people needs them apart. This crate has a process give up, for good, what it could do to its
//! siblings, and limits what it can use of the machine:
//!
//! - [`Isolation`] is what is wanted: data alone, of [`Layer`]s that are wanted where possible, or required.
//! - [`Layers::probe`] finds out which are possible here, without changing this process.
//! - [`Layers::report`] returns what is on, and what is not possible here and why.
//! - [`Layers::begin`] and [`Layers::finish`] apply them, in a process that was just forked.
//!
//! # When to use
//!
//! In a process that has all it needs, before it runs code that may be taken over. What it has started by then is not held
//! apart from it; what it starts later is held as it is itself, and it may signal and trace that.
//!
//! # Limitations
//!
//! - Linux 5.7 or later. Most of what holds siblings apart is by Landlock, of Linux 6.12.
//! - Files of the user are those of all its processes, as are shared memory and queues that have names, and keys.
//! - There is no way back: a process that was isolated stays so, and all that it starts.

#[cfg(not(target_os = "linux"))]
compile_error!("prefork-isolate needs Linux");

mod apply;
mod bpf;
mod call;
mod domain;
mod filter;
mod isolation;
mod layer;
mod limit;
mod private_tmp;
mod probe;
mod report;
mod share;
mod sys;
mod text;
mod value;

pub use apply::{IsolateError, Layers};
pub use isolation::Isolation;
pub use layer::Layer;
pub use report::{Missing, Report};
pub use text::IsolationFault;
pub use value::IoPriority;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
