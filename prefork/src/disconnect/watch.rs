//! Looking whether clients have gone.

use std::{collections::HashSet, time::Duration};

use prefork_core::{SlotId, Time};
use prefork_netwatch::{Connection, Endpoint, Filter, Tables, Watch};

use super::Disconnect;
use crate::sockets::listeners::{Listeners, Listening};
use crate::{ErrorChain, logs::ClientMessage, logs::log::Log};

/// A child at work.
#[derive(Clone, Debug)]
pub(crate) struct Busy {
    pub(crate) pid: u32,
    pub(crate) slot: SlotId,
    /// Since when it has been at its request.
    pub(crate) since: Time,
    /// What it says that it has in hand, if that is over TCP and by `Child::accept`.
    pub(crate) connection: Option<Connection>,
}

/// A client that has gone, and the request that it waited for.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) disconnect: Disconnect,
    pub(crate) slot: SlotId,
    pub(crate) since: Time,
}

/// At how many addresses of other pools connections are watched that these have handed over.
const MOST_HANDED: usize = 64;

/// The watch over the clients of children at work.
pub(crate) struct ClientWatch {
    watch: Watch<Tables>,
    /// At which addresses of other pools connections were accepted that children have; `None` if none is handed over.
    handed: Option<Vec<Endpoint>>,
    /// Why connections could not be read the last time, so that it is logged once.
    trouble: Option<String>,
    /// The children of which it was said that they cannot be looked at.
    unreadable: HashSet<u32>,
}

impl ClientWatch {
    /// Watches what is accepted from these sockets; outgoing connections are nobody's clients.
    pub(crate) fn new(listeners: &Listeners, log: &Log) -> Self {
        let takes = listeners.iter().any(Listening::takes);
        let sockets = listeners.iter().filter(|listening| !listening.is_between_pools());
        let sockets = sockets.map(|listening| &listening.socket);
        let endpoints: Vec<_> =
            sockets.filter_map(|socket| Endpoint::of_socket(socket).ok()).collect();
        if endpoints.is_empty() && !takes {
            log.write(&ClientMessage::NoneWatched);
        }
        let watch = Watch::of_tables(Filter::listening(endpoints));
        Self { watch, handed: takes.then(Vec::new), trouble: None, unreadable: HashSet::new() }
    }

    /// Looks at the clients of these children; `label` says what a child is doing, and `was_reused` whether its client's
    /// address is another's by now.
    pub(crate) fn check(
        &mut self,
        now: Time,
        busy: &[Busy],
        label: impl Fn(SlotId) -> String,
        was_reused: impl Fn(&Busy) -> bool,
        log: &Log,
    ) -> Vec<Gone> {
        for child in busy {
            if let Some(connection) = &child.connection {
                self.watch_handed(&connection.local);
                self.watch.expect(child.pid, connection);
            }
        }
        let pids = busy.iter().map(|child| child.pid);
        let is_reused = |inode| {
            let has_it = |child: &&Busy| {
                child.connection.as_ref().is_some_and(|connection| connection.inode == inode)
            };
            busy.iter().find(has_it).is_some_and(&was_reused)
        };
        let report = match self.watch.check_reused(pids, is_reused) {
            Ok(report) => report,
            Err(error) => {
                if self.watch.fall_back(&error) {
                    log.write(&ClientMessage::SlowerSource { error: &ErrorChain(&error) });
                    return self.check(now, busy, label, was_reused, log);
                }
                let text = ErrorChain(&error).to_string();
                if self.trouble.as_ref() != Some(&text) {
                    log.write(&ClientMessage::CannotWatch { error: &text });
                    self.trouble = Some(text);
                }
                return Vec::new();
            }
        };
        self.trouble = None;
        for unreadable in &report.unreadable {
            if self.unreadable.insert(unreadable.pid) {
                log.write(&ClientMessage::CannotWatchChild {
                    child_pid: unreadable.pid,
                    error: &ErrorChain(unreadable),
                });
            }
        }
        let alive: HashSet<u32> = busy.iter().map(|child| child.pid).collect();
        self.unreadable.retain(|pid| alive.contains(pid));
        let gone = report.events.iter().filter_map(|event| {
            let child = busy.iter().find(|child| child.pid == event.pid)?;
            let time: Duration = now.since(child.since);
            let disconnect = Disconnect::new(event, child.slot.0, label(child.slot), time);
            Some(Gone { disconnect, slot: child.slot, since: child.since })
        });
        gone.collect()
    }

    /// Watches what was accepted at an address of another pool, and may have been handed over. A child that says what is not
    /// so has nobody but itself watched there.
    fn watch_handed(&mut self, local: &Endpoint) {
        let Some(handed) = &mut self.handed else { return };
        if handed.len() < MOST_HANDED && !handed.contains(local) {
            handed.push(local.clone());
            self.watch.listen_also(local.clone());
        }
    }
}
