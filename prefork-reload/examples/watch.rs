//! Prints what changes of the paths it is given, until it is interrupted.
//!
//! `watch PATH...`, where a path is a file, a directory (all that is below) or a quoted glob.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use prefork_core::{Time, one_line};
use prefork_reload::{WatchList, Watcher};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

fn main() -> Result<(), Box<dyn Error>> {
    let mut list = WatchList::new();
    for path in std::env::args().skip(1) {
        if Path::new(&path).is_dir() {
            list.directory(&path)?;
        } else if Path::new(&path).exists() {
            list.file(&path)?;
        } else {
            // Without a wildcard it is a file that may appear.
            list.glob(&path)?;
        }
    }
    if list.is_empty() {
        return Err("usage: watch PATH...".into());
    }

    let clock = Instant::now();
    let now = || Time::after_origin(clock.elapsed());
    let mut watcher = Watcher::new(list, Duration::from_secs(2));
    let seen = watcher.begin(now());
    println!("watching {} files", seen.len());
    for (path, why) in seen.unknown() {
        println!("{} {why}", one_line(path));
    }
    if watcher.fd().is_none() {
        println!("inotify is not to be had; looking every 2 seconds");
    }
    loop {
        let wait = watcher.due().map(|due| Timespec::try_from(due.since(now()))).transpose()?;
        let fd = watcher.fd();
        let mut fds: Vec<_> = fd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut fds, wait.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => watcher.woken(now()),
            Err(error) => return Err(error.into()),
        }
        if let Some(changes) = watcher.check(now()) {
            println!("{:8.3} {changes}", clock.elapsed().as_secs_f64());
        }
    }
}
