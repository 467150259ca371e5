//! How much memory the pool and its children have, measured when the supervisor wants to know.

use prefork_core::{Config, Measured, Measuring, PoolMemory, SlotId};

use super::Parent;
use crate::{
    logs::{PoolMessage, describe::Bytes},
    system::clock,
    system::os::{MemoryLimits, Sizes},
};

/// What it takes to measure.
#[derive(Debug)]
pub(super) struct Memory {
    limits: MemoryLimits,
    sizes: Sizes,
}

impl Memory {
    /// Finds out what can be measured, and sets for what the supervisor may ask.
    pub(super) fn begin(config: &mut Config, memory_limit: Option<u64>) -> Self {
        let limits = MemoryLimits::find();
        let has_limit = memory_limit.is_some() || !limits.is_empty();
        config.measuring = if has_limit { Measuring::Guard } else { Measuring::Children };
        Self { limits, sizes: Sizes::default() }
    }
}

impl Parent<'_> {
    /// Logs by which limit the pool is guarded, if there is one.
    pub(super) fn log_memory_limit(&mut self) {
        let own = self.settings.in_force.live.memory_limit;
        let own = own.map(|limit| (limit, "memory_limit".to_owned()));
        let lowest = self.memory.limits.lowest().into_iter().chain(own);
        if let Some((limit, place)) = lowest.min_by_key(|(limit, _)| *limit) {
            self.log.write(&PoolMessage::MemoryLimit { limit: Bytes(limit), place: &place });
        }
    }

    /// Measures how much memory is in use, and of each child if that is wanted.
    pub(super) fn measure(&mut self, children: bool) {
        let own = self.settings.in_force.live.memory_limit;
        let sizes = (children || own.is_some()).then(|| self.weigh());
        let own = own.zip(sizes.as_deref()).and_then(|(limit, sizes)| {
            let parent = self.memory.sizes.resident(std::process::id())?;
            Some(PoolMemory::estimate(limit, parent, sizes.iter().map(|(_, bytes)| *bytes)))
        });
        let pool = self.memory.limits.read().into_iter().chain(own).reduce(PoolMemory::tighter);
        let measured = Measured { pool, children: sizes.as_deref().filter(|_| children) };
        self.supervisor.measured(clock::now(), &measured);
    }

    fn weigh(&mut self) -> Vec<(SlotId, u64)> {
        let (table, sizes) = (&self.table, &mut self.memory.sizes);
        let pids = self.supervisor.slots().filter_map(|slot| Some((slot, table.pid(slot)?)));
        pids.filter_map(|(slot, pid)| Some((slot, sizes.of_tree(pid)?))).collect()
    }
}
