//! What all slots have counted together. Nothing that is read from a region is trusted.
//!
//! Each region is copied once, then looked at. A word of eight bytes is copied whole, as every kernel copies aligned memory by words
//! at the least, so a figure is one that was there; two figures may be of different moments.

use std::collections::{HashMap, HashSet};

use super::cells::{bounds_of_undeclared, is_as_declared};
use super::copy::{Copied, Copies, MOST_READ};
use super::declare::{Declaration, Labels};
use super::instrument::number;
use super::layout::region;
use super::record::{self, ANY, Place};
use super::schema::Schema;
use super::{Join, MetricKind, Store, StoreError, names};

/// The most series that a reading has. One that has more is of processes that make them up.
const MAX_SERIES: usize = 50_000;
/// The most families that a reading has of those that were not declared.
const MAX_OTHERS: usize = 1000;

/// All metrics at about one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    families: Vec<FamilyReading>,
    refused: u64,
    unreadable: u64,
}

/// A family of metrics, with all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyReading {
    kind: MetricKind,
    name: String,
    help: String,
    unit: Option<String>,
    bounds: Vec<f64>,
    series: Vec<Series>,
}

/// A series: the values of its labels, and what was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    labels: Vec<(String, String)>,
    figure: Figure,
    /// When a gauge was set.
    set_at: u64,
}

/// What a series says, of all processes together.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// How many events there were.
    Counter(u64),
    /// How much there is.
    Gauge(f64),
    /// How many events there were of which size.
    Histogram {
        /// How many in each bucket alone: one for each bound, and one for all that are larger.
        buckets: Vec<u64>,
        /// What they were together.
        sum: f64,
    },
}

impl Reading {
    /// Returns the families that have series: those that were declared, in the order in which they were, then others by their names.
    #[must_use]
    pub fn families(&self) -> &[FamilyReading] {
        &self.families
    }

    /// Returns how many times a process could not make a series, for want of memory or as its labels were wrong.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns how many series were left out, as what is in memory makes no sense.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

impl FamilyReading {
    /// Returns what it is.
    #[must_use]
    pub const fn kind(&self) -> MetricKind {
        self.kind
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what it means, in one line; empty where that was not declared.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns what it counts, where that was declared; the name ends with it.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Returns the largest sizes of the buckets of a histogram.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns its series, by the values of their labels.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }
}

impl Series {
    /// Returns the names and values of its labels.
    #[must_use]
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Returns what was counted.
    #[must_use]
    pub const fn figure(&self) -> &Figure {
        &self.figure
    }
}

impl Store {
    /// Reads what all slots have counted, together. Gauges count of those slots alone that are somebody's, and for which `lives`
    /// is true of the pid that has it; that may be anything, and is not to be signalled.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kernel refuses.
    pub fn read(&self, mut lives: impl FnMut(u32) -> bool) -> Result<Reading, StoreError> {
        let mut sum = Sum::new(&self.schema);
        let mut copies = Copies::new(&self.file, MOST_READ);
        for slot in 0..self.slots()? {
            let (at, size) = (self.layout.offset(slot), self.layout.region);
            let copied = copies.next(at, size).map_err(StoreError::io("read"))?;
            sum.unreadable += u64::from(copied == Copied::Beginning);
            sum.add(copies.words(), &mut lives);
        }
        Ok(sum.finish())
    }
}

/// What is summed up, a region at a time.
struct Sum<'a> {
    schema: &'a Schema,
    /// Those that were declared by their numbers, then the others.
    families: Vec<FamilyReading>,
    /// Where in `families` those are that were not declared.
    others: HashMap<String, usize>,
    /// The names that families have, and their samples.
    claimed: HashSet<String>,
    /// Where a series is, by what its text and the first word say; none for one that is not to be shown.
    known: HashMap<Box<[u8]>, Option<(usize, usize)>>,
    key: Vec<u8>,
    refused: u64,
    unreadable: u64,
}

impl<'a> Sum<'a> {
    fn new(schema: &'a Schema) -> Self {
        let families = schema.iter().map(|declared| match declared {
            Some(declared) => FamilyReading::of(declared),
            None => FamilyReading::unnamed(MetricKind::Counter, ""),
        });
        let declared = schema.iter().flatten();
        Self {
            schema,
            families: families.collect(),
            others: HashMap::new(),
            claimed: declared.flat_map(|it| names::claimed(&it.name, it.kind)).collect(),
            known: HashMap::new(),
            key: Vec::new(),
            refused: 0,
            unreadable: 0,
        }
    }

    fn add(&mut self, words: &[[u8; 8]], lives: &mut impl FnMut(u32) -> bool) {
        let word = |index: usize| u64::from_le_bytes(words[index]);
        self.refused = self.refused.saturating_add(word(region::REFUSED));
        let occupant = u32::try_from(word(region::OCCUPANT)).ok().filter(|pid| *pid != 0);
        let mut lives_now = None;
        for place in record::walk(words) {
            if let MetricKind::Gauge(_) = place.head.kind
                && !*lives_now.get_or_insert_with(|| occupant.is_some_and(&mut *lives))
            {
                continue;
            }
            self.add_series(words, &place);
        }
    }

    fn add_series(&mut self, words: &[[u8; 8]], place: &Place) {
        let text = &words.as_flattened()[place.text()];
        let cells = || words[place.cells()].iter().map(|bytes| u64::from_le_bytes(*bytes));
        let Some(found) = figure(place, cells()) else {
            self.unreadable += u64::from(!is_unset(place, cells()));
            return;
        };
        self.key.clear();
        self.key.extend(words[place.at]);
        self.key.extend(text);
        let known = match self.known.get(&*self.key) {
            Some(known) => *known,
            None if self.known.len() >= MAX_SERIES => None,
            None => {
                let made = self.make(place, text);
                self.known.insert(self.key.as_slice().into(), made);
                made
            }
        };
        let Some((family, series)) = known else {
            self.unreadable += 1;
            return;
        };
        let FamilyReading { kind, series: all, .. } = &mut self.families[family];
        all[series].join(found, cells().nth(1).unwrap_or(0), *kind);
    }

    /// Makes an empty series of what a region says; `None` if that makes no sense.
    fn make(&mut self, place: &Place, text: &[u8]) -> Option<(usize, usize)> {
        if !is_as_declared(self.schema, place.head) {
            return None;
        }
        let texts = record::texts(text)?;
        if texts.iter().any(|text| text.len() > names::VALUE_SIZE) {
            return None;
        }
        let (family, texts) = match place.head.family {
            ANY => {
                let (name, rest) = texts.split_first()?;
                (self.other(name, place.head.kind)?, rest)
            }
            number => (usize::from(number), &texts[..]),
        };
        let pair = |(label, value): (&str, &str)| (label.to_owned(), value.to_owned());
        let declared = self.schema.get(family).and_then(Option::as_ref);
        let labels: Vec<_> = match declared.map(|declared| &declared.labels) {
            Some(Labels::Fixed(labels)) if labels.len() == texts.len() => {
                labels.iter().map(String::as_str).zip(texts.iter().copied()).map(pair).collect()
            }
            Some(Labels::Fixed(_)) => return None,
            Some(Labels::Any) | None => {
                let (pairs, []) = texts.as_chunks::<2>() else { return None };
                names::check_labels("", &pairs.iter().map(|[label, _]| *label)).ok()?;
                // So no two texts mean the same.
                let are_sorted = pairs.is_sorted_by_key(|[label, _]| label);
                let pairs = are_sorted.then_some(pairs)?;
                pairs.iter().map(|[label, value]| pair((label, value))).collect()
            }
        };
        let family_reading = &mut self.families[family];
        let figure = Figure::empty(place.head.kind, family_reading.bounds.len());
        family_reading.series.push(Series { labels, figure, set_at: 0 });
        Some((family, family_reading.series.len() - 1))
    }

    /// Finds a family that was not declared, or makes it.
    fn other(&mut self, name: &str, kind: MetricKind) -> Option<usize> {
        if let Some(known) = self.others.get(name) {
            return (self.families[*known].kind == kind).then_some(*known);
        }
        if self.others.len() >= MAX_OTHERS {
            return None;
        }
        names::check_name(name, kind).ok()?;
        let claimed = names::claimed(name, kind);
        if claimed.iter().any(|name| self.claimed.contains(name)) {
            return None;
        }
        self.claimed.extend(claimed);
        self.families.push(FamilyReading::unnamed(kind, name));
        self.others.insert(name.to_owned(), self.families.len() - 1);
        Some(self.families.len() - 1)
    }

    fn finish(mut self) -> Reading {
        let declared = self.schema.len();
        self.families[declared..].sort_by(|one, other| one.name.cmp(&other.name));
        let mut families = self.families;
        families.retain(|family| !family.series.is_empty());
        for family in &mut families {
            family.series.sort_by(|one, other| one.labels.cmp(&other.labels));
        }
        Reading { families, refused: self.refused, unreadable: self.unreadable }
    }
}

impl FamilyReading {
    fn of(declared: &Declaration) -> Self {
        let Declaration { kind, name, unit, labels: _, bounds, help } = declared.clone();
        Self { kind, name, help, unit, bounds, series: Vec::new() }
    }

    fn unnamed(kind: MetricKind, name: &str) -> Self {
        let bounds = bounds_of_undeclared(kind).to_vec();
        let (name, help) = (name.to_owned(), String::new());
        Self { kind, name, help, unit: None, bounds, series: Vec::new() }
    }
}

impl Figure {
    fn empty(kind: MetricKind, bounds: usize) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(0),
            MetricKind::Gauge(Join::Sum | Join::Last) => Self::Gauge(0.0),
            MetricKind::Gauge(Join::Max) => Self::Gauge(f64::NEG_INFINITY),
            MetricKind::Histogram => Self::Histogram { buckets: vec![0; bounds + 1], sum: 0.0 },
        }
    }
}

/// Reads the figures of one process; `None` if they cannot be.
fn figure(place: &Place, mut cells: impl Iterator<Item = u64>) -> Option<Figure> {
    Some(match place.head.kind {
        MetricKind::Counter => Figure::Counter(cells.next()?),
        MetricKind::Gauge(_) => Figure::Gauge(number(cells.next()?).filter(|it| it.is_finite())?),
        MetricKind::Histogram => {
            let mut buckets: Vec<_> = cells.collect();
            let sum = Some(f64::from_bits(buckets.pop()?)).filter(|sum| sum.is_finite())?;
            Figure::Histogram { buckets, sum }
        }
    })
}

/// Whether it is a gauge that was not set.
fn is_unset(place: &Place, mut cells: impl Iterator<Item = u64>) -> bool {
    matches!(place.head.kind, MetricKind::Gauge(_))
        && cells.next() == Some(super::instrument::UNSET)
}

impl Series {
    /// Adds what one process has.
    fn join(&mut self, found: Figure, set_at: u64, kind: MetricKind) {
        // No number is too large for those that add it up.
        let add = |one: f64, other: f64| (one + other).clamp(f64::MIN, f64::MAX);
        match (&mut self.figure, found) {
            (Figure::Counter(sum), Figure::Counter(count)) => *sum = sum.saturating_add(count),
            (Figure::Gauge(joined), Figure::Gauge(value)) => match kind {
                MetricKind::Gauge(Join::Max) => *joined = joined.max(value),
                MetricKind::Gauge(Join::Last) if set_at < self.set_at => {}
                MetricKind::Gauge(Join::Last) => (*joined, self.set_at) = (value, set_at),
                MetricKind::Gauge(Join::Sum) | MetricKind::Counter | MetricKind::Histogram => {
                    *joined = add(*joined, value);
                }
            },
            (Figure::Histogram { buckets, sum }, Figure::Histogram { buckets: more, sum: of }) => {
                for (count, more) in buckets.iter_mut().zip(more) {
                    *count = count.saturating_add(more);
                }
                *sum = add(*sum, of);
            }
            // A family has one kind: see `is_as_declared` and `other`.
            (Figure::Counter(_) | Figure::Gauge(_) | Figure::Histogram { .. }, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
