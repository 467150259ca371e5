//! Any program in the children of a preforking daemon, unchanged.

mod program;

pub use program::{Listen, Output, Program, Ready, Stdin};
