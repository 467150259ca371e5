//! Handing the pool over to a new program in the same process.
//!
//! What goes over is what the children cannot be asked again: who is where, how far each has come, and
//! how large the pool had grown. Everything else the new program decides by settings of its own.

use super::{Phase, Rollout, Supervisor, Upgrade, distrust::RINGS};
use crate::{
    Config, Generation, Pool, Rung, SlotId, Time,
    ladder::Ladder,
    slots::{Child, Extension, Stage},
};

/// What a supervisor knows of its pool, for the one that takes over.
///
/// With the `serde` feature it can be written down and read again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Handover {
    /// The newest generation.
    pub generation: Generation,
    /// How many children there should be, not counting those that are leaving.
    pub target: u32,
    /// How many processes there may be, whatever the settings say; `None` for no such ceiling.
    #[cfg_attr(feature = "serde", serde(default))]
    pub ceiling: Option<u32>,
    /// Whether older children were being replaced.
    pub reloading: bool,
    /// Whether one more upgrade was asked for meanwhile.
    pub upgrade_again: bool,
    /// Whether no child has ever said what it does.
    #[cfg_attr(feature = "serde", serde(default))]
    pub silent: bool,
    /// The children, in the order of their spawns.
    pub children: Vec<HandoverChild>,
}

/// What is handed over of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandoverChild {
    /// Its slot.
    pub slot: SlotId,
    /// Its pid, for log lines. It is not written down with the rest, as those who hand over have it beside.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub pid: u32,
    /// Its generation.
    pub generation: Generation,
    /// When it was spawned.
    pub spawned: Time,
    /// More time that it has asked for.
    pub extension: Option<Extension>,
    /// Whether it has ever taken work.
    pub worked: bool,
    /// Whether it would like to be replaced.
    #[cfg_attr(feature = "serde", serde(rename = "tired"))]
    pub recycle: bool,
    /// Whether it did not reach its main loop in time.
    pub stuck: bool,
    /// How far it has come.
    pub stage: HandoverStage,
}

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HandoverStage {
    /// Spawned, not yet in its main loop.
    Starting,
    /// In its main loop, but not known to wait for work.
    Entered {
        /// Since when.
        since: Time,
    },
    /// At work or waiting for it.
    Serving,
    /// It has taken its only client, and ends by itself.
    Spent,
    /// Retired: it is to leave.
    Leaving {
        /// The measure that was taken last.
        rung: Rung,
        /// When the next one is due, if ever.
        deadline: Option<Time>,
    },
}

/// As what a program takes a pool over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptedAs {
    /// It is a new program: the children, which run the old one, are to be replaced.
    NewProgram,
    /// It is the program that the children run: the new one could not take over after all.
    SameProgram,
}

impl Supervisor {
    /// Returns what another supervisor needs to go on with this pool.
    #[must_use]
    pub fn hand_over(&self) -> Handover {
        let mut children: Vec<_> = self.slots.iter().collect();
        children.sort_unstable_by_key(|(_, child)| child.serial);
        Handover {
            generation: self.generation,
            target: self.target,
            ceiling: self.ceiling.children,
            reloading: self.reloads().goes_on,
            upgrade_again: matches!(self.upgrade, Upgrade::Due { again: true, .. }),
            silent: self.watch.as_ref().is_some_and(|watch| !watch.queue.spoken),
            children: children.into_iter().map(hand_over_child).collect(),
        }
    }

    /// Makes a supervisor that goes on with a pool at `now`.
    ///
    /// It serves from the first moment: there is no [`Event::Start`](crate::Event::Start) to wait for, and
    /// no [`Action::AnnounceReady`](crate::Action::AnnounceReady). Limits are those of `config`: children
    /// that are too many for it leave, and the pool keeps the size to which its load has made it grow
    /// as far as they allow. Two children in one slot cannot be; the second one is ignored, and so is one in a
    /// slot that no pool has.
    #[must_use]
    pub fn adopt(config: Config, now: Time, handover: &Handover, adopted_as: AdoptedAs) -> Self {
        let mut supervisor = Self::new(config);
        supervisor.phase = Phase::Serving;
        supervisor.generation = handover.generation;
        supervisor.ceiling.children = handover.ceiling;
        if let Pool::ByLoad(_) = supervisor.config.pool {
            let most = supervisor.config.max_children();
            supervisor.target = handover.target.clamp(supervisor.target, most);
        }
        if let Some(one_shot) = &mut supervisor.one_shot {
            one_shot.resume(now, handover.target);
        }
        for child in &handover.children {
            supervisor.spawned += 1;
            let (slot, serial) = (child.slot, supervisor.spawned);
            let child = adopt_child(child, serial, now, &supervisor.config);
            supervisor.slots.adopt(slot, child);
        }
        match adopted_as {
            AdoptedAs::NewProgram => supervisor.rollout_again = true,
            AdoptedAs::SameProgram => {
                supervisor.rollout = handover.reloading.then(|| Rollout::new(now));
            }
        }
        if handover.upgrade_again {
            supervisor.want_upgrade();
        }
        if let Some(watch) = &mut supervisor.watch {
            watch.queue.spoken = !handover.silent;
            watch.queue.reports_work = handover.children.iter().any(|child| child.worked);
            watch.begin(now);
        }
        supervisor.stir(now);
        // Of those that were left behind until now nothing is handed over but what the system knows.
        supervisor.descendants.stir();
        supervisor.decide(now);
        supervisor
    }
}

fn hand_over_child((slot, child): (SlotId, &Child)) -> HandoverChild {
    let Child { pid, generation, spawned, extension, worked, recycle, stuck, .. } = *child;
    let stage = match child.stage {
        Stage::Starting => HandoverStage::Starting,
        Stage::Entered { since } => HandoverStage::Entered { since },
        Stage::Serving => HandoverStage::Serving,
        Stage::Spent => HandoverStage::Spent,
        Stage::Leaving { ladder } => {
            HandoverStage::Leaving { rung: ladder.rung(), deadline: ladder.deadline() }
        }
    };
    HandoverChild { slot, pid, generation, spawned, extension, worked, recycle, stuck, stage }
}

fn adopt_child(child: &HandoverChild, serial: u64, now: Time, config: &Config) -> Child {
    let HandoverChild { pid, generation, spawned, extension, worked, recycle, stuck, .. } = *child;
    let stage = match child.stage {
        HandoverStage::Starting => Stage::Starting,
        HandoverStage::Entered { since } => Stage::Entered { since },
        HandoverStage::Serving => Stage::Serving,
        HandoverStage::Spent => Stage::Spent,
        HandoverStage::Leaving { rung, deadline } => {
            let own = match rung {
                Rung::Retire => Ladder::of_one(now, rung, config).deadline(),
                Rung::Interrupt | Rung::Abort | Rung::Kill => None,
            };
            Stage::Leaving { ladder: Ladder::resume(now, rung, deadline.or(own)) }
        }
    };
    // An unkillable child, and one that hangs, floods or lies, is found out again.
    let (unkillable, expelled, lied, rings) = (false, false, false, RINGS);
    Child {
        generation,
        serial,
        pid,
        spawned,
        stage,
        worked,
        eighths: 8,
        recycle,
        stuck,
        unkillable,
        expelled,
        lied,
        rings,
        extension,
        hung: None,
    }
}
