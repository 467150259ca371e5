//! What children at work do, for a pool that heeds processors.

use prefork_core::{Event, WorkSeen};

use super::Parent;
use crate::{system::clock, system::os::computes};

impl Parent<'_> {
    /// Looks whether those compute that the supervisor has chosen. It costs about 10 us for each.
    pub(super) fn look_at_work(&mut self) {
        let table = &self.table;
        let pids = self.supervisor.slots_at_work().iter().filter_map(|slot| table.pid(*slot));
        let seen = pids.filter_map(computes).fold(WorkSeen::default(), |seen, computes| WorkSeen {
            looked_at: seen.looked_at + 1,
            computing: seen.computing + u32::from(computes),
        });
        self.supervisor.handle(clock::now(), Event::WorkSeen(seen));
    }
}
