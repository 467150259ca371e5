//! The columns of the table, as many as there is room for.

use prefork_scoreboard::Life;

use super::sort::Key;
use prefork_view::{Row, bytes, duration, state};

/// A column: what it is sorted by says what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) key: Key,
    pub(super) heading: &'static str,
    pub(super) width: u16,
    pub(super) align: Align,
}

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Room that the label should have, and the least that is worth showing.
const LABEL: u16 = 10;

/// What a client should have where there is room, `[2001:db8::1]:4711` and the like.
const WIDE_CLIENT: u16 = 24;

const fn column(key: Key, heading: &'static str, width: u16, align: Align) -> Column {
    Column { key, heading, width, align }
}

const ALL: [Column; 10] = [
    column(Key::Slot, "SLOT", 5, Align::Right),
    column(Key::Pid, "PID", 7, Align::Right),
    column(Key::State, "STATE", 9, Align::Left),
    column(Key::Generation, "GEN", 4, Align::Right),
    column(Key::Requests, "REQS", 6, Align::Right),
    column(Key::Age, "AGE", 6, Align::Right),
    column(Key::Time, "TIME", 6, Align::Right),
    column(Key::Memory, "MEM", 5, Align::Right),
    column(Key::Client, "CLIENT", 15, Align::Left),
    column(Key::Label, "LABEL", LABEL, Align::Left),
];

/// Which columns go first where the terminal is narrow.
const DISPENSABLE: [Key; 8] = [
    Key::Age,
    Key::Generation,
    Key::Slot,
    Key::Client,
    Key::Requests,
    Key::Memory,
    Key::Label,
    Key::Time,
];

/// Chooses the columns for a terminal; what is left over, client and label have.
pub(super) fn columns(width: u16) -> Vec<Column> {
    let mut columns = ALL.to_vec();
    for key in DISPENSABLE {
        if needed(&columns) <= width {
            break;
        }
        columns.retain(|column| column.key != key);
    }
    let mut left = width.saturating_sub(needed(&columns));
    for column in &mut columns {
        match column.key {
            Key::Client => {
                let more = (left / 2).min(WIDE_CLIENT - column.width);
                column.width += more;
                left -= more;
            }
            Key::Label => column.width += left,
            Key::Slot
            | Key::Pid
            | Key::State
            | Key::Generation
            | Key::Requests
            | Key::Age
            | Key::Time
            | Key::Memory => {}
        }
    }
    columns
}

fn needed(columns: &[Column]) -> u16 {
    let gaps = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    columns.iter().map(|column| column.width).sum::<u16>() + gaps
}

impl Column {
    /// Returns what a child shows in this column.
    pub(super) fn text(&self, row: &Row) -> String {
        let dash = || "-".to_owned();
        match self.key {
            Key::Slot => row.slot.to_string(),
            Key::Pid => row.pid.map_or_else(dash, |pid| pid.to_string()),
            Key::State if row.life == Life::Gone => "gone".to_owned(),
            Key::State if row.is_leaving => "leaving".to_owned(),
            Key::State => state(row.status).to_owned(),
            Key::Generation => row.generation.to_string(),
            Key::Requests => count(row.requests),
            Key::Age => row.age.map_or_else(dash, duration),
            Key::Time => row.request_time.map_or_else(dash, duration),
            Key::Memory => row.memory.map_or_else(dash, bytes),
            Key::Client => row.client.clone(),
            Key::Label => row.label.clone(),
        }
    }
}

/// A number in six characters: `999999`, `1234k`.
fn count(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1, ""), (1_000, "k"), (1_000_000, "M"), (1_000_000_000_000, "T")];
    let fits = |(size, unit): &&(u64, &str)| {
        number / size < if unit.is_empty() { 1_000_000 } else { 100_000 }
    };
    UNITS
        .iter()
        .find(fits)
        .map_or_else(|| "many".to_owned(), |(size, unit)| format!("{}{unit}", number / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(width: u16) -> Vec<Key> {
        columns(width).iter().map(|column| column.key).collect()
    }

    #[test]
    fn the_columns_fill_any_terminal_and_fit_into_it() {
        for width in 18..400 {
            let columns = columns(width);
            assert!(needed(&columns) <= width, "{width}: {columns:?}");
            if columns.iter().any(|column| column.key == Key::Label) {
                assert_eq!(needed(&columns), width);
            }
        }
        assert_eq!(keys(0), [Key::Pid, Key::State], "the least, whatever is cut off");
    }

    #[test]
    fn who_and_what_is_seen_in_80_columns() {
        let there = keys(80);
        for key in Key::ALL.into_iter().filter(|key| *key != Key::Age) {
            assert!(there.contains(&key), "{key:?}");
        }
        assert_eq!(keys(100).len(), ALL.len());
        assert!(keys(40).contains(&Key::Label) && keys(40).contains(&Key::Time));
    }

    #[test]
    fn counts_are_short() {
        let table = [
            (0, "0"),
            (999_999, "999999"),
            (1_000_000, "1000k"),
            (99_999_999, "99999k"),
            (100_000_000, "100M"),
            (u64::MAX, "many"),
        ];
        for (number, expected) in table {
            assert_eq!(count(number), expected);
        }
    }
}
