//! What the macros of the crate `metrics` count, in libraries too.
//!
//! Such a library takes a handle when it likes, before the fork as well, and with names and labels that nobody has declared. So a
//! handle finds its series when it first counts in a process that has a slot; before that it counts nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use ::metrics::{
    CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
    set_global_recorder,
};
use thiserror::Error;

use super::declare::{BOUNDS, Declaration, Labels};
use super::{
    Cells, Counter, Gauge, Histogram, Instrument, Join, MetricKind, Metrics, names, spoken,
};
use crate::text::is_printable;

/// Why the macros cannot be had count here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the macros of the crate `metrics` count elsewhere already; install one recorder only")]
pub struct RecorderInstalled;

/// Counts what the macros of the crate [`metrics`](::metrics) say, where the process that runs has a slot.
///
/// Names and labels become what Prometheus takes: other characters become `_`, a counter has `_total` at its end, other metrics that end
/// so or as samples of histograms do have `_value` behind it, and labels that samples have already have `exported_` before them. A metric of a
/// name that was declared has the help, the bounds and the join of that, and must have its labels; others are described by `describe_counter!`
/// and the like, if that is before the first fork.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Recording>);

#[derive(Default)]
pub(super) struct Recording {
    described: Mutex<Vec<Declaration>>,
    /// Where this process counts.
    cells: OnceLock<Cells>,
    counters: Handles<Counter>,
    gauges: Handles<Gauge>,
    histograms: Handles<Histogram>,
}

type Handles<K> = RwLock<HashMap<Key, Arc<Handle<K>>>>;

/// A series, once it is found.
struct Handle<K> {
    key: Key,
    found: OnceLock<Found<K>>,
    of: Recorder,
}

struct Found<K> {
    instrument: K,
    /// What a counter was when this process came.
    begun: u64,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("cells", &self.0.cells.get()).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Has all macros of the crate [`metrics`](::metrics) count here, in libraries too.
    ///
    /// Call it first of all, so that nothing is described or counted elsewhere.
    ///
    /// # Errors
    ///
    /// [`RecorderInstalled`] if there is a recorder already.
    ///
    /// # Examples
    ///
    /// ```
    /// use metrics::{counter, describe_counter};
    /// use prefork_scoreboard::metrics::{Metrics, Store};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut declared = Metrics::new();
    /// declared.install_recorder()?;
    /// describe_counter!("shop_orders_total", "Orders taken");
    /// let store = Store::in_memory(&declared, 1)?;
    ///
    /// // In a child:
    /// let _cells = store.enter(0)?;
    /// counter!("shop_orders_total", "kind" => "book").increment(1);
    /// # let reading = store.read(|_| true)?;
    /// # assert_eq!((reading.families()[0].name(), reading.families()[0].help()), ("shop_orders_total", "Orders taken"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn install_recorder(&mut self) -> Result<(), RecorderInstalled> {
        set_global_recorder(self.recorder()).map_err(|_taken| RecorderInstalled)
    }

    /// Returns a recorder that counts here, for [`metrics::with_local_recorder`](::metrics::with_local_recorder).
    pub fn recorder(&mut self) -> Recorder {
        self.recorder.get_or_insert_default().clone()
    }
}

impl Recorder {
    /// Counts there from now on. The first place counts, as handles keep theirs.
    pub(super) fn attach(&self, cells: &Cells) {
        let _ = self.0.cells.set(cells.clone());
    }

    /// Returns what was described.
    pub(super) fn described(&self) -> Vec<Declaration> {
        self.0.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn describe(&self, kind: MetricKind, name: &KeyName, help: &SharedString) {
        let mut help: String =
            help.chars().map(|it| if is_printable(it) { it } else { ' ' }).collect();
        let end =
            (0..=help.len().min(names::HELP_SIZE)).rev().find(|end| help.is_char_boundary(*end));
        help.truncate(end.unwrap_or(0));
        let bounds = match kind {
            MetricKind::Counter | MetricKind::Gauge(_) => Vec::new(),
            MetricKind::Histogram => BOUNDS.to_vec(),
        };
        let (name, labels) = (spoken::name(name.as_str(), kind), Labels::Any);
        let described = Declaration { kind, name, unit: None, labels, bounds, help };
        let mut all = self.0.described.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.name != described.name);
        all.push(described);
    }

    /// Returns a handle, a kept one if there is one; `None` if there is no series for it.
    fn handle<K: Instrument>(
        &self,
        handles: &Handles<K>,
        key: &Key,
        find: impl FnOnce(&Handle<K>) -> bool,
    ) -> Option<Arc<Handle<K>>> {
        if let Some(kept) = handles.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Some(Arc::clone(kept));
        }
        let (key, of) = (key.to_retained(), self.clone());
        let handle = Arc::new(Handle { key: key.clone(), found: OnceLock::new(), of });
        // What is refused is not kept: somebody may make up names for ever.
        if self.0.cells.get().is_some() && !find(&handle) {
            return None;
        }
        let mut handles = handles.write().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(handles.entry(key).or_insert(handle)))
    }
}

impl<K: Instrument> Handle<K> {
    /// Returns the series, unless this process has no slot yet; one that cannot be made counts nowhere.
    fn find(&self, kind: MetricKind, begun: impl FnOnce(&K) -> u64) -> Option<&Found<K>> {
        if let Some(found) = self.found.get() {
            return Some(found);
        }
        let cells = self.of.0.cells.get()?;
        let instrument = cells.spoken(kind, &self.key)?;
        Some(self.found.get_or_init(|| Found { begun: begun(&instrument), instrument }))
    }
}

const GAUGE: MetricKind = MetricKind::Gauge(Join::Sum);

impl Handle<Counter> {
    #[inline]
    fn found(&self) -> Option<&Found<Counter>> {
        self.find(MetricKind::Counter, Counter::get)
    }
}

impl CounterFn for Handle<Counter> {
    fn increment(&self, value: u64) {
        if let Some(found) = self.found() {
            found.instrument.add(value);
        }
    }

    /// What other processes have counted before in the same slot stays.
    fn absolute(&self, value: u64) {
        if let Some(found) = self.found() {
            found.instrument.raise_to(found.begun.saturating_add(value));
        }
    }
}

impl GaugeFn for Handle<Gauge> {
    fn increment(&self, value: f64) {
        if let Some(found) = self.find(GAUGE, |_| 0) {
            found.instrument.add(value);
        }
    }

    fn decrement(&self, value: f64) {
        self.increment(-value);
    }

    fn set(&self, value: f64) {
        if let Some(found) = self.find(GAUGE, |_| 0) {
            found.instrument.set(value);
        }
    }
}

impl HistogramFn for Handle<Histogram> {
    fn record(&self, value: f64) {
        if let Some(found) = self.find(MetricKind::Histogram, |_| 0) {
            found.instrument.record(value);
        }
    }
}

impl ::metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(MetricKind::Counter, &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(GAUGE, &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(MetricKind::Histogram, &name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Counter {
        let found = self.handle(&self.0.counters, key, |it| it.found().is_some());
        found.map_or_else(::metrics::Counter::noop, ::metrics::Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Gauge {
        let found = self.handle(&self.0.gauges, key, |it| it.find(GAUGE, |_| 0).is_some());
        found.map_or_else(::metrics::Gauge::noop, ::metrics::Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Histogram {
        let kind = MetricKind::Histogram;
        let found = self.handle(&self.0.histograms, key, |it| it.find(kind, |_| 0).is_some());
        found.map_or_else(::metrics::Histogram::noop, ::metrics::Histogram::from_arc)
    }
}

#[cfg(test)]
mod tests;
