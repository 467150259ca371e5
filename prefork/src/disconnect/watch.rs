//! Looking whether clients have gone.

use std::{collections::HashSet, time::Duration};

use prefork_core::{SlotId, Time};
use prefork_netwatch::{Endpoint, Filter, Watch};

use super::Disconnect;
use crate::{Report, init::Listeners, log::Log};

/// A child at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    pub(crate) pid: u32,
    pub(crate) slot: SlotId,
    /// Since when it has been at its request.
    pub(crate) since: Time,
}

/// A client that has gone, and the request that it waited for.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) disconnect: Disconnect,
    pub(crate) slot: SlotId,
    pub(crate) since: Time,
}

/// The watch over the clients of children at work.
#[derive(Debug)]
pub(crate) struct ClientWatch {
    watch: Watch,
    /// Why connections could not be read the last time, so that it is said once.
    trouble: Option<String>,
    /// The children of which it was said that they cannot be looked at.
    unreadable: HashSet<u32>,
}

impl ClientWatch {
    /// Watches what is accepted from these sockets; outgoing connections are nobody's clients.
    pub(crate) fn new(listeners: &Listeners, log: &Log) -> Self {
        let sockets = listeners.iter().map(|listening| &listening.socket);
        let endpoints: Vec<_> =
            sockets.filter_map(|socket| Endpoint::of_socket(socket).ok()).collect();
        if endpoints.is_empty() {
            log.warning(
                "no clients are watched: on_client_disconnect is about sockets of init.listen",
            );
        }
        let watch = Watch::new(Filter::listening(endpoints));
        Self { watch, trouble: None, unreadable: HashSet::new() }
    }

    /// Looks at the clients of these children; `label` says what a child is doing.
    pub(crate) fn check(
        &mut self,
        now: Time,
        busy: &[Busy],
        label: impl Fn(SlotId) -> String,
        log: &Log,
    ) -> Vec<Gone> {
        let report = match self.watch.check(busy.iter().map(|child| child.pid)) {
            Ok(report) => report,
            Err(error) => {
                let text = Report(&error).to_string();
                if self.trouble.as_ref() != Some(&text) {
                    log.error(format_args!("clients cannot be watched: {text}"));
                    self.trouble = Some(text);
                }
                return Vec::new();
            }
        };
        self.trouble = None;
        for unreadable in &report.unreadable {
            if self.unreadable.insert(unreadable.pid) {
                log.error(format_args!(
                    "clients of child {} cannot be watched: {}; the parent needs CAP_SYS_PTRACE",
                    unreadable.pid,
                    Report(unreadable)
                ));
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
}
