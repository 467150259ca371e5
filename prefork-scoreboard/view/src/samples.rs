//! Boards that were made up, for the tests of what shows them.

use std::time::{Duration, SystemTime};

use prefork_scoreboard::{
    Class, Column, Kind, Life, Stall, Standing, State, Status, Value,
    metrics::{Metrics, Reading, Store},
};

use crate::{Listener, Owner, Queue, Row, Sign, View, count};

/// A child in the middle of something.
///
/// # Panics
///
/// Panics if no pid can be made of the number.
#[must_use]
pub fn row(slot: usize, status: Status) -> Row {
    let empty = status == Status::Empty;
    let number = slot as u64 + 1;
    let text = |text: &str| if empty { String::new() } else { text.to_owned() };
    Row {
        slot,
        status,
        pid: (!empty).then_some(4000 + u32::try_from(slot).expect("a small number")),
        life: if empty { Life::Unknown } else { Life::Running },
        is_leaving: false,
        generation: u64::from(!empty),
        requests: if empty { 0 } else { number * 1000 },
        age: (!empty).then(|| Duration::from_secs(100 * number)),
        in_hand: u32::from(status.class() == Class::Busy),
        concurrency: 1,
        queued: None,
        request_time: (status.class() == Class::Busy).then(|| Duration::from_millis(1250 * number)),
        since_update: (!empty).then(|| Duration::from_millis(500)),
        memory: (!empty).then_some(number << 20),
        client: text("192.0.2.1:4711"),
        label: text(&format!("GET /page/{slot}")),
        values: Some(Vec::new()),
    }
}

/// A board on which everything happens.
#[must_use]
pub fn view() -> View {
    let statuses = [
        Status::Live(State::Idle),
        Status::Live(State::Writing),
        Status::Empty,
        Status::Live(State::Starting),
        Status::Stalled(Stall::HalfWritten),
        Status::Live(State::Draining),
        Status::Live(State::Reading),
        Status::Empty,
    ];
    of_rows(statuses.into_iter().enumerate().map(|(slot, status)| row(slot, status)).collect())
}

/// A board of children that can have many requests in hand, and of one that has one at a time.
#[must_use]
pub fn many() -> View {
    let states = [State::Writing, State::Idle, State::Writing].map(Status::Live);
    let mut rows: Vec<_> =
        states.into_iter().enumerate().map(|(slot, status)| row(slot, status)).collect();
    (rows[0].in_hand, rows[0].concurrency) = (16, 64);
    (rows[1].in_hand, rows[1].concurrency) = (0, 64);
    of_rows(rows)
}

/// A board of processes that share it, with columns of its own.
#[must_use]
pub fn jobs() -> View {
    let statuses = [Status::Live(State::Writing), Status::Live(State::Idle), Status::Empty];
    let mut view =
        of_rows(statuses.into_iter().enumerate().map(|(slot, status)| row(slot, status)).collect());
    view.columns = vec![
        Column::counter("written").unit("bytes"),
        Column::text("volume"),
        Column::counter("errors"),
        Column::gauge("queue"),
    ];
    for row in view.rows.iter_mut().filter(|row| row.status != Status::Empty) {
        let number = row.slot as u64 + 1;
        let volume = Value::Text(format!("photos-{number}"));
        let [written, errors, queue] = [2361 * number, 1, number].map(Value::Number);
        row.values = Some(vec![written, volume, errors, queue]);
        (row.generation, row.client) = (0, String::new());
        row.label = format!("cat-{number}.png");
    }
    view.path = "/run/thumbnails".into();
    (view.kind, view.title) = (Kind::Shared, Some("thumbnails".into()));
    view.owner = Owner::default();
    view
}

/// What a shop counts.
///
/// # Panics
///
/// Panics if there is no memory for it.
#[must_use]
pub fn metrics() -> Reading {
    let mut metrics = Metrics::new();
    let orders = metrics.counter("shop_orders_total", "Orders taken, \"paid\" or not \\");
    let orders = orders.labels(["kind"]).declare().expect("declared");
    let carts = metrics.gauge("shop_carts_bytes", "Size of carts").unit("bytes");
    let carts = carts.declare().expect("declared");
    let waits = metrics.histogram("shop_wait_seconds", "Waits").bounds([0.5, 1.0]);
    let waits = waits.declare().expect("declared");
    let store = Store::in_memory(&metrics, 1).expect("memory");
    let cells = store.enter(0).expect("a slot");
    cells.series(&orders, &["book"]).add(4);
    cells.series(&orders, &["a \"b\" \\ \n"]).add(3);
    cells.series(&carts, &[]).set(2.5);
    let waits = cells.series(&waits, &[]);
    waits.record(0.25);
    waits.record(3.0);
    store.read(|_| true).expect("read")
}

/// What a daemon publishes about itself.
#[must_use]
pub fn owner() -> Owner {
    Owner {
        name: Some("hello".into()),
        version: Some("0.1.0".into()),
        program: Some("/usr/bin/hello".into()),
        runs: None,
        library: Some("prefork 0.1.0".into()),
        phase: Some("serving".into()),
        min_children: Some(3),
        max_children: Some(150),
        listeners: vec![Listener {
            address: "127.0.0.1:8080".into(),
            queue: Some(Queue { waiting: 0, limit: 4096 }),
        }],
        pid_file: Some("/run/hello/pid".into()),
        settings: vec!["/etc/hello.toml".into()],
        isolation: Vec::new(),
        not_isolated: Vec::new(),
        reload: None,
        upgrade: None,
        reopening: None,
        jobs_waiting: None,
        queue_times: None,
        metrics: None,
        cannot_fork: None,
    }
}

/// A board with these slots.
#[must_use]
pub fn of_rows(rows: Vec<Row>) -> View {
    let tally = count(&rows);
    View {
        path: "/run/hello/board".into(),
        kind: Kind::Owned,
        title: None,
        columns: Vec::new(),
        creator: Some(3999),
        creator_life: Life::Running,
        owner: owner(),
        sign: Sign { standing: Some(Standing::Sleeps), ..Sign::default() },
        up: Some(Duration::from_secs(3 * 3600 + 300)),
        created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        age: Some(Duration::from_secs(3723)),
        tally,
        rows,
        metrics: None,
    }
}
