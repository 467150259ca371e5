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
//! Where this process is root, nobody else can write to the directory, or to one above it. Else others may,
//! so it is looked up once, and what was looked at and what is removed are in the same one.

use std::{
    ffi::OsStr,
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

use prefork_reload::{Distrust, trusted_way};
use rustix::{
    fs::{AtFlags, Mode, OFlags, open, openat, unlinkat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::{geteuid, umask},
};
use serde::{Deserialize, Serialize};

use crate::Report;

/// What listening takes, for errors where one of it is refused.
pub(crate) const LISTENING: &str = "socket(2), setsockopt(2), bind(2) or listen(2)";

/// The file of a UNIX socket that is this daemon's to remove: when this is dropped, in the process that has
/// made it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
    owner: u32,
}

/// The identity of the file, by whatever name. While its socket is open, no other has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// Listens at `path`, where a socket may stand that nobody listens at any more.
///
/// With `mode` the file has these permissions from its first moment on; else what the mask of the process
/// leaves of 0777.
///
/// # Errors
///
/// Fails if something else stands there, and says what; if the directory is missing or may not be written
/// to; if this process is root and others may write to it or to one above; or if the path has more than the 107 bytes that `unix(7)` has room for.
pub(crate) fn bind(
    path: &Path,
    mode: Option<Mode>,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    if geteuid().is_root() {
        // Before anything is removed there.
        trusted_way(path, 0).map_err(|distrust| distrusted(&distrust))?;
    }
    let obstacle = clear(path);
    // The mask is the process's; before the children there is one thread.
    let mask = mode.map(|mode| umask(Mode::from_raw_mode(0o777).difference(mode)));
    let bound = UnixListener::bind(path);
    mask.map(umask);
    match (bound, obstacle) {
        (Ok(listener), _) => Ok((listener, SocketFile::at(path))),
        (Err(error), Some(obstacle)) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(io::Error::new(error.kind(), obstacle))
        }
        (Err(error), _) => Err(error),
    }
}

fn distrusted(distrust: &Distrust) -> io::Error {
    let problem = format!(
        "others could put a socket of theirs there: {}, or choose another path",
        Report(distrust)
    );
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

/// Removes a socket that nobody listens at any more, if it is this user's or this user is root; returns what
/// else stands there, in words.
fn clear(path: &Path) -> Option<String> {
    let entry = Entry::at(path)?;
    let found = entry.look().ok()?;
    if !found.file_type().is_socket() {
        return Some("a file that is no socket stands there".to_owned());
    }
    // A listener that has no time yet is not waited for.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    match connect(&socket, &SocketAddrUnix::new(path).ok()?) {
        // The last is said of sockets of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            return Some("a process listens there".to_owned());
        }
        Err(Errno::CONNREFUSED) => {}
        // Without the right to connect there is no answer whether somebody listens.
        Err(_) => return Some(format!("a socket of user id {} stands there", found.uid())),
    }
    let user = geteuid();
    if !user.is_root() && user.as_raw() != found.uid() {
        return Some(format!("a socket of user id {} is left there", found.uid()));
    }
    // Another may have been quicker to replace it.
    if entry.is(Identity::of(&found)) {
        let _ = entry.remove();
    }
    None
}

impl SocketFile {
    /// Takes charge of the socket that stands at `path`, if one does.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let found = Entry::at(path)?.look().ok()?;
        found.file_type().is_socket().then(|| Self::known(path.to_owned(), Identity::of(&found)))
    }

    /// Takes charge of the one that was at `path`, if it still is.
    pub(crate) fn known(path: PathBuf, identity: Identity) -> Self {
        Self { path, identity, owner: process::id() }
    }

    /// The identity of the file.
    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if process::id() != self.owner {
            return;
        }
        if let Some(entry) = Entry::at(&self.path).filter(|entry| entry.is(self.identity)) {
            // One that may not be removed any more is replaced by the next start.
            let _ = entry.remove();
        }
    }
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
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
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Some(Self { directory: open(directory, flags, Mode::empty()).ok()?, name })
    }

    /// Looks at what stands there, itself and not where it may lead.
    fn look(&self) -> io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(openat(&self.directory, self.name, flags, Mode::empty())?).metadata()
    }

    fn is(&self, identity: Identity) -> bool {
        self.look().is_ok_and(|found| Identity::of(&found) == identity)
    }

    fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.directory, self.name, AtFlags::empty())?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
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
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ONE: Mutex<()> = Mutex::new(());
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until it works, where nobody listens any more: a process that another test is just starting has all
    /// that is open here, until it executes something.
    #[track_caller]
    pub(crate) fn in_the_end<T>(mut bind: impl FnMut() -> io::Result<T>) -> T {
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
    fn assert_obstacle(path: &Path, expected: &str) {
        let error = bind(path, None).expect_err("something stands there");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_file_goes_with_its_owner() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let (listener, file) = bind(&path, None).expect("bound");
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
            let _bound = bind(&path, Some(Mode::from_raw_mode(mode))).expect("bound");
            let found = fs::symlink_metadata(&path).expect("there").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{found:o}");
        }
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        let (_listener, file) = in_the_end(|| bind(&path, None));
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        // Bound, and nobody listens.
        drop(UnixDatagram::bind(&path).expect("bound"));
        in_the_end(|| bind(&path, None));
    }

    #[test]
    fn root_replaces_what_another_user_has_left() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give a file to another user");
            return;
        }
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
        in_the_end(|| bind(&path, None));
    }

    #[test]
    fn what_is_alive_or_no_socket_is_left_alone() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let alive = UnixListener::bind(&path).expect("bound");
        assert_obstacle(&path, "a process listens there");
        UnixStream::connect(&path).expect("it still listens");
        drop(alive);
        fs::remove_file(&path).expect("removed");
        let datagrams = UnixDatagram::bind(&path).expect("bound");
        assert_obstacle(&path, "a process listens there");
        drop(datagrams);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert_obstacle(&path, "a file that is no socket stands there");
        assert_eq!(fs::read(&path).expect("read"), b"precious");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).expect("linked");
        assert_obstacle(&link, "a file that is no socket stands there");
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
        assert_obstacle(&path, "a process listens there");
    }

    #[test]
    fn another_file_at_the_path_is_not_removed() {
        let _alone = alone();
        let folder = folder();
        let path = folder.path().join("socket");
        let (_listener, file) = bind(&path, None).expect("bound");
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
        let (_listener, file) = bind(&path, None).expect("bound");
        let mut file = file.expect("there");
        file.owner += 1;
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_is_wrong_with_a_path_is_said() {
        let _alone = alone();
        let folder = folder();
        let missing = bind(&folder.path().join("no/socket"), None).expect_err("no directory");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let long = bind(&folder.path().join("x".repeat(107)), None).expect_err("too long");
        assert_eq!(long.kind(), io::ErrorKind::InvalidInput);
    }
}
