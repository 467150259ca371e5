//! How much memory a child takes, for pools that share memory: their arbiter counts with it.
//!
//! Children are weighed once a second while some of them work, come or go; then ever less often, as what they take may also
//! change while nobody sees them work.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::Time;

/// Looks are no closer to each other, and no further apart.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);

/// What is reported is one of so many numbers between one power of two and the next: each other one is news for the arbiter.
const STEPS: u32 = 16;

/// What is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChildMemory {
    /// Whether anybody wants to know.
    is_wanted: bool,
    /// When children are to be weighed.
    weigh_at: Option<Time>,
    /// When they were, and how many there were.
    weighed: Option<(Time, usize)>,
    /// How long after that.
    pause: Duration,
    /// What a child takes, in bytes; 0 while that is not known.
    bytes: u64,
}

impl ChildMemory {
    /// Returns what a child takes on average, in bytes, rounded up; 0 if that is not known.
    pub(super) const fn reported(&self) -> u64 {
        self.bytes
    }

    /// Has children weighed soon, as they may take something else than before.
    fn stir(&mut self, now: Time) {
        if self.is_wanted {
            self.pause = SHORTEST;
            let at = self.weighed.map_or(now, |(at, _)| now.max(at + SHORTEST));
            self.weigh_at = Some(self.weigh_at.map_or(at, |before| before.min(at)));
        }
    }
}

impl Supervisor {
    /// Takes in that somebody wants to know what a child takes.
    pub(super) fn note_memory_shared(&mut self, now: Time) {
        self.child_memory.is_wanted = true;
        self.child_memory.stir(now);
    }

    /// Takes in that so many children are at work.
    pub(super) fn note_taking(&mut self, now: Time, busy: u32) {
        if busy > 0 {
            self.child_memory.stir(now);
        }
    }

    /// When children are to be weighed for it.
    pub(super) fn child_memory_due(&self) -> Option<Time> {
        let may = matches!(self.phase, Phase::Serving) && !self.is_measuring();
        self.child_memory.weigh_at.filter(|_| may)
    }

    /// Asks for that when it is due.
    pub(super) fn decide_child_memory(&mut self, now: Time) {
        let alive = self.slots.alive();
        if self.child_memory.weighed.is_some_and(|(_, were)| were != alive) {
            self.child_memory.stir(now);
        }
        if self.child_memory_due().is_some_and(|due| now >= due) {
            self.child_memory.weigh_at = None;
            self.measure(true);
        }
    }

    /// Takes in that children were weighed, of whom each shares so many bytes with the parent.
    pub(super) fn note_weighed(&mut self, now: Time, preloaded: u64) {
        if !self.child_memory.is_wanted {
            return;
        }
        self.child_memory.weighed = Some((now, self.slots.alive()));
        let own = self.sizes().map(|bytes| bytes.saturating_sub(preloaded));
        let (count, sum) =
            own.fold((0_u64, 0_u64), |(count, sum), own| (count + 1, sum.saturating_add(own)));
        // The next that comes is weighed.
        let mean = (count > 0).then(|| stepped(sum.div_ceil(count)));
        let is_news = mean.is_some_and(|mean| mean != self.child_memory.bytes);
        let memory = &mut self.child_memory;
        memory.bytes = mean.unwrap_or(memory.bytes);
        memory.pause = if is_news { SHORTEST } else { (memory.pause * 2).min(LONGEST) };
        memory.weigh_at = mean.map(|_| now + memory.pause);
    }
}

/// Returns the next of the numbers that are reported.
const fn stepped(bytes: u64) -> u64 {
    let bits = u64::BITS - bytes.leading_zeros();
    let step = 1 << bits.saturating_sub(STEPS.ilog2() + 1);
    match bytes.checked_next_multiple_of(step) {
        Some(stepped) => stepped,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_is_a_sixteenth_above_at_the_most() {
        for bytes in (0..100_000).chain([1 << 40, (1 << 40) + 1, u64::MAX - 1, u64::MAX]) {
            let stepped = stepped(bytes);
            assert!(stepped >= bytes && stepped - bytes <= bytes / 16, "{bytes}: {stepped}");
        }
        let mut numbers: Vec<_> = (1 << 20..2 << 20).map(stepped).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 17, "with the next power of two");
    }
}
