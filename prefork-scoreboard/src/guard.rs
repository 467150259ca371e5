//! Knows which process may clean up.

use crate::sys::ForkMark;

/// Remembers the process that made it, so that a forked child cleans nothing up.
#[derive(Debug)]
pub(crate) struct Maker {
    pid: u32,
    mark: ForkMark,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self { pid: std::process::id(), mark: ForkMark::new() }
    }

    /// Returns whether this process is the maker, at the cost of one load.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.mark.is_own()
    }

    /// The same, surer, at the cost of a system call: for what cannot be undone.
    pub(crate) fn is_surely_here(&self) -> bool {
        self.mark.is_own() && self.pid == std::process::id()
    }
}
