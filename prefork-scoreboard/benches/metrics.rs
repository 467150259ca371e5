//! What it costs to count, and what it costs to read what all have counted.

use divan::{Bencher, black_box};
use prefork_scoreboard::metrics::{Counter, Family, Gauge, Histogram, Join, Metrics, Store};

/// As many as there are in a daemon of the usual size.
const CHILDREN: usize = 150;
const SERIES: usize = 200;

fn main() {
    divan::main();
}

/// A store of one family of each kind.
fn store(slots: usize) -> (Store, Family<Counter>, Family<Gauge>, Family<Histogram>) {
    let mut metrics = Metrics::new();
    let counter = metrics.counter("orders_total", "Orders").labels(["kind"]).declare();
    let gauge = metrics.gauge("rate", "The rate").join(Join::Last).declare();
    let histogram = metrics.histogram("wait_seconds", "Waits").declare();
    let store = Store::in_memory(&metrics, slots).expect("memory");
    let (counter, gauge) = (counter.expect("declared"), gauge.expect("declared"));
    (store, counter, gauge, histogram.expect("declared"))
}

#[divan::bench]
fn counter(bencher: Bencher<'_, '_>) {
    let (store, family, ..) = store(1);
    let counter = store.enter(0).expect("a slot").series(&family, &["book"]);
    bencher.bench_local(|| black_box(&counter).increment());
}

/// One of which that counts which was set last, so with its time.
#[divan::bench]
fn last_gauge(bencher: Bencher<'_, '_>) {
    let (store, _, family, _) = store(1);
    let gauge = store.enter(0).expect("a slot").series(&family, &[]);
    bencher.bench_local(|| black_box(&gauge).set(black_box(0.25)));
}

/// Times from the first bucket to the last one.
#[divan::bench]
fn histogram(bencher: Bencher<'_, '_>) {
    let (store, .., family) = store(1);
    let histogram = store.enter(0).expect("a slot").series(&family, &[]);
    let mut times = [0.001, 0.02, 0.3, 4.0, 50.0].into_iter().cycle();
    bencher.bench_local(|| black_box(&histogram).record(black_box(times.next().expect("endless"))));
}

/// What is there already, and was not kept.
#[divan::bench]
fn find_series(bencher: Bencher<'_, '_>) {
    let (store, family, ..) = store(1);
    let cells = store.enter(0).expect("a slot");
    bencher.bench_local(|| cells.series(&family, black_box(&["book"])));
}

/// 150 children with 200 series each: half of them counters, the others histograms of 11 buckets.
#[divan::bench]
fn read_all(bencher: Bencher<'_, '_>) {
    let mut metrics = Metrics::new();
    let counter = metrics.counter("orders_total", "Orders").labels(["kind"]).declare();
    let histogram = metrics.histogram("wait_seconds", "Waits").labels(["kind"]).declare();
    let (counter, histogram) = (counter.expect("declared"), histogram.expect("declared"));
    let store = Store::in_memory(&metrics, CHILDREN).expect("memory");
    for slot in 0..CHILDREN {
        let cells = store.enter(slot).expect("a slot");
        for number in 0..SERIES / 2 {
            let kind = format!("kind of order number {number}");
            cells.series(&counter, &[&kind]).increment();
            cells.series(&histogram, &[&kind]).record(0.125);
        }
    }
    let reader = store.reader().expect("opened");
    bencher.bench_local(|| reader.read(|_| true).expect("read"));
}
