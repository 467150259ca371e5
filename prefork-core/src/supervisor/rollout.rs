//! Replacing a whole generation by the next.
//!
//! A rollout ends when all children are of the new generation, when the new ones have proven that they do not work,
//! or when the daemon stops. One death proves nothing: somebody may have killed that child, or the kernel for want
//! of memory. So deaths of new children before they have worked are weighed, as long as no other one comes up in
//! between: see [`weight`].

use super::{Phase, Supervisor, settings::Reading};
use crate::{
    Action, ChangeNotice, Exit, Generation, Notice, Progress, ReloadEnd, Reloads, Time,
    slots::{Child, Stage},
};

/// So much proves that the new ones do not work: three that end by themselves, two that hang in their start, six that
/// are killed.
const PROOF: u32 = 6;

/// The replacement of a generation by the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollout {
    began: Time,
    /// What speaks against the new generation, up to [`PROOF`].
    evidence: u32,
}

impl Rollout {
    pub(super) const fn new(now: Time) -> Self {
        Self { began: now, evidence: 0 }
    }
}

impl Supervisor {
    /// Begins a rollout that was asked for, and notes the end of one.
    pub(super) fn decide_rollout(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let generation = self.generation;
        if let Some(since) = self.old_since
            && self.old_at_work() == 0
        {
            self.old_since = None;
            self.log(Notice::Change(ChangeNotice::OldLeft { took: now.since(since) }));
        }
        if let Some(rollout) = self.rollout
            && self.slots.serving() >= self.achievable(now).max(1)
            && !self.is_old_leaving_soon(now)
            && !self.staying().any(|(_, child)| child.generation < generation || self.comes(child))
        {
            self.rollout = None;
            let old = self.old_at_work();
            self.old_since = (old > 0).then_some(now);
            self.log(Notice::Change(ChangeNotice::Reloaded {
                generation,
                took: now.since(rollout.began),
                old,
            }));
            self.stats.reloads += 1;
            self.last_reload = ReloadEnd::Done;
            self.show(Progress::Reloaded);
        }
        if self.rollout.is_none() && std::mem::take(&mut self.rollout_again) {
            self.generation = Generation(self.generation.0.saturating_add(1));
            self.rollout = Some(Rollout::new(now));
            // They are counted again when this one has come about.
            self.old_since = None;
            self.log(Notice::Change(ChangeNotice::Reloading { generation: self.generation }));
            self.show(Progress::Reloading);
            self.actions.push_back(Action::CheckRuntimeFiles);
        }
    }

    /// Returns how far reloads have come.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        let goes_on = self.rollout.is_some() || self.rollout_again || self.reading != Reading::No;
        Reloads { goes_on: goes_on && !self.is_stopping(), last: self.last_reload }
    }

    /// Takes in that a child has died early, and ends the rollout if that proves that the new ones do not work.
    pub(super) fn weigh_death(&mut self, child: &Child, exit: Exit) {
        let Some(rollout) = &mut self.rollout else { return };
        if child.generation < self.generation {
            return;
        }
        rollout.evidence += weight(child, exit);
        if rollout.evidence < PROOF {
            return;
        }
        self.rollout = None;
        let generation = self.generation;
        let old = self.staying().filter(|(_, child)| child.generation < generation).count();
        self.log(Notice::Change(ChangeNotice::ReloadFailed { generation, old }));
        self.stats.reloads_failed += 1;
        self.last_reload = ReloadEnd::Failed;
        self.show(Progress::ReloadFailed { generation });
    }

    /// Takes in that a child that was started after the last early death has come up.
    pub(super) const fn clear_evidence(&mut self) {
        if let Some(rollout) = &mut self.rollout {
            rollout.evidence = 0;
        }
    }

    /// How many new children there can be now: not all that there should be, where old ones that are at work take up
    /// the room.
    fn achievable(&self, now: Time) -> usize {
        if self.one_shot.is_some() {
            // As fast as they come up they may be taken.
            return 1;
        }
        let at_work = self.slots.leaving() - self.leaving_soon(now).count();
        self.goal().min(self.room().saturating_sub(at_work))
    }

    /// Whether a child does not serve yet, and is waited for. Where each serves one client, some always start.
    fn comes(&self, child: &Child) -> bool {
        self.one_shot.is_none() && child.stage != Stage::Serving
    }

    /// The generation that is to be the only one, while there are others.
    pub(super) fn awaited(&self) -> Option<Generation> {
        self.rollout.map(|_| self.generation)
    }

    /// Whether it is not clear yet of an old one that was asked a moment ago if it has anything in hand.
    fn is_old_leaving_soon(&self, now: Time) -> bool {
        let generation = self.generation;
        self.leaving_soon(now).any(|(_, child)| child.generation < generation)
    }

    /// How many children of older generations finish what they have in hand.
    fn old_at_work(&self) -> usize {
        if self.slots.leaving() == 0 {
            return 0;
        }
        let is_old = |child: &Child| {
            child.generation < self.generation && matches!(child.stage, Stage::Leaving { .. })
        };
        self.slots.iter().filter(|(_, child)| is_old(child)).count()
    }
}

/// How much the early death of a new child speaks against its generation.
const fn weight(child: &Child, exit: Exit) -> u32 {
    match exit {
        _ if child.stuck => 3,
        // As in `signal(7)`: HUP, INT, QUIT, KILL, TERM come from outside.
        Exit::Signal { number: 1 | 2 | 3 | 9 | 15, .. } => 1,
        Exit::Code(_) | Exit::Signal { .. } => 2,
    }
}
