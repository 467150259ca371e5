//! Paths that still mean the same after the daemon has changed its directory.

use std::io;
use std::path::{Path, PathBuf};

/// Makes a path absolute without asking the file system about it.
///
/// A daemon runs in `/`, so a relative path taken from a command line or a settings file
/// must be made absolute before [`Daemonize::start`](crate::Daemonize::start). Symbolic
/// links stay as they are, `..` too, and the file need not exist: see
/// [`std::path::absolute`], whose semantics these are.
///
/// # Errors
///
/// When the path is empty, or relative while the current directory is unknown (removed,
/// say).
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let log = prefork_daemonize::absolute("logs/error.log")?;
/// assert!(log.is_absolute() && log.ends_with("logs/error.log"));
/// # Ok(())
/// # }
/// ```
pub fn absolute(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    std::path::absolute(path)
}
