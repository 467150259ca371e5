//! A process without a descriptor to spare: nothing is to be had, and nothing has changed.
//!
//! Alone in its program, because the limit is that of the whole process.

use std::fs;
use std::time::Duration;

use prefork_core::Time;
use prefork_reload::{Changes, WatchList, Watcher};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// Looks when it is time to.
fn look(watcher: &mut Watcher) -> Option<Changes> {
    watcher.check(watcher.due().expect("there is an interval"))
}

#[test]
fn without_descriptors_nothing_vanishes_and_named_files_are_still_watched() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    for name in ["named", "in-tree", "x.conf"] {
        fs::write(path(name), "one").expect("writable");
    }
    let mut list = WatchList::new();
    list.file(path("named")).expect("absolute");
    list.directory(directory.path()).expect("absolute");
    list.glob(path("*.conf").to_str().expect("ascii")).expect("well formed");
    let mut watcher = Watcher::new(list, Duration::from_secs(1));

    let limit = getrlimit(Resource::Nofile);
    let none = || setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit });
    let enough = || setrlimit(Resource::Nofile, limit);

    assert_eq!(watcher.begin(at(0)).len(), 3);
    assert!(watcher.fd().is_some(), "inotify is there");
    none().expect("lowered");
    for _ in 0..10 {
        assert_eq!(look(&mut watcher), None);
    }
    enough().expect("raised again");
    fs::write(path("named"), "two").expect("writable");
    fs::write(path("in-tree"), "two").expect("writable");
    none().expect("lowered");
    assert_eq!(look(&mut watcher), None);
    let changes = look(&mut watcher).expect("a named file needs no descriptor");
    assert_eq!(changes.to_string(), format!("{} changed", path("named").display()));
    enough().expect("raised again");
    assert_eq!(look(&mut watcher), None);
    let changes = look(&mut watcher).expect("now the others can be seen");
    assert_eq!(changes.to_string(), format!("{} changed", path("in-tree").display()));

    none().expect("lowered");
    let mut deaf = Watcher::new(watcher.list().clone(), Duration::from_secs(1));
    let seen = deaf.begin(at(0));
    assert!(deaf.fd().is_none(), "there is no inotify to be had");
    let unknown: Vec<_> = seen.unknown().map(|(path, why)| (path, why.to_string())).collect();
    let why = "cannot be examined: Too many open files (os error 24)".to_owned();
    assert_eq!(unknown, [(directory.path(), why)]);
    assert!(deaf.unknown().eq(seen.unknown()));
    assert!(deaf.due() >= Some(at(1000)), "looking goes on");
    enough().expect("raised again");
}
