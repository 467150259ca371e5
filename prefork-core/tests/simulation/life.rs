//! Simulated children, and programs that are about to be run.

use std::time::Duration;

use prefork_core::Time;

/// How a child will live, unless it is retired.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) enters_after: Option<Duration>,
    pub(crate) ready_after: Option<Duration>,
    pub(crate) works_after: Option<Duration>,
    pub(crate) dies_after: Option<Duration>,
    pub(crate) heeds_ask: bool,
    pub(crate) heeds_interrupt: bool,
    /// How many processes follow each other that it starts and lets go of.
    pub(crate) descendants: u32,
    /// How many requests it can have in hand at once.
    pub(crate) at_once: u32,
}

impl Life {
    pub(crate) const fn healthy() -> Self {
        Self {
            enters_after: Some(Duration::from_millis(1)),
            ready_after: Some(Duration::from_millis(2)),
            works_after: Some(Duration::from_millis(20)),
            dies_after: None,
            heeds_ask: true,
            heeds_interrupt: true,
            descendants: 0,
            at_once: 1,
        }
    }

    pub(crate) const fn crashing() -> Self {
        Self {
            enters_after: Some(Duration::from_millis(1)),
            ready_after: None,
            works_after: None,
            dies_after: Some(Duration::from_millis(2)),
            heeds_ask: true,
            heeds_interrupt: true,
            descendants: 0,
            at_once: 1,
        }
    }
}

/// What comes of trying the program file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// It works.
    Good,
    /// It refuses, after a while.
    Bad,
    /// It works as a probe, and cannot be executed afterwards.
    Unlucky,
    /// It never says anything.
    Hangs,
    /// It is being written.
    Busy,
}

/// What the file of settings is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Good,
    Wrong,
    /// Nobody can be had to read it.
    Unreadable,
    /// It has no end.
    Endless,
}

/// What happens in the life of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Milestone {
    Enters,
    Ready,
    Works,
    Dies,
    /// It finishes the request that it has in hand.
    Finishes,
}

/// A child that lives.
pub(crate) struct Child {
    pub(crate) serial: u64,
    pub(crate) life: Life,
    pub(crate) serves: bool,
    pub(crate) retired: bool,
    pub(crate) immortal: bool,
    /// Since when it has a request in hand.
    pub(crate) busy: Option<Time>,
    /// Whether it has ever had one.
    pub(crate) has_worked: bool,
    pub(crate) generation: u32,
}

impl Child {
    /// Whether it is in its main loop; the supervisor counts those that settle without a word.
    pub(crate) const fn serves_visibly(&self) -> bool {
        self.serves || self.life.enters_after.is_some()
    }
}
