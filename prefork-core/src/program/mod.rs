//! Decisions about a program that a child runs, by what can be seen of it from outside.
//!
//! The program reports nothing. What the kernel reports of its connections says which of them are requests in hand
//! ([`Facts`]), an [`Observer`] decides when to look, and a [`Stop`] when the program can end so that no client loses its answer.

mod budget;
mod connection;
mod observer;
mod output_limit;
mod stop;

pub use connection::{Acked, Exchange, Facts, Judgement};
pub use observer::{AtOnce, Change, Found, Look, Observer, Stance};
pub use output_limit::OutputLimit;
pub use stop::{Door, Holding, Stop, StopAction, Treatment};
