//! A process id that cannot be zero or negative.

use std::fmt;

/// Names a process by its id: always positive, so it can never mean "my group" or
/// "everybody" to kill(2).
///
/// A number alone is no proof of identity: the kernel uses it again. This crate
/// signals through pidfds and gives a `Pid` only for messages.
///
/// # Examples
///
/// ```
/// use prefork_daemonize::Pid;
///
/// assert_eq!(Pid::current().as_raw().unsigned_abs(), std::process::id());
/// assert_eq!(Pid::from_raw(0), None);
/// assert_eq!(Pid::from_raw(-1), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(rustix::process::Pid);

impl Pid {
    /// Returns the id of the calling process, as getpid(2) does.
    ///
    /// # Fork
    ///
    /// Asks the kernel every time, so it is right in a child too.
    #[must_use]
    pub fn current() -> Self {
        Self(rustix::process::getpid())
    }

    /// Makes a `Pid` of a number; `None` unless it is positive.
    #[must_use]
    pub fn from_raw(raw: i32) -> Option<Self> {
        // rustix asserts that the number is not negative, so that is asked first.
        if raw <= 0 { None } else { rustix::process::Pid::from_raw(raw).map(Self) }
    }

    /// Returns the number, always positive.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    pub(crate) fn for_rustix(self) -> rustix::process::Pid {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_raw().fmt(f)
    }
}
