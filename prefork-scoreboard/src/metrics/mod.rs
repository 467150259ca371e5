//! What a program counts itself: counters, gauges and histograms with labels, in memory that its processes share with those
//! who read them.
//!
//! # Problem
//!
//! A program that counts in variables counts in each process for itself, and whoever asks sees one process in N. What a process
//! has counted goes with it, so that totals fall. A file for each pid grows for ever.
//!
//! # Idea
//!
//! Each slot has a region of a [`Store`], a file in memory. What is counted there belongs to the slot: the process that has the
//! slot next goes on where the last one was, so totals never fall, and there is never more to read than one region a slot. A
//! process that is killed loses at most the update that it was at. A gauge says how things are now, so it belongs to the
//! process, and goes with it.
//!
//! Families of metrics are declared in [`Metrics`] before the fork: name, help, unit, labels. Series, one for each combination
//! of label values, are made by the processes when they need them, by [`Cells::series`], until the region is full. An update
//! of a [`Counter`], a [`Gauge`] or a [`Histogram`] is one or two atomic instructions: no lock, no allocation, no system call.
//!
//! With the feature `metrics`, `Metrics::install_recorder` has the macros of the crate `metrics` count here, with names and labels that
//! nobody has declared.
//!
//! # What is promised
//!
//! - A reader ([`Store::read`]) trusts nothing that is in a region: it may say anything that a child could have counted, and
//!   harms nobody. What makes no sense is left out and counted.
//! - A process that has entered its slot and dropped its [`Store`] can write to its own region alone. Where processes share a store in
//!   a named file, each can open that again, and write to all of it.
//! - Memory is taken from the system where it is written to, a page at a time.
//! - A series that cannot be made is an error once, and counted; what would be counted in it is dropped.
//!
//! # Examples
//!
//! ```
//! use prefork_scoreboard::metrics::{Figure, Join, Metrics, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut metrics = Metrics::new();
//! let orders = metrics.counter("shop_orders_total", "Orders taken").labels(["kind"]).declare()?;
//! let carts = metrics.gauge("shop_open_carts", "Carts that are not paid").join(Join::Sum).declare()?;
//! let store = Store::in_memory(&metrics, 2)?;
//!
//! // In a child, after the fork:
//! let cells = store.enter(0)?;
//! let books = cells.series(&orders, &["book"]);
//! books.increment();
//! cells.series(&carts, &[]).set(3.0);
//!
//! // In whoever shows it:
//! let reading = store.read(|_| true)?;
//! let shown: Vec<_> = reading.families().iter().map(|family| (family.name(), family.series()[0].figure())).collect();
//! assert_eq!(shown, [("shop_orders_total", &Figure::Counter(1)), ("shop_open_carts", &Figure::Gauge(3.0))]);
//! # Ok(())
//! # }
//! ```

mod cells;
mod copy;
mod declare;
mod error;
mod instrument;
mod layout;
mod named;
mod names;
mod reading;
mod record;
#[cfg(feature = "metrics")]
mod recorder;
mod schema;
#[cfg(feature = "metrics")]
mod spoken;
mod store;

pub use cells::Cells;
pub use declare::{Declaring, Family, Join, MetricKind, Metrics};
pub use error::{DeclareError, SeriesError, StoreError};
pub use instrument::{Counter, Gauge, Histogram, Instrument};
pub use reading::{FamilyReading, Figure, Reading, Series};
#[cfg(feature = "metrics")]
pub use recorder::{Recorder, RecorderInstalled};
pub use store::Store;
