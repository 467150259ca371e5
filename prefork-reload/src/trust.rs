//! Who could change what stands at a path.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::PROC_SUPER_MAGIC;

use crate::hops::{self, Step};
use crate::one_line::OneLine;

/// Checks that nobody but root and `uid` could change what stands at `path`.
///
/// For a file that is about to be run or believed by a privileged process. The file itself, every
/// directory up to `/`, every symbolic link on the way and the directories of those are examined:
///
/// - the owner of each must be root or `uid`;
/// - none may be writable by others, nor by a group unless it is group 0, whose members administer
///   the system. POSIX access control lists are covered: the group bits show the most that one
///   grants (see `acl(5)`). The mode of a symbolic link means nothing;
/// - a directory with the sticky bit, such as `/tmp`, may be writable, because the entry that
///   matters belongs to root or `uid`, and nobody else may rename or delete it (`unlink(2)`).
///
/// A relative path is taken from the working directory. The answer holds for as long as root and
/// `uid` change nothing, because nobody else can. Mounts and who runs as root are not considered.
///
/// # Errors
///
/// [`Distrust`], for the first component of the path that somebody else could change.
///
/// # Examples
///
/// ```
/// assert!(prefork_reload::trusted("/", 0).is_ok());
/// let error = prefork_reload::trusted("/tmp", 0).unwrap_err();
/// assert!(error.to_string().contains("chmod"), "{error}");
/// ```
pub fn trusted(path: impl AsRef<Path>, uid: u32) -> Result<(), Distrust> {
    let path = absolute(path.as_ref())?;
    let end = walk(&path, uid, Purpose::ToBelieve)?;
    let metadata = end.symlink_metadata().map_err(|source| Distrust::Io { path: end, source })?;
    judge(&path, &metadata, uid)?;
    judge_modes(&path, &metadata)
}

/// Examines whether anybody but root and `uid` could put something else where `path` leads to, whatever stands there
/// now, if anything does.
///
/// For a file that a privileged process is about to create, or to write to without believing what is in it: a
/// pid file, a log, a socket. All that leads to it is examined as by [`trusted`], but not the file itself: it
/// may belong to others, and be written by them. Only where others may write to its directory, under the
/// sticky bit, the file must belong to root or `uid`, if it is there; a program that creates it there must see to it
/// that it was not there before (`O_EXCL`).
///
/// Two exceptions. `/var/log` may be writable by a group, as long as it belongs to root: Ubuntu gives it to the
/// one that writes the system's own logs. And what procfs shows is the kernel's: where `/dev/stdout` leads to is
/// not examined further.
///
/// # Errors
///
/// As of [`trusted`]. That something is missing is no error.
///
/// # Examples
///
/// ```
/// assert!(prefork_reload::trusted_way("/run/exampled.pid", 0).is_ok());
/// assert!(prefork_reload::trusted_way("/dev/stdout", 0).is_ok());
/// ```
pub fn trusted_way(path: impl AsRef<Path>, uid: u32) -> Result<(), Distrust> {
    let path = absolute(path.as_ref())?;
    match walk(&path, uid, Purpose::ToWrite) {
        Ok(_) => Ok(()),
        Err(Distrust::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(distrust) => Err(distrust),
    }
}

/// Checks the same as [`trusted`] of a file that is already open, for a caller that opens first, judges, then uses just
/// what was judged.
///
/// The owner and the mode are those of the open file (`fstat(2)`), so it does not matter if `path`
/// leads to another one by now. The way to it is examined as by [`trusted`].
///
/// # Errors
///
/// As of [`trusted`].
pub fn trusted_file(file: &File, path: impl AsRef<Path>, uid: u32) -> Result<(), Distrust> {
    let path = absolute(path.as_ref())?;
    walk(&path, uid, Purpose::ToBelieve)?;
    let metadata = file.metadata().map_err(|source| Distrust::Io { path: path.clone(), source })?;
    judge(&path, &metadata, uid)?;
    judge_modes(&path, &metadata)
}

/// Why what stands at a path cannot be trusted.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// A component belongs to somebody else.
    #[error(
        "{path} belongs to user {owner} (mode {mode:04o}), who could change it; \
         run `chown {} {path}`",
        allowed,
        path = OneLine(path)
    )]
    #[non_exhaustive]
    Owner {
        /// The component.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode, permissions only.
        mode: u32,
        /// The user that may own it, besides root.
        allowed: u32,
    },
    /// A component may be written by others than its owner.
    #[error(
        "{path} can be written by {by} (owner {owner}, mode {mode:04o}); run `chmod {}-w {path}`",
        by.letters(),
        path = OneLine(path)
    )]
    #[non_exhaustive]
    Writable {
        /// The component.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode, permissions only.
        mode: u32,
        /// Who else may write it.
        by: Writers,
    },
    /// A component could not be examined.
    #[error("cannot examine {}", OneLine(path))]
    #[non_exhaustive]
    Io {
        /// The component.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(Distrust);

/// The users that may write a file besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// The members of a group that is not group 0.
    Group(u32),
    /// Everybody who is not of the file's group.
    Others,
    /// Everybody: the members of the group, and all others.
    Everybody,
}

impl Writers {
    const fn letters(self) -> &'static str {
        match self {
            Self::Group(_) => "g",
            Self::Others => "o",
            Self::Everybody => "go",
        }
    }
}

impl fmt::Display for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(gid) => write!(f, "group {gid}"),
            Self::Others | Self::Everybody => f.write_str("everybody"),
        }
    }
}

/// What is to be done with that to which a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is run, or believed.
    ToBelieve,
    /// It is made, or written to.
    ToWrite,
}

fn absolute(path: &Path) -> Result<PathBuf, Distrust> {
    std::path::absolute(path).map_err(|source| Distrust::Io { path: path.to_owned(), source })
}

/// Judges all that leads to a path, but not what stands there; returns where that is.
fn walk(path: &Path, uid: u32, purpose: Purpose) -> Result<PathBuf, Distrust> {
    let failed = |path, source| Distrust::Io { path, source };
    hops::follow(
        path,
        |hop| {
            if purpose == Purpose::ToWrite && is_of_the_kernel(hop.directory) {
                return Ok(Step::Stop);
            }
            let metadata = hop
                .directory
                .symlink_metadata()
                .map_err(|source| failed(hop.directory.to_owned(), source))?;
            judge(hop.directory, &metadata, uid)?;
            // Under the sticky bit all depends on who owns the entry.
            let is_sticky = metadata.mode() & STICKY != 0;
            if !is_sticky && !is_shared_on_purpose(hop.directory, &metadata, purpose) {
                judge_modes(hop.directory, &metadata)?;
            }
            match hop.metadata {
                Ok(entry) if entry.is_symlink() || is_sticky => judge(hop.entry, entry, uid)?,
                Ok(_) | Err(_) => {}
            }
            Ok(Step::On)
        },
        failed,
    )
}

/// Whether a directory is one of procfs, where links may lead to what has no path.
fn is_of_the_kernel(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC)
}

/// Whether a group may write to this directory of root's because that group writes the system's own logs.
fn is_shared_on_purpose(directory: &Path, metadata: &Metadata, purpose: Purpose) -> bool {
    match purpose {
        Purpose::ToBelieve => false,
        Purpose::ToWrite => {
            directory == Path::new("/var/log") && metadata.mode() & OTHERS_WRITE == 0
        }
    }
}

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

fn judge(path: &Path, metadata: &Metadata, uid: u32) -> Result<(), Distrust> {
    let owner = metadata.uid();
    if owner == 0 || owner == uid {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    Err(Distrust::Owner { path: path.to_owned(), owner, mode, allowed: uid })
}

fn judge_modes(path: &Path, metadata: &Metadata) -> Result<(), Distrust> {
    let mode = metadata.mode() & 0o7777;
    let group = mode & GROUP_WRITES != 0 && metadata.gid() != 0;
    let by = match (group, mode & OTHERS_WRITE != 0) {
        (false, false) => return Ok(()),
        (true, false) => Writers::Group(metadata.gid()),
        (false, true) => Writers::Others,
        (true, true) => Writers::Everybody,
    };
    Err(Distrust::Writable { path: path.to_owned(), owner: metadata.uid(), mode, by })
}
