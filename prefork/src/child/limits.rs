//! When a child asks to be replaced.

use std::{fs::File, os::unix::fs::FileExt};

use prefork_core::jittered_count;

use crate::system::statm;

/// What a child may use up before it is replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) max_requests: Option<u64>,
    /// In bytes.
    pub(crate) max_memory: Option<u64>,
}

/// What a child has used up.
#[derive(Debug)]
pub(crate) struct Usage {
    requests: u64,
    max_requests: Option<u64>,
    max_memory: Option<u64>,
    /// `/proc/self/statm`, kept open.
    statm: Option<File>,
}

impl Usage {
    /// Begins to count, with limits that differ a little from child to child.
    pub(crate) fn new(limits: Limits) -> Self {
        let seed = u64::from(std::process::id());
        Self {
            requests: 0,
            max_requests: limits.max_requests.map(|limit| jittered_count(limit, seed)),
            max_memory: limits.max_memory,
            statm: None,
        }
    }

    pub(crate) const fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Returns whether a limit has been reached; to be asked between two requests.
    pub(crate) fn is_used_up(&mut self) -> bool {
        self.max_requests.is_some_and(|limit| self.requests >= limit)
            || self
                .max_memory
                .is_some_and(|limit| self.resident().is_some_and(|bytes| bytes > limit))
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
            !usage.is_used_up()
        });
        assert!((8..=11).contains(&served.count()));
    }

    #[test]
    fn memory_uses_a_child_up() {
        let used_up = |limit| {
            let mut usage = Usage::new(Limits { max_requests: None, max_memory: Some(limit) });
            assert!(!usage.is_used_up(), "not before its first request");
            usage.count_request();
            usage.is_used_up()
        };
        assert!(used_up(1));
        assert!(!used_up(u64::MAX));
    }
}
