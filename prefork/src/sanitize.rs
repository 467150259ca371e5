//! Text from outside, made safe for a log and for a terminal.
//!
//! Both the library and the command `prefork` are made of this, each as a module of its own.

use std::fmt::{self, Display};

use prefork::policy::one_line;

/// Shows text on one line and in its order: what moves a terminal or reorders what stands on it is
/// escaped, so that nobody can forge a line of a log or send commands to whoever reads it.
#[derive(Debug)]
pub(crate) struct Sanitized<'a>(pub(crate) &'a str);

impl Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        one_line(self.0).fmt(f)
    }
}
