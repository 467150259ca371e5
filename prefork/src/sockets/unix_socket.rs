//! Making UNIX sockets, where nobody else can put theirs.

use std::{
    io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use prefork_daemonize::{SocketFile, SocketFileError};
use prefork_reload::trusted_way;
use rustix::process::geteuid;

use crate::{ErrorChain, sys::refused::Refusable};

/// What listening takes, for errors where one of it is refused.
pub(crate) const LISTENING: &str = "socket(2), setsockopt(2), bind(2) or listen(2)";

/// Listens at `path`, where a socket may stand that nobody listens at any more.
///
/// With `mode` the file has these permissions from its first moment on; else what the mask of the process
/// leaves of 0777.
///
/// # Errors
///
/// Those of [`SocketFile::bind`], without the path; and if this process is root and others may write to the directory or to
/// one above.
pub(crate) fn bind(
    path: &Path,
    mode: Option<u32>,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    if geteuid().is_root() {
        // Before anything is removed there.
        trusted_way(path, 0).map_err(|distrust| {
            let problem = format!(
                "others could put a socket of theirs there: {}, or choose another path",
                ErrorChain(&distrust)
            );
            io::Error::new(io::ErrorKind::PermissionDenied, problem)
        })?;
    }
    let bound = match mode {
        Some(mode) => SocketFile::bind_with_mode(path, mode),
        None => SocketFile::bind(path),
    };
    bound.map_err(SocketFileError::into_reason).if_refused(LISTENING)
}

/// Takes a relative path from where the program was started: by now the directory may be `/`.
pub(super) fn absolute(path: &Path, started_in: Option<&Path>) -> io::Result<PathBuf> {
    if path.is_absolute() || path.as_os_str().is_empty() {
        return std::path::absolute(path);
    }
    let gone = "the directory that it is taken from is gone";
    let directory = started_in.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, gone))?;
    std::path::absolute(directory.join(path))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Keeps the mask of new files to itself: it is the whole process's, and tests have threads.
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ONE: Mutex<()> = Mutex::new(());
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
