//! What can go wrong with metrics.

use std::io;
use std::path::{Path, PathBuf};

use prefork_core::one_line;
use thiserror::Error;

use crate::error::Foreign;

/// Why a family of metrics could not be declared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// The name is none that Prometheus takes.
    #[error("{name} cannot be the name of a metric; use up to {max} letters, digits and `_`, no digit first", name = one_line(name))]
    Name {
        /// The name.
        name: String,
        /// The longest there may be, in bytes.
        max: usize,
    },
    /// The beginning of the name is that of metrics which are not the program's.
    #[error(
        "metric {name} cannot begin with {prefix}, as the metrics of the daemon do; choose another name", name = one_line(name)
    )]
    Reserved {
        /// The name.
        name: String,
        /// What it begins with.
        prefix: &'static str,
    },
    /// A counter must end in `_total`, all others must not, nor with what histograms have.
    #[error("metric {name} {must}; call it otherwise", name = one_line(name))]
    Suffix {
        /// The name.
        name: String,
        /// What it must, or must not.
        must: &'static str,
    },
    /// Another metric has the name, or one that comes of it.
    #[error("metric {name} would have the samples of {other}; choose another name", name = one_line(name), other = one_line(other))]
    Clash {
        /// The name.
        name: String,
        /// The other metric.
        other: String,
    },
    /// The unit does not stand in the name.
    #[error("metric {name} counts {unit}, which its name must end with, before any `_total`", unit = one_line(unit), name = one_line(name))]
    Unit {
        /// The name.
        name: String,
        /// The unit.
        unit: String,
    },
    /// The help is empty, too long, or more than a line.
    #[error("the help of metric {name} must be one line of 1 to {max} bytes", name = one_line(name))]
    Help {
        /// The name of the metric.
        name: String,
        /// The longest there may be, in bytes.
        max: usize,
    },
    /// A label cannot have this name.
    #[error("metric {name} cannot have a label {label}: {reason}", label = one_line(label), name = one_line(name))]
    Label {
        /// The name of the metric.
        name: String,
        /// The label.
        label: String,
        /// Why not.
        reason: &'static str,
    },
    /// There are too many labels.
    #[error("metric {name} has {labels} labels, {max} are possible", name = one_line(name))]
    Labels {
        /// The name of the metric.
        name: String,
        /// How many it is to have.
        labels: usize,
        /// How many it may have.
        max: usize,
    },
    /// The bounds of a histogram are not 1 to 40 finite numbers, each larger than the one before.
    #[error(
        "the bounds of histogram {name} must be 1 to {max} finite numbers, each larger than the one before", name = one_line(name)
    )]
    Bounds {
        /// The name of the metric.
        name: String,
        /// How many there may be.
        max: usize,
    },
    /// There are too many families.
    #[error("metric {name} is one too many: {max} families are possible", name = one_line(name))]
    Families {
        /// The name of the metric.
        name: String,
        /// How many there may be.
        max: usize,
    },
}

/// Why a series could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The memory of the slot is full.
    #[error(
        "no room for another series of metric {name}: all {memory} bytes of slot {slot} are used; use fewer label values, or give more memory", name = one_line(name)
    )]
    Full {
        /// The name of the metric.
        name: String,
        /// The slot.
        slot: usize,
        /// How much memory it has, in bytes.
        memory: usize,
    },
    /// The family was not declared for this store.
    #[error("metric {name} was not declared for this store: declare it before the first fork", name = one_line(name))]
    Undeclared {
        /// The name of the metric.
        name: String,
    },
    /// The number of label values is not that of the labels.
    #[error("metric {name} has {expected} labels, {given} values were given, or other names", name = one_line(name))]
    Labels {
        /// The name of the metric.
        name: String,
        /// How many labels it has.
        expected: usize,
        /// How many values were given.
        given: usize,
    },
    /// A label value is too long.
    #[error("a label value of metric {name} has {length} bytes, {max} are possible", name = one_line(name))]
    Long {
        /// The name of the metric.
        name: String,
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// It cannot be called so: see the cause.
    #[error("no such series of metrics can be made")]
    Name(#[source] DeclareError),
    /// The process was forked from the one whose slot it is.
    #[error(
        "process {pid} is a copy of the one that has slot {slot}, and can make no series there"
    )]
    Copy {
        /// This process.
        pid: u32,
        /// The slot.
        slot: usize,
    },
}

/// Why the memory of metrics could not be made, read or entered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The kernel has refused something.
    #[error("cannot {action} the memory of metrics")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has refused something with a file.
    #[error("cannot {action} metrics {path}", path = one_line(path))]
    File {
        /// What was attempted.
        action: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What is there must not be used.
    #[error("{path} cannot be the file of metrics: it {reason}", path = one_line(path))]
    Place {
        /// The path of the file.
        path: PathBuf,
        /// What it is.
        reason: Foreign,
    },
    /// It is no such memory, or it is damaged.
    #[error("what should be the memory of metrics is not: {reason}")]
    Foreign {
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no such slot.
    #[error("the memory of metrics has {slots} slots, so there is no slot {slot}")]
    NoSuchSlot {
        /// The slot asked for.
        slot: usize,
        /// How many there are.
        slots: usize,
    },
    /// The names, helps and labels of all metrics need more room than there is.
    #[error(
        "what is declared of metrics has {length} bytes, {max} are possible: shorten their helps"
    )]
    Long {
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
