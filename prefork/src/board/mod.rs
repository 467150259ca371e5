//! What the parent reads of its children, and the scoreboard on which it shows that.
//!
//! Children report in pages that only they and the parent have (`channels/pages.rs`). Here the parent reads
//! them, holds each claim against what is possible, and draws from it what it decides by. The scoreboard,
//! which others may read, is a copy of what was believed: the parent alone writes to it, and never reads it.
//! So nothing that anybody does to the file matters to a child or to a decision, and a file that was damaged
//! is made again at once, with all that was on it.

mod about;
mod public;
mod reading;

use std::{mem::ManuallyDrop, time::Duration};

use prefork_core::{Activity, Claim, Generation, RequestCount, SlotId, Time};
use prefork_scoreboard::{Monotonic, Record, Stamp};
use rustix::process::Pid;

pub(crate) use about::{About, Identity, Outcome};
pub(crate) use public::{Place, Public};
use reading::Reading;
pub(crate) use reading::is_at;

use crate::{channels::Pages, logs::log::Log};

/// What is known of the children's reports.
#[derive(Debug)]
pub(crate) struct ParentBoard {
    readings: Vec<Option<Reading>>,
    public: Public,
    /// What the daemon publishes about itself, when it next rests.
    pub(crate) about: About,
    /// How many reloads were refused, as settings were wrong.
    refused: u32,
}

/// What there is to see in all pages.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// What the children are doing, by ascending slot.
    pub(crate) activities: Vec<(SlotId, Activity)>,
    /// Children that want more time for the request in hand, and until when, if that is new.
    pub(crate) extended: Vec<(SlotId, Time)>,
    /// Children that claim what cannot be.
    pub(crate) implausible: Vec<(SlotId, Claim)>,
}

impl ParentBoard {
    /// Begins with no child, and a scoreboard that is there or will be.
    pub(crate) fn new(public: Public) -> Self {
        Self { readings: Vec::new(), public, about: About::default(), refused: 0 }
    }

    /// Closes the scoreboard, which is removed nowhere but in the parent, in a process just forked. What is known
    /// of the children stays in the memory that it shares.
    pub(crate) fn close(self) {
        let Self { readings, public, about, refused: _ } = self;
        let _shared = ManuallyDrop::new((readings, about));
        drop(public);
    }

    /// The scoreboard.
    pub(crate) const fn public(&self) -> &Public {
        &self.public
    }

    /// Notes a child that was just forked, or, of the old program's, that is still there, with a record that
    /// says when it was.
    pub(crate) fn assign(
        &mut self,
        (slot, pid, generation): (SlotId, Pid, Generation),
        record: &Record,
        count: RequestCount,
        logs: u64,
        log: &Log,
    ) {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        let holder =
            record.holder().of_process(pid, u64::from(generation.0)).with_logs(shown(logs));
        let spawned = holder.started().map_or(Time::ZERO, time);
        let shown = self.public.publish(slot, &holder.doing(record), log);
        if self.readings.len() <= slot.index() {
            self.readings.resize_with(slot.index() + 1, || None);
        }
        self.readings[slot.index()] = Some(Reading::new(holder, spawned, count, shown));
    }

    /// Shows that all children write to this edition of the logs, or to newer ones.
    pub(crate) fn show_logs(&mut self, edition: u64, pages: &Pages, log: &Log) {
        for (slot, reading) in (0..).map(SlotId).zip(&mut self.readings) {
            if let Some(reading) = reading {
                reading.holder = reading.holder.with_logs(shown(edition));
                reading.show(slot, pages, &mut self.public, log);
            }
        }
    }

    /// Has room for so many slots at the least.
    pub(crate) fn grow(&mut self, slots: u32) {
        self.public.grow(slots);
    }

    /// Shows on all children that so many reloads were refused for their settings.
    pub(crate) fn mark_refused_settings(&mut self, pages: &Pages, log: &Log) {
        self.refused = self.refused.saturating_add(1);
        for (slot, reading) in (0..).map(SlotId).zip(&mut self.readings) {
            if let Some(reading) = reading {
                reading.refused = self.refused;
                reading.show(slot, pages, &mut self.public, log);
            }
        }
    }

    /// Shows that a child was asked to leave.
    pub(crate) fn mark_leaving(&mut self, slot: SlotId, pages: &Pages, log: &Log) {
        if let Some(Some(reading)) = self.readings.get_mut(slot.index()) {
            reading.is_leaving = true;
            reading.show(slot, pages, &mut self.public, log);
        }
    }

    /// Shows of all children of older generations that this one was to replace them, and does not work.
    pub(crate) fn mark_failed_rollout(&mut self, generation: Generation, pages: &Pages, log: &Log) {
        for (slot, reading) in (0..).map(SlotId).zip(&mut self.readings) {
            let Some(reading) = reading else { continue };
            if reading.holder.generation() < u64::from(generation.0) {
                reading.failed_rollout = generation.0;
                reading.show(slot, pages, &mut self.public, log);
            }
        }
    }

    /// Forgets a child that was reaped; returns how many requests it has answered, as far as that is
    /// believed.
    pub(crate) fn clear(&mut self, slot: SlotId, now: Time, pages: &Pages, log: &Log) -> u64 {
        let reading = self.readings.get_mut(slot.index()).and_then(Option::take);
        self.public.clear(slot, log);
        let Some(mut reading) = reading else { return 0 };
        if let Some(record) = pages.record(slot).filter(|record| record.status().state().is_some())
        {
            let _ = reading.count.claim(now, record.requests());
        }
        reading.count.believed()
    }

    /// Reads what the children in these slots are doing, and shows what has changed.
    pub(crate) fn look(
        &mut self,
        now: Time,
        slots: impl Iterator<Item = SlotId>,
        pages: &Pages,
        log: &Log,
    ) -> Look {
        let mut look = Look::default();
        look.activities.reserve(self.readings.len());
        for slot in slots {
            let Some(Some(reading)) = self.readings.get_mut(slot.index()) else { continue };
            reading.read(now, slot, pages, &mut self.public, &mut look, log);
            look.activities.push((slot, reading.activity));
        }
        self.examine(now, public::Occasion::Due, pages, log);
        look
    }

    /// Looks at the scoreboard if something may have happened to it.
    pub(crate) fn check(&mut self, now: Time, pages: &Pages, log: &Log) {
        self.examine(now, public::Occasion::Hinted, pages, log);
    }

    /// Looks whether the scoreboard is still what the parent has made of it, and writes again what others have
    /// written over.
    fn examine(&mut self, now: Time, occasion: public::Occasion, pages: &Pages, log: &Log) {
        let readings = &self.readings;
        let shown = |slot: SlotId| {
            let reading = readings.get(slot.index()).and_then(Option::as_ref);
            reading.map_or(Stamp::EMPTY, |reading| reading.shown)
        };
        for slot in self.public.examine(now, occasion, shown, log) {
            match self.readings.get_mut(slot.index()) {
                Some(Some(reading)) => reading.show(slot, pages, &mut self.public, log),
                Some(None) | None => self.public.clear(slot, log),
            }
        }
    }

    /// Publishes what is new about the daemon, and that it rests, until then if it is to wake by itself.
    pub(crate) fn rest(&mut self, due: Option<Time>, log: &Log) {
        if let Some(facts) = self.about.take_news() {
            self.public.publish_facts(facts, log);
        }
        self.public.beat(due, log);
    }

    /// Makes the scoreboard again, if it was damaged or could not be made before, and shows all children on it;
    /// returns whether there is another one now.
    pub(crate) fn heal(&mut self, now: Time, pages: &Pages, log: &Log) -> bool {
        if !self.public.heal(now, log) {
            return false;
        }
        for (slot, reading) in (0..).map(SlotId).zip(&mut self.readings) {
            if let Some(reading) = reading {
                reading.show(slot, pages, &mut self.public, log);
            }
        }
        true
    }
}

/// An edition of the logs as others are shown it.
fn shown(edition: u64) -> u32 {
    u32::try_from(edition).unwrap_or(u32::MAX)
}

/// The pages' clock is the parent's (`CLOCK_MONOTONIC`).
fn time(monotonic: Monotonic) -> Time {
    Time::after_origin(Duration::from_nanos(monotonic.as_nanos()))
}

/// The clock of the scoreboard is the parent's (`CLOCK_MONOTONIC`).
fn monotonic(time: Time) -> Monotonic {
    let nanoseconds = time.since_origin().as_nanos();
    Monotonic::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
