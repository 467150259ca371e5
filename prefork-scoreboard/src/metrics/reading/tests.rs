use super::*;
use crate::metrics::{Cells, Counter, Family, Gauge, Histogram, Metrics};
use proptest::prelude::*;
use std::os::unix::fs::FileExt;

/// A store of two slots, and what is declared there.
struct Shop {
    store: Store,
    orders: Family<Counter>,
    carts: Family<Gauge>,
    oldest: Family<Gauge>,
    rate: Family<Gauge>,
    waits: Family<Histogram>,
}

fn shop(memory: usize) -> Shop {
    let mut metrics = Metrics::new();
    metrics.memory(memory);
    let orders = metrics.counter("orders_total", "Orders").labels(["kind"]).declare();
    let carts = metrics.gauge("carts", "Carts").declare();
    let oldest = metrics.gauge("oldest_seconds", "The oldest").join(Join::Max).declare();
    let rate = metrics.gauge("rate", "The rate").join(Join::Last).declare();
    let waits = metrics.histogram("wait_seconds", "Waits").bounds([0.1, 1.0]).declare();
    Shop {
        store: Store::in_memory(&metrics, 2).expect("memory"),
        orders: orders.expect("declared"),
        carts: carts.expect("declared"),
        oldest: oldest.expect("declared"),
        rate: rate.expect("declared"),
        waits: waits.expect("declared"),
    }
}

impl Shop {
    fn enter(&self, slot: usize) -> Cells {
        self.store.enter(slot).expect("a slot")
    }

    fn figure(&self, name: &str) -> Option<Figure> {
        let reading = self.store.reader().and_then(|reader| reader.read(|_| true)).expect("read");
        let family = reading.families.iter().find(|family| family.name == name)?;
        assert_eq!(family.series.len(), 1, "{family:?}");
        Some(family.series[0].figure.clone())
    }
}

#[test]
fn figures_of_all_slots_become_one() {
    let shop = shop(4096);
    for (slot, value) in [(0, 2.0), (1, 0.5)] {
        let cells = shop.enter(slot);
        cells.series(&shop.orders, &["book"]).add(3);
        cells.series(&shop.carts, &[]).set(value);
        cells.series(&shop.carts, &[]).add(1.0);
        cells.series(&shop.oldest, &[]).set(value);
        cells.series(&shop.rate, &[]).set(value);
        let waits = cells.series(&shop.waits, &[]);
        [0.1, value, f64::NAN, f64::INFINITY].iter().for_each(|wait| waits.record(*wait));
    }
    assert_eq!(shop.figure("orders_total"), Some(Figure::Counter(6)));
    assert_eq!(shop.figure("carts"), Some(Figure::Gauge(4.5)));
    assert_eq!(shop.figure("oldest_seconds"), Some(Figure::Gauge(2.0)));
    assert_eq!(shop.figure("rate"), Some(Figure::Gauge(0.5)));
    let expected = Figure::Histogram { buckets: vec![2, 1, 1], sum: 2.7 };
    assert_eq!(shop.figure("wait_seconds"), Some(expected));
}

#[test]
fn counters_go_on_with_the_next_process_and_gauges_do_not() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    cells.series(&shop.orders, &["book"]).add(3);
    cells.series(&shop.carts, &[]).set(7.0);
    // Killed; the parent notices.
    shop.store.clear(0).expect("cleared");
    assert_eq!(shop.figure("orders_total"), Some(Figure::Counter(3)));
    assert_eq!(shop.figure("carts"), None, "nobody has it");
    let next = shop.enter(0);
    assert_eq!(shop.figure("carts"), None, "it is another process's");
    next.series(&shop.orders, &["book"]).increment();
    assert_eq!(shop.figure("orders_total"), Some(Figure::Counter(4)));
    next.series(&shop.carts, &[]).add(1.0);
    assert_eq!(shop.figure("carts"), Some(Figure::Gauge(1.0)));
    let reading = shop.store.read(|_| false).expect("read");
    assert!(reading.families().iter().all(|family| family.name() != "carts"), "of the dead");
}

#[test]
fn a_full_region_is_an_error_once_and_counted() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    let (heard, said) = std::sync::mpsc::channel();
    cells.on_refused(move |error| heard.send(error.to_string()).expect("listening"));
    let all: Vec<_> =
        (0..300).map(|kind| cells.series(&shop.orders, &[&format!("kind-{kind:04}")])).collect();
    all.iter().for_each(Counter::increment);
    let expected = "no room for another series of metric orders_total: all 4096 bytes of slot 0 are used; \
                    use fewer label values, or give more memory";
    assert_eq!(said.try_iter().collect::<Vec<_>>(), [expected]);
    let reading = shop.store.read(|_| true).expect("read");
    let kept = reading.families()[0].series().len();
    assert_eq!(reading.refused(), 300 - kept as u64);
    assert!((120..=130).contains(&kept), "{kept} of 32 bytes each in 4096");
    // What is there is found again.
    cells.series(&shop.orders, &["kind-0000"]).increment();
    let reading = shop.store.read(|_| true).expect("read");
    assert_eq!(reading.families()[0].series()[0].figure(), &Figure::Counter(2));
}

#[test]
fn wrong_labels_are_refused_and_counted() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    for labels in [&[][..], &["a", "b"], &[&*"x".repeat(names::VALUE_SIZE + 1)]] {
        assert!(cells.try_series(&shop.orders, labels).is_err(), "{labels:?}");
    }
    let other = Metrics::new().gauge("other", "Other").declare().expect("declared");
    let error = cells.try_series(&other, &[]).expect_err("of another store");
    assert_eq!(
        error.to_string(),
        "metric other was not declared for this store: declare it before the first fork"
    );
    assert_eq!(shop.store.read(|_| true).expect("read").refused(), 4);
}

#[test]
fn what_a_terminal_would_obey_is_shown_as_a_question_mark() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    cells.series(&shop.orders, &["a\x1b[2J\n"]).increment();
    cells.series(&shop.orders, &["a\x1b[2J\u{202E}"]).increment();
    let reading = shop.store.read(|_| true).expect("read");
    let series = reading.families()[0].series();
    assert_eq!((series.len(), series[0].labels()[0].1.as_str()), (1, "a?[2J?"));
    assert_eq!(series[0].figure(), &Figure::Counter(2));
}

#[test]
fn another_program_goes_on_with_what_it_declares_as_before() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    cells.series(&shop.orders, &["book"]).add(3);
    cells.series(&shop.carts, &[]).set(7.0);
    let mut metrics = Metrics::new();
    let new = metrics.counter("new_total", "New").declare().expect("declared");
    let carts = metrics.gauge("carts", "Carts").join(Join::Max).declare().expect("declared");
    let orders = metrics.counter("orders_total", "Orders").labels(["kind"]).declare();
    let orders = orders.expect("declared");
    let file = shop.store.file.try_clone().expect("cloned");
    let mut store = Store::adopt(file.into(), &metrics, 3).expect("adopted");
    assert_eq!(shop.figure("carts"), Some(Figure::Gauge(7.0)), "nothing has changed yet");
    store.publish().expect("declared");
    let later = store.enter(2).expect("a slot more");
    later.series(&orders, &["book"]).increment();
    later.series(&new, &[]).increment();
    later.series(&carts, &[]).set(1.0);
    let reading = store.read(|_| true).expect("read");
    let figures: Vec<_> =
        reading.families().iter().map(|it| (it.name(), &it.series()[0].figure)).collect();
    let expected = [
        ("orders_total", &Figure::Counter(4)),
        ("new_total", &Figure::Counter(1)),
        ("carts", &Figure::Gauge(1.0)),
    ];
    assert_eq!(figures, expected);
    // The program that comes back goes on with its own.
    let file = shop.store.file.try_clone().expect("cloned");
    let mut back = Metrics::new();
    back.gauge("carts", "Carts").declare().expect("declared");
    let mut returned = Store::adopt(file.into(), &back, 3).expect("adopted");
    returned.publish().expect("declared");
    cells.series(&shop.carts, &[]).set(8.0);
    assert_eq!(shop.figure("carts"), Some(Figure::Gauge(8.0)));
    // Children that run still have their place.
    cells.series(&shop.orders, &["disc"]).increment();
    assert_eq!(store.read(|_| true).expect("read").families()[0].series().len(), 2);
}

#[test]
fn the_largest_figures_are_no_harm() {
    let shop = shop(4096);
    for slot in 0..2 {
        let cells = shop.enter(slot);
        cells.series(&shop.orders, &["book"]).add(u64::MAX);
        cells.series(&shop.carts, &[]).set(f64::MAX);
        cells.series(&shop.oldest, &[]).set(f64::INFINITY);
        let waits = cells.series(&shop.waits, &[]);
        [f64::MAX, f64::MAX].iter().for_each(|wait| waits.record(*wait));
    }
    assert_eq!(shop.figure("orders_total"), Some(Figure::Counter(u64::MAX)));
    assert_eq!(shop.figure("carts"), Some(Figure::Gauge(f64::MAX)));
    assert_eq!(shop.store.read(|_| true).expect("read").unreadable(), 4, "infinite");
}

#[test]
fn memory_is_taken_where_something_is_counted_and_never_grows() {
    use std::os::unix::fs::MetadataExt;
    let shop = shop(64 * 1024);
    let taken = || shop.store.file.metadata().expect("examined").blocks() * 512;
    let before = taken();
    for _ in 0..10_000 {
        let cells = shop.enter(0);
        cells.series(&shop.orders, &["book"]).increment();
        cells.series(&shop.carts, &[]).set(1.0);
    }
    assert_eq!(taken() - before, 4096, "one page");
    assert_eq!(shop.figure("orders_total"), Some(Figure::Counter(10_000)));
}

#[test]
fn what_is_in_one_place_ends_where_the_other_begins() {
    let shop = shop(4096);
    let cells = shop.enter(0);
    let all: Vec<_> = (0..20).map(|kind| kind.to_string().repeat(kind % 7 + 1)).collect();
    for (count, kind) in (1..).zip(&all) {
        cells.series(&shop.orders, &[kind]).add(count);
    }
    let again = shop.enter(0);
    for kind in &all {
        again.series(&shop.orders, &[kind]).add(100);
    }
    let reading = shop.store.read(|_| true).expect("read");
    let found = |kind: &str| {
        let series = reading.families()[0].series();
        let of = series.iter().find(|it| it.labels()[0].1 == kind).expect("there");
        of.figure().clone()
    };
    for (count, kind) in (1..).zip(&all) {
        assert_eq!(found(kind), Figure::Counter(100 + count), "{kind}");
    }
}

/// A region that a hostile process has written, some of it nearly right.
fn arb_region() -> impl Strategy<Value = Vec<u8>> {
    let series = (
        1_u64..=6,
        0_u64..6,
        prop_oneof![0_u64..8, Just(0xFFFF)],
        prop::collection::vec(any::<u8>(), 0..40),
        any::<bool>(),
    );
    prop::collection::vec(series, 0..20).prop_map(|all| {
        let mut bytes: Vec<u8> =
            [7, u64::MAX, u64::MAX, 0, 0, 0, 0, 0].map(u64::to_le_bytes).concat();
        for (kind, cells, family, mut text, is_text) in all {
            if is_text {
                text.iter_mut()
                    .for_each(|byte| *byte = if *byte > 200 { 0xFF } else { b'a' + *byte % 4 });
                text.push(0xFF);
            }
            let head = 0x5046 << 48 | kind << 40 | cells << 32 | family << 16 | text.len() as u64;
            bytes.extend(head.to_le_bytes());
            bytes.extend(std::iter::repeat_n(
                text.first().copied().unwrap_or(9),
                usize::try_from(cells).unwrap_or(0) * 8,
            ));
            text.resize(text.len().next_multiple_of(8), 0);
            bytes.extend(text);
        }
        bytes.truncate(4096);
        bytes
    })
}

proptest! {
    #[test]
    fn whatever_a_process_has_written_it_is_read_and_the_slot_can_be_used(
        region in prop_oneof![arb_region(), prop::collection::vec(any::<u8>(), 0..4096)],
    ) {
        let shop = shop(4096);
        let honest = shop.enter(1).series(&shop.orders, &["honest"]);
        honest.add(5);
        shop.store.file.write_all_at(&region, shop.store.layout.offset(0)).expect("written");
        let reading = shop.store.read(|_| true).expect("read");
        let count = |reading: &Reading| {
            let orders = reading.families().iter().find(|it| it.name() == "orders_total");
            let of = |it: &&Series| it.labels()[0].1 == "honest";
            let series = orders.and_then(|it| it.series().iter().find(of)).expect("the honest one");
            let Figure::Counter(count) = series.figure else { panic!("{series:?}") };
            count
        };
        prop_assert!(count(&reading) >= 5);
        for family in reading.families() {
            prop_assert!(names::check_name(family.name(), family.kind()).is_ok());
            for series in family.series() {
                let labels = series.labels().iter().map(|(label, _)| &**label);
                prop_assert!(names::check_labels("", &labels).is_ok());
            }
            let mut labels: Vec<_> = family.series().iter().map(Series::labels).collect();
            labels.dedup();
            prop_assert_eq!(labels.len(), family.series().len(), "a series twice");
        }
        let before = count(&reading);
        let next = shop.enter(0);
        if let Ok(series) = next.try_series(&shop.orders, &["honest"]) {
            series.increment();
            let after = count(&shop.store.read(|_| true).expect("read"));
            prop_assert_eq!(after, before.saturating_add(1));
        }
    }
}
