//! When a child asks to be replaced.

use std::{fs::File, os::unix::fs::FileExt};

use prefork_core::jittered_count;

use crate::{
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

/// What a child has used up so far.
#[derive(Debug)]
pub(crate) struct Usage {
    requests: u64,
    /// How many it may have, near [`Limits::max_requests`].
    most: Option<u64>,
    limits: Limits,
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
            statm: None,
        }
    }

    pub(crate) const fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Returns which limit has been reached, if one has; to be asked between two requests.
    pub(crate) fn used_up(&mut self) -> Option<UsedUp> {
        let requests = self.requests;
        if self.most.is_some_and(|most| requests >= most) {
            return Some(UsedUp::Requests { requests, max: self.limits.max_requests? });
        }
        let max = self.limits.max_memory?;
        let bytes = self.resident().filter(|bytes| *bytes > max)?;
        Some(UsedUp::Memory { bytes, max })
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
            usage.used_up().is_none()
        });
        assert!((8..=11).contains(&served.count()));
    }

    #[test]
    fn memory_uses_a_child_up() {
        let used_up = |limit| {
            let mut usage = Usage::new(Limits { max_requests: None, max_memory: Some(limit) });
            assert_eq!(usage.used_up(), None, "not before its first request");
            usage.count_request();
            usage.used_up().is_some()
        };
        assert!(used_up(1));
        assert!(!used_up(u64::MAX));
    }
}
