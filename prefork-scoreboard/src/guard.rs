//! Knows which process may clean up.

use crate::sys::ForkMark;
use std::process;

/// Remembers the process that made it, so that a forked child knows that it is another.
///
/// To ask costs one load. Comparing pids would take a system call each time, and is deceived by pid namespaces.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::Maker;
///
/// let maker = Maker::new();
/// assert!(maker.is_here());
/// ```
#[derive(Debug)]
pub struct Maker {
    pid: u32,
    mark: ForkMark,
}

impl Default for Maker {
    fn default() -> Self {
        Self::new()
    }
}

impl Maker {
    /// Remembers this process, at the cost of a page of memory.
    #[must_use]
    pub fn new() -> Self {
        Self { pid: process::id(), mark: ForkMark::new() }
    }

    /// Returns whether this process is the maker.
    #[inline]
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.mark.is_own().unwrap_or_else(|| self.pid == process::id())
    }

    /// The same, surer, at the cost of a system call: for what cannot be undone.
    pub(crate) fn is_surely_here(&self) -> bool {
        self.is_here() && self.pid == process::id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_page_the_pid_says_who_made_it() {
        let made_by = |pid| Maker { pid, mark: ForkMark::without_page() };
        assert!(made_by(process::id()).is_here() && made_by(process::id()).is_surely_here());
        // Nobody has that one.
        assert!(!made_by(0).is_here() && !made_by(0).is_surely_here());
    }
}
