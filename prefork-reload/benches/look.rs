//! What a look and a decision cost: `cargo bench -p prefork-reload`.

use std::error::Error;
use std::fs;
use std::time::Duration;

use divan::{Bencher, black_box};
use prefork_core::Time;
use prefork_reload::{Policy, WatchList};
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// A directory of so many files.
fn files(count: usize) -> Result<TempDir, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    for n in 0..count {
        fs::write(directory.path().join(format!("{n}.conf")), "")?;
    }
    Ok(directory)
}

/// A look at one named file.
#[divan::bench]
fn scan_file(bencher: Bencher<'_, '_>) {
    let directory = files(1).expect("a temporary directory");
    let mut list = WatchList::new();
    list.file(directory.path().join("0.conf")).expect("absolute");
    bencher.bench_local(|| black_box(&list).scan());
}

/// A look at a directory of so many files.
#[divan::bench(args = [10, 1000])]
fn scan_directory(bencher: Bencher<'_, '_>, count: usize) {
    let directory = files(count).expect("a temporary directory");
    let mut list = WatchList::new();
    list.directory(directory.path()).expect("absolute");
    bencher.bench_local(|| black_box(&list).scan());
}

/// A decision where nothing has changed, about so many files.
#[divan::bench(args = [1, 1000])]
fn decide(bencher: Bencher<'_, '_>, count: usize) {
    let directory = files(count).expect("a temporary directory");
    let mut list = WatchList::new();
    list.directory(directory.path()).expect("absolute");
    let seen = list.scan();
    let mut policy = Policy::new(Duration::from_secs(1));
    let mut now = Time::ZERO;
    policy.begin(now, &seen);
    bencher.bench_local(move || {
        now = now + Duration::from_secs(1);
        policy.observe(now, black_box(&seen))
    });
}
