//! What distinguishes one state of a file from another.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scan::MAX_ENTRIES;

/// What is compared of a file: where it is stored, its size and its times.
///
/// Two stamps are equal or not; none is later than another. So a file that was replaced by an older
/// one has changed, and so has one whose mode, owner or number of names has (they set the ctime,
/// see `inode(7)`). What is in the file is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds, as of `stat(2)`.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of the file that `metadata` describes.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What one look at all watched files has seen.
///
/// A look says of each path that something stands there, that nothing does, or that this is not
/// known at this moment; see [`unknown`](Self::unknown).
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    /// In the order of the paths' bytes, each once.
    found: Vec<(PathBuf, Stamp)>,
    /// Nothing is known of these paths and of what is below them.
    unknown: Vec<(PathBuf, Unknown)>,
    took: Duration,
}

/// Why nothing is known of a path, nor of anything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unknown {
    /// A file that was named, or the directory of a tree or glob, is not there.
    Missing,
    /// A tree or glob has more than [`MAX_ENTRIES`] entries.
    TooMany,
    /// The system does not let it be examined, with this number of `errno(3)`.
    Failed(i32),
}

impl Unknown {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Failed(error.raw_os_error().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Unknown {
    /// What can be said of the path: `is not there`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::TooMany => write!(f, "has more than {MAX_ENTRIES} entries"),
            Self::Failed(code) => {
                write!(f, "cannot be examined: {}", io::Error::from_raw_os_error(*code))
            }
        }
    }
}

impl Stamps {
    /// Makes a look that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Collects a look; of a path named twice the first stamp counts.
    pub(crate) fn collect(
        mut found: Vec<(PathBuf, Stamp)>,
        mut unknown: Vec<(PathBuf, Unknown)>,
        took: Duration,
    ) -> Self {
        if !found.is_sorted_by(|(a, _), (b, _)| a.as_os_str() < b.as_os_str()) {
            found.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
            found.dedup_by(|later, earlier| later.0.as_os_str() == earlier.0.as_os_str());
        }
        in_order(&mut unknown);
        Self { found, unknown, took }
    }

    /// Adds what stands at `path`, instead of what was there.
    pub fn insert(&mut self, path: impl Into<PathBuf>, stamp: Stamp) {
        self.set(&path.into(), Some(stamp));
    }

    /// Puts at `path` what stood there in another look.
    pub(crate) fn set(&mut self, path: &Path, stamp: Option<Stamp>) {
        match (self.position(path.as_os_str()), stamp) {
            (Ok(at), Some(stamp)) => self.found[at].1 = stamp,
            (Ok(at), None) => drop(self.found.remove(at)),
            (Err(at), Some(stamp)) => self.found.insert(at, (path.to_owned(), stamp)),
            (Err(_), None) => {}
        }
    }

    /// Adds a path of which nothing is known at this moment, nor of anything below it.
    pub fn insert_unknown(&mut self, path: impl Into<PathBuf>, why: Unknown) {
        self.unknown.push((path.into(), why));
        in_order(&mut self.unknown);
    }

    /// Says how long the look took: what it saw may be of any moment within. Default 0.
    pub fn set_took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Returns the stamp of what stands at `path`.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Stamp> {
        self.position(path.as_os_str()).ok().map(|at| self.found[at].1)
    }

    /// Returns how many files were seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Returns whether no file was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Iterates over the files that were seen, in the order of the bytes of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        self.found.iter().map(|(path, stamp)| (path.as_path(), *stamp))
    }

    /// Iterates over the paths of which nothing is known, and why.
    ///
    /// Whatever is there, or below, counts as unchanged until it is known again. A caller may
    /// want to log these paths when it begins.
    pub fn unknown(&self) -> impl Iterator<Item = (&Path, Unknown)> {
        self.unknown.iter().map(|(path, why)| (path.as_path(), *why))
    }

    pub(crate) const fn took(&self) -> Duration {
        self.took
    }

    pub(crate) fn found(&self) -> &[(PathBuf, Stamp)] {
        &self.found
    }

    /// Returns what was seen, with what is not known taken from `known`.
    pub(crate) fn completed_from<'a>(&'a self, known: &Self) -> Cow<'a, Self> {
        if self.unknown.is_empty() || known.found.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut completed = Cow::Borrowed(self);
        for (path, stamp) in &known.found {
            if self.unknown.iter().any(|(unknown, _)| path.starts_with(unknown))
                && self.position(path.as_os_str()).is_err()
            {
                completed.to_mut().insert(path.clone(), *stamp);
            }
        }
        completed
    }

    fn position(&self, path: &OsStr) -> Result<usize, usize> {
        self.found.binary_search_by(|(found, _)| found.as_os_str().cmp(path))
    }
}

/// Each path once.
fn in_order(unknown: &mut Vec<(PathBuf, Unknown)>) {
    unknown.sort_by(|(a, _), (b, _)| a.cmp(b));
    unknown.dedup_by(|(later, _), (earlier, _)| later == earlier);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp { device: 1, inode, size: 0, modified: (0, 0), changed: (0, 0) }
    }

    #[test]
    fn what_is_not_known_is_as_it_was_with_all_that_is_below() {
        let mut known = Stamps::new();
        for path in ["/a", "/d/x", "/d/y", "/dd", "/gone"] {
            known.insert(path, stamp(1));
        }
        let mut seen = Stamps::new();
        seen.insert("/d/x", stamp(2));
        seen.insert_unknown("/d", Unknown::TooMany);
        seen.insert_unknown("/a", Unknown::Missing);
        let completed = seen.completed_from(&known);
        let paths: Vec<_> =
            completed.iter().map(|(path, _)| path.to_str().expect("ascii")).collect();
        assert_eq!(paths, ["/a", "/d/x", "/d/y"]);
        assert_eq!(completed.get(Path::new("/d/x")), Some(stamp(2)), "what is seen prevails");
    }

    #[test]
    fn a_look_is_sorted_by_bytes_and_has_each_path_once() {
        let found = ["/b", "/a-", "/a/x", "/a", "/b"].map(|path| (PathBuf::from(path), stamp(1)));
        let stamps = Stamps::collect(found.to_vec(), Vec::new(), Duration::ZERO);
        let paths: Vec<_> = stamps.iter().map(|(path, _)| path.to_str().expect("ascii")).collect();
        assert_eq!(paths, ["/a", "/a-", "/a/x", "/b"]);
        assert!(stamps.get(Path::new("/a/x")).is_some() && stamps.get(Path::new("/c")).is_none());
    }
}
