//! Opening the logs that the arguments name.

use std::os::fd::OwnedFd;

use prefork_daemonize::open_log;

use crate::{
    AccessLog, RunError,
    args::check::{AccessTarget, ErrorLog},
    upgrade::Inherited,
};

/// Opens the error log. `None`, where there is nothing to be opened: standard error goes where it went
/// before, as it also does after an upgrade of a parent that may not open the old file any more
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

/// Opens the access log; one that may not be opened any more is taken from the old program.
pub(crate) fn open_access_log(
    log: Option<AccessTarget>,
    inherited: Option<&Inherited>,
) -> Result<AccessLog, RunError> {
    match log {
        None => Ok(AccessLog::nowhere()),
        Some(AccessTarget::Handle(handle)) => Ok(AccessLog::handle(handle)),
        Some(AccessTarget::Path(path)) => AccessLog::file(&path).or_else(|error| {
            let file = inherited.and_then(|inherited| inherited.access_log(&path));
            file.map_or(Err(RunError::Log(error)), |file| Ok(AccessLog::of(file, &path)))
        }),
    }
}
