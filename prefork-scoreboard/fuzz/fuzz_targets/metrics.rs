//! Feeds the reader of metrics a region of any contents, beside an honest one, and has another process take it over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_scoreboard::metrics::{Counter, Family, Figure, Join, Metrics, Reading, Store};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// What a slot has.
const REGION: usize = 4096;

struct Scratch {
    store: Store,
    file: File,
    /// Where the region of the first slot is.
    start: u64,
    orders: Family<Counter>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(scratch());
}

fn scratch() -> Scratch {
    let mut metrics = Metrics::new();
    metrics.memory(REGION);
    let orders = metrics.counter("orders_total", "Orders").labels(["kind"]).declare();
    metrics.gauge("carts", "Carts").join(Join::Last).declare().expect("declared");
    metrics.histogram("wait_seconds", "Waits").bounds([0.1, 1.0]).declare().expect("declared");
    let (store, orders) =
        (Store::in_memory(&metrics, 2).expect("memory"), orders.expect("declared"));
    let file = File::from(store.as_fd().try_clone_to_owned().expect("cloned"));
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 32).expect("a header");
    let start = u64::from_le_bytes(word);
    store.enter(1).expect("a slot").series(&orders, &["honest"]).increment();
    Scratch { store, file, start, orders }
}

/// Has series begin with the mark of one where the input says so: a fuzzer does not guess it.
fn repair(region: &mut [u8]) {
    for word in region[64..].chunks_exact_mut(8).filter(|word| word[7] == 0x50) {
        word[6] = 0x46;
        (word[5], word[4], word[1]) = (word[5] % 6, word[4] % 8, 0);
    }
}

fn honest(reading: &Reading) -> u64 {
    let orders = reading.families().iter().find(|family| family.name() == "orders_total");
    let is_it = |labels: &[(String, String)]| labels[0].1 == "honest";
    let series = orders.and_then(|it| it.series().iter().find(|it| is_it(it.labels())));
    match series.expect("the honest one").figure() {
        Figure::Counter(count) => *count,
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut region = vec![0; REGION];
    let length = input.len().min(REGION);
    region[..length].copy_from_slice(&input[..length]);
    repair(&mut region);
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.file.write_all_at(&region, scratch.start).expect("written");
        let reading = scratch.store.read(|_| true).expect("read");
        let before = honest(&reading);
        assert!(before >= 1);
        let mut names = BTreeSet::new();
        for family in reading.families() {
            assert!(names.insert(family.name()), "twice: {}", family.name());
            let mut labels = BTreeSet::new();
            for series in family.series() {
                assert!(labels.insert(series.labels()), "twice: {series:?}");
                let values = series.labels().iter().map(|(_, value)| value);
                assert!(values.clone().all(|it| it.len() <= 128 && !it.contains(char::is_control)));
            }
        }
        let next = scratch.store.enter(0).expect("a slot");
        // What is there already may be so large that it goes round.
        if let Ok(series) = next.try_series(&scratch.orders, &["honest"])
            && before < 1 << 62
        {
            series.increment();
            let after = honest(&scratch.store.read(|_| true).expect("read"));
            assert_eq!(after, before.saturating_add(1));
        }
    });
});
