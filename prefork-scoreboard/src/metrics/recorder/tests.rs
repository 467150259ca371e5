use super::*;
use crate::metrics::{Figure, Reading, Store};
use ::metrics::{
    counter, describe_counter, describe_histogram, gauge, histogram, with_local_recorder,
};

/// The figure of a family that has one series.
fn figure<'a>(reading: &'a Reading, name: &str) -> Option<&'a Figure> {
    let family = reading.families().iter().find(|family| family.name() == name)?;
    assert_eq!(family.series().len(), 1, "{family:?}");
    Some(family.series()[0].figure())
}

#[test]
fn what_libraries_count_is_there_with_names_that_nobody_has_declared() {
    let mut metrics = Metrics::new();
    let recorder = metrics.recorder();
    with_local_recorder(&recorder, || {
        describe_counter!("http.requests", "Requests\nanswered");
        describe_histogram!("wait.seconds", "Waits");
        // A library may keep a handle from before the fork.
        let early = counter!("http.requests", "status" => "200", "method" => "GET");
        early.increment(100);
        let store = Store::in_memory(&metrics, 1).expect("memory");
        let _cells = store.enter(0).expect("a slot");
        early.increment(2);
        counter!("http.requests", "method" => "GET", "status" => "200").increment(3);
        gauge!("open.connections").set(5.0);
        gauge!("open.connections").decrement(2.0);
        histogram!("wait.seconds").record(0.3);
        let reading = store.read(|_| true).expect("read");
        assert_eq!(figure(&reading, "http_requests_total"), Some(&Figure::Counter(5)));
        assert_eq!(figure(&reading, "open_connections"), Some(&Figure::Gauge(3.0)));
        let Some(Figure::Histogram { buckets, sum }) = figure(&reading, "wait_seconds") else {
            panic!("{reading:?}");
        };
        assert_eq!((buckets.iter().sum(), *sum), (1, 0.3));
        let helps: Vec<_> = reading.families().iter().map(|it| (it.name(), it.help())).collect();
        let expected = [
            ("http_requests_total", "Requests answered"),
            ("wait_seconds", "Waits"),
            ("open_connections", ""),
        ];
        assert_eq!(helps, expected);
        let labels = reading.families()[0].series()[0].labels();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(labels, [pair("method", "GET"), pair("status", "200")]);
    });
}

#[test]
fn what_was_declared_counts_for_the_macros_too() {
    let mut metrics = Metrics::new();
    let recorder = metrics.recorder();
    metrics.gauge("oldest", "The oldest").join(Join::Max).declare().expect("declared");
    let waits = metrics.histogram("wait_seconds", "Waits").labels(["path", "method"]);
    waits.bounds([1.0]).declare().expect("declared");
    let store = Store::in_memory(&metrics, 1).expect("memory");
    let cells = store.enter(0).expect("a slot");
    let (heard, said) = std::sync::mpsc::channel();
    cells.on_refused(move |error| heard.send(error.to_string()).expect("listening"));
    with_local_recorder(&recorder, || {
        gauge!("oldest").set(7.0);
        histogram!("wait_seconds", "method" => "GET", "path" => "/").record(0.5);
        histogram!("wait_seconds", "verb" => "GET", "path" => "/").record(0.5);
        counter!("oldest").increment(1);
        counter!("prefork.requests").increment(1);
    });
    let reading = store.read(|_| true).expect("read");
    assert_eq!(figure(&reading, "oldest"), Some(&Figure::Gauge(7.0)));
    let expected = Figure::Histogram { buckets: vec![1, 0], sum: 0.5 };
    assert_eq!(figure(&reading, "wait_seconds"), Some(&expected));
    assert_eq!(reading.refused(), 3);
    let said: Vec<_> = said.try_iter().collect();
    assert_eq!(said, ["metric wait_seconds has 2 labels, 2 values were given, or other names"]);
}

#[test]
fn a_counter_that_follows_another_goes_on_in_the_next_process() {
    let mut metrics = Metrics::new();
    let store = Store::in_memory(&metrics, 1).expect("memory");
    for expected in [7, 14] {
        // As each process has its own.
        let recorder = Recorder::default();
        recorder.attach(&store.enter(0).expect("a slot"));
        with_local_recorder(&recorder, || {
            for value in [5, 7, 6] {
                counter!("pages").absolute(value);
            }
        });
        let reading = store.read(|_| true).expect("read");
        assert_eq!(figure(&reading, "pages_total"), Some(&Figure::Counter(expected)));
    }
    let _ = metrics.recorder();
}

#[test]
fn handles_of_series_that_cannot_be_made_are_not_kept() {
    let mut metrics = Metrics::new();
    metrics.memory(4096);
    let recorder = metrics.recorder();
    let store = Store::in_memory(&metrics, 1).expect("memory");
    let _cells = store.enter(0).expect("a slot");
    with_local_recorder(&recorder, || {
        for number in 0..10_000 {
            counter!("pages", "number" => number.to_string()).increment(1);
        }
    });
    let kept = recorder.0.counters.read().expect("whole").len();
    let reading = store.read(|_| true).expect("read");
    assert_eq!(reading.families()[0].series().len(), kept);
    assert_eq!(reading.refused(), 10_000 - kept as u64);
}
