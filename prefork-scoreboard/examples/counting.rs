//! Unrelated processes count together: run `counting PATH KIND` a few times in several terminals.
//!
//! Each claims a slot, and counts the lines of its input and how long they are until that ends. After each line it prints what all of
//! them have counted, those that have ended too. `prefork metrics PATH` shows the same for Prometheus.

use prefork_scoreboard::Board;
use prefork_scoreboard::metrics::{Figure, Metrics, Store};
use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, stdin};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path: OsString = arguments.next().ok_or("usage: counting PATH KIND")?;
    let kind = arguments.next().unwrap_or_else(|| "line".into());

    let mut metrics = Metrics::new();
    let lines = metrics.counter("example_lines_total", "Lines read").labels(["kind"]).declare()?;
    let open = metrics.gauge("example_readers", "Processes that read").declare()?;
    let lengths = metrics.histogram("example_line_bytes", "Lengths of lines").unit("bytes");
    let lengths = lengths.bounds([10.0, 100.0, 1000.0]).declare()?;

    let board = Board::open_or_create(&path, 16)?;
    let mut beside = path.clone();
    beside.push(".metrics");
    let store = Store::open_or_create(&beside, &metrics, board.slots())?;

    let mut slot = board.claim()?;
    let cells = store.enter(slot.index())?;
    let lines = cells.series(&lines, &[&kind.to_string_lossy()]);
    let lengths = cells.series(&lengths, &[]);
    cells.series(&open, &[]).set(1.0);
    slot.idle();
    for line in stdin().lock().lines() {
        let line = line?;
        slot.busy(&line);
        lines.increment();
        lengths.record(f64::from(u32::try_from(line.len()).unwrap_or(u32::MAX)));
        print(&board, &store)?;
        slot.finished();
    }
    Ok(())
}

/// Prints what all processes have counted. Gauges are those of processes that have a slot.
fn print(board: &Board, store: &Store) -> Result<(), Box<dyn Error>> {
    let snapshot = board.snapshot()?;
    let lives = |pid| {
        let has_slot = |slot: &usize| snapshot.records()[*slot].pid() == Some(pid);
        (0..board.slots()).any(|slot| has_slot(&slot) && !snapshot.gone().contains(&slot))
    };
    for family in store.read(lives)?.families() {
        for series in family.series() {
            let labels: Vec<_> = series.labels().iter().map(|(_, value)| value.as_str()).collect();
            let figure = match series.figure() {
                Figure::Counter(count) => count.to_string(),
                Figure::Gauge(value) => value.to_string(),
                Figure::Histogram { buckets, .. } => format!("{buckets:?}"),
            };
            println!("{} {} {figure}", family.name(), labels.join(" "));
        }
    }
    Ok(())
}
