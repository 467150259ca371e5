//! Families of metrics, as a program declares them before it forks.

use std::marker::PhantomData;
use std::sync::Arc;

use super::instrument::{Counter, Gauge, Histogram, Instrument};
use super::{DeclareError, names};
use crate::text::is_printable;

/// The most families that a program may declare.
const MAX_FAMILIES: usize = 1000;
/// The most bounds of a histogram.
pub(super) const MAX_BOUNDS: usize = 40;
/// What a histogram has that declares none: for times in seconds, from 5 ms to 10 s.
pub(super) const BOUNDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// What each slot has where nothing else is wanted, in bytes.
const MEMORY: usize = 64 * 1024;

/// How the gauges of several processes become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Their sum: how much there is in all processes.
    Sum,
    /// The largest: the oldest, the longest.
    Max,
    /// What was set last, by any of them: how something is that they have in common.
    Last,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number of events, which never falls.
    Counter,
    /// How much there is now.
    Gauge(Join),
    /// How many events were of which size.
    Histogram,
}

/// A family of metrics, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declaration {
    pub(super) kind: MetricKind,
    pub(super) name: String,
    pub(super) unit: Option<String>,
    pub(super) labels: Labels,
    pub(super) bounds: Vec<f64>,
    pub(super) help: String,
}

/// The labels of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Labels {
    /// Each series has these.
    Fixed(Vec<String>),
    /// Each series has its own.
    Any,
}

impl Declaration {
    pub(super) fn check(&self) -> Result<(), DeclareError> {
        let name = || self.name.clone();
        names::check_name(&self.name, self.kind)?;
        if let Labels::Fixed(labels) = &self.labels {
            names::check_labels(&self.name, &labels.iter().map(String::as_str))?;
        }
        if let Some(unit) = &self.unit {
            let before = names::stem(&self.name).strip_suffix(unit.as_str());
            if !names::is_word(unit) || before.is_none_or(|before| !before.ends_with('_')) {
                return Err(DeclareError::Unit { name: name(), unit: unit.clone() });
            }
        }
        let is_one_line = self.help.chars().all(is_printable);
        if !is_one_line || !(1..=names::HELP_SIZE).contains(&self.help.len()) {
            return Err(DeclareError::Help { name: name(), max: names::HELP_SIZE });
        }
        let counts = match self.kind {
            MetricKind::Counter | MetricKind::Gauge(_) => 0..=0,
            MetricKind::Histogram => 1..=MAX_BOUNDS,
        };
        let ascends = self.bounds.is_sorted_by(|one, next| one < next);
        let is_finite = self.bounds.iter().all(|bound| bound.is_finite());
        if !ascends || !is_finite || !counts.contains(&self.bounds.len()) {
            return Err(DeclareError::Bounds { name: name(), max: MAX_BOUNDS });
        }
        Ok(())
    }
}

/// Returns the family among these that would have samples in common with one of this name.
pub(super) fn clashing<'a>(
    among: impl IntoIterator<Item = &'a Arc<Declaration>>,
    name: &str,
    kind: MetricKind,
) -> Option<&'a Declaration> {
    let claimed = names::claimed(name, kind);
    among
        .into_iter()
        .find(|it| names::claimed(&it.name, it.kind).iter().any(|name| claimed.contains(name)))
        .map(Arc::as_ref)
}

/// What a program counts: the families of its metrics, and how much memory each process has for them.
///
/// Declare all of them before the first fork. See the [module](crate::metrics) for an example.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) declared: Vec<Arc<Declaration>>,
    pub(super) memory: usize,
    #[cfg(feature = "metrics")]
    pub(super) recorder: Option<super::Recorder>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Begins with no family.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            declared: Vec::new(),
            memory: MEMORY,
            #[cfg(feature = "metrics")]
            recorder: None,
        }
    }

    /// Sets how much memory each slot has for its series, in bytes, rounded up to whole pages; 4 KiB to 16 MiB. Default 64 KiB.
    ///
    /// A series takes 8 bytes, its label values, and its figures: 8 bytes for a counter, 16 for a gauge, 8 for each bucket of a
    /// histogram and 8 more. So 64 KiB have room for about a thousand counters or four hundred histograms. In a file in memory only
    /// pages that were written to take any.
    pub const fn memory(&mut self, bytes: usize) -> &mut Self {
        self.memory = bytes;
        self
    }

    /// Begins to declare a number of events, whose name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Declaring<'_, Counter> {
        Declaring::new(self, MetricKind::Counter, name, help)
    }

    /// Begins to declare a figure that rises and falls; of several processes it is the sum, unless another
    /// [`join`](Declaring::join) is declared.
    pub fn gauge(&mut self, name: &str, help: &str) -> Declaring<'_, Gauge> {
        Declaring::new(self, MetricKind::Gauge(Join::Sum), name, help)
    }

    /// Begins to declare a distribution of sizes, such as times in seconds, from 5 ms to 10 s unless other
    /// [`bounds`](Declaring::bounds) are declared.
    pub fn histogram(&mut self, name: &str, help: &str) -> Declaring<'_, Histogram> {
        Declaring::new(self, MetricKind::Histogram, name, help)
    }

    /// Returns all families, those among them that were described to a recorder.
    ///
    /// What cannot be so is left out: it is a library's, and counted all the same, without a help.
    #[cfg(feature = "metrics")]
    pub(super) fn all(&self) -> Vec<Arc<Declaration>> {
        let mut all = self.clone();
        for described in self.recorder.iter().flat_map(super::Recorder::described) {
            let _ = all.add(described);
        }
        all.declared
    }

    /// Returns all families.
    #[cfg(not(feature = "metrics"))]
    pub(super) fn all(&self) -> Vec<Arc<Declaration>> {
        self.declared.clone()
    }

    fn add(&mut self, declaration: Declaration) -> Result<Arc<Declaration>, DeclareError> {
        declaration.check()?;
        let name = declaration.name.clone();
        if self.declared.len() >= MAX_FAMILIES {
            return Err(DeclareError::Families { name, max: MAX_FAMILIES });
        }
        if let Some(other) = clashing(&self.declared, &name, declaration.kind) {
            return Err(DeclareError::Clash { name, other: other.name.clone() });
        }
        let declaration = Arc::new(declaration);
        self.declared.push(Arc::clone(&declaration));
        Ok(declaration)
    }
}

/// A family that is about to be declared.
#[derive(Debug)]
#[must_use = "a family is declared by `declare`"]
pub struct Declaring<'a, K> {
    metrics: &'a mut Metrics,
    declaration: Declaration,
    kind: PhantomData<K>,
}

impl<'a, K: Instrument> Declaring<'a, K> {
    fn new(metrics: &'a mut Metrics, kind: MetricKind, name: &str, help: &str) -> Self {
        let bounds = match kind {
            MetricKind::Counter | MetricKind::Gauge(_) => Vec::new(),
            MetricKind::Histogram => BOUNDS.to_vec(),
        };
        let (name, help) = (name.to_owned(), help.to_owned());
        let labels = Labels::Fixed(Vec::new());
        let declaration = Declaration { kind, name, unit: None, labels, bounds, help };
        Self { metrics, declaration, kind: PhantomData }
    }

    /// Sets what is counted, `seconds` or `bytes` say, which the name must end with. Default none.
    pub fn unit(mut self, unit: &str) -> Self {
        self.declaration.unit = Some(unit.to_owned());
        self
    }

    /// Sets the names of the labels; each series has a value for each of them. Default none.
    ///
    /// Each combination of values takes memory in every process, for ever: a label for what clients make up, such as whole paths,
    /// will fill it.
    pub fn labels<L: Into<String>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.declaration.labels = Labels::Fixed(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Declares the family.
    ///
    /// # Errors
    ///
    /// [`DeclareError`] if it cannot be so, or another one is in its way.
    pub fn declare(self) -> Result<Family<K>, DeclareError> {
        let declaration = self.metrics.add(self.declaration)?;
        Ok(Family { declaration, kind: PhantomData })
    }
}

impl Declaring<'_, Gauge> {
    /// Sets how the gauges of several processes become one figure. Default [`Join::Sum`].
    pub const fn join(mut self, join: Join) -> Self {
        self.declaration.kind = MetricKind::Gauge(join);
        self
    }
}

impl Declaring<'_, Histogram> {
    /// Sets the largest size of each bucket but the last, which has no end: 1 to 40 of them, ascending. Default 0.005, 0.01, 0.025,
    /// 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10.
    pub fn bounds(mut self, bounds: impl IntoIterator<Item = f64>) -> Self {
        self.declaration.bounds = bounds.into_iter().collect();
        self
    }
}

/// A family of metrics that was declared, of counters, gauges or histograms.
#[derive(Debug, Clone)]
pub struct Family<K> {
    pub(super) declaration: Arc<Declaration>,
    kind: PhantomData<K>,
}

impl<K> Family<K> {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.declaration.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_that_would_share_samples_are_refused() {
        let mut metrics = Metrics::new();
        metrics.histogram("wait_seconds", "Waits").declare().expect("the first");
        metrics.counter("orders_total", "Orders").declare().expect("the first");
        for error in [
            metrics.gauge("wait_seconds", "x").declare().expect_err("the same name"),
            metrics.gauge("orders", "x").declare().expect_err("the name of the family"),
        ] {
            assert!(matches!(error, DeclareError::Clash { .. }), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let mut metrics = Metrics::new();
        let bounds = |metrics: &mut Metrics, bounds: &[f64]| {
            metrics.histogram("x", "Help").bounds(bounds.iter().copied()).declare()
        };
        for wrong in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(bounds(&mut metrics, wrong).is_err(), "{wrong:?}");
        }
        let is_help = |it: &DeclareError| matches!(it, DeclareError::Help { .. });
        for help in ["", "two\nlines", &"x".repeat(names::HELP_SIZE + 1)] {
            let error = metrics.gauge("x", help).declare().expect_err("no help");
            assert!(is_help(&error), "{error}");
        }
        let unit = metrics.gauge("x_total_size", "Help").unit("bytes").declare();
        assert!(matches!(unit, Err(DeclareError::Unit { .. })), "{unit:?}");
        assert!(metrics.counter("x_bytes_total", "Help").unit("bytes").declare().is_ok());
    }
}
