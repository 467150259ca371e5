//! Deciding when watched files have changed and come to rest.
//!
//! Nothing of it is written yet.

#![forbid(unsafe_code)]
