//! A pool under a ceiling that it shares with others: it never starts more than it may, gives back what is idle at once, and
//! takes what it is given for what it wants already.

mod crowd;
mod memory;
mod properties;
mod rules;
mod shared;
