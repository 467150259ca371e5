//! The requests that a child of many has in hand, in the order in which the parent would end it for them.
//!
//! # Problem
//!
//! A request may take so long, and one that was given more time as much longer. One that was given an hour must not hide
//! another that hangs, and a thousand that come and go must cost next to nothing.
//!
//! # Idea
//!
//! Of each request there is a moment from which on the limit counts: when it began or, of one that was given more time, as
//! long before the end of that time as a request may take. In the order of these moments requests will have taken too
//! long, so the parent needs to know the first one alone, and the board shows that.
//!
//! Each stands in a place, by which its guard knows it. Places and their texts are used again.

use std::{collections::BTreeSet, time::Duration};

use prefork_core::Time;
use prefork_scoreboard::{
    Monotonic, Slot,
    format::{CLIENT_SIZE, LABEL_SIZE},
};

use super::limits::{Finding, Usage};
use crate::channels::OwnPage;

/// How long after one look at the memory in use the next one comes, at the end of a request.
const MEMORY_PACE: Duration = Duration::from_millis(100);

/// All that many threads share of the requests in hand.
#[derive(Debug)]
pub(super) struct Desk {
    slot: Option<Slot>,
    page: Option<OwnPage>,
    concurrency: u32,
    places: Vec<Request>,
    /// The places that nobody has.
    free: Vec<u32>,
    /// The requests in hand, each by the moment from which on the limit counts, and its place.
    order: BTreeSet<(Time, u32)>,
    /// The limit by which they are ordered.
    limit: Option<Duration>,
    /// The place of the request that the board shows.
    shown: Option<u32>,
    /// How long the client had waited whose connection was accepted last.
    queued: Option<Duration>,
    usage: Usage,
    /// When to look at the memory in use again.
    look_at: Time,
}

#[derive(Debug, Default)]
struct Request {
    begun: Time,
    /// Until when it was given time, if it has asked.
    extended: Time,
    label: String,
    client: String,
}

impl Request {
    /// From when on the limit counts.
    fn counts_from(&self, limit: Option<Duration>) -> Time {
        let limit = limit.unwrap_or_default();
        let extended = self.extended.since(Time::after_origin(limit));
        self.begun.max(Time::after_origin(extended))
    }
}

impl Desk {
    pub(super) fn new(
        slot: Option<Slot>,
        page: Option<OwnPage>,
        usage: Usage,
        concurrency: u32,
    ) -> Self {
        let (places, free, order) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (limit, shown, look_at) = (None, None, Time::ZERO);
        let mut desk = Self {
            slot,
            page,
            concurrency,
            places,
            free,
            order,
            limit,
            shown,
            queued: None,
            usage,
            look_at,
        };
        desk.publish(0);
        desk
    }

    /// Returns how many requests it has finished.
    pub(super) const fn finished(&self) -> u64 {
        self.usage.requests()
    }

    /// Takes a request in hand; returns its place.
    pub(super) fn begin(&mut self, now: Time, label: &str) -> u32 {
        self.keep_order();
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Request::default());
            u32::try_from(self.places.len() - 1).expect("memory holds fewer requests")
        });
        let request = &mut self.places[place as usize];
        (request.begun, request.extended) = (now, Time::ZERO);
        keep(&mut request.label, label, LABEL_SIZE);
        request.client.clear();
        self.order.insert((request.counts_from(self.limit), place));
        self.publish(0);
        place
    }

    /// Puts a request down; returns whether a limit has been reached.
    pub(super) fn end(&mut self, now: Time, place: u32) -> Finding {
        self.keep_order();
        self.order.remove(&(self.counts_from(place), place));
        self.free.push(place);
        self.usage.count_request();
        self.publish(1);
        match self.usage.look_at_requests() {
            Finding::WithinLimits if now >= self.look_at => {
                self.look_at = now + MEMORY_PACE;
                self.usage.look_at_memory()
            }
            found => found,
        }
    }

    /// Notes how long the client has waited of a connection that was accepted, to be shown with what changes next.
    pub(super) const fn note_queued(&mut self, queued: Option<Duration>) {
        self.queued = queued;
    }

    pub(super) fn set_label(&mut self, place: u32, label: &str) {
        keep(&mut self.places[place as usize].label, label, LABEL_SIZE);
        self.rewrite(place);
    }

    pub(super) fn set_client(&mut self, place: u32, client: &str) {
        keep(&mut self.places[place as usize].client, client, CLIENT_SIZE);
        self.rewrite(place);
    }

    /// Gives a request time until then, and no less than it was given before.
    pub(super) fn extend(&mut self, place: u32, until: Time) {
        self.keep_order();
        self.order.remove(&(self.counts_from(place), place));
        let request = &mut self.places[place as usize];
        request.extended = request.extended.max(until);
        self.order.insert((request.counts_from(self.limit), place));
        self.publish(0);
    }

    /// How many are in hand.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.order.len()).unwrap_or(u32::MAX)
    }

    fn counts_from(&self, place: u32) -> Time {
        self.places[place as usize].counts_from(self.limit)
    }

    /// Orders the requests by the limit that holds now, which a reload may have changed.
    fn keep_order(&mut self) {
        let limit = self.page.and_then(OwnPage::limit);
        if limit != self.limit {
            self.limit = limit;
            let places = std::mem::take(&mut self.order);
            self.order =
                places.into_iter().map(|(_, place)| (self.counts_from(place), place)).collect();
        }
    }

    /// Shows a text that was changed, if it is of the request that is shown.
    fn rewrite(&mut self, place: u32) {
        if self.shown == Some(place) {
            self.shown = None;
            self.publish(0);
        }
    }

    /// Shows how many are in hand, and the first of them; `finished` more are done.
    fn publish(&mut self, finished: u64) {
        let first = self.order.first().copied();
        if let Some(page) = self.page {
            page.first_in_hand(first.map(|(from, _)| from));
        }
        let (count, concurrency) = (self.count(), self.concurrency);
        let place = first.map(|(_, place)| place);
        let news = place.filter(|_| self.shown != place).map(|place| &self.places[place as usize]);
        self.shown = place;
        let queued = self.queued;
        let Some(slot) = &mut self.slot else { return };
        slot.update(|report| {
            report.in_hand(count, concurrency).count_requests(finished).queued(queued);
            if let Some(Request { begun, label, client, .. }) = news {
                let nanos = u64::try_from(begun.since_origin().as_nanos()).unwrap_or(u64::MAX);
                report.request_began(Monotonic::from_nanos(nanos)).label(label).client(client);
            }
        });
    }
}

/// Keeps of a text what the board can show, in memory that is used again.
fn keep(kept: &mut String, text: &str, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    kept.clear();
    kept.push_str(&text[..end.unwrap_or(0)]);
}

#[cfg(test)]
mod tests;
