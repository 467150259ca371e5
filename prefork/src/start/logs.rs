//! Sending standard error to the error log, and opening the logs again.

use std::{
    fmt::Display,
    os::fd::{BorrowedFd, OwnedFd},
};

use prefork_daemonize::open_log;

use crate::{
    AccessLog, Report, RunError,
    args::check::Settings,
    channels::Logs,
    logs::{FileMessage, Streams, log::Log, stderr},
};

/// Sends standard error of a daemon in the foreground to the error log.
pub(crate) fn redirect_at_start(log: OwnedFd) -> Result<(), RunError> {
    stderr::redirect_at_start(log).map_err(RunError::system(REDIRECT))
}

/// Sends standard error to the error log, and in the background standard output too.
pub(crate) fn redirect(settings: &Settings, log: OwnedFd) -> Result<(), RunError> {
    stderr::redirect(log, Streams::of(settings)).map_err(RunError::system(REDIRECT))
}

const REDIRECT: &str = "send standard error to the error log";

impl Streams {
    pub(crate) const fn of(settings: &Settings) -> Self {
        if settings.daemonize { Self::Both } else { Self::StandardError }
    }
}

/// Opens the logs that have a path again, for this reason, and returns what others are to have of them. One that cannot
/// be opened goes on as it was.
pub(crate) fn reopen<'a>(
    settings: &Settings,
    access_log: &'a mut AccessLog,
    reason: &dyn Display,
    log: &Log,
) -> Logs<BorrowedFd<'a>> {
    let has_error_log =
        reopen_error_log(settings, reason, log) && settings.error_log_path.is_some();
    let reopened = access_log.reopen();
    if let Err(error) = &reopened {
        error.log(log);
    }
    let access_log = access_log.open_file().filter(|_| reopened.is_ok());
    Logs {
        error_log: has_error_log.then(rustix::stdio::stderr),
        access_log: access_log.map(|(_, file)| file),
    }
}

/// Opens the error log again, if it has a path; returns whether that did not fail.
///
/// The first line there, before anybody else can write to it, says why it begins.
pub(crate) fn reopen_error_log(settings: &Settings, reason: &dyn Display, log: &Log) -> bool {
    let replaced = replace_error_log(settings);
    match &replaced {
        Ok(()) if settings.error_log_path.is_some() => {
            log.write(&FileMessage::LogReopened { reason });
        }
        Ok(()) => {}
        Err(error) => {
            log.write(&FileMessage::LogNotReopened { log: "error log", error: &Report(error) });
        }
    }
    replaced.is_ok()
}

fn replace_error_log(settings: &Settings) -> Result<(), RunError> {
    let Some(path) = &settings.error_log_path else { return Ok(()) };
    redirect(settings, open_log(path).map_err(RunError::Log)?.into())
}
