//! A directory of files, a watcher of some of them, and a clock that is turned by hand.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prefork_core::Time;
use prefork_reload::{WatchList, Watcher};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

/// How the watcher learns that something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// From hints alone: it never looks by itself.
    Hints,
    /// By looking every 2 s: nobody listens to the hints.
    Looks,
    /// Both.
    Both,
}

/// What to watch, relative to the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watch {
    File(&'static str),
    Tree(&'static str),
    Glob(&'static str),
}

pub(crate) struct World {
    directory: TempDir,
    watcher: Watcher,
    by: By,
    now: Time,
    reports: Vec<String>,
    wakes: u32,
}

impl World {
    /// Makes the files that all habits begin with, and begins to watch.
    pub(crate) fn new(watches: &[Watch], by: By) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().to_owned();
        for path in ["etc/conf.d", "releases/1/bin", "releases/2/bin", "..1", "..2"] {
            fs::create_dir_all(root.join(path)).expect("a directory");
        }
        for path in ["etc/app.conf", "etc/conf.d/a.conf", "etc/conf.d/b.conf", "releases/1/bin/app"]
        {
            fs::write(root.join(path), "one\n").expect("a file");
        }
        for path in ["releases/2/bin/app", "..1/app.conf", "..2/app.conf"] {
            fs::write(root.join(path), "two\n").expect("a file");
        }
        for (target, path) in
            [("releases/1", "current"), ("etc/app.conf", "link.conf"), ("..1", "..data")]
        {
            symlink(target, root.join(path)).expect("a link");
        }
        fs::create_dir(root.join("mounted")).expect("a directory");
        symlink("../..data/app.conf", root.join("mounted/app.conf")).expect("a link");

        let mut list = WatchList::new();
        for watch in watches {
            match watch {
                Watch::File(path) => list.file(root.join(path)),
                Watch::Tree(path) => list.directory(root.join(path)),
                Watch::Glob(path) => list.glob(root.join(path).to_str().expect("ascii")),
            }
            .expect("absolute, and well formed");
        }
        let interval = if by == By::Hints { Duration::MAX } else { Duration::from_secs(2) };
        let mut watcher = Watcher::new(list, interval);
        watcher.begin(Time::ZERO);
        let world = Self { directory, watcher, by, now: Time::ZERO, reports: Vec::new(), wakes: 0 };
        world.tick();
        world
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Lets so much time pass, in which the watcher does what it wants to.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 10_000, "it spins: {:?}", self.watcher);
            if self.by != By::Looks && self.is_readable() {
                self.wakes += 1;
                self.watcher.woken(self.now);
            }
            if let Some(changes) = self.watcher.check(self.now) {
                let root = format!("{}/", self.directory.path().display());
                self.reports.push(changes.to_string().replace(&root, ""));
            }
            let readable = self.by != By::Looks && self.is_readable();
            if readable {
                continue;
            }
            match self.watcher.due() {
                Some(due) if due <= end => self.now = due.max(self.now),
                Some(_) | None => break,
            }
        }
        self.now = end;
        self.tick();
    }

    /// Takes what was reported so far.
    pub(crate) fn reports(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reports)
    }

    /// Returns how often the descriptor has woken the caller so far.
    pub(crate) const fn wakes(&self) -> u32 {
        self.wakes
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("writable");
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("renamed");
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("removed");
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        symlink(target, self.path(path)).expect("linked");
    }

    fn is_readable(&self) -> bool {
        let Some(fd) = self.watcher.fd() else { return false };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).expect("poll") > 0
    }

    /// Waits until the clock of the file system has moved: the clock turned by hand runs so much
    /// faster that two writes a second apart would have the same time.
    fn tick(&self) {
        let probe = self.path("probe");
        let time = || {
            fs::write(&probe, "").expect("writable");
            let metadata = fs::metadata(&probe).expect("just written");
            (metadata.ctime(), metadata.ctime_nsec())
        };
        let (before, begun) = (time(), Instant::now());
        while time() == before {
            assert!(begun.elapsed() < Duration::from_secs(10), "the file system has no clock");
        }
    }
}

/// Sets the mtime of a file to a time long ago.
pub(crate) fn set_old(path: &Path) {
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::options().append(true).open(path).expect("a file");
    file.set_modified(old).expect("its owner may");
}
