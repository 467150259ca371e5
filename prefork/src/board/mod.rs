//! What the parent reads of its children, and the scoreboard on which it shows that.
//!
//! Children report in pages that only they and the parent have (`channels/pages.rs`). Here the parent reads
//! them, holds each claim against what is possible, and draws from it what it decides by. The scoreboard,
//! which others may read, is a copy of what was believed: the parent alone writes to it, and never reads it.
//! So nothing that anybody does to the file matters to a child or to a decision, and a file that was damaged
//! is made again at once, with all that was on it.

mod about;
mod public;

use prefork_core::{
    Activity, Claim, Generation, RequestCount, SlotId, Time, Unclear, are_possible,
};
use prefork_scoreboard::{Class, Holder, Monotonic, Record, Stamp, State};
use rustix::process::Pid;
use std::{mem::ManuallyDrop, time::Duration};

pub(crate) use about::{About, Identity, Outcome, Phase};
pub(crate) use public::{Place, Public};

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

/// What was read of one child. Kept small: each fork copies what is known of all.
#[derive(Debug)]
struct Reading {
    /// The child, by the parent's own knowledge.
    holder: Holder,
    /// When it was spawned; the origin where that is not known.
    spawned: Time,
    count: RequestCount,
    /// The report that was read last.
    version: u64,
    activity: Activity,
    /// Since when its record cannot be understood.
    unclear: Option<Unclear>,
    /// Until when it wants time for what it has in hand.
    extended: Option<Time>,
    /// By what that which others are shown of it is known again.
    shown: Stamp,
    /// The newest generation that was to replace it and does not work; 0 if there is none.
    failed_rollout: u32,
    /// How many reloads had been refused for their settings when one was the last time since this child is there.
    refused: u32,
    /// Whether it was asked to leave.
    is_leaving: bool,
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
        let activity = Activity::Idle { since: Time::ZERO };
        let reading = Reading {
            holder,
            spawned,
            count,
            version: 0,
            activity,
            unclear: None,
            extended: None,
            shown,
            failed_rollout: 0,
            refused: 0,
            is_leaving: false,
        };
        if self.readings.len() <= slot.index() {
            self.readings.resize_with(slot.index() + 1, || None);
        }
        self.readings[slot.index()] = Some(reading);
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

impl Reading {
    fn read(
        &mut self,
        now: Time,
        slot: SlotId,
        pages: &Pages,
        public: &mut Public,
        look: &mut Look,
        log: &Log,
    ) {
        let version = pages.version(slot);
        // One that cannot be understood is looked at again, as its version may be anything.
        if version == self.version && self.unclear.is_none() {
            // More time may be asked for at any moment of a request.
            return self.note_extension(slot, pages, look);
        }
        let Some(record) = pages.record(slot) else { return };
        self.version = version;
        let state = record.status().state();
        if state.is_some() {
            if self.count.claim(now, record.requests()).is_err() {
                look.implausible.push((slot, Claim::Requests));
            }
            let (updated, request) =
                (record.updated().map(time), record.request_started().map(time));
            if !are_possible(self.spawned, updated, request) {
                look.implausible.push((slot, Claim::Times));
            }
        }
        self.note_extension(slot, pages, look);
        self.unclear = match record.status().class() {
            Class::Stalled | Class::Empty => {
                Some(self.unclear.map_or(Unclear::new(now), Unclear::again))
            }
            Class::Idle | Class::Starting | Class::Busy | Class::Draining => None,
        };
        if self.unclear.is_some_and(|unclear| unclear.is_meant(now)) {
            look.implausible.push((slot, Claim::Nothing));
        }
        self.activity = self.activity(&record);
        self.shown = self.publish(slot, &record, public, log);
    }

    /// Shows what it is doing now, whatever was shown before.
    fn show(&mut self, slot: SlotId, pages: &Pages, public: &mut Public, log: &Log) {
        if let Some(record) = pages.record(slot) {
            self.shown = self.publish(slot, &record, public, log);
        }
    }

    fn publish(&self, slot: SlotId, record: &Record, public: &mut Public, log: &Log) -> Stamp {
        let mut shown = self.holder.doing(record).with_requests(self.count.believed());
        if self.is_leaving {
            shown = shown.asked_to_leave();
        }
        if self.refused > 0 {
            shown = shown.kept_with_refused_settings(self.refused);
        }
        if self.failed_rollout > 0 {
            shown = shown.kept_instead_of(u64::from(self.failed_rollout));
        }
        public.publish(slot, &shown, log)
    }

    /// Passes on that a child asks for more time, after what it is doing was read.
    fn note_extension(&mut self, slot: SlotId, pages: &Pages, look: &mut Look) {
        let extended = pages.extended(slot);
        // Nothing is written where nothing has changed: after each fork, it is another page to copy.
        if extended != self.extended {
            self.extended = extended;
            look.extended.extend(extended.map(|until| (slot, until)));
        }
    }

    fn activity(&self, record: &Record) -> Activity {
        match record.status().class() {
            // One that serves and has never said anything may be doing anything; a pool of such loops
            // must not grow for that.
            Class::Idle | Class::Starting => {
                Activity::Idle { since: record.updated().map_or(Time::ZERO, time) }
            }
            // Between two requests of a connection nothing is in hand that could take too long.
            Class::Busy if record.status().state() == Some(State::Keepalive) => {
                Activity::Busy { since: None }
            }
            Class::Busy => Activity::Busy { since: record.request_started().map(time) },
            Class::Draining => Activity::Busy { since: None },
            // A child may leave a record that nobody understands for as long as a request may take.
            Class::Stalled | Class::Empty => {
                Activity::Busy { since: self.unclear.map(Unclear::since) }
            }
        }
    }
}

/// An edition of the logs as others are shown it.
fn shown(edition: u64) -> u32 {
    u32::try_from(edition).unwrap_or(u32::MAX)
}

/// The pages' clock is the parent's (`CLOCK_MONOTONIC`).
/// Returns whether a record is of the request that has begun then.
pub(crate) fn is_at(record: &Record, since: Time) -> bool {
    record.status().class() == Class::Busy && record.request_started().map(time) == Some(since)
}

fn time(monotonic: Monotonic) -> Time {
    Time::after_origin(Duration::from_nanos(monotonic.as_nanos()))
}
