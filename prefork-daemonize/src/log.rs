//! Opening the log of a daemon.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use prefork_core::one_line;
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;

use crate::nofollow::{Found, Kind};

/// No chain of links is followed further; the kernel's own limit is 40, see symlink(7).
const MAX_LINKS: u32 = 16;

/// How often a file may come and go while it is opened.
const ROUNDS: u32 = 100;

/// Owner reads and writes, group reads: logs are about users.
const MODE: Mode = Mode::from_raw_mode(0o640);

/// Why a log could not be opened.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The path is empty, or relative to a directory that is gone.
    #[error("cannot make the path of log {} absolute", one_line(path))]
    #[non_exhaustive]
    Path {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory is missing.
    #[error("cannot create log {}: its directory does not exist; create it first", one_line(path))]
    #[non_exhaustive]
    NoDirectory {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there cannot be a log.
    #[error("log {} is {kind}; give a regular file or a character device", one_line(path))]
    #[non_exhaustive]
    NotAFile {
        /// The log.
        path: PathBuf,
        /// What stands there, with its article: "a FIFO".
        kind: String,
    },
    /// The file has further names, so it may be somebody's file in disguise.
    #[error("log {} has {links} hard links; remove it or choose another path", one_line(path))]
    #[non_exhaustive]
    HardLinked {
        /// The log.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// A file of somebody else, in a directory where everybody can make files, such as `/tmp`.
    #[error(
        "log {} belongs to user {uid}, who has put it where everybody can; remove it or choose \
         another path",
        one_line(path)
    )]
    #[non_exhaustive]
    ForeignFile {
        /// The log.
        path: PathBuf,
        /// The owner of the file.
        uid: u32,
    },
    /// A symbolic link of somebody else, who could lead the log anywhere.
    #[error(
        "log {} is a symbolic link of user {uid}; it must belong to root or to the user that \
         runs the daemon",
        one_line(path)
    )]
    #[non_exhaustive]
    ForeignLink {
        /// The log.
        path: PathBuf,
        /// The owner of the link.
        uid: u32,
    },
    /// Links that lead nowhere, or in a circle.
    #[error("log {} is a symbolic link that leads to no file; create its target", one_line(path))]
    #[non_exhaustive]
    DanglingLink {
        /// The log.
        path: PathBuf,
    },
    /// The file cannot be opened or created.
    #[error("cannot open log {} for appending", one_line(path))]
    #[non_exhaustive]
    Open {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(LogError);

/// Opens a log for appending, and creates it if need be.
///
/// Every write goes to the end of the file (`O_APPEND`), so that several processes can share
/// it and a rotation by copy and truncate leaves no hole. A file that is created has mode 0640
/// whatever the umask is; one that exists keeps its mode. Close-on-exec, never a controlling
/// terminal, and never waits for anybody.
///
/// Allowed are regular files with one name, and character devices such as `/dev/null`. Refused
/// at once are directories, FIFOs, sockets, block devices and files with several hard links. But
/// `/dev/stdout` and `/dev/stderr` may lead to a pipe or a socket of this process, as they do in a
/// container or under a service manager; that is then shared, as a pipe may block its writers.
///
/// A symbolic link as the last component is followed when it belongs to root or to the user that
/// runs the daemon, and so are the links behind it: for a root daemon, links of root alone. Who
/// owns the directory of a log can thus not make root append to a file elsewhere. Links that lead
/// to no file are refused, not followed by creating one. Which user owns the file itself does not
/// matter, unless its directory is one where everybody can make files, such as `/tmp`: log rotation commonly
/// gives logs to the user of the children. Links among the *directories* of the path are followed as
/// everywhere, so these must not be writable by others.
///
/// # Errors
///
/// [`LogError`] names the path, what is wrong with it, and mostly what to do about it.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tinyd.log");
/// let mut log = prefork_daemonize::open_log(&path)?;
/// writeln!(log, "started")?;
/// assert_eq!(std::fs::read_to_string(&path)?, "started\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_log(path: impl AsRef<Path>) -> Result<File, LogError> {
    let given = path.as_ref();
    let path = std::path::absolute(given)
        .map_err(|source| LogError::Path { path: given.to_owned(), source })?;
    for _ in 0..ROUNDS {
        match find(&path)? {
            Some(Target::File(found)) => return open_found(&path, &found),
            Some(Target::Standard(file)) => return Ok(file),
            None => {
                if let Some(file) = create(&path)? {
                    return Ok(file);
                }
            }
        }
    }
    Err(open_error(&path, io::Error::other("the file comes and goes")))
}

/// What the path of a log leads to.
enum Target {
    /// What stands there.
    File(Found),
    /// A pipe or a socket that is a standard descriptor of this process, and has no other name.
    Standard(File),
}

/// Looks at what the path leads to, judging every link on the way; `None` for nothing at all.
fn find(path: &Path) -> Result<Option<Target>, LogError> {
    let mut at = path.to_owned();
    for link in 0..=MAX_LINKS {
        let found = match Found::at(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound && link == 0 => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(source) => return Err(open_error(path, source)),
        };
        let me = rustix::process::geteuid().as_raw();
        let is_foreign = found.owner() != 0 && found.owner() != me;
        if found.kind() != Kind::Symlink {
            if is_foreign && is_for_everybody(&at).map_err(|source| open_error(path, source))? {
                return Err(LogError::ForeignFile { path: path.to_owned(), uid: found.owner() });
            }
            return Ok(Some(Target::File(found)));
        }
        if is_foreign {
            return Err(LogError::ForeignLink { path: path.to_owned(), uid: found.owner() });
        }
        if is_magic(&found).map_err(|source| open_error(path, source))? {
            return behind(&at).map(Some).map_err(|source| open_error(path, source));
        }
        at = target(&found, &at).map_err(|source| open_error(path, source))?;
    }
    Err(LogError::DanglingLink { path: path.to_owned() })
}

/// Returns whether everybody can make files beside this one, and its owner alone can rename or remove it.
fn is_for_everybody(path: &Path) -> io::Result<bool> {
    const STICKY_AND_WRITABLE: u32 = 0o1002;
    let directory = path.parent().unwrap_or(path).metadata()?;
    Ok(directory.mode() & STICKY_AND_WRITABLE == STICKY_AND_WRITABLE)
}

/// Returns whether the link is one of procfs (`/dev/stdout` leads to one), whose text is no path.
fn is_magic(link: &Found) -> io::Result<bool> {
    let fs = rustix::fs::fstatfs(link.handle())?;
    Ok(fs.f_type == PROC_SUPER_MAGIC)
}

/// Looks at what a link of procfs leads to.
fn behind(link: &Path) -> io::Result<Target> {
    let found = Found::behind(link)?;
    let standard = match found.kind() {
        Kind::Fifo | Kind::Socket => standard(link)?,
        Kind::Regular
        | Kind::Directory
        | Kind::Symlink
        | Kind::CharacterDevice
        | Kind::BlockDevice
        | Kind::Unknown => None,
    };
    Ok(standard.map_or(Target::File(found), Target::Standard))
}

/// Returns the standard output or error of this process, if the link leads to that.
fn standard(link: &Path) -> io::Result<Option<File>> {
    let own = format!("/proc/{}/fd", rustix::process::getpid().as_raw_nonzero());
    let directory = link.parent().unwrap_or(link);
    if std::fs::canonicalize(directory)? != Path::new(&own) {
        return Ok(None);
    }
    let descriptor = match link.file_name().and_then(OsStr::to_str) {
        Some("1") => rustix::stdio::stdout(),
        Some("2") => rustix::stdio::stderr(),
        _ => return Ok(None),
    };
    Ok(Some(rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?.into()))
}

/// Reads the very link that was judged, not whatever stands there by now.
fn target(link: &Found, at: &Path) -> io::Result<PathBuf> {
    let text = rustix::fs::readlinkat(link.handle(), "", Vec::new())?;
    let target = PathBuf::from(std::ffi::OsString::from_vec(text.into_bytes()));
    // An absolute target replaces the whole path.
    Ok(at.parent().unwrap_or(Path::new("/")).join(target))
}

fn open_found(path: &Path, found: &Found) -> Result<File, LogError> {
    match found.kind() {
        Kind::Regular if found.links() > 1 => {
            let links = found.links();
            return Err(LogError::HardLinked { path: path.to_owned(), links });
        }
        Kind::Regular | Kind::CharacterDevice => {}
        kind @ (Kind::Directory
        | Kind::Symlink
        | Kind::Fifo
        | Kind::Socket
        | Kind::BlockDevice
        | Kind::Unknown) => {
            return Err(LogError::NotAFile { path: path.to_owned(), kind: kind.to_string() });
        }
    }
    found
        .open(OFlags::WRONLY | OFlags::APPEND)
        .and_then(blocking)
        .map_err(|source| open_error(path, source))
}

/// Creates the file; `None` when it is there by now.
fn create(path: &Path) -> Result<Option<File>, LogError> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file: File = match rustix::fs::open(path, flags, MODE) {
        Ok(fd) => fd.into(),
        Err(Errno::EXIST) => return Ok(None),
        Err(Errno::NOENT) => {
            let source = Errno::NOENT.into();
            return Err(LogError::NoDirectory { path: path.to_owned(), source });
        }
        Err(errno) => return Err(open_error(path, errno.into())),
    };
    rustix::fs::fchmod(&file, MODE).map_err(|errno| open_error(path, errno.into()))?;
    Ok(Some(file))
}

/// Opening must not wait, but a slow terminal is no reason to lose lines later.
fn blocking(file: File) -> io::Result<File> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn open_error(path: &Path, source: io::Error) -> LogError {
    LogError::Open { path: path.to_owned(), source }
}
