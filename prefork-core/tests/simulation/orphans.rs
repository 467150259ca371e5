//! Simulated processes that children have started and that became the parent's when theirs ended.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use prefork_core::Time;

/// How long one takes to end that is ended.
const TO_END: Duration = Duration::from_millis(1);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Orphan {
    /// The child from which it descends.
    owner: u64,
    /// How many more will follow, each started by the one before.
    followers: u32,
    ended: bool,
    stubborn: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orphans {
    born: u64,
    alive: BTreeMap<u64, Orphan>,
    ends: BinaryHeap<Reverse<(Time, u64)>>,
}

impl Orphans {
    /// A child has left one behind, or has let go of it while it lives itself.
    pub(crate) fn appear(&mut self, owner: u64, followers: u32) {
        self.born += 1;
        let orphan = Orphan { owner, followers, ended: false, stubborn: false };
        self.alive.insert(self.born, orphan);
    }

    /// Ends those whose child does not live; returns how many are there still.
    pub(crate) fn end(&mut self, now: Time, living: &BTreeSet<u64>) -> usize {
        let orphaned = self.alive.iter_mut().filter(|(_, orphan)| !living.contains(&orphan.owner));
        let mut left = 0;
        for (id, orphan) in orphaned {
            left += 1;
            if !orphan.stubborn && !std::mem::replace(&mut orphan.ended, true) {
                self.ends.push(Reverse((now + TO_END, *id)));
            }
        }
        left
    }

    /// When the next one ends.
    pub(crate) fn due(&self) -> Option<Time> {
        self.ends.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets the next one end, which leaves behind what it had started.
    pub(crate) fn happen(&mut self) {
        let Some(Reverse((_, id))) = self.ends.pop() else { return };
        let Some(Orphan { owner, followers, .. }) = self.alive.remove(&id) else { return };
        if followers > 0 {
            self.appear(owner, followers - 1);
        }
    }

    /// Makes one of them such that nothing ends it.
    pub(crate) fn make_one_stubborn(&mut self) {
        if let Some(orphan) = self.alive.values_mut().find(|orphan| !orphan.ended) {
            orphan.stubborn = true;
        }
    }

    /// How many are such.
    pub(crate) fn stubborn(&self) -> usize {
        self.alive.values().filter(|orphan| orphan.stubborn).count()
    }

    /// Lets all of them be ended.
    pub(crate) fn heal(&mut self) {
        self.alive.values_mut().for_each(|orphan| orphan.stubborn = false);
    }

    /// How many are there.
    pub(crate) fn count(&self) -> usize {
        self.alive.len()
    }

    /// How many are there whose child does not live.
    pub(crate) fn left_behind(&self, living: &BTreeSet<u64>) -> usize {
        self.alive.values().filter(|orphan| !living.contains(&orphan.owner)).count()
    }
}
