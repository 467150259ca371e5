//! Decisions about a program that a child runs, by what can be seen of it from outside.
//!
//! The program reports nothing. What the kernel reports of its connections says which of them are requests in hand.

mod connection;

pub use connection::{Acked, Exchange, Facts, Judgement};
