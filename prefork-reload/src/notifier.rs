//! Hints from the kernel that it is worth looking, by `inotify(7)`.
//!
//! Hints make a verdict come soon; looking makes it true. So everything here may fail, be incomplete
//! or say too much. For a file, its own inode is watched for writing, and the directories on the way
//! to it for entries that come and go: the kernel then keeps back what others write in the same
//! directories. Who comes and goes there is filtered by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::hops::{self, Step};
use crate::scan::{Entries, Place, Scan};
use crate::watch_list::{OPTIONS, WatchList};

/// The most watches that one notifier takes; what is beyond is only looked at.
const MOST_WATCHES: usize = 1024;

/// How many times a full buffer is read before the rest is left for later.
const MOST_READS: usize = 64;

/// Entries of a directory that come and go.
const COMING_AND_GOING: WatchFlags = WatchFlags::ONLYDIR
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);

/// A file, or a file of a directory, that has been written or whose attributes are others.
///
/// Not each single write: a writer closes the file at last.
const WRITTEN: WatchFlags = WatchFlags::CLOSE_WRITE.union(WatchFlags::ATTRIB);

/// What the kernel has reported to a [`Notifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hints {
    /// Nothing at all.
    Nothing,
    /// Only what does not concern any watched file.
    Unrelated,
    /// Something that may.
    Related,
}

/// An inotify instance that listens around the files of a list.
#[derive(Debug)]
pub(crate) struct Notifier {
    instance: OwnedFd,
    watches: HashMap<i32, Watch>,
}

/// What is watched of one inode.
#[derive(Debug)]
struct Watch {
    flags: WatchFlags,
    entries: Vec<Entries>,
}

impl Notifier {
    /// Makes a notifier, if the system lets us: instances are limited for each user.
    pub(crate) fn new() -> Option<Self> {
        let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Self { instance, watches: HashMap::new() })
    }

    /// Listens around what the list names and the scan has seen, and there only; returns whether
    /// anything is watched that was not before.
    pub(crate) fn listen(&mut self, list: &WatchList, scan: &Scan) -> bool {
        let mut round = Round { instance: &self.instance, watches: HashMap::new() };
        for path in list.files.iter().chain(&scan.links) {
            round.path(path, WRITTEN);
        }
        for glob in &list.globs {
            // Its entries follow; here it matters that it may be replaced.
            round.path(&glob.root, WatchFlags::empty());
        }
        for place in &scan.directories {
            round.place(place);
        }
        let watches = round.watches;
        let before = std::mem::replace(&mut self.watches, watches);
        for watch in before.keys().filter(|watch| !self.watches.contains_key(watch)) {
            // It may be gone already, with its directory.
            let _ = inotify::remove_watch(&self.instance, *watch);
        }
        self.watches.keys().any(|watch| !before.contains_key(watch))
    }

    /// Takes in what the kernel has to say, without waiting.
    pub(crate) fn drain(&mut self) -> Hints {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.instance, &mut buffer);
        let mut hints = Hints::Nothing;
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                reads += 1;
                if reads > MOST_READS {
                    return hints;
                }
            }
            let Ok(event) = reader.next() else { return hints };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                hints = Hints::Related;
                continue;
            }
            let Some(watch) = self.watches.get(&event.wd()) else {
                // The last words of a watch that was given up.
                continue;
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            if name.is_none_or(|name| watch.concerns(name)) {
                hints = Hints::Related;
            } else if hints == Hints::Nothing {
                hints = Hints::Unrelated;
            }
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.instance.as_fd()
    }
}

impl Watch {
    fn concerns(&self, name: &OsStr) -> bool {
        self.entries.iter().any(|entries| match entries {
            Entries::All => true,
            Entries::Named(wanted) => wanted == name,
            Entries::Matching(pattern) => pattern.matches_with(&name.to_string_lossy(), OPTIONS),
        })
    }
}

/// The watches as they are to be.
struct Round<'a> {
    instance: &'a OwnedFd,
    watches: HashMap<i32, Watch>,
}

impl Round<'_> {
    /// Listens on the way to a path, and for `flags` at its end.
    fn path(&mut self, path: &Path, flags: WatchFlags) {
        let mut places: Vec<Place> = Vec::new();
        let end = hops::follow(
            path,
            |hop| {
                let (directory, name) = (hop.directory.to_owned(), hop.name.to_owned());
                places.push(Place { directory, entries: Entries::Named(name) });
                Ok(Step::On)
            },
            |path, _| path,
        );
        for place in places {
            self.add(&place.directory, COMING_AND_GOING, Some(place.entries));
        }
        if let Ok(end) = end
            && !flags.is_empty()
        {
            self.add(&end, flags, None);
        }
    }

    fn place(&mut self, place: &Place) {
        let flags = COMING_AND_GOING | WRITTEN;
        self.add(&place.directory, flags, Some(place.entries.clone()));
    }

    /// Adds a watch, in addition to what is already watched of the same inode.
    fn add(&mut self, path: &PathBuf, flags: WatchFlags, entries: Option<Entries>) {
        if self.watches.len() >= MOST_WATCHES {
            return;
        }
        let Ok(watch) = inotify::add_watch(self.instance, path, flags) else { return };
        match self.watches.entry(watch) {
            Entry::Vacant(vacant) => {
                vacant.insert(Watch { flags, entries: entries.into_iter().collect() });
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                known.entries.extend(entries);
                let all = known.flags | flags;
                known.flags = all;
                if all != flags {
                    // Adding has replaced the old flags.
                    let _ = inotify::add_watch(self.instance, path, all);
                }
            }
        }
    }
}
