//! Children that serve one client each: what contradicts that, and what they need.

use super::{Faults, has_scoreboard};
use crate::args::Data;

/// Refuses what cannot be said of them; returns whether they are such.
pub(super) fn check(data: &Data, faults: &mut Faults) -> bool {
    let settings = &data.settings;
    if settings.one_shot != Some(true) {
        return false;
    }
    let mut refuse = |problem: &str| faults.add("one_shot", problem.to_owned());
    if settings.prefork == Some(0) {
        refuse("needs children that end: prefork must be at least 1, but is 0");
    }
    if let Some(many) = settings.concurrency.filter(|many| *many > 1) {
        refuse(&format!(
            "contradicts concurrency ({many}): a child has one client; leave one of them out"
        ));
    }
    if let Some(many) = settings.max_requests {
        refuse(&format!(
            "contradicts max_requests ({many}): a child has one client; leave one of them out"
        ));
    }
    if settings.max_memory.is_some() {
        refuse(
            "contradicts max_memory, by which a child is replaced after a request; leave one of them out",
        );
    }
    true
}

/// A pool whose children serve one client each has to know what waits and who works.
pub(super) fn imply_scoreboard(data: &mut Data) {
    if data.settings.one_shot == Some(true) && !has_scoreboard(data) {
        data.settings.scoreboard_in_memory = Some(true);
    }
}
