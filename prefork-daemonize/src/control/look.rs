//! The process behind a pid file.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use super::error::StopError;
use crate::nofollow::{FileId, Found, Kind};
use crate::pid::Pid;
use crate::pidfile::{Owner, is_ours, owner_of};
use crate::wait::Deadline;

/// How long a locked file may be without a proven owner before that is believed: a daemon in its
/// first milliseconds looks like that.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Finds the holder of a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: there is no file, or it is stale. A daemon may start.
    Nobody,
    /// This process, as the kernel says: it runs and owns the file.
    Owner {
        /// The owner, in the pid namespace of the caller.
        pid: Pid,
    },
    /// Processes none of which proves to be the owner: the children of a daemon that was
    /// killed, as a rule. A new daemon cannot start until they are gone.
    Unproven,
}

impl Holder {
    /// Returns the owner's pid, where there is a proven owner.
    #[must_use]
    pub fn pid(self) -> Option<Pid> {
        match self {
            Self::Owner { pid } => Some(pid),
            Self::Nobody | Self::Unproven => None,
        }
    }
}

/// Returns the holder of the pid file now, from any process.
///
/// Asks the kernel about locks and does not read the file. A lock without a proven owner is
/// watched for up to one second, since a starting daemon looks like that for a moment.
///
/// The pid is for messages. To signal it, use [`signal`](crate::signal()) or
/// [`stop`](crate::stop()), which make sure that it still means the same process.
///
/// # Errors
///
/// [`StopError::Read`] when the file may not be opened, and [`StopError::NotAPidFile`] when
/// something other than a regular file with one name stands at the path.
///
/// # Examples
///
/// ```
/// use prefork_daemonize::{Holder, running};
///
/// assert_eq!(running("/nonexistent/tinyd.pid")?, Holder::Nobody);
/// # Ok::<(), prefork_daemonize::StopError>(())
/// ```
pub fn running(path: impl AsRef<Path>) -> Result<Holder, StopError> {
    let path = path.as_ref();
    let patience = Deadline::after(PATIENCE);
    loop {
        match look(path)? {
            Look::Nobody => return Ok(Holder::Nobody),
            Look::Ourselves => return Ok(Holder::Owner { pid: Pid::current() }),
            Look::Held { holder: Owner::Process(pid), .. } => return Ok(Holder::Owner { pid }),
            Look::Held { holder: Owner::Nobody | Owner::Invisible, .. } => {
                if patience.has_passed() {
                    return Ok(Holder::Unproven);
                }
            }
            Look::Changed => {}
        }
        thread::sleep(PAUSE);
    }
}

/// The pid file, opened for asking about its locks.
#[derive(Debug)]
pub(super) struct OpenPidFile {
    path: PathBuf,
    file: File,
    identity: FileId,
    file_owner: u32,
}

/// What one look at the path gave.
#[derive(Debug)]
pub(super) enum Look {
    Nobody,
    Ourselves,
    Held {
        pid_file: OpenPidFile,
        holder: Owner,
    },
    /// The file was removed while we looked.
    Changed,
}

/// Looks once, without waiting for anything.
pub(super) fn look(path: &Path) -> Result<Look, StopError> {
    let read_error = |source| StopError::Read { path: path.to_owned(), source };
    let found = match Found::at(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Nobody),
        Err(source) => return Err(read_error(source)),
    };
    let not_a_pid_file = |what| StopError::NotAPidFile { path: path.to_owned(), what };
    if found.kind() != Kind::Regular {
        return Err(not_a_pid_file(found.kind().to_string()));
    }
    match found.links() {
        0 => return Ok(Look::Changed),
        1 => {}
        links => return Err(not_a_pid_file(format!("a file with {links} hard links"))),
    }
    if is_ours(found.identity()) {
        return Ok(Look::Ourselves);
    }
    let pid_file = OpenPidFile {
        path: path.to_owned(),
        file: found.open(OFlags::RDONLY).map_err(read_error)?,
        identity: found.identity(),
        file_owner: found.owner(),
    };
    match pid_file.holder()? {
        Owner::Nobody => Ok(Look::Nobody),
        holder @ (Owner::Process(_) | Owner::Invisible) => Ok(Look::Held { pid_file, holder }),
    }
}

/// A process that is certain to be the daemon: the pidfd means it and nothing else.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) pid_file: OpenPidFile,
}

/// Finds the daemon; `None` when none runs.
pub(super) fn find(path: &Path) -> Result<Option<Daemon>, StopError> {
    let path = &std::path::absolute(path)
        .map_err(|source| StopError::Read { path: path.to_owned(), source })?;
    let patience = Deadline::after(PATIENCE);
    loop {
        match look(path)? {
            Look::Nobody => return Ok(None),
            Look::Ourselves => return Err(StopError::OwnProcess { path: path.clone() }),
            Look::Held { pid_file, holder: Owner::Process(pid) } => {
                if let Some(daemon) = pid_file.pin(pid)? {
                    return Ok(Some(daemon));
                }
            }
            Look::Held { holder: Owner::Nobody | Owner::Invisible, .. } => {
                if patience.has_passed() {
                    return Err(StopError::Unproven { path: path.clone() });
                }
            }
            Look::Changed => {}
        }
        thread::sleep(PAUSE);
    }
}

impl OpenPidFile {
    fn holder(&self) -> Result<Owner, StopError> {
        owner_of(&self.file).map_err(|source| self.read_error(source))
    }

    /// Returns whether the daemon that has ended keeps nobody from starting: the lock is free, or the
    /// name leads elsewhere, or somebody has started already and taken the file over.
    pub(super) fn is_released(&self) -> Result<bool, StopError> {
        Ok(match self.holder()? {
            Owner::Nobody | Owner::Process(_) => true,
            Owner::Invisible => !self.is_at_path()?,
        })
    }

    fn is_at_path(&self) -> Result<bool, StopError> {
        let found = FileId::at(&self.path).map_err(|source| self.read_error(source))?;
        Ok(found == Some(self.identity))
    }

    /// Ties the pid to one process, as the module describes; `None` when it changed meanwhile.
    fn pin(self, pid: Pid) -> Result<Option<Daemon>, StopError> {
        let pidfd = match pidfd_open(pid.for_rustix(), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(self.refused(pid, errno.into())),
        };
        let believed = self.may_lead_to(pid);
        if self.holder()? != Owner::Process(pid) || !self.is_at_path()? {
            return Ok(None);
        }
        match believed {
            Ok(true) => Ok(Some(Daemon { pid, pidfd, pid_file: self })),
            Ok(false) => {
                Err(StopError::NotTheirs { path: self.path.clone(), uid: self.file_owner, pid })
            }
            Err(source) => Err(self.refused(pid, source)),
        }
    }

    /// Returns whether this file may be believed about that process.
    ///
    /// A file of root or of the caller may. A file of another user is believed only as far as
    /// that user could have sent the signal himself (kill(2): his uid is the real or saved uid of
    /// the process): whatever he does to locks and pids, he gains nothing by having root stop "his"
    /// daemon. Read while the pidfd is open and before the lock is asked for again.
    fn may_lead_to(&self, pid: Pid) -> io::Result<bool> {
        if self.file_owner == 0 || self.file_owner == rustix::process::geteuid().as_raw() {
            return Ok(true);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(may_signal(self.file_owner, &status))
    }

    fn read_error(&self, source: io::Error) -> StopError {
        StopError::Read { path: self.path.clone(), source }
    }

    pub(super) fn refused(&self, pid: Pid, source: io::Error) -> StopError {
        StopError::Refused { path: self.path.clone(), pid, source }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the `Uid:` line of proc_pid_status(5) (real, effective, saved, file system) and returns
/// whether that user may signal the process.
fn may_signal(uid: u32, status: &str) -> bool {
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("Uid:")) else {
        return false;
    };
    let mut uids = line.split_ascii_whitespace().map(str::parse::<u32>);
    let real = uids.next();
    let saved = uids.nth(1);
    [real, saved].into_iter().flatten().any(|found| found == Ok(uid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::may_signal;

    #[test]
    fn believes_a_user_about_processes_that_he_may_signal() {
        let table = [
            ("Name:\td\nUid:\t33\t33\t33\t33\nGid:\t0\t0\t0\t0\n", true),
            ("Uid:\t33\t0\t0\t0\n", true),
            ("Uid:\t0\t0\t33\t0\n", true),
            ("Uid:\t0\t33\t0\t33\n", false),
            ("Uid:\t0\t0\t0\t0\n", false),
            ("Uid:\t330\t330\t330\t330\n", false),
            ("Gid:\t33\t33\t33\t33\n", false),
            ("Uid:\n", false),
            ("", false),
        ];
        for (status, expected) in table {
            assert_eq!(may_signal(33, status), expected, "{status:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_kill(uid in 0..4_u32, ids in proptest::array::uniform4(0..4_u32)) {
            let [real, effective, saved, fs] = ids;
            let status = format!("Uid:\t{real}\t{effective}\t{saved}\t{fs}\n");
            prop_assert_eq!(may_signal(uid, &status), uid == real || uid == saved);
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,200}") {
            may_signal(33, &text);
        }
    }
}
