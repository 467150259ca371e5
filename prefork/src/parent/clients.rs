//! Seeing whether clients have gone, and having something done about it.

use prefork_core::{Activity, Event, Time};
use rustix::process::Pid;

use super::Parent;
use crate::{
    clock,
    counters::Counter,
    disconnect::{Busy, Errand, Gone, Kind, OnDisconnect, Verdict},
};

impl Parent<'_> {
    /// Looks at the clients of children at work.
    pub(super) fn check_connections(&mut self) {
        let now = clock::now();
        let busy = self.busy_children();
        if let (false, Some(watch)) = (busy.is_empty(), &mut self.client_watch) {
            let pages = &self.channels.pages;
            let label = |slot| {
                pages.record(slot).map(|record| record.label().to_owned()).unwrap_or_default()
            };
            let gone = watch.check(now, &busy, label, &self.log);
            self.handle_gone(now, gone);
        }
        let (busy, took) = (!busy.is_empty(), clock::now().since(now));
        self.supervisor.handle(clock::now(), Event::ConnectionsChecked { busy, took });
    }

    fn busy_children(&mut self) -> Vec<Busy> {
        let activities = self.activities().unwrap_or_default();
        let busy = activities.into_iter().filter_map(|(slot, activity)| {
            let Activity::Busy { since: Some(since) } = activity else { return None };
            let pid = self.table.pid(slot)?.as_raw_nonzero().get().unsigned_abs();
            Some(Busy { pid, slot, since })
        });
        busy.collect()
    }

    fn handle_gone(&mut self, now: Time, gone: Vec<Gone>) {
        self.counters.add(Counter::Disconnects, gone.len() as u64);
        let handler = self.hooks.on_client_disconnect.as_ref().map(|handler| &handler.0);
        match handler {
            None => {}
            Some(Kind::Always(OnDisconnect::Nothing)) => {
                gone.iter()
                    .for_each(|gone| self.log.info(format_args!("client {}", gone.disconnect)));
            }
            Some(Kind::Always(OnDisconnect::Cancel)) => {
                gone.iter().for_each(|gone| self.cancel(now, gone));
            }
            Some(Kind::Asked(_)) => {
                self.gone.extend(gone);
                self.send_errand(now);
            }
        }
    }

    /// Has code of the program decide about those who wait for it, unless it is at it already.
    pub(super) fn send_errand(&mut self, now: Time) {
        let Some(handler) = self.hooks.on_client_disconnect.as_ref() else { return };
        if self.errand.is_some() || self.gone.is_empty() {
            return;
        }
        let gone = std::mem::take(&mut self.gone);
        let (mask, name) = (self.signals.before(), &self.settings.name);
        match Errand::send(gone, &handler.0, &mut self.title, name, mask, now) {
            Ok(errand) => self.errand = Some(errand),
            Err((error, gone)) => {
                // Asked again with the next look at clients.
                self.gone = gone;
                self.log.error(format_args!("cannot run on_client_disconnect: {error}"));
            }
        }
    }

    /// Passes on what code of the program has decided, and ends it when it takes too long.
    pub(super) fn hear_errand(&mut self, now: Time) {
        while let Some(verdict) = self.errand.as_mut().and_then(|errand| errand.hear(now)) {
            match verdict {
                Verdict::Cancel(gone) => self.cancel(now, &gone),
                Verdict::Nothing => {}
            }
        }
        if self.errand.as_ref().is_some_and(|errand| now >= errand.due()) {
            self.fail_errand();
            self.log.error("on_client_disconnect takes too long and is killed");
        }
    }

    /// Ends the errand, if there is one; what it has not decided is for the next one. Tells whether there is any.
    pub(super) fn end_errand(&mut self) -> bool {
        let Some(mut errand) = self.errand.take() else { return false };
        // Dropping it kills it.
        self.leftovers.take_over(errand.helper());
        let before = self.gone.len();
        self.gone.splice(..0, errand.take_open());
        self.gone.len() > before
    }

    /// Ends the errand that has not come to an end with a client, about which nothing is decided then. Tells
    /// whether there was one.
    fn fail_errand(&mut self) -> bool {
        let is_undone = self.end_errand();
        if is_undone {
            self.gone.remove(0);
        }
        is_undone
    }

    /// Notes the end of an errand, if it is that.
    pub(super) fn bury_errand(&mut self, now: Time, pid: Pid) -> bool {
        if self.errand.as_ref().is_none_or(|errand| errand.helper().pid() != pid) {
            return false;
        }
        // What it said before its end.
        self.hear_errand(now);
        if self.fail_errand() {
            self.log.error("on_client_disconnect has ended before it had decided");
        }
        true
    }

    /// Has a child give up its request, if it still is the child and the request that was meant.
    fn cancel(&mut self, now: Time, gone: &Gone) {
        let is_meant = |busy: &Busy| {
            (busy.pid, busy.slot, busy.since) == (gone.disconnect.pid, gone.slot, gone.since)
        };
        if self.busy_children().iter().any(is_meant) {
            self.log.info(format_args!("client {}: cancelling", gone.disconnect));
            self.counters.count(Counter::Cancelled);
            self.supervisor.handle(now, Event::Cancelled { slot: gone.slot, since: gone.since });
        }
    }
}
