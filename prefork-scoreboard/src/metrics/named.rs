//! A store in a file that has a name, for processes without a common parent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::layout::Layout;
use super::{Metrics, Store, StoreError};
use crate::create::{ATTEMPTS, reserve};
use crate::error::OpenError;
use crate::file::{Lock, Locked, refuse_foreign, try_lock};
use crate::open::open_file;
use crate::pauses::Pauses;

/// How much room there is for what is declared, in bytes.
const SCHEMA: u64 = 1 << 16;

impl Store {
    /// Opens the store in the file at `path`, or creates it, with so many slots at the least. What is declared and not there yet is added.
    ///
    /// For processes that share a board: each enters the slot that it has [claimed](crate::Board::claim). `prefork metrics` shows what is in
    /// a file that is called as the board, with `.metrics` behind it. All space is reserved at once. The mode is 0600, and the file is nobody's
    /// to remove; totals go on as long as it is there. As with a board, whoever cuts it short ends those who count there with SIGBUS. Waits up to
    /// five seconds for another process that is just declaring.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file is another user's, or no such store, or cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::{Board, metrics::{Metrics, Store}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("jobs");
    /// let board = Board::open_or_create(&path, 16)?;
    /// let mut metrics = Metrics::new();
    /// let done = metrics.counter("jobs_done_total", "Jobs done").declare()?;
    /// let store = Store::open_or_create(path.with_extension("metrics"), &metrics, board.slots())?;
    ///
    /// let slot = board.claim()?;
    /// let done = store.enter(slot.index())?.series(&done, &[]);
    /// done.increment();
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_or_create(
        path: impl AsRef<Path>,
        metrics: &Metrics,
        slots: usize,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        for _ in 0..ATTEMPTS {
            match open(path, OFlags::RDWR)? {
                Some(file) => return Self::share(file, path, metrics, slots),
                None => create(path, metrics, slots)?,
            }
        }
        Err(StoreError::Foreign { reason: "it comes and goes" })
    }

    /// Opens the store in the file at `path` to read it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is none, or it cannot be read.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        Self::open(open_file(path, OFlags::RDONLY).map_err(|error| in_our_words(error, path))?)
    }

    /// Declares what is not there yet, while nobody else does.
    fn share(file: File, path: &Path, metrics: &Metrics, slots: usize) -> Result<Self, StoreError> {
        let metadata = file.metadata().map_err(StoreError::file("examine", path))?;
        refuse_foreign(&metadata)
            .map_err(|reason| StoreError::Place { path: path.into(), reason })?;
        let mut pauses = Pauses::begin();
        while try_lock(&file).map_err(StoreError::file("lock", path))? == Lock::Contended {
            if !pauses.pause() {
                let source = ErrorKind::WouldBlock.into();
                return Err(StoreError::file("lock", path)(source));
            }
        }
        let lock = Locked::new(file);
        let mut store = Self::open(lock.try_clone().map_err(StoreError::file("open", path))?)?;
        let wanted = store.layout.offset(slots);
        // Not before the lock: another process may have made it longer meanwhile, and count there.
        let found = store.size().map_err(StoreError::file("examine", path))?;
        if found < wanted {
            reserve(&store.file, found, wanted).map_err(StoreError::file("extend", path))?;
        }
        store.declare(metrics)?;
        store.publish()?;
        Ok(store)
    }
}

/// Opens a file of ours; `None` if there is none.
fn open(path: &Path, access: OFlags) -> Result<Option<File>, StoreError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => {
            open_file(path, access).map(Some).map_err(|error| in_our_words(error, path))
        }
    }
}

fn in_our_words(error: OpenError, path: &Path) -> StoreError {
    match error {
        OpenError::Io { action, path, source } => StoreError::File { action, path, source },
        OpenError::Foreign { path, reason } => StoreError::Place { path, reason },
        // Of boards alone.
        OpenError::NotOurs { .. } | OpenError::Header { .. } => {
            StoreError::file("open", path)(ErrorKind::InvalidData.into())
        }
    }
}

/// Creates an empty store at the path, whole or not at all; one that has come to be there meanwhile stays.
fn create(path: &Path, metrics: &Metrics, slots: usize) -> Result<(), StoreError> {
    let temporary = temporary_path(path);
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(&temporary)
        .map_err(StoreError::file("create", path))?;
    let layout = Layout::new(metrics.memory, SCHEMA);
    let made =
        reserve(&file, 0, layout.offset(slots)).and_then(|()| layout.write(&file)).and_then(|()| {
            match fs::hard_link(&temporary, path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        });
    // It has its name, or is not to have one.
    let removed = fs::remove_file(&temporary);
    made.and(removed).map_err(StoreError::file("create", path))
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".new.{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Figure;

    #[test]
    fn programs_that_share_a_store_each_add_what_they_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jobs.metrics");
        for (name, slots) in [("one_total", 2), ("two_total", 3), ("one_total", 1)] {
            let mut metrics = Metrics::new();
            let family = metrics.counter(name, "Jobs").declare().expect("declared");
            let store = Store::open_or_create(&path, &metrics, slots).expect("opened");
            store.enter(slots - 1).expect("a slot").series(&family, &[]).increment();
        }
        let reading = Store::at(&path).expect("opened").read(|_| true).expect("read");
        let figures: Vec<_> =
            reading.families().iter().map(|it| (it.name(), it.series()[0].figure())).collect();
        let expected = [("one_total", &Figure::Counter(2)), ("two_total", &Figure::Counter(1))];
        assert_eq!(figures, expected);
        let left = fs::read_dir(directory.path()).expect("listed").count();
        assert_eq!(left, 1, "temporary files are gone");
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notes");
        fs::write(&path, "important").expect("written");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let refused = |path: &Path| {
            let error = Store::open_or_create(path, &Metrics::new(), 1).expect_err("no store");
            error.to_string().replace(directory.path().to_str().expect("text"), "")
        };
        let expected = "what should be the memory of metrics is not: it is too short";
        assert_eq!(refused(&path), expected);
        assert!(refused(&link).starts_with("/link cannot be the file of metrics: it "));
        assert!(refused(directory.path()).starts_with(" cannot be the file of metrics: it "));
        assert_eq!(fs::read(&path).expect("there"), b"important");
        assert!(Store::at(directory.path().join("none")).is_err());
    }
}
