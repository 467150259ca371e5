//! What the parent has read of one child, and what follows from it.

use std::time::Duration;

use prefork_core::{Activity, Claim, RequestCount, Share, SlotId, Time, Unclear, are_possible};
use prefork_scoreboard::{Class, Holder, Record, Stamp, State};

use super::{Look, Public, time};
use crate::{channels::Pages, logs::log::Log};

/// What was read of one child. Kept small: each fork copies what is known of all.
#[derive(Debug)]
pub(super) struct Reading {
    /// The child, by the parent's own knowledge.
    pub(super) holder: Holder,
    /// When it was spawned; the origin where that is not known.
    spawned: Time,
    pub(super) count: RequestCount,
    /// The report that was read last.
    version: u64,
    pub(super) activity: Activity,
    /// Since when its record cannot be understood.
    unclear: Option<Unclear>,
    /// Until when it wants time for what it has in hand.
    extended: Option<Time>,
    /// By what that which others are shown of it is known again.
    pub(super) shown: Stamp,
    /// The newest generation that was to replace it and does not work; 0 if there is none.
    pub(super) failed_rollout: u32,
    /// How many reloads had been refused for their settings when one was the last time since this child is there.
    pub(super) refused: u32,
    /// Whether it was asked to leave.
    pub(super) is_leaving: bool,
}

impl Reading {
    /// Begins with a child of which nothing was read yet; `shown` is what others are shown of it.
    pub(super) const fn new(
        holder: Holder,
        spawned: Time,
        count: RequestCount,
        shown: Stamp,
    ) -> Self {
        Self {
            holder,
            spawned,
            count,
            version: 0,
            activity: Activity::Idle { since: Time::ZERO },
            unclear: None,
            extended: None,
            shown,
            failed_rollout: 0,
            refused: 0,
            is_leaving: false,
        }
    }

    /// Reads what it is doing, and shows that if it is new.
    pub(super) fn read(
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
            self.note_grace(slot, pages);
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
        self.activity = self.activity(&record, pages.first_in_hand(slot));
        self.shown = self.publish(slot, &record, public, log);
    }

    /// Shows what it is doing now, whatever was shown before.
    pub(super) fn show(&mut self, slot: SlotId, pages: &Pages, public: &mut Public, log: &Log) {
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

    /// Takes in how much more time the first of many requests was given, where nothing else has changed.
    fn note_grace(&mut self, slot: SlotId, pages: &Pages) {
        if let Activity::Many { since: Some(since), grace, .. } = &mut self.activity {
            let given = pages.first_in_hand(slot).map(|from| from.since(*since));
            // Nothing is written where nothing has changed.
            if let Some(given) = given.filter(|given| given != grace) {
                *grace = given;
            }
        }
    }

    /// What a child is doing by its record; `first` is from when on the limit counts of the first of many requests that it
    /// has in hand.
    fn activity(&self, record: &Record, first: Option<Time>) -> Activity {
        match record.status().class() {
            Class::Idle | Class::Busy if first.is_some() || record.concurrency() > 1 => {
                let since = first.and(record.request_started()).map(time);
                Activity::Many {
                    share: Share::claim(record.in_hand(), record.concurrency()),
                    changed: record.updated().map_or(Time::ZERO, time),
                    since,
                    grace: first
                        .zip(since)
                        .map_or(Duration::ZERO, |(first, since)| first.since(since)),
                }
            }
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

/// Returns whether a record is of the request that has begun then.
pub(crate) fn is_at(record: &Record, since: Time) -> bool {
    record.status().class() == Class::Busy && record.request_started().map(time) == Some(since)
}
