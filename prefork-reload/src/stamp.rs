//! What distinguishes one state of a file from another.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    unknown: Vec<PathBuf>,
    took: Duration,
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
        mut unknown: Vec<PathBuf>,
        took: Duration,
    ) -> Self {
        if !found.is_sorted_by(|(a, _), (b, _)| a.as_os_str() < b.as_os_str()) {
            found.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
            found.dedup_by(|later, earlier| later.0.as_os_str() == earlier.0.as_os_str());
        }
        unknown.sort_unstable();
        unknown.dedup();
        Self { found, unknown, took }
    }

    /// Adds what stands at `path`, instead of what was there.
    pub fn insert(&mut self, path: impl Into<PathBuf>, stamp: Stamp) {
        let path = path.into();
        match self.position(path.as_os_str()) {
            Ok(at) => self.found[at].1 = stamp,
            Err(at) => self.found.insert(at, (path, stamp)),
        }
    }

    /// Adds a path of which nothing is known at this moment, nor of anything below it.
    pub fn insert_unknown(&mut self, path: impl Into<PathBuf>) {
        self.unknown.push(path.into());
        self.unknown.sort_unstable();
        self.unknown.dedup();
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

    /// Iterates over the paths of which nothing is known: what was named and is missing,
    /// directories that may not be read, trees of more than [`MAX_ENTRIES`](crate::MAX_ENTRIES).
    ///
    /// Whatever is there, or below, counts as unchanged until it is known again. A caller may
    /// want to log these paths when it begins.
    pub fn unknown(&self) -> impl Iterator<Item = &Path> {
        self.unknown.iter().map(PathBuf::as_path)
    }

    pub(crate) const fn took(&self) -> Duration {
        self.took
    }

    pub(crate) fn found(&self) -> &[(PathBuf, Stamp)] {
        &self.found
    }

    /// Returns whether both have seen the same files in the same state.
    pub(crate) fn saw_the_same(&self, other: &Self) -> bool {
        self.found == other.found
    }

    /// Returns what was seen, with what is not known taken from `known`.
    pub(crate) fn completed_from<'a>(&'a self, known: &Self) -> Cow<'a, Self> {
        if self.unknown.is_empty() || known.found.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut completed = Cow::Borrowed(self);
        for (path, stamp) in &known.found {
            if self.unknown.iter().any(|unknown| path.starts_with(unknown))
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
        seen.insert_unknown("/d");
        seen.insert_unknown("/a");
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
