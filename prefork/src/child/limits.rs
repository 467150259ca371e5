//! When a child asks to be replaced.

use std::{fs::File, os::unix::fs::FileExt};

use prefork_core::{MemoryFinding, MemoryLimit, jittered_count};

use crate::{
    channels::{Report, Reporter},
    logs::{PoolMessage, describe::Bytes, log::Log},
    system::statm,
};

/// What a child may use up before it is replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) max_requests: Option<u64>,
    /// In bytes.
    pub(crate) max_memory: Option<u64>,
}

/// The limit that a child has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsedUp {
    Requests { requests: u64, max: u64 },
    Memory { bytes: u64, max: u64 },
}

impl UsedUp {
    /// Logs why the child is to be replaced.
    pub(crate) fn log(self, log: &Log) {
        log.write(&match self {
            Self::Requests { requests, max } => {
                PoolMessage::RequestsUsedUp { requests, max_requests: max }
            }
            Self::Memory { bytes, max } => {
                PoolMessage::MemoryUsedUp { memory: Bytes(bytes), max_memory: Bytes(max) }
            }
        });
    }
}

/// What a look at what a child has used up has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    WithinLimits,
    /// It has had more than it may from its first request on, as its successors would: replacing it helps nobody
    /// until it has grown.
    LargeFromStart {
        bytes: u64,
        max: u64,
        /// What it may have instead.
        most: u64,
    },
    UsedUp(UsedUp),
}

impl Finding {
    /// Asks the parent, once, for a successor, if a limit is reached, and logs why.
    pub(super) fn report(self, reporter: Option<&Reporter>, log: &Log) {
        match self {
            Self::WithinLimits => {}
            Self::LargeFromStart { bytes, max, most } => log.write(&PoolMessage::LargeFromStart {
                memory: Bytes(bytes),
                max_memory: Bytes(max),
                most: Bytes(most),
            }),
            Self::UsedUp(used_up) => {
                if reporter.is_some_and(|reporter| reporter.report(Report::Tired)) {
                    used_up.log(log);
                }
            }
        }
    }
}

/// What a child has used up so far.
#[derive(Debug)]
pub(crate) struct Usage {
    requests: u64,
    /// How many it may have, near [`Limits::max_requests`].
    most: Option<u64>,
    limits: Limits,
    memory: Option<MemoryLimit>,
    /// `/proc/self/statm`, kept open.
    statm: Option<File>,
}

impl Usage {
    /// Begins to count, with limits that differ a little from child to child.
    pub(crate) fn new(limits: Limits) -> Self {
        let seed = u64::from(std::process::id());
        Self {
            requests: 0,
            most: limits.max_requests.map(|limit| jittered_count(limit, seed)),
            limits,
            memory: limits.max_memory.map(MemoryLimit::new),
            statm: None,
        }
    }

    pub(crate) const fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Returns how many requests were counted.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Takes back that a request was counted.
    pub(super) const fn forget_request(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// Looks whether a limit has been reached; to be done between two requests.
    pub(super) fn look(&mut self) -> Finding {
        match self.look_at_requests() {
            Finding::WithinLimits => self.look_at_memory(),
            found @ (Finding::LargeFromStart { .. } | Finding::UsedUp(_)) => found,
        }
    }

    /// Looks whether so many requests were counted as may be.
    pub(super) fn look_at_requests(&self) -> Finding {
        let requests = self.requests;
        match (self.most, self.limits.max_requests) {
            (Some(most), Some(max)) if requests >= most => {
                Finding::UsedUp(UsedUp::Requests { requests, max })
            }
            (_, _) => Finding::WithinLimits,
        }
    }

    /// Looks whether more memory is in use than may be. Costs a system call where there is a limit.
    pub(super) fn look_at_memory(&mut self) -> Finding {
        if self.memory.is_none() {
            return Finding::WithinLimits;
        }
        let resident = self.resident();
        let (Some(limit), Some(bytes)) = (&mut self.memory, resident) else {
            return Finding::WithinLimits;
        };
        let max = limit.max();
        match limit.look(bytes) {
            MemoryFinding::Within => Finding::WithinLimits,
            MemoryFinding::LargeFromStart { most } => Finding::LargeFromStart { bytes, max, most },
            MemoryFinding::Exceeded => Finding::UsedUp(UsedUp::Memory { bytes, max }),
        }
    }

    /// Reads how much memory is resident.
    fn resident(&mut self) -> Option<u64> {
        if self.requests == 0 {
            return None;
        }
        if self.statm.is_none() {
            self.statm = File::open("/proc/self/statm").ok();
        }
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        statm::resident(std::str::from_utf8(&text[..length]).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_use_a_child_up() {
        let mut usage = Usage::new(Limits { max_requests: Some(10), max_memory: None });
        let served = (0..20).take_while(|_| {
            usage.count_request();
            usage.look() == Finding::WithinLimits
        });
        assert!((8..=11).contains(&served.count()));
    }

    #[test]
    fn memory_is_looked_at_after_the_first_request() {
        let mut usage = Usage::new(Limits { max_requests: None, max_memory: Some(1) });
        assert_eq!(usage.look(), Finding::WithinLimits, "not before it");
        usage.count_request();
        assert!(matches!(usage.look(), Finding::LargeFromStart { max: 1, .. }));
    }
}
