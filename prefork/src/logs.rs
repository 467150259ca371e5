//! Opening the logs, and opening them anew after they were rotated.

use std::{io, os::fd::OwnedFd};

use prefork_daemonize::open_log;

use crate::{
    AccessLog, Report, RunError,
    check::{AccessTarget, ErrorLog, Settings},
    log::Log,
};

pub(crate) fn open_error_log(log: ErrorLog) -> Result<OwnedFd, RunError> {
    Ok(match log {
        ErrorLog::Path(path) => open_log(path)?.into(),
        ErrorLog::Handle(handle) => handle,
    })
}

pub(crate) fn open_access_log(log: Option<AccessTarget>) -> Result<AccessLog, RunError> {
    Ok(match log {
        None => AccessLog::nowhere(),
        Some(AccessTarget::Path(path)) => AccessLog::file(&path)?,
        Some(AccessTarget::Handle(handle)) => AccessLog::handle(handle),
    })
}

/// Sends standard error to the error log.
pub(crate) fn redirect_stderr(log: OwnedFd) -> Result<(), RunError> {
    let redirect = RunError::system("redirect standard error to the error log");
    rustix::stdio::dup2_stderr(log).map_err(io::Error::from).map_err(redirect)
}

/// Opens the logs that have a path anew. One that cannot be opened goes on as it was.
pub(crate) fn reopen(settings: &Settings, access_log: &mut AccessLog, log: &Log) {
    reopen_error_log(settings, log);
    if let Err(error) = access_log.reopen() {
        log.error(format_args!("the access log stays as it was: {}", Report(&error)));
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
    let file: OwnedFd = open_log(path)?.into();
    if settings.daemonize {
        let redirect = RunError::system("redirect standard output to the error log");
        rustix::stdio::dup2_stdout(&file).map_err(io::Error::from).map_err(redirect)?;
    }
    redirect_stderr(file)
}
