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

/// Room that the label has as long as there is anything else to leave out, and the least that is worth showing.
const LABEL: u16 = 25;
const SHORTEST_LABEL: u16 = 10;

/// What a client should have where there is room, `[2001:db8::1]:4711` and the like.
const WIDE_CLIENT: u16 = 24;

const fn column(key: Key, heading: &'static str, width: u16, align: Align) -> Column {
    Column { key, heading, width, align }
}

/// What is asked for most comes first, as on the status page.
const ALL: [Column; 10] = [
    column(Key::State, "STATE", 9, Align::Left),
    column(Key::Time, "TIME", 6, Align::Right),
    column(Key::Label, "LABEL", LABEL, Align::Left),
    column(Key::Client, "CLIENT", 15, Align::Left),
    column(Key::Pid, "PID", 7, Align::Right),
    column(Key::Requests, "REQS", 6, Align::Right),
    column(Key::Age, "AGE", 6, Align::Right),
    column(Key::Memory, "MEM", 5, Align::Right),
    column(Key::Slot, "SLOT", 5, Align::Right),
    column(Key::Generation, "GEN", 4, Align::Right),
];

/// Which columns go first where the terminal is narrow, before the label is cut.
const DISPENSABLE: [Key; 6] =
    [Key::Age, Key::Generation, Key::Slot, Key::Client, Key::Requests, Key::Memory];

/// Which go where it is cut to its shortest and there is still no room.
const LAST: [Key; 2] = [Key::Label, Key::Time];

/// Chooses the columns for a terminal; what is left over, client and label have.
pub(super) fn columns(width: u16) -> Vec<Column> {
    let mut columns = ALL.to_vec();
    for key in DISPENSABLE {
        if needed(&columns) <= width {
            break;
        }
        columns.retain(|column| column.key != key);
    }
    let missing = needed(&columns).saturating_sub(width);
    if let Some(label) = columns.iter_mut().find(|column| column.key == Key::Label) {
        label.width = label.width.saturating_sub(missing).max(SHORTEST_LABEL);
    }
    for key in LAST {
        if needed(&columns) > width {
            columns.retain(|column| column.key != key);
        }
    }
    let mut left = width.saturating_sub(needed(&columns));
    if let Some(client) = columns.iter_mut().find(|column| column.key == Key::Client) {
        let more = (left / 2).min(WIDE_CLIENT - client.width);
        client.width += more;
        left -= more;
    }
    if let Some(label) = columns.iter_mut().find(|column| column.key == Key::Label) {
        label.width += left;
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
        assert_eq!(keys(0), [Key::State, Key::Pid], "the least, whatever is cut off");
    }

    #[test]
    fn the_label_comes_before_what_is_left_out_for_it() {
        let label = |width| {
            let columns = columns(width);
            let place = columns.iter().position(|column| column.key == Key::Label);
            place.map(|place| (place, columns[place].width))
        };
        use Key::{Client, Label, Memory, Pid, Requests, State, Time};
        assert_eq!(keys(80), [State, Time, Label, Client, Pid, Requests, Memory]);
        assert_eq!(keys(66), [State, Time, Label, Pid, Requests, Memory], "no client");
        assert_eq!(keys(40), [State, Time, Label, Pid]);
        assert_eq!(label(40), Some((2, 15)));
        assert_eq!(keys(100).len(), ALL.len());
        // Nothing but the label is left to be cut once it is shorter than 25.
        for width in 0..400 {
            if label(width).is_some_and(|(_, label)| label < LABEL) {
                assert_eq!(keys(width).len(), 4, "{width}");
            }
        }
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
