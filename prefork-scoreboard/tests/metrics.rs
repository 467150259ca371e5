//! What is counted outlives those who count, whatever ends them.
mod common;

use common::{
    Forked, Numbers, alone, calls_between_marks, endurance, given_directory, own_role, role,
    wait_for,
};
use prefork_scoreboard::metrics::{
    Counter, Family, Figure, Gauge, Histogram, Metrics, Series, Store,
};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// So many times something happens, or as often as the environment says.
fn times(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|times| times.parse().ok()).unwrap_or(usual)
}

/// One family of each kind, and a store of so many slots.
struct Counted {
    store: Store,
    counter: Family<Counter>,
    gauge: Family<Gauge>,
    histogram: Family<Histogram>,
}

fn counted(slots: usize) -> Counted {
    let mut metrics = Metrics::new();
    let counter = metrics.counter("steps_total", "Steps").labels(["of"]).declare();
    let gauge = metrics.gauge("running", "Who runs").declare();
    let histogram = metrics.histogram("wait_seconds", "Waits").bounds([1.0, 2.0]).declare();
    Counted {
        store: Store::in_memory(&metrics, slots).expect("memory"),
        counter: counter.expect("declared"),
        gauge: gauge.expect("declared"),
        histogram: histogram.expect("declared"),
    }
}

/// The total of a counter, by the value of its label.
fn total(store: &Store, of: &str) -> u64 {
    let reading = store.read(|_| true).expect("read");
    let steps = reading.families().iter().find(|family| family.name() == "steps_total");
    let series = steps.and_then(|it| it.series().iter().find(|it| it.labels()[0].1 == of));
    match series.map(Series::figure) {
        Some(Figure::Counter(total)) => *total,
        Some(other) => panic!("{other:?}"),
        None => 0,
    }
}

/// Killed at any instruction: each child counts what it begins, what it does, and what it has ended.
#[test]
fn a_kill_loses_no_more_than_the_update_in_flight() {
    alone("a_kill_loses_no_more_than_the_update_in_flight", || {
        let kills = times("SCOREBOARD_TEST_KILLS", 50);
        let Counted { store, counter, histogram, .. } = counted(1);
        let mut numbers = Numbers::new();
        let (mut before, mut waits_before) = (0, 0);
        for kill in 1..=kills {
            let child = Forked::new(|| {
                let cells = store.enter(0).expect("my slot");
                let [begun, done, ended] =
                    ["begun", "done", "ended"].map(|of| cells.series(&counter, &[of]));
                let waits = cells.series(&histogram, &[]);
                loop {
                    begun.increment();
                    done.increment();
                    waits.record(1.5);
                    ended.increment();
                }
            });
            wait_for("the child to count", || total(&store, "ended") > before);
            let until = Instant::now() + Duration::from_micros(numbers.below(2000) as u64);
            let mut last = before;
            while Instant::now() < until {
                let now = total(&store, "ended");
                assert!(now >= last, "from {last} to {now} while it runs");
                last = now;
            }
            child.kill();
            store.clear(0).expect("cleared");
            let [begun, done, ended] = ["begun", "done", "ended"].map(|of| total(&store, of));
            assert!(ended >= last, "from {last} to {ended} by a kill");
            assert!((ended..=begun).contains(&done), "{begun}, {done}, {ended}");
            assert!(begun - ended <= kill, "{begun} begun and {ended} ended after {kill} kills");
            let reading = store.read(|_| true).expect("read");
            let waits = reading.families().iter().find(|family| family.name() == "wait_seconds");
            let Figure::Histogram { buckets, sum } = waits.expect("there").series()[0].figure()
            else {
                panic!("{reading:?}");
            };
            assert!((ended..=begun).contains(&buckets[1]), "{buckets:?}, {begun}, {ended}");
            assert!(buckets[1] >= waits_before, "{buckets:?}, after {waits_before}");
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let missing = buckets[1] as f64 * 1.5 - sum;
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let most = kill as f64 * 1.5;
            assert!((0.0..=most).contains(&missing), "{missing} of {sum}");
            assert_eq!((reading.refused(), reading.unreadable()), (0, 0));
            (before, waits_before) = (ended, buckets[1]);
        }
        println!("{kills} kills, {before} updates");
    });
}

/// Steps in which each byte of the word changes: a figure of two moments would be no multiple.
#[test]
fn a_figure_is_read_whole_while_it_changes() {
    alone("a_figure_is_read_whole_while_it_changes", || {
        const STEP: u64 = 0x0000_0001_0203_04FF;
        let Counted { store, counter, .. } = counted(2);
        let _children = [0, 1].map(|slot| {
            let (store, counter) = (&store, &counter);
            Forked::new(move || {
                let steps = store.enter(slot).expect("my slot").series(counter, &["steps"]);
                for _ in 0..u64::MAX / STEP / 4 {
                    steps.add(STEP);
                }
                0
            })
        });
        let deadline = Instant::now() + endurance();
        let (mut last, mut looks) = (0, 0_u64);
        while Instant::now() < deadline || last == 0 {
            let now = total(&store, "steps");
            assert!(now >= last && now.is_multiple_of(STEP), "{now:#x} after {last:#x}");
            (last, looks) = (now, looks + 1);
        }
        println!("{looks} looks, up to {last:#x}");
    });
}

#[test]
fn nothing_grows_with_the_number_of_children() {
    alone("nothing_grows_with_the_number_of_children", || {
        let children = times("SCOREBOARD_TEST_CHILDREN", 200);
        let Counted { store, counter, gauge, histogram } = counted(4);
        let file = File::from(store.as_fd().try_clone_to_owned().expect("cloned"));
        let size = || file.metadata().map(|it| (it.len(), it.blocks())).expect("examined");
        let run = |slot: u64| {
            let child = Forked::new(|| {
                let slot = usize::try_from(slot % 4).expect("small");
                let cells = store.enter(slot).expect("my slot");
                cells.series(&counter, &["child"]).increment();
                cells.series(&gauge, &[]).set(1.0);
                cells.series(&histogram, &[]).record(0.5);
                0
            });
            child.succeed();
        };
        (0..4).for_each(run);
        let before = size();
        (4..children).for_each(run);
        assert_eq!(size(), before);
        assert_eq!(total(&store, "child"), children);
        println!("{children} children, {} bytes of memory", before.1 * 512);
    });
}

#[test]
fn a_copy_of_a_process_counts_in_its_slot_and_makes_no_series() {
    alone("a_copy_of_a_process_counts_in_its_slot_and_makes_no_series", || {
        let Counted { store, counter, .. } = counted(1);
        let cells = store.enter_for_life(0).expect("my slot");
        let steps = cells.series(&counter, &["steps"]);
        steps.increment();
        let copy = Forked::new(|| {
            steps.increment();
            u8::from(cells.try_series(&counter, &["other"]).is_ok())
        });
        copy.succeed();
        assert_eq!((total(&store, "steps"), total(&store, "other")), (2, 0));
    });
}

/// Counts all there is, between two system calls that stand out in a trace.
fn count() {
    let Counted { store, counter, histogram, .. } = counted(1);
    let cells = store.enter(0).expect("my slot");
    let (steps, waits) = (cells.series(&counter, &["steps"]), cells.series(&histogram, &[]));
    steps.increment();
    let _ = fs::metadata(given_directory().join("begin"));
    for _ in 0..1000 {
        steps.increment();
        waits.record(0.25);
        cells.series(&counter, &["steps"]).add(2);
    }
    let _ = fs::metadata(given_directory().join("end"));
    assert_eq!(total(&store, "steps"), 3001);
}

#[test]
fn an_update_is_no_system_call() {
    if own_role().is_some() {
        return count();
    }
    let name = "an_update_is_no_system_call";
    let Some(between) = calls_between_marks(&mut role(name, "count")) else { return };
    assert!(between.is_empty(), "3000 updates made system calls: {between:#?}");
}
