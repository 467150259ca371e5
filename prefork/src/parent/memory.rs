//! How much memory the pool and its children have, measured when the supervisor wants to know.

use prefork_core::{Config, Descendants, Measured, Measuring, OwnLimit, SlotId};

use prefork_daemonize::Readiness;
use rustix::event::PollFd;

use super::Parent;
use crate::{
    args::check::Settings,
    logs::{PoolMessage, describe::Bytes},
    seat::Link,
    system::clock,
    system::os::{ChildLimits, Controller, Leaf, Leaves, MemoryLimits, NoGroup, Sizes},
};

/// What it takes to measure, and to keep each child below a limit of its own.
#[derive(Debug)]
pub(super) struct Memory {
    limits: MemoryLimits,
    sizes: Sizes,
    /// What each child may have.
    child_limits: ChildLimits,
    /// The groups of children.
    leaves: Leaves,
    /// For the child that is about to be forked.
    leaf: Option<Leaf>,
    /// Whether what a child has started ends with it.
    ends_descendants: bool,
    /// Whether it was logged that there is none for a child.
    logged: bool,
}

impl Memory {
    /// Finds out what can be measured, and sets for what the supervisor may ask.
    pub(super) fn begin(
        config: &mut Config,
        settings: &Settings,
        readiness: Option<&Readiness>,
    ) -> Self {
        let (memory_limit, child_limits) =
            (settings.in_force.live.memory_limit, settings.child_limits);
        // Whoever counts sees the groups in which this process is by then.
        let waiting = readiness.map(Readiness::waiting).unwrap_or_default();
        let waiting: Vec<_> = waiting.iter().map(|pid| pid.as_raw().unsigned_abs()).collect();
        let leaves = Leaves::begin(child_limits, &waiting);
        let limits = MemoryLimits::find();
        let has_limit = memory_limit.is_some() || !limits.is_empty();
        config.measuring = if has_limit { Measuring::Guard } else { Measuring::Children };
        let (sizes, leaf, logged) = (Sizes::default(), None, false);
        let ends_descendants = config.descendants == Descendants::End;
        Self { limits, sizes, child_limits, leaves, leaf, ends_descendants, logged }
    }

    /// Takes what keeps the child that was just forked below its limits, and closes what is the parent's.
    pub(super) fn leave_to_child(&mut self) -> Option<Leaf> {
        self.limits.close();
        self.leaf.take()
    }

    /// Ends what is left in the groups of a child that has ended. Returns what is to be logged if it has met its limits.
    pub(super) fn clear_leaf(&self, slot: SlotId) -> String {
        if self.ends_descendants {
            self.leaves.end(slot);
        }
        let met = self.leaves.met(slot).into_iter().map(|(controller, limit)| match controller {
            Controller::Memory => {
                format!("; out of memory: child_memory_limit is {}", Bytes(limit))
            }
            Controller::Processes => {
                format!("; out of processes: child_process_limit is {limit}")
            }
        });
        met.collect()
    }

    /// Removes the groups of children, once there are none.
    pub(super) fn remove_leaves(&self) {
        self.leaves.remove();
    }

    /// Returns what is ready when memory runs short.
    pub(super) fn alarms(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.limits.alarms()
    }

    /// Takes in that it has been ready.
    pub(super) fn silence(&self) {
        self.limits.silence();
    }
}

impl Parent<'_> {
    /// Logs by which limit the pool is guarded, if there is one.
    pub(super) fn log_memory_limit(&mut self) {
        let own = self.settings.in_force.live.memory_limit;
        let own = own.map(|limit| (limit, "memory_limit".to_owned()));
        let lowest = self.memory.limits.lowest().into_iter().chain(own);
        let Some((limit, place)) = lowest.min_by_key(|(limit, _)| *limit) else { return };
        let (limit, place) = (Bytes(limit), &*place);
        let refused = self.memory.limits.refused_alarm();
        match (refused, &self.runtime_files.board) {
            (Some(error), None) => {
                self.log.write(&PoolMessage::MemoryUnguarded { limit, place, error });
            }
            (Some(error), Some(_)) => {
                self.log.write(&PoolMessage::MemoryLimit { limit, place });
                self.log.write(&PoolMessage::NoMemoryAlarm { error });
            }
            (None, _) => self.log.write(&PoolMessage::MemoryLimit { limit, place }),
        }
    }

    /// Logs how each child is kept below its limits, if it has any.
    pub(super) fn log_child_limits(&self) {
        let Memory { child_limits: ChildLimits { memory, processes }, leaves, .. } = &self.memory;
        let place = |controller| {
            leaves.place(controller).map(|place| format!("a control group for each in {place}"))
        };
        if let Some(limit) = memory.map(Bytes) {
            let place = place(Controller::Memory);
            let place = place.unwrap_or_else(|why| format!("RLIMIT_DATA, as {why}"));
            self.log.write(&PoolMessage::ChildMemoryLimit { limit, place: &place });
        }
        if let Some(limit) = *processes {
            self.log.write(&match &place(Controller::Processes) {
                Ok(place) => PoolMessage::ChildProcessLimit { limit, place },
                Err(why) => PoolMessage::NoChildProcessLimit { limit, why },
            });
        }
    }

    /// Makes ready what is to keep the next child in a slot below its limits.
    pub(super) fn prepare_leaf(&mut self, slot: SlotId) {
        let Memory { leaves, leaf, logged, .. } = &mut self.memory;
        let (prepared, failed) = leaves.prepare(slot);
        if let Some(NoGroup { error, instead }) = &failed
            && !std::mem::replace(logged, true)
        {
            self.log.write(&PoolMessage::NoGroupForChild { slot, error, instead });
        }
        *leaf = prepared;
    }

    /// Measures how much memory is in use, and of each child if that is wanted or nobody else counts it.
    pub(super) fn measure(&mut self, children: bool) {
        let limit = self.settings.in_force.live.memory_limit;
        let sizes = (children || limit.is_some()).then(|| self.weigh());
        let own = limit.and_then(|limit| {
            Some(OwnLimit { limit, parent: self.memory.sizes.resident(std::process::id())? })
        });
        let counts = self.link.as_ref().is_some_and(Link::shares_memory);
        let preloaded = counts.then(|| self.memory.sizes.own(std::process::id())).flatten();
        let measured = Measured {
            pool: self.memory.limits.read(),
            children: sizes.as_deref(),
            own,
            preloaded: preloaded.unwrap_or(0),
        };
        self.supervisor.measured(clock::now(), &measured);
    }

    fn weigh(&mut self) -> Vec<(SlotId, u64)> {
        let (table, sizes) = (&self.table, &mut self.memory.sizes);
        let pids =
            self.supervisor.slots_to_weigh().filter_map(|slot| Some((slot, table.pid(slot)?)));
        pids.filter_map(|(slot, pid)| Some((slot, sizes.of_tree(pid)?))).collect()
    }
}
