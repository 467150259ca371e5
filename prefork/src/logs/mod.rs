//! Opening the logs, opening them again after they were rotated, and writing to them.
//!
//! - `line_writer.rs`: a line, without waiting for whoever reads it; `reconnect.rs`: where that is a socket.
//! - `stderr.rs`: the error log, as each process has it for itself.
//! - `medium.rs`: what a line needs to arrive whole.
//! - `lost.rs`: what could not be written.

mod line_writer;
mod lost;
mod medium;
mod reconnect;
pub(crate) mod stderr;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use prefork_daemonize::open_log;

pub(crate) use line_writer::LineWriter;
pub(crate) use lost::Lost;

use crate::{
    AccessLog, Report, RunError,
    access_log::NotReopened,
    check::{AccessTarget, ErrorLog, Settings},
    log::Log,
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
    let redirect = || RunError::system("redirect standard error to the error log");
    let writer = stderr::prepare(log.as_fd()).map_err(redirect())?;
    rustix::stdio::dup2_stderr(log).map_err(io::Error::from).map_err(redirect())?;
    stderr::install(writer);
    Ok(())
}

/// Sends standard error to the error log, and in the background standard output too.
pub(crate) fn redirect(settings: &Settings, log: OwnedFd) -> Result<(), RunError> {
    if settings.daemonize {
        let redirect = RunError::system("redirect standard output to the error log");
        rustix::stdio::dup2_stdout(&log).map_err(io::Error::from).map_err(redirect)?;
    }
    redirect_stderr(log)
}

/// Opens the logs that have a path anew. One that cannot be opened goes on as it was.
pub(crate) fn reopen(settings: &Settings, access_log: &mut AccessLog, log: &Log) {
    reopen_error_log(settings, log);
    if let Err(error) = access_log.reopen() {
        log.error(NotReopened(&error));
    }
}

/// Opens the error log anew, if it has a path.
pub(crate) fn reopen_error_log(settings: &Settings, log: &Log) {
    if let Err(error) = replace_error_log(settings) {
        log.error(format_args!("the error log stays as it was: {}", Report(&error)));
    }
}

fn replace_error_log(settings: &Settings) -> Result<(), RunError> {
    let Some(path) = &settings.error_log_path else { return Ok(()) };
    redirect(settings, open_log(path).map_err(RunError::Log)?.into())
}
