//! One look at all watched files.
//!
//! The patterns are walked here, and only the names are matched by the `glob` crate: its own walk
//! takes a directory that cannot be read at the moment (for want of descriptors, say) for an empty
//! one, and follows links without bound.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::stamp::{Stamp, Stamps, Unknown};
use crate::watch_list::{Glob, OPTIONS, Part, WatchList};

/// The most entries of directories that one look goes through for a tree or a glob: 10,000.
///
/// A tree that has more is not watched: whatever is in it counts as unchanged.
pub const MAX_ENTRIES: usize = 10_000;

/// The deepest level of directories that is looked at. Deeper files do not count.
const MAX_DEPTH: usize = 40;

/// What one look has seen, and where else to listen for changes.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) stamps: Stamps,
    /// The directories whose entries were matched.
    pub(crate) directories: Vec<Place>,
    /// The links among the entries: what they lead to is elsewhere.
    pub(crate) links: Vec<PathBuf>,
}

/// A directory, and which of its entries count.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) entries: Entries,
}

/// Which entries of a directory count.
#[derive(Clone, Debug)]
pub(crate) enum Entries {
    Named(OsString),
    Matching(glob::Pattern),
    All,
}

impl WatchList {
    /// Looks at all files now.
    ///
    /// That costs one system call a file, and a few a directory. It never fails: what cannot be
    /// examined is among the [`unknown`](Stamps::unknown). It waits for as long as the file system
    /// does, which for a network file system whose server is gone may be for ever.
    #[must_use]
    pub fn scan(&self) -> Stamps {
        scan(self).stamps
    }
}

pub(crate) fn scan(list: &WatchList) -> Scan {
    let begun = Instant::now();
    let mut found = Vec::with_capacity(list.files.len());
    let mut unknown = Vec::new();
    for path in &list.files {
        match fs::metadata(path) {
            Ok(metadata) => found.push((path.clone(), Stamp::of(&metadata))),
            Err(error) => unknown.push((path.clone(), Unknown::of(&error))),
        }
    }
    let (mut directories, mut links) = (Vec::new(), Vec::new());
    for glob in &list.globs {
        let mut walk = Walk::default();
        match walk.glob(glob) {
            Ok(()) => {
                found.append(&mut walk.found);
                unknown.append(&mut walk.unknown);
                links.append(&mut walk.links);
            }
            Err(TooMany) => unknown.push((glob.root.clone(), Unknown::TooMany)),
        }
        directories.append(&mut walk.directories);
    }
    Scan { stamps: Stamps::collect(found, unknown, begun.elapsed()), directories, links }
}

/// There are more entries than are looked at.
struct TooMany;

/// The walk through one pattern.
#[derive(Default)]
struct Walk {
    found: Vec<(PathBuf, Stamp)>,
    unknown: Vec<(PathBuf, Unknown)>,
    directories: Vec<Place>,
    links: Vec<PathBuf>,
    entries: usize,
}

impl Walk {
    fn glob(&mut self, glob: &Glob) -> Result<(), TooMany> {
        // Of the root alone it matters whether it is there.
        let why = match fs::metadata(&glob.root) {
            Ok(metadata) if metadata.is_dir() => {
                return self.directory(&glob.root, &glob.parts, 0);
            }
            Ok(_) => Unknown::Missing,
            Err(error) => Unknown::of(&error),
        };
        self.unknown.push((glob.root.clone(), why));
        Ok(())
    }

    /// Goes through a directory, of which `parts` say what counts.
    fn directory(&mut self, directory: &Path, parts: &[Part], depth: usize) -> Result<(), TooMany> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        if depth > MAX_DEPTH {
            return Ok(());
        }
        match part {
            Part::Literal(name) => {
                self.listen(directory, Entries::Named(name.clone()));
                self.entry(directory.join(name), None, rest, depth)
            }
            Part::Wild(pattern) => {
                self.listen(directory, Entries::Matching(pattern.clone()));
                for (name, kind) in self.read(directory)? {
                    if pattern.matches_with(&name.to_string_lossy(), OPTIONS) {
                        self.entry(directory.join(name), kind, rest, depth)?;
                    }
                }
                Ok(())
            }
            Part::AnyDepth => {
                self.listen(directory, Entries::All);
                let next = rest.first();
                for (name, kind) in self.read(directory)? {
                    let text = name.to_string_lossy();
                    let wanted = match next {
                        Some(Part::Wild(pattern)) => pattern.matches_with(&text, OPTIONS),
                        Some(Part::Literal(literal)) => *literal == name,
                        Some(Part::AnyDepth) | None => false,
                    };
                    let is_directory = kind.is_some_and(|kind| kind.is_dir());
                    let descend = is_directory && !text.starts_with('.');
                    let path = directory.join(&name);
                    if descend {
                        self.directory(&path, parts, depth + 1)?;
                    }
                    if wanted {
                        self.entry(path, kind, &rest[1..], depth)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Looks at a path that matches so far; `rest` is what remains to be matched below.
    fn entry(
        &mut self,
        path: PathBuf,
        kind: Option<FileType>,
        rest: &[Part],
        depth: usize,
    ) -> Result<(), TooMany> {
        if rest.is_empty() {
            self.stamp(path, kind);
            return Ok(());
        }
        let may_be_directory = kind.is_none_or(|kind| kind.is_dir() || kind.is_symlink());
        if may_be_directory { self.directory(&path, rest, depth + 1) } else { Ok(()) }
    }

    /// Notes the stamp of a file that matches.
    fn stamp(&mut self, path: PathBuf, kind: Option<FileType>) {
        if kind.is_some_and(|kind| !kind.is_file() && !kind.is_symlink()) {
            return;
        }
        let own = match fs::symlink_metadata(&path) {
            Ok(own) => own,
            Err(error) => return self.failed(path, &error),
        };
        let target = if own.is_symlink() {
            let target = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
            self.links.push(path.clone());
            Some(target.unwrap_or(own))
        } else {
            own.is_file().then_some(own)
        };
        if let Some(metadata) = target {
            self.found.push((path, Stamp::of(&metadata)));
        }
    }

    /// Reads a directory. An empty list may also mean that it could not be read.
    fn read(&mut self, directory: &Path) -> Result<Vec<(OsString, Option<FileType>)>, TooMany> {
        let mut names = Vec::new();
        let read = fs::read_dir(directory).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                names.push((entry.file_name(), entry.file_type().ok()));
                if names.len() + self.entries > MAX_ENTRIES {
                    break;
                }
            }
            Ok(())
        });
        self.entries += names.len();
        if self.entries > MAX_ENTRIES {
            return Err(TooMany);
        }
        if let Err(error) = read {
            names.clear();
            self.failed(directory.to_owned(), &error);
        }
        Ok(names)
    }

    /// Notes that `path` could not be examined. If it is just not there, nothing is below either.
    fn failed(&mut self, path: PathBuf, error: &io::Error) {
        match Unknown::of(error) {
            Unknown::Missing => {}
            why @ (Unknown::TooMany | Unknown::Failed(_)) => self.unknown.push((path, why)),
        }
    }

    fn listen(&mut self, directory: &Path, entries: Entries) {
        self.directories.push(Place { directory: directory.to_owned(), entries });
    }
}
