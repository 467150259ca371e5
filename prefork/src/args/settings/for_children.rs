//! What children are handed of the settings in force.

use prefork_core::QueueLimit;

use super::Live;
use crate::child::Queueing;

impl Live {
    /// Whether children find out how long clients have waited.
    pub(crate) const fn measures_queue(&self) -> bool {
        self.queue_time || self.queue_limit.is_some()
    }

    /// What children do about how long clients have waited.
    pub(crate) fn queueing(&self) -> Queueing {
        let limit = self
            .queue_limit
            .map(|target| QueueLimit { target, interval: self.queue_interval.unwrap_or(target) });
        Queueing::new(self.measures_queue(), limit)
    }
}
