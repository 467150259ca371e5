//! Whether a process was killed for want of memory, and by whose limit.
//!
//! The kernel does not say why it has sent `SIGKILL`. It counts, though: in each control group how many processes were
//! killed for want of memory, and how often its limit was the reason. What has grown between two looks says what is likely.

use std::time::Duration;

use crate::Time;

/// Who ends so soon after a death that was counted may have been counted together with it.
const TOGETHER: Duration = Duration::from_secs(1);

/// What control groups count of memory, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCounts {
    /// How many processes of the innermost group were killed for want of memory, since it exists.
    pub kills: u64,
    /// The groups that limit the memory of the process, the innermost one first.
    pub groups: Vec<MemoryGroup>,
}

/// A control group, and what it has done about memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGroup {
    /// Its name, of which nothing is made but a text, and by which it is known again.
    pub name: String,
    /// Its limit in bytes; `None` if it has none.
    pub limit: Option<u64>,
    /// How often memory was refused because of that limit, since it exists.
    pub refusals: u64,
}

/// Why a process was likely sent `SIGKILL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Nobody counts.
    Unknown,
    /// Not for want of memory: another process has sent it.
    NotMemory,
    /// The limit of this group.
    Group(MemoryGroup),
    /// Memory of the machine, or a group that cannot be seen.
    Elsewhere,
}

/// Keeps what was counted, to compare.
///
/// Pure: the time and the counts are handed in.
///
/// # Examples
///
/// ```
/// use prefork_core::{KillReason, MemoryCounts, MemoryGroup, OutOfMemory, Time};
///
/// let counts = |kills, refusals| {
///     let group = MemoryGroup { name: "pool".to_owned(), limit: Some(64 << 20), refusals };
///     Some(MemoryCounts { kills, groups: vec![group] })
/// };
/// let mut memory = OutOfMemory::since(counts(3, 7));
/// assert_eq!(memory.explain(Time::ZERO, counts(3, 7)), KillReason::NotMemory);
/// let reason = memory.explain(Time::ZERO, counts(4, 8));
/// assert!(matches!(reason, KillReason::Group(group) if group.name == "pool"));
/// ```
#[derive(Clone, Debug)]
pub struct OutOfMemory {
    before: Option<MemoryCounts>,
    /// The last reason that was counted, and when it was found.
    last: Option<(Time, KillReason)>,
}

impl OutOfMemory {
    /// Begins with what is counted now; `None` if that cannot be read.
    #[must_use]
    pub const fn since(counts: Option<MemoryCounts>) -> Self {
        Self { before: counts, last: None }
    }

    /// Says why a process that has just ended by `SIGKILL` was likely sent that, by what is counted now.
    pub fn explain(&mut self, now: Time, counts: Option<MemoryCounts>) -> KillReason {
        let found = match (&self.before, &counts) {
            (Some(before), Some(after)) => compare(before, after),
            (None, _) | (_, None) => KillReason::Unknown,
        };
        self.before = counts;
        match (&found, &self.last) {
            (KillReason::NotMemory, Some((when, last))) if now.since(*when) < TOGETHER => {
                last.clone()
            }
            (KillReason::Group(_) | KillReason::Elsewhere, _) => {
                self.last = Some((now, found.clone()));
                found
            }
            (KillReason::NotMemory | KillReason::Unknown, _) => found,
        }
    }
}

fn compare(before: &MemoryCounts, after: &MemoryCounts) -> KillReason {
    let innermost = |counts: &MemoryCounts| counts.groups.first().map(|group| group.name.clone());
    // Moved to another group meanwhile, or one made again by the same name, which counts from zero.
    if innermost(before) != innermost(after) || after.kills < before.kills {
        return KillReason::Unknown;
    }
    if after.kills == before.kills {
        return KillReason::NotMemory;
    }
    let has_refused = |group: &&MemoryGroup| {
        let old = before.groups.iter().find(|old| old.name == group.name);
        group.limit.is_some() && group.refusals > old.map_or(0, |old| old.refusals)
    };
    // Whose limit is reached first is asked first.
    let group = after.groups.iter().find(has_refused);
    group.map_or(KillReason::Elsewhere, |group| KillReason::Group(group.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An inner and an outer group, which have refused memory so many times.
    fn counts(kills: u64, refusals: [u64; 2], limits: [Option<u64>; 2]) -> MemoryCounts {
        let names = ["/pool/inner", "/pool"].into_iter();
        let groups = names.zip(limits).zip(refusals).map(|((name, limit), refusals)| MemoryGroup {
            name: name.to_owned(),
            limit,
            refusals,
        });
        MemoryCounts { kills, groups: groups.collect() }
    }

    fn name(reason: &KillReason) -> &str {
        match reason {
            KillReason::Unknown => "unknown",
            KillReason::NotMemory => "not memory",
            KillReason::Group(group) => &group.name,
            KillReason::Elsewhere => "elsewhere",
        }
    }

    const LIMITS: [Option<u64>; 2] = [Some(1 << 20), Some(1 << 30)];

    #[test]
    fn what_has_grown_is_the_reason() {
        let before = counts(5, [1, 2], LIMITS);
        let table = [
            (Some(counts(5, [1, 2], LIMITS)), "not memory"),
            // Memory was refused, and found after all.
            (Some(counts(5, [9, 9], LIMITS)), "not memory"),
            (Some(counts(6, [2, 2], LIMITS)), "/pool/inner"),
            (Some(counts(6, [1, 3], LIMITS)), "/pool"),
            (Some(counts(6, [2, 3], LIMITS)), "/pool/inner"),
            (Some(counts(9, [2, 2], LIMITS)), "/pool/inner"),
            (Some(counts(6, [1, 2], LIMITS)), "elsewhere"),
            (Some(counts(6, [2, 2], [None, Some(1)])), "elsewhere"),
            (Some(counts(4, [2, 2], LIMITS)), "unknown"),
            (Some(MemoryCounts { kills: 6, groups: Vec::new() }), "unknown"),
            (None, "unknown"),
        ];
        for (after, expected) in table {
            let mut memory = OutOfMemory::since(Some(before.clone()));
            let reason = memory.explain(Time::ZERO, after.clone());
            assert_eq!(name(&reason), expected, "{after:?}");
        }
    }

    #[test]
    fn what_was_not_known_before_is_a_beginning() {
        let mut memory = OutOfMemory::since(None);
        let mut explain = |kills, refusals| {
            let counts = counts(kills, [refusals, 0], LIMITS);
            name(&memory.explain(Time::ZERO, Some(counts))).to_owned()
        };
        assert_eq!([explain(3, 3), explain(4, 4)], ["unknown", "/pool/inner"]);
    }

    /// Two are killed at once, and both counts are there when the first one is looked at.
    #[test]
    fn those_who_end_together_end_for_the_same_reason() {
        let mut memory = OutOfMemory::since(Some(counts(0, [0, 0], LIMITS)));
        let mut explain = |ms| {
            let now = Time::after_origin(Duration::from_millis(ms));
            name(&memory.explain(now, Some(counts(2, [2, 0], LIMITS)))).to_owned()
        };
        let found = [explain(0), explain(1), explain(999), explain(1000)];
        assert_eq!(found, ["/pool/inner", "/pool/inner", "/pool/inner", "not memory"]);
    }
}
