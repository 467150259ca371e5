//! The role of a program that a daemon has started or become.

/// The role of this program, if it was not started in the usual way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It tries whether it would work.
    Probe,
    /// It reads its settings, and reports them.
    Settings,
    /// It takes the daemon over from another program.
    Successor,
    /// It was the daemon, and takes it back from a program that could not take it over.
    Returned,
}

impl Role {
    /// Whether it runs in the daemon's own process, and not in one that the daemon has started.
    pub(crate) const fn is_of_the_daemon(self) -> bool {
        match self {
            Self::Probe | Self::Settings => false,
            Self::Successor | Self::Returned => true,
        }
    }
}
