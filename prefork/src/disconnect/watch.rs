//! Looking whether clients have gone.

use std::{collections::HashSet, io, time::Duration};

use prefork_core::{SlotId, Time};
use prefork_netwatch::{
    Connection, Endpoint, Filter, ProcNet, SockDiag, Source, SourceError, Watch,
};

use super::Disconnect;
use crate::{Report, logs::log::Log, sockets::listeners::Listeners};

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

/// The watch over the clients of children at work.
pub(crate) struct ClientWatch {
    watch: Watch<Box<dyn Source>>,
    filter: Filter,
    /// Other sources of the same, should this one not be there.
    others: std::slice::Iter<'static, fn() -> Box<dyn Source>>,
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
        let filter = Filter::listening(endpoints);
        let watch = Watch::with_source(filter.clone(), Box::new(SockDiag::new()) as _);
        Self { watch, filter, others: OTHERS.iter(), trouble: None, unreadable: HashSet::new() }
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
                if is_for_good(&error) && self.use_another(&error, log) {
                    return self.check(now, busy, label, was_reused, log);
                }
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

    /// Goes over to the next source; tells whether there was one.
    fn use_another(&mut self, error: &SourceError, log: &Log) -> bool {
        let Some(other) = self.others.next() else { return false };
        log.warning(format_args!("clients are watched by slower means: {}", Report(error)));
        self.watch = Watch::with_source(self.filter.clone(), other());
        true
    }
}

/// What to read where the kernel or a sandbox does not offer the best.
///
/// Not the program `netstat`, which reads nothing else and would have the parent wait for it.
static OTHERS: [fn() -> Box<dyn Source>; 1] = [|| Box::new(ProcNet::new())];

/// Whether a source will not be there the next time either.
fn is_for_good(error: &SourceError) -> bool {
    match error {
        SourceError::Unsupported { .. } => true,
        // Others pass, such as having no descriptors.
        SourceError::Netlink { source, .. } | SourceError::File { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::Unsupported
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use prefork_netwatch::Proto;

    use super::*;

    #[test]
    fn only_what_will_not_come_back_is_given_up() {
        let error = |kind: io::ErrorKind| SourceError::Netlink {
            action: "open",
            proto: Proto::Tcp,
            source: kind.into(),
        };
        assert!(is_for_good(&error(io::ErrorKind::PermissionDenied)));
        assert!(!is_for_good(&error(io::ErrorKind::OutOfMemory)));
        assert!(!is_for_good(&SourceError::BrokenOff { proto: Proto::Tcp, tries: 3 }));
    }

    #[test]
    fn the_other_sources_see_the_same_clients() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let endpoint = Endpoint::of_socket(listener.as_fd()).expect("an address");
        let filter = Filter::listening([endpoint]);
        let client = std::net::TcpStream::connect(listener.local_addr().expect("bound"));
        let _server = listener.accept().expect("accepted");
        let mut source = OTHERS[0]();
        let mut rows = Vec::new();
        source.read(&filter, &mut rows).expect("read");
        // While the table changes, the kernel may show a row twice.
        rows.dedup_by_key(|row| row.inode);
        assert_eq!(rows.len(), 1, "{rows:?}");
        drop(client);
    }
}
