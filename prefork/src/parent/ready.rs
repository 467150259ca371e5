//! Reporting that the daemon serves.

use prefork_core::{Event, Request, Supervisor};
use prefork_daemonize::Readiness;

use crate::{
    Report,
    logs::describe::Children,
    logs::log::Log,
    logs::{ChangeMessage, PoolMessage},
    system::clock,
};

/// Logs it and, once, reports it to the launcher.
pub(crate) fn announce(
    readiness: &mut Option<Readiness>,
    supervisor: &mut Supervisor,
    children: usize,
    log: &Log,
) {
    log.write(&PoolMessage::Ready { children: Children(children) });
    if let Some(Err(error)) = readiness.take().map(Readiness::ready) {
        // The launcher has reported that the start failed: the daemon must not stay behind.
        log.write(&ChangeMessage::NotAnnounced { error: &Report(&error) });
        supervisor.handle(clock::now(), Event::Requested(Request::StopNow));
    }
}
