//! Paths in messages.

use std::fmt;
use std::path::Path;

use prefork_core::one_line;

/// A path as it is shown in a log line: on one line, and of bounded length.
pub(crate) struct OneLine<'a>(pub(crate) &'a Path);

/// The most characters of a path that are shown; of a longer one, the last.
const LONGEST: usize = 200;

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let mut shown = text.chars();
        if let Some(excess) = text.chars().count().checked_sub(LONGEST + 1) {
            f.write_str("...")?;
            shown.nth(excess + 3);
        }
        one_line(shown.as_str()).fmt(f)
    }
}
