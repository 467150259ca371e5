//! Decisions about a program that a child runs, by what can be seen of it from outside.
//!
//! The program reports nothing. What the kernel reports of its connections says which of them are requests in hand
//! ([`Facts`]), and an [`Observer`] decides when to look.

mod budget;
mod connection;
mod observer;

pub use connection::{Acked, Exchange, Facts, Judgement};
pub use observer::{AtOnce, Change, Found, Look, Observer, Stance};
