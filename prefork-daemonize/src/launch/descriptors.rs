//! Which of the descriptors that came with the launcher the daemon keeps.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::{fs, io};

use crate::sys;

/// Says what becomes of the descriptors from 3 upwards that the daemon has inherited.
///
/// A descriptor that is open in the program that starts a daemon (a pipe of a script, a lock
/// of a package manager, the connection of a remote shell) and that the daemon keeps is held
/// for as long as the daemon lives: scripts wait for ever, locks stay taken.
///
/// There is deliberately no policy that closes everything: an open `File` or socket inside
/// the program owns its number, and code that closes it behind the owner's back makes that
/// owner read, write and close whatever gets the number next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Descriptors {
    /// Closes every descriptor that lacks the close-on-exec flag, except those named with
    /// [`Daemonize::keep`](crate::Daemonize::keep).
    ///
    /// The default. Exec closes all that have the flag, and Rust's standard library sets it
    /// on everything it opens, so those without it came from the process that started the program.
    /// The exceptions are the program's own doing, and it must name them with `keep`: a
    /// descriptor adopted by number (sockets passed by a service manager), one whose flag
    /// was cleared on purpose, one opened by C code without `O_CLOEXEC`.
    #[default]
    CloseInherited,
    /// Closes nothing.
    KeepAll,
}

/// Closes what was inherited and is not on the list.
pub(crate) fn close_inherited(keep: &[RawFd]) -> io::Result<()> {
    // Listed first and closed afterwards: the listing itself holds a descriptor, which has
    // close-on-exec and is gone by then.
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .map(|entry| Ok(number(&entry?.file_name())))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    for fd in open {
        // An error means that it is no longer open: the listing's own.
        if fd > 2 && !keep.contains(&fd) && matches!(sys::closes_on_exec(fd), Ok(false)) {
            sys::close_unowned(fd);
        }
    }
    Ok(())
}

fn number(name: &OsStr) -> Option<RawFd> {
    name.to_str()?.parse().ok()
}
