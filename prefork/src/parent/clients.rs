//! Seeing whether clients have gone, and having something done about it.

use std::fmt::Display;

use prefork_core::{Activity, Event, SlotId, Time};
use prefork_netwatch::Connection;

use super::{Parent, table::number};
use crate::{
    board,
    disconnect::{Accepted, Busy, Gone, Kind, OnDisconnect},
    hooks::Call,
    logs::{ClientMessage, describe::Span},
    status::counters::Counter,
    system::clock,
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
            let was_reused = |child: &Busy| pages.has_successor(child.slot, now);
            let gone = watch.check(now, &busy, label, was_reused, &self.log);
            self.handle_gone(now, gone);
        }
        let (busy, took) = (!busy.is_empty(), clock::now().since(now));
        self.supervisor.handle(clock::now(), Event::ConnectionsChecked { busy, took });
    }

    fn busy_children(&mut self) -> Vec<Busy> {
        let activities = self.activities().unwrap_or_default();
        let busy = activities.into_iter().filter_map(|(slot, activity)| {
            let Activity::Busy { since: Some(since) } = activity else { return None };
            let pid = number(self.table.pid(slot)?);
            let connection = self.connection(slot, since);
            Some(Busy { pid, slot, since, connection })
        });
        busy.collect()
    }

    /// Reads which connection a child says that it has in hand, with the request that has begun at `since`.
    fn connection(&self, slot: SlotId, since: Time) -> Option<Connection> {
        let words = self.channels.pages.connection(slot)?;
        let record = self.channels.pages.record(slot)?;
        board::is_at(&record, since).then(|| Accepted::connection(words))
    }

    fn handle_gone(&mut self, now: Time, gone: Vec<Gone>) {
        self.counters.add(Counter::Disconnects, gone.len() as u64);
        let handler = self.hooks.on_client_disconnect.as_ref().map(|handler| &handler.0);
        match handler {
            None => {}
            Some(Kind::Always(OnDisconnect::Nothing)) => {
                gone.iter().for_each(|gone| self.log_gone(gone, OnDisconnect::Nothing));
            }
            Some(Kind::Always(OnDisconnect::Cancel)) => {
                gone.iter().for_each(|gone| self.cancel(now, gone));
            }
            Some(Kind::Asked(_)) => {
                for gone in gone {
                    self.call_hook(now, Call::OnClientDisconnect(Box::new(gone)));
                }
            }
        }
    }

    /// Logs that a client has gone, and what is done about it.
    fn log_gone(&self, gone: &Gone, reaction: OnDisconnect) {
        let Gone { disconnect, slot, .. } = gone;
        let (child_pid, slot, label) = (disconnect.pid, *slot, disconnect.label.as_str());
        let (client, duration) = (&*disconnect.client(), Span(disconnect.busy));
        let gone: &dyn Display = disconnect;
        self.log.write(&match reaction {
            OnDisconnect::Nothing => {
                ClientMessage::ClientGone { child_pid, slot, label, client, duration, gone }
            }
            OnDisconnect::Cancel => {
                ClientMessage::Cancelling { child_pid, slot, label, client, duration, gone }
            }
        });
    }

    /// Makes a child give up its request, if it still is the child and the request that was meant.
    pub(super) fn cancel(&mut self, now: Time, gone: &Gone) {
        let is_meant = |busy: &Busy| {
            (busy.pid, busy.slot, busy.since) == (gone.disconnect.pid, gone.slot, gone.since)
        };
        if self.busy_children().iter().any(is_meant) {
            self.log_gone(gone, OnDisconnect::Cancel);
            self.counters.count(Counter::Cancelled);
            self.supervisor.handle(now, Event::Cancelled { slot: gone.slot, since: gone.since });
        }
    }
}
