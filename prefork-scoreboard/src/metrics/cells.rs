//! The side of the process that counts: its region, and the series that are in it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::declare::{BOUNDS, Declaration, Labels};
use super::instrument::{self, Figures, Instrument, UNSET};
use super::layout::region;
use super::record::{self, ANY, END, Head, Place};
use super::schema::Schema;
#[cfg(feature = "metrics")]
use super::{DeclareError, declare::clashing};
use super::{Family, MetricKind, SeriesError, names};
use crate::guard::Maker;
use crate::sys::WordPages;
use crate::text::is_printable;

/// What is called about the first series that cannot be made.
type OnRefused = Box<dyn Fn(&SeriesError) + Send>;

/// The region of this process, in which its series are.
///
/// Clones are the same region. Threads may share it. Make the series that are often used once, and keep them: to find one takes
/// a lock of this process and some hundred nanoseconds, an update of it takes neither.
///
/// # Fork
///
/// What was made counts in a copy of the process too, into the same slot; the copy makes no further series.
#[derive(Clone)]
pub struct Cells(Arc<Inner>);

struct Inner {
    pages: Arc<WordPages>,
    schema: Schema,
    slot: usize,
    /// None where there is no region.
    maker: Option<Maker>,
    index: Mutex<Index>,
}

/// What is known of the region.
struct Index {
    /// By what they are: see [`key`].
    series: HashMap<Box<[u8]>, Place>,
    /// Where the next one will be, in words.
    end: usize,
    on_refused: Option<OnRefused>,
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("slot", &self.0.slot).finish_non_exhaustive()
    }
}

impl Cells {
    /// Takes a region over, from whichever process has had it before: what that has counted stays, its gauges go.
    pub(super) fn enter(pages: WordPages, schema: Schema, slot: usize) -> Self {
        let (mut series, mut end) = (HashMap::new(), region::FIRST);
        let words = pages.words();
        // What is behind the last series is not looked at: it has no memory until somebody does.
        for place in record::walk_by(words.len(), |at| words[at].load(Ordering::Relaxed)) {
            end = place.at + place.head.words();
            if matches!(place.head.kind, MetricKind::Gauge(_)) {
                words[place.cells()].iter().for_each(|it| it.store(UNSET, Ordering::Relaxed));
            }
            if is_as_declared(&schema, place.head) {
                let text = words[place.cells().end..end].iter();
                let text: Vec<_> =
                    text.flat_map(|it| it.load(Ordering::Relaxed).to_le_bytes()).collect();
                let key = key(place.head, &text[..usize::from(place.head.text)]);
                series.entry(key).or_insert(place);
            }
        }
        let (occupant, used) = (&pages.words()[region::OCCUPANT], &pages.words()[region::USED]);
        used.store(end as u64, Ordering::Relaxed);
        // Release: whoever reads that the slot is taken finds no gauge of the one before.
        occupant.store(std::process::id().into(), Ordering::Release);
        let index = Mutex::new(Index { series, end, on_refused: None });
        let pages = Arc::new(pages);
        Self(Arc::new(Inner { pages, schema, slot, maker: Some(Maker::new()), index }))
    }

    /// Makes a region in which nothing can be counted, for a process that has no store: each series is refused.
    #[must_use]
    pub fn nowhere() -> Self {
        let pages = Arc::new(WordPages::none());
        let index = Mutex::new(Index { series: HashMap::new(), end: 0, on_refused: None });
        Self(Arc::new(Inner { pages, schema: Schema::new(), slot: 0, maker: None, index }))
    }

    /// Calls `report` with the error when a series cannot be made for the first time in this process.
    pub fn on_refused(&self, report: impl Fn(&SeriesError) + Send + 'static) {
        self.index().on_refused = Some(Box::new(report));
    }

    /// Returns the series of a family that has these label values, in the order of its labels, which is made unless it is there.
    ///
    /// If it cannot be made what is returned counts nowhere; that is counted, and reported the first time: see
    /// [`on_refused`](Self::on_refused).
    #[must_use]
    pub fn series<K: Instrument>(&self, family: &Family<K>, labels: &[&str]) -> K {
        self.try_series(family, labels)
            .unwrap_or_else(|_already_reported| instrument::make(Figures::nowhere()))
    }

    /// Returns the same, or why it cannot be made; that is counted and reported as well.
    ///
    /// # Errors
    ///
    /// [`SeriesError`] if the memory of the slot is full, or the family has other labels.
    pub fn try_series<K: Instrument>(
        &self,
        family: &Family<K>,
        labels: &[&str],
    ) -> Result<K, SeriesError> {
        self.find_fixed(&family.declaration, labels)
            .map(instrument::make)
            .inspect_err(|error| self.refuse(error))
    }

    fn find_fixed(&self, family: &Declaration, values: &[&str]) -> Result<Figures, SeriesError> {
        let name = || family.name.clone();
        let number = self.number(family)?;
        let expected = match &family.labels {
            Labels::Fixed(labels) => labels.len(),
            Labels::Any => return Err(SeriesError::Undeclared { name: name() }),
        };
        if values.len() != expected {
            return Err(SeriesError::Labels { name: name(), expected, given: values.len() });
        }
        self.find(family.kind, &family.bounds, number, &family.name, values)
    }

    /// Finds the series that a macro of the crate `metrics` is given, or makes it; `None` if that cannot be, which is reported.
    #[cfg(feature = "metrics")]
    pub(super) fn spoken<K: Instrument>(
        &self,
        kind: MetricKind,
        key: &::metrics::Key,
    ) -> Option<K> {
        let found = self.find_spoken(kind, key).inspect_err(|error| self.refuse(error));
        found.ok().map(instrument::make)
    }

    #[cfg(feature = "metrics")]
    fn find_spoken(&self, kind: MetricKind, key: &::metrics::Key) -> Result<Figures, SeriesError> {
        let name = super::spoken::name(key.name(), kind);
        let labels = super::spoken::labels(key.labels().map(|it| (it.key(), it.value())));
        let names = labels.iter().map(|(label, _)| label.as_str());
        names::check_labels(&name, &names).map_err(SeriesError::Name)?;
        let pairs = labels.iter().flat_map(|(label, value)| [label.as_str(), *value]);
        let clash = |name: String, other: &str| {
            SeriesError::Name(DeclareError::Clash { name, other: other.to_owned() })
        };
        let mut declared =
            self.0.schema.iter().zip(0..).filter_map(|(it, at)| Some((it.as_ref()?, at)));
        let Some((declared, number)) = declared.find(|(it, _)| it.name == name) else {
            names::check_name(&name, kind).map_err(SeriesError::Name)?;
            if let Some(other) = clashing(self.0.schema.iter().flatten(), &name, kind) {
                return Err(clash(name, &other.name));
            }
            let texts: Vec<_> = std::iter::once(name.as_str()).chain(pairs).collect();
            return self.find(kind, bounds_of_undeclared(kind), ANY, &name, &texts);
        };
        if std::mem::discriminant(&declared.kind) != std::mem::discriminant(&kind) {
            return Err(clash(name, &declared.name));
        }
        let texts: Vec<_> = match &declared.labels {
            Labels::Any => pairs.collect(),
            Labels::Fixed(wanted) => {
                let (expected, given) = (wanted.len(), labels.len());
                let value = |wanted: &String| Some(labels.iter().find(|it| it.0 == *wanted)?.1);
                let values = wanted.iter().map(value).collect::<Option<_>>();
                let values = values.filter(|_| expected == given);
                values.ok_or(SeriesError::Labels { name, expected, given })?
            }
        };
        self.find(declared.kind, &declared.bounds, number, &declared.name, &texts)
    }

    /// Returns the number of a family.
    fn number(&self, family: &Declaration) -> Result<u16, SeriesError> {
        let number = self.0.schema.iter().position(|it| it.as_deref() == Some(family));
        let number = number.and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| SeriesError::Undeclared { name: family.name.clone() })
    }

    /// Finds a series, or makes it; its texts are as the format has them.
    fn find(
        &self,
        kind: MetricKind,
        bounds: &[f64],
        family: u16,
        name: &str,
        texts: &[&str],
    ) -> Result<Figures, SeriesError> {
        if let Some(long) = texts.iter().find(|text| text.len() > names::VALUE_SIZE) {
            let (name, length) = (name.to_owned(), long.len());
            return Err(SeriesError::Long { name, length, max: names::VALUE_SIZE });
        }
        let text: Vec<u8> = texts
            .iter()
            .flat_map(|text| shown(text).into_bytes().into_iter().chain([END]))
            .collect();
        let pages = &self.0.pages;
        let full = || SeriesError::Full {
            name: name.to_owned(),
            slot: self.0.slot,
            memory: pages.words().len() * 8,
        };
        let head = Head::new(kind, bounds.len(), family, text.len()).ok_or_else(full)?;
        let figures =
            |place: &Place| Figures::new(Arc::clone(pages), place.cells(), kind, bounds.into());
        let mut index = self.index();
        let key = key(head, &text);
        if let Some(place) = index.series.get::<[u8]>(key.borrow()) {
            return Ok(figures(place));
        }
        if !self.0.maker.as_ref().is_some_and(Maker::is_here) {
            return Err(SeriesError::Copy { pid: std::process::id(), slot: self.0.slot });
        }
        let place = Place { head, at: index.end };
        let end = index.end + head.words();
        let room = pages.words().get(index.end..end).ok_or_else(full)?;
        let initial = match kind {
            MetricKind::Counter | MetricKind::Histogram => 0,
            MetricKind::Gauge(_) => UNSET,
        };
        let (cells, words) = room[1..].split_at(usize::from(head.cells));
        cells.iter().for_each(|cell| cell.store(initial, Ordering::Relaxed));
        for (word, bytes) in words.iter().zip(text.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        // What follows is nothing yet, whatever a process was killed over there.
        if let Some(next) = pages.words().get(end) {
            next.store(0, Ordering::Relaxed);
        }
        // Release: a reader that finds the first word finds the rest.
        room[0].store(head.encode(), Ordering::Release);
        pages.words()[region::USED].store(end as u64, Ordering::Relaxed);
        index.end = end;
        let found = figures(&place);
        index.series.insert(key, place);
        Ok(found)
    }

    fn refuse(&self, error: &SeriesError) {
        if let Some(refused) = self.0.pages.words().get(region::REFUSED) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        let report = self.index().on_refused.take();
        if let Some(report) = report {
            report(error);
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Each change of it is one insertion, made last: it is whole though a thread have panicked.
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a text of which a terminal shows what it is.
fn shown(text: &str) -> String {
    text.chars().map(|it| if is_printable(it) { it } else { '?' }).collect()
}

/// What tells a series from all others of a region.
fn key(head: Head, text: &[u8]) -> Box<[u8]> {
    let head = Head { text: 0, ..head }.encode().to_le_bytes();
    head.iter().chain(text).copied().collect()
}

/// Whether a series has the kind and the figures that its family has now.
pub(super) fn is_as_declared(schema: &Schema, head: Head) -> bool {
    let expected = match schema.get(usize::from(head.family)) {
        Some(Some(declared)) => (declared.kind, declared.bounds.len()),
        Some(None) => return false,
        None if head.family == ANY => (head.kind, bounds_of_undeclared(head.kind).len()),
        None => return false,
    };
    let (kind, bounds) = expected;
    kind == head.kind && record::cells(kind, bounds) == usize::from(head.cells)
}

/// Returns the bounds of a metric that was never declared.
pub(super) fn bounds_of_undeclared(kind: MetricKind) -> &'static [f64] {
    match kind {
        MetricKind::Histogram => &BOUNDS,
        MetricKind::Counter | MetricKind::Gauge(_) => &[],
    }
}
