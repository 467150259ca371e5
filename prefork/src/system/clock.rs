//! The clock that nobody can set, and sleeping by it.

use std::{io, time::Duration};

use prefork_core::Time;
use rustix::{
    event::{PollFd, Timespec, poll},
    io::Errno,
    time::{ClockId, clock_gettime},
};

use crate::sys::refused::Refusable;

/// Reads the monotonic clock (see `clock_gettime(2)`).
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part of it is ever negative.
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Time::after_origin(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
}

/// How long a sleep takes at most in which descriptors cannot be waited for.
const BLIND: Duration = Duration::from_millis(20);

/// What a sleep knows when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// Which descriptors are ready.
    Watching,
    /// Nothing: any of them may be ready.
    Blindly,
}

/// Sleeps until one of `fds` is ready or `deadline` is reached; without one, for as long as it
/// takes. A signal may end it early.
///
/// `poll(2)` takes no more descriptors than `RLIMIT_NOFILE` says, which anybody with the right may lower below what is
/// open already. Then it is a short sleep, after which all are to be looked at.
pub(crate) fn sleep(fds: &mut [PollFd<'_>], deadline: Option<Time>) -> io::Result<Slept> {
    let limit = deadline.map(|deadline| deadline.since(now()));
    match poll(fds, timespec(limit).as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(Slept::Watching),
        Err(Errno::INVAL) if !fds.is_empty() => {
            let limit = limit.map_or(BLIND, |limit| limit.min(BLIND));
            match poll(&mut [], timespec(Some(limit)).as_ref()) {
                Ok(_) | Err(Errno::INTR) => Ok(Slept::Blindly),
                Err(error) => Err(error).of_call("ppoll(2)"),
            }
        }
        Err(error) => Err(error).of_call("ppoll(2)"),
    }
}

/// A limit beyond what the kernel can count is none.
fn timespec(limit: Option<Duration>) -> Option<Timespec> {
    limit.and_then(|limit| Timespec::try_from(limit).ok())
}
