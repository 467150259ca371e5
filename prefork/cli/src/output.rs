//! Standard output and standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use prefork_core::{ErrorChain, one_line};

use crate::{exit::Exit, failure::Failure};

/// Prints text whole, without its colours where nobody could see them (`NO_COLOR`, no terminal).
///
/// A reader that has read enough, as `head` does, is content, and so is this.
pub(crate) fn print(text: &str) -> Result<Exit, Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Exit::Done),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(source) => Err(Failure::Output { source }),
    }
}

/// Whether what was done is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Somebody looks, or has asked for it.
    Audible,
    /// Nobody looks, and cron would mail it.
    Silent,
}

impl Voice {
    pub(crate) fn of(is_verbose: bool) -> Self {
        match is_verbose || io::stdout().is_terminal() {
            true => Self::Audible,
            false => Self::Silent,
        }
    }

    /// Reports what was done.
    pub(crate) fn report(self, text: &str) -> Result<Exit, Failure> {
        match self {
            Self::Audible => print(text),
            Self::Silent => Ok(Exit::Done),
        }
    }
}

/// Says on standard error what went wrong, with its causes.
pub(crate) fn complain(failure: &Failure) {
    warn(&ErrorChain(failure).to_string());
}

/// Says something on standard error, in one line.
pub(crate) fn warn(text: &str) {
    // Nobody is left to read that this failed.
    let _ = writeln!(io::stderr(), "prefork: {}", one_line(text));
}
