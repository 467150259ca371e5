//! Telling which connections of a set of processes have ended.
//!
//! Nothing of it is written yet.

#![forbid(unsafe_code)]
