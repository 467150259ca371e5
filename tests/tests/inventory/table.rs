//! The tables of ARCHITECTURE.md, "What each process holds", and "What each process of several pools holds".

use std::collections::{BTreeMap, BTreeSet};

use crate::Mode;

const TEXT: &str = include_str!("../../../ARCHITECTURE.md");

/// A section with two tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    heading: &'static str,
    kinds: &'static [(Kind, &'static str)],
}

/// Of a daemon of one pool.
pub(crate) const ONE_POOL: Section =
    Section { heading: "## What each process holds", kinds: Kind::OF_ONE_POOL };

/// Of a daemon of several.
pub(crate) const SEVERAL_POOLS: Section = Section {
    heading: "## What each process of several pools holds",
    kinds: Kind::OF_SEVERAL_POOLS,
};

/// A kind of process: the heading of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Parent,
    Child,
    Status,
    Hook,
    Demand,
    Settings,
    Probe,
    Alone,
    Arbiter,
    /// Of a pool that hands connections to another.
    PoolParent,
    PoolChild,
    /// Of a pool that takes what others hand to it.
    TakingParent,
    TakingChild,
    RoleParent,
    RoleChild,
}

impl Kind {
    const OF_ONE_POOL: &'static [(Self, &'static str)] = &[
        (Self::Parent, "parent"),
        (Self::Child, "child"),
        (Self::Status, "status process"),
        (Self::Hook, "hook process"),
        (Self::Demand, "demand process"),
        (Self::Settings, "settings process"),
        (Self::Probe, "upgrade probe"),
        (Self::Alone, "`prefork = 0`"),
    ];

    const OF_SEVERAL_POOLS: &'static [(Self, &'static str)] = &[
        (Self::Arbiter, "arbiter"),
        (Self::PoolParent, "parent"),
        (Self::PoolChild, "child"),
        (Self::TakingParent, "parent that takes"),
        (Self::TakingChild, "child that takes"),
        (Self::RoleParent, "parent of a role"),
        (Self::RoleChild, "role"),
    ];

    pub(crate) fn name(self) -> &'static str {
        let all = Self::OF_ONE_POOL.iter().chain(Self::OF_SEVERAL_POOLS);
        all.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Whether it has children, and opens and closes files in passing.
    pub(crate) const fn is_parent(self) -> bool {
        matches!(
            self,
            Self::Parent | Self::Arbiter | Self::PoolParent | Self::TakingParent | Self::RoleParent
        )
    }
}

/// What the tables allow.
#[derive(Debug)]
pub(crate) struct Tables {
    /// How many of each thing may be open or mapped.
    pub(crate) things: Vec<Row>,
    /// What is so of the process itself.
    pub(crate) properties: Vec<Row>,
}

/// A row of either.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    when: Option<Mode>,
    cells: BTreeMap<Kind, String>,
}

impl Row {
    /// Returns the cell for such a process, if the row is about daemons like this one.
    pub(crate) fn cell(&self, kind: Kind, modes: &BTreeSet<Mode>) -> Option<&str> {
        let is_about = self.when.is_none_or(|when| modes.contains(&when));
        is_about.then(|| self.cells[&kind].as_str())
    }
}

impl Tables {
    pub(crate) fn read(Section { heading, kinds }: Section) -> Self {
        let (_, section) =
            TEXT.split_once(&format!("{heading}\n")).expect("ARCHITECTURE.md has the section");
        let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
        let mut tables = section.split("\n\n").map(str::trim).filter(|part| part.starts_with('|'));
        let mut next =
            || tables.next().map(|table| rows(table, kinds)).expect("the section has two tables");
        let (things, properties) = (next(), next());
        assert!(tables.next().is_none(), "the section has a third table, which nobody reads");
        Self { things, properties }
    }

    /// Returns how many of a thing there may be: the fewest, and the most.
    pub(crate) fn count(&self, what: &str, kind: Kind, modes: &BTreeSet<Mode>) -> (usize, usize) {
        let rows = self.things.iter().filter(|row| row.what == what);
        let cells = rows.filter_map(|row| row.cell(kind, modes)).map(range);
        cells.fold((0, 0), |(fewest, most), (from, to)| (fewest + from, most + to))
    }
}

fn range(cell: &str) -> (usize, usize) {
    let number = |text: &str| match text {
        "-" => 0,
        text => text.parse().unwrap_or_else(|_| panic!("{cell:?} in a table is no count")),
    };
    match cell.split_once(" to ") {
        Some((from, to)) => (number(from), number(to)),
        None => (number(cell), number(cell)),
    }
}

/// Takes a table apart: what, when, and a column for each kind of process.
fn rows(table: &str, known: &[(Kind, &str)]) -> Vec<Row> {
    let mut lines = table.lines().map(|line| {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let head = lines.next().expect("a table has a head");
    let kinds: Vec<Kind> = head[2..]
        .iter()
        .map(|name| {
            let found = known.iter().find(|(_, known)| known == name);
            found.unwrap_or_else(|| panic!("{name:?} is no kind of process")).0
        })
        .collect();
    assert_eq!(kinds.len(), known.len(), "a column for each kind of process");
    let rows = lines.skip(1).map(|cells| {
        assert_eq!(cells.len(), head.len(), "cells of {cells:?}");
        Row {
            what: cells[0].replace('`', ""),
            when: Mode::of_cell(&cells[1]),
            cells: kinds.iter().copied().zip(cells[2..].iter().cloned()).collect(),
        }
    });
    rows.collect()
}
