//! How far a child says that it has come.

/// Something that a child reports once in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It has entered its main loop.
    Entered,
    /// It waits for work.
    Ready,
    /// It has taken its first work.
    Worked,
    /// It would like to be replaced.
    Tired,
    /// It waits for its own stop descriptor, which only a signal makes readable.
    Polls,
}

impl Report {
    /// In the order in which they follow from each other.
    pub(super) const ALL: [Self; 5] =
        [Self::Entered, Self::Ready, Self::Worked, Self::Tired, Self::Polls];

    pub(super) const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// A set of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Reports(pub(super) u64);

impl Reports {
    pub(crate) const fn contains(self, report: Report) -> bool {
        self.0 & report.bit() != 0
    }

    /// A set of these.
    #[cfg(test)]
    pub(crate) fn of(reports: &[Report]) -> Self {
        Self(reports.iter().fold(0, |bits, report| bits | report.bit()))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `known`, in the order in which they follow from each other. Bits that no child
    /// sets mean nothing.
    pub(crate) fn since(self, known: Self) -> impl Iterator<Item = Report> {
        let new = self.0 & !known.0;
        Report::ALL.into_iter().filter(move |report| new & report.bit() != 0)
    }
}
