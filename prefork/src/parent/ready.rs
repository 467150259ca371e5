//! Reporting that the daemon serves, and that it has stopped.

use std::{fmt::Display, time::Duration};

use prefork_core::{Departure, Event, Request, Supervisor, Time};
use prefork_daemonize::Readiness;

use crate::{
    ErrorChain,
    logs::describe::{Children, Span, Uptime},
    logs::log::Log,
    logs::stderr,
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
    drop(stderr::take_original());
    log.write(&PoolMessage::Ready { children: Children(children) });
    if let Some(Err(error)) = readiness.take().map(Readiness::ready) {
        // The launcher has reported that the start failed: the daemon must not stay behind.
        log.write(&ChangeMessage::NotAnnounced { error: &ErrorChain(&error) });
        supervisor.handle(clock::now(), Event::Requested(Request::StopNow));
    }
}

/// Logs, as the last line, how a stop has gone that was asked for; `began` is when the daemon was started.
pub(crate) fn log_stopped(departure: Option<Departure>, how: &dyn Display, began: Time, log: &Log) {
    let now = clock::now();
    let duration = Span(departure.map_or(Duration::ZERO, |departure| now.since(departure.began)));
    log.write(&ChangeMessage::Stopped { duration, how, uptime: &Uptime(now.since(began)) });
}
