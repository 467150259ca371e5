//! Sending standard error to the error log, and opening the logs again.

use std::{
    fmt::Display,
    os::fd::{BorrowedFd, OwnedFd},
};

use prefork_daemonize::open_log;

use crate::{
    AccessLog, ErrorChain, RunError,
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

/// What has become of the logs when they were opened again.
pub(crate) struct Reopened<'a> {
    /// What others are to have of them.
    pub(crate) logs: Logs<BorrowedFd<'a>>,
    /// Which go on as they were, and why, if any does.
    pub(crate) failure: Option<String>,
}

/// Opens the logs that have a path again, for this reason. One that cannot be opened goes on as it was.
pub(crate) fn reopen<'a>(
    settings: &Settings,
    access_log: &'a mut AccessLog,
    reason: &dyn Display,
    log: &Log,
) -> Reopened<'a> {
    let error_log = reopen_error_log(settings, reason, log);
    let of_requests = access_log.reopen();
    if let Err(error) = &of_requests {
        error.log(log);
    }
    let failure = match (&error_log, &of_requests) {
        (Ok(()), Ok(())) => None,
        (Err(error), Ok(())) => Some(stays("the error log stays as it was", error)),
        (Ok(()), Err(error)) => Some(stays("the access log stays as it was", error)),
        (Err(error), Err(_)) => Some(stays("both logs stay as they were", error)),
    };
    let access_log = access_log.open_file().filter(|_| of_requests.is_ok());
    let has_error_log = error_log.is_ok() && settings.error_log_path.is_some();
    let logs = Logs {
        error_log: has_error_log.then(rustix::stdio::stderr),
        access_log: access_log.map(|(_, file)| file),
    };
    Reopened { logs, failure }
}

fn stays(which: &str, error: &(dyn std::error::Error + 'static)) -> String {
    format!("{which}: {}", ErrorChain(error))
}

/// Opens the error log again, if it has a path.
///
/// The first line there, before anybody else can write to it, says why it begins.
pub(crate) fn reopen_error_log(
    settings: &Settings,
    reason: &dyn Display,
    log: &Log,
) -> Result<(), RunError> {
    let replaced = replace_error_log(settings);
    match &replaced {
        Ok(()) if settings.error_log_path.is_some() => {
            log.write(&FileMessage::LogReopened { reason });
        }
        Ok(()) => {}
        Err(error) => {
            log.write(&FileMessage::LogNotReopened { log: "error log", error: &ErrorChain(error) });
        }
    }
    replaced
}

fn replace_error_log(settings: &Settings) -> Result<(), RunError> {
    let Some(path) = &settings.error_log_path else { return Ok(()) };
    redirect(settings, open_log(path).map_err(RunError::Log)?.into())
}
