//! UNIX sockets in the file system: made, known again, and taken away.
//!
//! # Problem
//!
//! Binding makes a file that outlives the process, and where a file stands nobody can bind. So it
//! must go with the daemon, however that ends; and one of a daemon that was killed, which removes nothing,
//! must not be in the way of the next.
//!
//! # Idea
//!
//! The process that has made the file remembers which one it is, and removes it when it is not
//! wanted any more, if that very file still stands at the path; a process forked from it does not. A socket at
//! which nobody listens is known by the kernel's refusal to connect; it is replaced.
//!
//! # Assumptions
//!
//! Where this process is root, nobody else can write to the directory, or to one above it: that is the caller's to
//! make sure of. Else others may, so it is looked up once, and what was looked at and what is removed are in the same one.

use std::{
    ffi::OsStr,
    fmt::{self, Display},
    fs::{File, Metadata},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process,
};

use prefork_core::one_line;
use rustix::{
    fs::{AtFlags, Mode, OFlags, open, openat, unlinkat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::{geteuid, umask},
};

/// The file of a UNIX socket that is this daemon's to remove: it goes when this is dropped, in the process that has
/// made it.
///
/// [`UnixListener::bind`] leaves a file behind that outlives the process, and fails where one stands. This replaces
/// a socket at which nobody listens any more, as a daemon leaves that was killed, and nothing else; and when it is
/// dropped, it removes the very file that it has made, and no other that stands there by then.
///
/// # Fork
///
/// A copy in a process that was forked removes nothing.
///
/// # Security
///
/// Nobody but root should be able to write to the directory of a socket of root's, or to one above it: else they can put
/// a socket of theirs in its place. Make sure of that before.
///
/// # Examples
///
/// ```
/// use prefork_daemonize::SocketFile;
/// use std::os::unix::net::UnixStream;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("exampled.sock");
/// // The group may connect too.
/// let (listener, file) = SocketFile::bind_with_mode(&path, 0o660)?;
/// UnixStream::connect(&path)?;
/// // The socket first: while it is open, no other file can be taken for this one.
/// drop(file);
/// drop(listener);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: SocketFileId,
    owner: u32,
}

/// By what the file of a socket is known again, by whatever name. While its socket is open, no other file has the same.
///
/// With the feature `serde` it can be handed to another program that goes on with the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SocketFileId {
    device: u64,
    inode: u64,
}

/// Why nothing listens on a UNIX socket.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SocketFileError {
    /// Something stands there that is not replaced.
    #[error("cannot listen on {}: {obstacle}; choose another path", one_line(path))]
    #[non_exhaustive]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What stands there.
        obstacle: Obstacle,
    },
    /// The mode has other bits than those of permissions.
    #[error(
        "cannot listen on {}: mode {mode:o} has more than the bits 777; give permissions alone",
        one_line(path)
    )]
    #[non_exhaustive]
    Mode {
        /// The path.
        path: PathBuf,
        /// The mode that was asked for.
        mode: u32,
    },
    /// The system refuses: the directory is missing or may not be written to, the path has more than the 107 bytes that
    /// `unix(7)` has room for, or the process can have no more descriptors.
    #[error("cannot listen on {}", one_line(path))]
    #[non_exhaustive]
    Bind {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(SocketFileError);

/// What stands where a socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// A file of another type, a symbolic link among them.
    NoSocket,
    /// A socket at which a process listens.
    Alive,
    /// A socket of another user, who does not let this one find out whether somebody listens.
    Closed {
        /// The owner of the file.
        uid: u32,
    },
    /// A socket of another user, at which nobody listens.
    Foreign {
        /// The owner of the file.
        uid: u32,
    },
}

impl Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket => f.write_str("a file that is no socket stands there"),
            Self::Alive => f.write_str("a process listens there"),
            Self::Closed { uid } => write!(f, "a socket of user id {uid} stands there"),
            Self::Foreign { uid } => write!(f, "a socket of user id {uid} is left there"),
        }
    }
}

impl SocketFileError {
    /// Returns the reason alone, for those who name the path themselves: the error of the system, or one of the same kind.
    #[must_use]
    pub fn into_reason(self) -> io::Error {
        match self {
            Self::Occupied { obstacle, .. } => {
                io::Error::new(io::ErrorKind::AddrInUse, obstacle.to_string())
            }
            Self::Mode { mode, .. } => {
                let problem = format!("mode {mode:o} has more than the bits 777");
                io::Error::new(io::ErrorKind::InvalidInput, problem)
            }
            Self::Bind { source, .. } => source,
        }
    }
}

impl SocketFile {
    /// Listens at `path`, where a socket may stand that nobody listens at any more. Such a one is replaced if it is this
    /// user's, or this user is root.
    ///
    /// Only users that may write to the file may connect (see `unix(7)`): the file has what the mask of the process leaves
    /// of 0777. There is no `SocketFile` if somebody has removed the file already.
    ///
    /// # Errors
    ///
    /// Fails if something else stands there, and returns what; if the directory is missing or may not be written to; or
    /// if the path has more than the 107 bytes that `unix(7)` has room for.
    pub fn bind(path: impl AsRef<Path>) -> Result<(UnixListener, Option<Self>), SocketFileError> {
        Self::bind_as(path.as_ref(), None)
    }

    /// Listens at `path` as [`bind`](Self::bind) does, with a file that has the permissions `mode`, up to 0777, from its
    /// first moment on: `0o660` for a group, `0o666` for everybody.
    ///
    /// Other threads should make no files meanwhile: the mask is the whole process's.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and if `mode` has other bits.
    pub fn bind_with_mode(
        path: impl AsRef<Path>,
        mode: u32,
    ) -> Result<(UnixListener, Option<Self>), SocketFileError> {
        let path = path.as_ref();
        if mode > 0o777 {
            return Err(SocketFileError::Mode { path: path.to_owned(), mode });
        }
        Self::bind_as(path, Some(Mode::from_raw_mode(mode)))
    }

    fn bind_as(
        path: &Path,
        mode: Option<Mode>,
    ) -> Result<(UnixListener, Option<Self>), SocketFileError> {
        let obstacle = clear(path);
        let mask = mode.map(|mode| umask(Mode::from_raw_mode(0o777).difference(mode)));
        let bound = UnixListener::bind(path);
        mask.map(umask);
        match (bound, obstacle) {
            (Ok(listener), _) => Ok((listener, Self::at(path))),
            (Err(error), Some(obstacle)) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(SocketFileError::Occupied { path: path.to_owned(), obstacle })
            }
            (Err(source), _) => Err(SocketFileError::Bind { path: path.to_owned(), source }),
        }
    }

    /// Takes charge of the socket that stands at `path`, if one does.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Option<Self> {
        // The working directory may be another when it is to go.
        let path = std::path::absolute(path).ok()?;
        let found = Entry::at(&path)?.look().ok()?;
        found.file_type().is_socket().then(|| Self::known(path, SocketFileId::of(&found)))
    }

    /// Takes charge of the one that was at `path`, if it still is when it is to go: for a program that goes on with the
    /// socket of another.
    #[must_use]
    pub fn known(path: PathBuf, id: SocketFileId) -> Self {
        Self { path, id, owner: process::id() }
    }

    /// Returns by what the file is known again.
    #[must_use]
    pub const fn id(&self) -> SocketFileId {
        self.id
    }

    /// Returns where the file was made.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if process::id() != self.owner {
            return;
        }
        if let Some(entry) = Entry::at(&self.path).filter(|entry| entry.is(self.id)) {
            // One that may not be removed any more is replaced by the next start.
            let _ = entry.remove();
        }
    }
}

impl SocketFileId {
    /// Makes that of a file whose device and number another program has noted, as [`device`](Self::device) and
    /// [`inode`](Self::inode) return them.
    #[must_use]
    pub const fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    /// Returns the device that the file is on (`st_dev` in `stat(3type)`).
    #[must_use]
    pub const fn device(self) -> u64 {
        self.device
    }

    /// Returns the number of the file there (`st_ino`).
    #[must_use]
    pub const fn inode(self) -> u64 {
        self.inode
    }

    /// Returns whether the file stands at `path`.
    #[must_use]
    pub fn is_at(self, path: impl AsRef<Path>) -> bool {
        Entry::at(path.as_ref()).is_some_and(|entry| entry.is(self))
    }

    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// Removes a socket that nobody listens at any more, if it is this user's or this user is root; returns what
/// else stands there.
fn clear(path: &Path) -> Option<Obstacle> {
    let entry = Entry::at(path)?;
    let found = entry.look().ok()?;
    if !found.file_type().is_socket() {
        return Some(Obstacle::NoSocket);
    }
    // A listener that has no time yet is not waited for.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    match connect(&socket, &SocketAddrUnix::new(path).ok()?) {
        // The last is the answer of sockets of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => return Some(Obstacle::Alive),
        Err(Errno::CONNREFUSED) => {}
        // Without the right to connect there is no answer whether somebody listens.
        Err(_) => return Some(Obstacle::Closed { uid: found.uid() }),
    }
    let user = geteuid();
    if !user.is_root() && user.as_raw() != found.uid() {
        return Some(Obstacle::Foreign { uid: found.uid() });
    }
    // Another may have been quicker to replace it.
    if entry.is(SocketFileId::of(&found)) {
        let _ = entry.remove();
    }
    None
}

/// A name in a directory that was looked up once.
struct Entry<'a> {
    directory: OwnedFd,
    name: &'a OsStr,
}

impl<'a> Entry<'a> {
    /// Looks up the directory of a path; `None` if there is none.
    fn at(path: &'a Path) -> Option<Self> {
        let (directory, name) = (path.parent()?, path.file_name()?);
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Some(Self { directory: open(directory, flags, Mode::empty()).ok()?, name })
    }

    /// Looks at what stands there, itself and not where it may lead.
    fn look(&self) -> io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(openat(&self.directory, self.name, flags, Mode::empty())?).metadata()
    }

    fn is(&self, id: SocketFileId) -> bool {
        self.look().is_ok_and(|found| SocketFileId::of(&found) == id)
    }

    fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.directory, self.name, AtFlags::empty())?)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
        sync::{Mutex, MutexGuard, PoisonError},
        thread,
        time::Instant,
    };

    use super::*;

    /// Keeps the mask of new files to itself: it is the whole process's, and tests have threads.
    fn alone() -> MutexGuard<'static, ()> {
        static ONE: Mutex<()> = Mutex::new(());
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until it works, where nobody listens any more: a process that another test is just starting has all
    /// that is open here, until it executes something.
    #[track_caller]
    fn in_the_end<T>(mut bind: impl FnMut() -> Result<T, SocketFileError>) -> T {
        let begun = Instant::now();
        loop {
            match bind() {
                Ok(bound) => return bound,
                Err(error) => assert!(begun.elapsed().as_secs() < 10, "not replaced: {error}"),
            }
            thread::yield_now();
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[track_caller]
    fn assert_obstacle(path: &Path, expected: Obstacle) {
        let error = SocketFile::bind(path).expect_err("something stands there");
        let path = one_line(path);
        let text = format!("cannot listen on {path}: {expected}; choose another path");
        assert_eq!(error.to_string(), text);
        let reason = error.into_reason();
        assert_eq!(reason.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(reason.to_string(), expected.to_string());
    }

    #[test]
    fn the_file_goes_with_its_owner() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let (listener, file) = SocketFile::bind(&path).expect("bound");
        UnixStream::connect(&path).expect("it listens");
        drop(listener);
        assert!(path.exists());
        drop(file.expect("there"));
        assert!(!path.exists());
    }

    #[test]
    fn the_mode_is_the_one_that_was_asked_for() {
        let _alone = alone();
        let folder = folder();
        for mode in [0o600, 0o660, 0o777] {
            let path = folder.path().join(format!("{mode:o}"));
            let _bound = SocketFile::bind_with_mode(&path, mode).expect("bound");
            let found = fs::symlink_metadata(&path).expect("there").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{found:o}");
        }
        let path = folder.path().join("1777");
        let error = SocketFile::bind_with_mode(&path, 0o1777).expect_err("no mode of a file");
        let shown = one_line(&path);
        let problem = "mode 1777 has more than the bits 777; give permissions alone";
        let text = format!("cannot listen on {shown}: {problem}");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.into_reason().kind(), io::ErrorKind::InvalidInput);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        let (_listener, file) = in_the_end(|| SocketFile::bind(&path));
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        // Bound, and nobody listens.
        drop(UnixDatagram::bind(&path).expect("bound"));
        in_the_end(|| SocketFile::bind(&path));
    }

    #[test]
    fn root_replaces_what_another_user_has_left() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a file to another user");
            return;
        }
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
        in_the_end(|| SocketFile::bind(&path));
    }

    #[test]
    fn what_is_alive_or_no_socket_is_left_alone() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let alive = UnixListener::bind(&path).expect("bound");
        assert_obstacle(&path, Obstacle::Alive);
        UnixStream::connect(&path).expect("it still listens");
        drop(alive);
        fs::remove_file(&path).expect("removed");
        let datagrams = UnixDatagram::bind(&path).expect("bound");
        assert_obstacle(&path, Obstacle::Alive);
        drop(datagrams);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert_obstacle(&path, Obstacle::NoSocket);
        assert_eq!(fs::read(&path).expect("read"), b"precious");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).expect("linked");
        assert_obstacle(&link, Obstacle::NoSocket);
        assert!(link.is_symlink());
    }

    /// Nobody waits for one whose queue is full.
    #[test]
    fn who_listens_and_has_no_time_is_alive() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let alive = UnixListener::bind(&path).expect("bound");
        rustix::net::listen(&alive, 0).expect("listening");
        let _waits = UnixStream::connect(&path).expect("it listens");
        assert_obstacle(&path, Obstacle::Alive);
    }

    #[test]
    fn another_file_at_the_path_is_not_removed() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let (_listener, file) = SocketFile::bind(&path).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("bound");
        drop(file);
        assert!(path.exists());
        drop(SocketFile::at(folder.path()));
        assert!(folder.path().exists(), "it is no socket");
    }

    #[test]
    fn a_copy_in_another_process_removes_nothing() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let (_listener, file) = SocketFile::bind(&path).expect("bound");
        let mut file = file.expect("there");
        file.owner += 1;
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_is_wrong_with_a_path_is_returned() {
        let _alone = alone();
        let folder = folder();
        for (path, kind) in [
            (folder.path().join("no/socket"), io::ErrorKind::NotFound),
            (folder.path().join("x".repeat(107)), io::ErrorKind::InvalidInput),
        ] {
            let error = SocketFile::bind(&path).expect_err("no place for a file");
            assert_eq!(error.to_string(), format!("cannot listen on {}", one_line(&path)));
            assert_eq!(error.into_reason().kind(), kind);
        }
    }
}
