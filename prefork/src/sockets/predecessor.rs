//! Waiting for the sockets of a daemon that was killed.
//!
//! Its children end with it, but not in the same moment, and until then they have its addresses. Only after
//! such an end is there a reason to wait: else an address in use stays that.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use prefork_daemonize::PidFile;

/// How long the children of a daemon that was killed may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// What may have had the addresses of this daemon before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predecessor {
    Unknown,
    Killed,
}

impl Predecessor {
    /// Finds it out by the pid file.
    pub(crate) fn of(pid_file: Option<&PidFile>) -> Self {
        match pid_file.is_some_and(PidFile::is_taken_over) {
            true => Self::Killed,
            false => Self::Unknown,
        }
    }

    /// Binds an address, as soon as a daemon that was killed has given it up.
    pub(crate) fn outlast<T>(self, bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Unknown => try_for(Duration::ZERO, bind),
            Self::Killed => try_for(PATIENCE, bind),
        }
    }
}

fn try_for<T>(patience: Duration, mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < patience =>
            {
                thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so many times, and returns how often it was called.
    fn attempts(predecessor: Predecessor, failures: u32, kind: io::ErrorKind) -> (u32, bool) {
        let mut calls = 0;
        let bound = predecessor.outlast(|| {
            calls += 1;
            if calls > failures { Ok(()) } else { Err(kind.into()) }
        });
        (calls, bound.is_ok())
    }

    #[test]
    fn an_address_in_use_is_waited_for_after_a_death_alone() {
        let in_use = io::ErrorKind::AddrInUse;
        assert_eq!(attempts(Predecessor::Killed, 3, in_use), (4, true));
        assert_eq!(attempts(Predecessor::Unknown, 3, in_use), (1, false));
        assert_eq!(attempts(Predecessor::Killed, 3, io::ErrorKind::PermissionDenied), (1, false));
        let (calls, is_bound) = attempts(Predecessor::Killed, u32::MAX, in_use);
        assert!(calls > 1 && !is_bound, "{calls}");
    }
}
