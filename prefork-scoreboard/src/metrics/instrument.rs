//! What a process counts with. An update is one or two atomic instructions on memory of its own region.
//!
//! Several threads of the process may count in the same series, and so may a process that was forked from it, so additions are
//! atomic. All orders are relaxed: a figure says nothing about other memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MetricKind;
use crate::clock::Monotonic;
use crate::sys::WordPages;

/// What stands for a gauge that was never set: a number that is none, which [`Gauge::set`] never writes.
pub(super) const UNSET: u64 = u64::MAX;

/// The figures of a series; none where there is no room for it.
#[derive(Clone, Debug)]
pub struct Figures {
    pages: Option<Arc<WordPages>>,
    first: usize,
    count: usize,
    kind: MetricKind,
    bounds: Arc<[f64]>,
}

impl Figures {
    pub(super) fn new(
        pages: Arc<WordPages>,
        cells: std::ops::Range<usize>,
        kind: MetricKind,
        bounds: Arc<[f64]>,
    ) -> Self {
        Self { pages: Some(pages), first: cells.start, count: cells.len(), kind, bounds }
    }

    /// Where nothing is kept.
    pub(super) fn nowhere() -> Self {
        let kind = MetricKind::Counter;
        Self { pages: None, first: 0, count: 0, kind, bounds: Arc::new([]) }
    }

    #[inline]
    fn cells(&self) -> Option<&[AtomicU64]> {
        self.pages.as_ref()?.words().get(self.first..self.first + self.count)
    }
}

mod sealed {
    pub trait Sealed {
        fn new(figures: super::Figures) -> Self;
    }
}

/// A [`Counter`], a [`Gauge`] or a [`Histogram`].
pub trait Instrument: sealed::Sealed {}

macro_rules! instruments {
    ($($name:ident),*) => {$(
        impl sealed::Sealed for $name {
            fn new(figures: Figures) -> Self {
                Self(figures)
            }
        }

        impl Instrument for $name {}

        impl $name {
            /// Makes one that counts nowhere.
            #[must_use]
            pub fn nowhere() -> Self {
                Self(Figures::nowhere())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let counts = self.0.pages.is_some();
                f.debug_struct(stringify!($name)).field("counts", &counts).finish_non_exhaustive()
            }
        }
    )*};
}

pub(super) fn make<K: Instrument>(figures: Figures) -> K {
    K::new(figures)
}

/// Counts events. The total of all processes, those that have ended among them, never falls.
///
/// Keep it, rather than looking it up each time; clones count in the same series.
#[derive(Clone)]
pub struct Counter(Figures);

/// Shows how much there is now, until the process ends.
///
/// Keep it, rather than looking it up each time; clones are of the same series.
#[derive(Clone)]
pub struct Gauge(Figures);

/// Counts events by their sizes.
///
/// Keep it, rather than looking it up each time; clones count in the same series.
#[derive(Clone)]
pub struct Histogram(Figures);

instruments!(Counter, Gauge, Histogram);

impl Counter {
    /// Counts one more.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more.
    #[inline]
    pub fn add(&self, more: u64) {
        if let Some([cell, ..]) = self.0.cells() {
            cell.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Returns what was counted in this slot, by this process and those that had it before.
    #[cfg(feature = "metrics")]
    pub(super) fn get(&self) -> u64 {
        self.0.cells().and_then(|cells| cells.first()).map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// Counts as many as are missing to so many.
    #[cfg(feature = "metrics")]
    pub(super) fn raise_to(&self, value: u64) {
        if let Some([cell, ..]) = self.0.cells() {
            cell.fetch_max(value, Ordering::Relaxed);
        }
    }
}

impl Gauge {
    /// Sets it. What is no number takes the gauge away until it is set again.
    #[inline]
    pub fn set(&self, value: f64) {
        if let Some([cell, set_at, ..]) = self.0.cells() {
            cell.store(bits(value), Ordering::Relaxed);
            self.note_time(set_at);
        }
    }

    /// Adds to it; below zero takes away. One that was never set begins at 0.
    #[inline]
    pub fn add(&self, more: f64) {
        if let Some([cell, set_at, ..]) = self.0.cells() {
            let add = |old| Some(bits(number(old).unwrap_or(0.0) + more));
            // It never gives up.
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            self.note_time(set_at);
        }
    }

    /// Takes the gauge away, until it is set again.
    pub fn clear(&self) {
        self.set(f64::NAN);
    }

    /// Only where it matters which was set last: to ask for the time takes longer than the rest.
    #[inline]
    fn note_time(&self, set_at: &AtomicU64) {
        match self.0.kind {
            MetricKind::Gauge(super::Join::Last) => {
                set_at.store(Monotonic::now().as_nanos(), Ordering::Relaxed);
            }
            MetricKind::Gauge(super::Join::Sum | super::Join::Max)
            | MetricKind::Counter
            | MetricKind::Histogram => {}
        }
    }
}

const fn bits(value: f64) -> u64 {
    if value.is_nan() { UNSET } else { value.to_bits() }
}

/// Returns what a word of a gauge says; `None` if it was never set.
pub(super) fn number(word: u64) -> Option<f64> {
    let value = f64::from_bits(word);
    (!value.is_nan()).then_some(value)
}

impl Histogram {
    /// Counts an event of this size. What is no finite number is not counted.
    #[inline]
    pub fn record(&self, value: f64) {
        let Some([buckets @ .., sum]) = self.0.cells() else { return };
        if !value.is_finite() {
            return;
        }
        let bucket = self.0.bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(bucket) = buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let add = |old| Some((f64::from_bits(old) + value).to_bits());
        // It never gives up.
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}
