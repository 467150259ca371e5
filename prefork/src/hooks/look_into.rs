//! Looking into a child that has been at one request for too long: what it waits for stands in the log before it is ended.

use std::time::{Duration, Instant};

use prefork_why::Inquiry;

use super::HungChild;
use crate::{ErrorChain, logs::PoolMessage, logs::log::Log};

/// So long may all looks of one process take. Children that hang at once do so for one reason as a rule.
const ALLOWANCE: Duration = Duration::from_secs(1);

/// No look is begun with less than that: nothing would be found out.
const SHORTEST: Duration = Duration::from_millis(200);

/// So many lines are logged of a child.
const MOST_LINES: usize = 16;

/// Looks into children, one after the other, in a process that was forked for that.
#[derive(Debug, Default)]
pub(super) struct LookInto {
    spent: Duration,
}

impl LookInto {
    /// Logs what a child waits for, and what it has started.
    pub(super) fn look(&mut self, hung: &HungChild, log: &Log) {
        let (child_pid, slot) = (hung.pid, hung.slot);
        let left = ALLOWANCE.saturating_sub(self.spent);
        if left < SHORTEST {
            let why = &"others that hang at the same time were, and there is no time for more";
            log.write(&PoolMessage::NotLookedInto { child_pid, slot, why });
            return;
        }
        let begun = Instant::now();
        let found = Inquiry::of_family_within(child_pid, left);
        self.spent += begun.elapsed();
        match found {
            Ok(inquiries) => {
                let lines = inquiries.iter().flat_map(|it| lines(it, child_pid));
                for doing in lines.take(MOST_LINES) {
                    log.write(&PoolMessage::WaitsFor { child_pid, slot, doing: &doing });
                }
            }
            Err(error) => {
                let why = &ErrorChain(&error);
                log.write(&PoolMessage::NotLookedInto { child_pid, slot, why });
            }
        }
    }
}

fn lines(inquiry: &Inquiry, child: u32) -> Vec<String> {
    let lines = inquiry.lines().into_iter();
    if inquiry.pid == child {
        return lines.collect();
    }
    let whose = format!("its process {} ({})", inquiry.pid, inquiry.name);
    lines.map(|line| format!("{whose}: {line}")).collect()
}
