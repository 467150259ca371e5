//! A store in a file that has a name, for processes without a common parent.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::OFlags;

use super::layout::Layout;
use super::{Metrics, Store, StoreError};
use crate::create::{ATTEMPTS, Temporary, io_error, reserve};
use crate::error::{CreateError, OpenError};
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
    /// let mut beside = path.into_os_string();
    /// beside.push(".metrics");
    /// let store = Store::open_or_create(beside, &metrics, board.slots())?;
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
        let mut pauses = Pauses::begin();
        for _ in 0..ATTEMPTS {
            if let Some(file) = open(path, OFlags::RDWR)? {
                return Self::share(file, path, metrics, slots);
            }
            match create(path, metrics, slots) {
                Ok(()) => {}
                Err(CreateError::Creating { .. }) if pauses.pause() => {}
                Err(error) => return Err(not_created(error, path)),
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
    match open_file(path, access) {
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(|error| in_our_words(error, path)),
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

/// Creates an empty store at the path, whole or not at all; one that another process has made meanwhile stays.
fn create(path: &Path, metrics: &Metrics, slots: usize) -> Result<(), CreateError> {
    let (file, temporary) = Temporary::take(path)?;
    // The name goes before the lock.
    let (file, mut temporary) = (Locked::new(file), temporary);
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let layout = Layout::new(metrics.memory, SCHEMA);
    reserve(&file, 0, layout.offset(slots))
        .and_then(|()| layout.write(&file))
        .map_err(io_error("create", path))?;
    temporary.rename()
}

fn not_created(error: CreateError, path: &Path) -> StoreError {
    let failed = StoreError::file("create", path);
    match error {
        CreateError::Io { action, path, source } => StoreError::File { action, path, source },
        CreateError::Foreign { path, reason } => StoreError::Place { path, reason },
        CreateError::NoFileName { .. } => failed(ErrorKind::InvalidInput.into()),
        CreateError::NoDirectory { .. } => failed(ErrorKind::NotFound.into()),
        CreateError::Creating { .. } => failed(ErrorKind::WouldBlock.into()),
        // Of boards alone.
        CreateError::Slots { .. }
        | CreateError::Held { .. }
        | CreateError::Shared { .. }
        | CreateError::Version { .. }
        | CreateError::Damaged { .. }
        | CreateError::Columns { .. }
        | CreateError::Mode { .. }
        | CreateError::Description { .. }
        | CreateError::Space { .. } => failed(ErrorKind::InvalidData.into()),
    }
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
    fn many_that_begin_at_once_share_one_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jobs.metrics");
        // A creator was killed over it.
        fs::write(directory.path().join(".jobs.metrics.new"), "half").expect("written");
        let mut metrics = Metrics::new();
        let family = metrics.counter("jobs_total", "Jobs").declare().expect("declared");
        std::thread::scope(|scope| {
            for slot in 0..8 {
                let (path, metrics, family) = (&path, &metrics, &family);
                scope.spawn(move || {
                    let store = Store::open_or_create(path, metrics, 8).expect("opened");
                    store.enter(slot).expect("a slot").series(family, &[]).increment();
                });
            }
        });
        let reading = Store::at(&path).expect("opened").read(|_| true).expect("read");
        assert_eq!(reading.families()[0].series()[0].figure(), &Figure::Counter(8));
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
