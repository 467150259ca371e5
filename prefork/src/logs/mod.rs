//! Opening the logs, opening them again after they were rotated, and writing to them.
//!
//! - `line_writer.rs`: a line, without waiting for whoever reads it; `reconnect.rs`: where that is a socket.
//! - `stderr.rs`: the error log, as each process has it for itself.
//! - `medium.rs`: what a line needs to arrive whole.
//! - `follow.rs`: going over to logs that the parent has opened again.
//! - `lost.rs`: what could not be written.

pub(crate) mod access_log;
pub(crate) mod describe;
pub(crate) mod follow;
mod line_writer;
pub(crate) mod log;
mod lost;
mod medium;
mod reconnect;
pub(crate) mod stderr;

use std::os::fd::{BorrowedFd, OwnedFd};

use prefork_daemonize::open_log;

pub use access_log::AccessLog;
pub(crate) use follow::Streams;
pub(crate) use line_writer::{Format, LineWriter};
pub(crate) use lost::Lost;

use crate::{
    Report, RunError,
    args::check::{AccessTarget, ErrorLog, Settings},
    channels::Logs,
    logs::access_log::NotReopened,
    logs::log::Log,
    upgrade::Inherited,
};

/// Opens the error log. `None`, where there is nothing to be opened: standard error goes where it went
/// before, as it also does after an upgrade of a parent that may not open the file of before any more
/// (see [`Args::drop_parent`](crate::Args::drop_parent)).
pub(crate) fn open_error_log(
    log: Option<ErrorLog>,
    inherited: Option<&Inherited>,
) -> Result<Option<OwnedFd>, RunError> {
    match log {
        None => Ok(None),
        Some(ErrorLog::Handle(handle)) => Ok(Some(handle)),
        Some(ErrorLog::Path(path)) => match open_log(&path) {
            Ok(file) => Ok(Some(file.into())),
            Err(_) if inherited.is_some_and(|inherited| inherited.has_error_log(&path)) => Ok(None),
            Err(error) => Err(RunError::Log(error)),
        },
    }
}

/// Opens the access log; one that may not be opened any more is taken from the program of before.
pub(crate) fn open_access_log(
    log: Option<AccessTarget>,
    inherited: Option<&Inherited>,
) -> Result<AccessLog, RunError> {
    match log {
        None => Ok(AccessLog::nowhere()),
        Some(AccessTarget::Handle(handle)) => Ok(AccessLog::handle(handle)),
        Some(AccessTarget::Path(path)) => AccessLog::file(&path).or_else(|error| {
            let file = inherited.and_then(|inherited| inherited.access_log(&path));
            file.map_or(Err(error), |file| Ok(AccessLog::of(file, &path)))
        }),
    }
}

/// Sends standard error to the error log.
pub(crate) fn redirect_stderr(log: OwnedFd) -> Result<(), RunError> {
    redirect_streams(log, Streams::StandardError)
}

/// Sends standard error to the error log, and in the background standard output too.
pub(crate) fn redirect(settings: &Settings, log: OwnedFd) -> Result<(), RunError> {
    redirect_streams(log, Streams::of(settings))
}

fn redirect_streams(log: OwnedFd, streams: Streams) -> Result<(), RunError> {
    let error = RunError::system("send standard error to the error log");
    stderr::redirect(log, streams).map_err(error)
}

impl Streams {
    pub(crate) const fn of(settings: &Settings) -> Self {
        if settings.daemonize { Self::Both } else { Self::StandardError }
    }
}

/// Opens the logs that have a path again, and returns what others are to have of them. One that cannot be opened goes
/// on as it was.
pub(crate) fn reopen<'a>(
    settings: &Settings,
    access_log: &'a mut AccessLog,
    log: &Log,
) -> Logs<BorrowedFd<'a>> {
    let has_error_log = reopen_error_log(settings, log) && settings.error_log_path.is_some();
    let reopened = access_log.reopen();
    if let Err(error) = &reopened {
        log.error(NotReopened(error));
    }
    let access_log = access_log.open_file().filter(|_| reopened.is_ok());
    Logs {
        error_log: has_error_log.then(rustix::stdio::stderr),
        access_log: access_log.map(|(_, file)| file),
    }
}

/// Opens the error log again, if it has a path; tells whether that did not fail.
pub(crate) fn reopen_error_log(settings: &Settings, log: &Log) -> bool {
    let replaced = replace_error_log(settings);
    if let Err(error) = &replaced {
        log.error(format_args!("the error log stays as it was: {}", Report(error)));
    }
    replaced.is_ok()
}

fn replace_error_log(settings: &Settings) -> Result<(), RunError> {
    let Some(path) = &settings.error_log_path else { return Ok(()) };
    redirect(settings, open_log(path).map_err(RunError::Log)?.into())
}
