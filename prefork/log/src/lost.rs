//! Lines that could not be written.

use std::{
    fmt::{self, Display},
    io,
};

/// How many lines were lost since one was written, and why the last of them.
///
/// Shown, it is `3 lines lost (No space left on device (os error 28))`.
#[derive(Debug)]
pub struct Lost {
    lines: u64,
    why: Option<io::Error>,
}

impl Lost {
    /// Begins with none.
    #[must_use]
    pub const fn none() -> Self {
        Self { lines: 0, why: None }
    }

    /// Returns whether none was lost.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.lines == 0
    }

    /// Counts one more, with the error of its write.
    pub fn add(&mut self, why: io::Error) {
        self.lines = self.lines.saturating_add(1);
        self.why = Some(why);
    }
}

/// Shows `3 lines lost: No space left on device (os error 28)`.
impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = if self.lines == 1 { "line" } else { "lines" };
        write!(f, "{} {lines} lost", self.lines)?;
        match &self.why {
            Some(why) if why.kind() == io::ErrorKind::WouldBlock => {
                f.write_str(": what reads the log was too slow")
            }
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_said_with_the_reason() {
        let mut lost = Lost::none();
        assert!(lost.is_none());
        lost.add(io::ErrorKind::WouldBlock.into());
        assert_eq!(lost.to_string(), "1 line lost: what reads the log was too slow");
        lost.add(io::Error::from_raw_os_error(27));
        assert_eq!(lost.to_string(), "2 lines lost: File too large (os error 27)");
    }
}
