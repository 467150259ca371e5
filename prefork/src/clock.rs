//! The clock that nobody can set, and sleeping by it.

use std::{io, time::Duration};

use prefork_core::Time;
use rustix::{
    event::{PollFd, Timespec, poll},
    io::Errno,
    time::{ClockId, clock_gettime},
};

use crate::refused::Refusable;

/// Reads the monotonic clock (see `clock_gettime(2)`).
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part of it is ever negative.
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Time::after_origin(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
}

/// Sleeps until one of `fds` is ready or `deadline` is reached; without one, for as long as it
/// takes. A signal may end it early.
pub(crate) fn sleep(fds: &mut [PollFd<'_>], deadline: Option<Time>) -> io::Result<()> {
    let limit = deadline.map(|deadline| Timespec::try_from(deadline.since(now())));
    // A limit beyond what the kernel can count is none.
    let limit = limit.and_then(Result::ok);
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).of_call("ppoll(2)"),
    }
}
