//! Counting requests in loops that do not accept.

use std::process;

use super::Stop;
use crate::{
    channels::{Report, Reporter},
    logs::{PoolMessage, log::Log},
};

/// An iterator over the requests that a child serves; see [`Child::replaced_after`](crate::Child::replaced_after).
#[derive(Debug)]
pub struct Requests {
    /// That of the child.
    pid: u32,
    stop: Stop,
    reporter: Option<Reporter>,
    max: u64,
    count: u64,
    log: Log,
}

impl Requests {
    pub(super) const fn new(
        pid: u32,
        stop: Stop,
        reporter: Option<Reporter>,
        max: u64,
        log: Log,
    ) -> Self {
        Self { pid, stop, reporter, max, count: 0, log }
    }
}

impl Iterator for Requests {
    type Item = u64;

    /// Returns the number of the next request, from 0; `None` when the child is to leave, and in a copy of it.
    fn next(&mut self) -> Option<u64> {
        // A copy of the child has no requests of its own.
        if process::id() != self.pid {
            return None;
        }
        // With no parent that could replace it, a child has its requests and no more.
        let most = if self.reporter.is_some() { self.max.saturating_mul(2) } else { self.max };
        if self.stop.is_asked() || self.count >= most {
            return None;
        }
        if self.count >= self.max
            && let Some(reporter) = &self.reporter
            && reporter.report(Report::Tired)
        {
            let (requests, max_requests) = (self.count, self.max);
            self.log.write(&PoolMessage::RequestsUsedUp { requests, max_requests });
        }
        let number = self.count;
        self.count += 1;
        Some(number)
    }
}
