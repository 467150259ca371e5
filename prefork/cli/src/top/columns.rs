//! The columns of the table, as many as there is room for.

use prefork_scoreboard::{Column as Declared, ColumnKind, Life, Value};

use super::sort::Key;
use prefork_view::{Row, View, bytes, duration, figure, fine_duration, state};
use unicode_width::UnicodeWidthStr;

/// A column: what it is sorted by says what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) key: Key,
    pub(super) heading: String,
    pub(super) width: u16,
    pub(super) align: Align,
    /// As the board declares it, of one that it does.
    declared: Option<Declared>,
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

/// A column that every board has.
struct Common(Key, &'static str, u16, Align);

impl Common {
    fn column(&self) -> Column {
        let &Self(key, heading, width, align) = self;
        Column { key, heading: heading.to_owned(), width, align, declared: None }
    }
}

/// What is asked for most comes first, as on the status page.
const ALL: [Common; 12] = [
    Common(Key::State, "STATE", 9, Align::Left),
    Common(Key::InHand, "IN HAND", 7, Align::Right),
    Common(Key::Queued, "QUEUED", 6, Align::Right),
    Common(Key::Time, "TIME", 6, Align::Right),
    Common(Key::Label, "LABEL", LABEL, Align::Left),
    Common(Key::Client, "CLIENT", 15, Align::Left),
    Common(Key::Pid, "PID", 7, Align::Right),
    Common(Key::Requests, "REQS", 6, Align::Right),
    Common(Key::Age, "AGE", 6, Align::Right),
    Common(Key::Memory, "MEM", 5, Align::Right),
    Common(Key::Slot, "SLOT", 5, Align::Right),
    Common(Key::Generation, "GEN", 4, Align::Right),
];

/// Which columns go first where the terminal is narrow, before the label is cut.
const DISPENSABLE: [Key; 6] =
    [Key::Age, Key::Generation, Key::Slot, Key::Client, Key::Requests, Key::Memory];

/// Which go where it is cut to its shortest and there is still no room.
const LAST: [Key; 3] = [Key::Queued, Key::Label, Key::Time];

/// Chooses the columns for a terminal; what is left over, client and label have.
pub(super) fn columns(width: u16, view: &View) -> Vec<Column> {
    let mut columns: Vec<_> = ALL.iter().map(Common::column).collect();
    if !view.has_queue_times() {
        columns.retain(|column| column.key != Key::Queued);
    }
    if !view.is_of_daemon() {
        columns.retain(|column| column.key != Key::Generation);
    }
    match view.has_many() {
        true => widen_in_hand(&mut columns, view),
        false => columns.retain(|column| column.key != Key::InHand),
    }
    // Few but daemons of sockets have clients.
    if !view.is_of_daemon() && view.rows.iter().all(|row| row.client.is_empty()) {
        columns.retain(|column| column.key != Key::Client);
    }
    let label = columns.iter().position(|column| column.key == Key::Label);
    let before = label.unwrap_or(columns.len());
    columns.splice(before..before, own(view));
    // What the board declares is what its makers want to see: it goes last, and of it the last first.
    let own = (0..view.columns.len()).rev().map(Key::Own);
    for key in DISPENSABLE.into_iter().chain(own) {
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
    // Texts have what they need of the rest, and the label what is left.
    for column in &mut columns {
        let Key::Own(place) = column.key else { continue };
        let texts = view.rows.iter().filter_map(|row| match row.value(place)? {
            Value::Text(text) => Some(text.width()),
            Value::Number(_) => None,
        });
        let wanted = texts.max().and_then(|width| u16::try_from(width).ok()).unwrap_or(0);
        let more = wanted.saturating_sub(column.width).min(left);
        column.width += more;
        left -= more;
    }
    if let Some(label) = columns.iter_mut().find(|column| column.key == Key::Label) {
        label.width += left;
    }
    columns
}

/// Gives the requests in hand the room that they need.
fn widen_in_hand(columns: &mut [Column], view: &View) {
    for column in columns.iter_mut().filter(|column| column.key == Key::InHand) {
        let texts = view.rows.iter().map(|row| column.text(row).len());
        let most = texts.max().and_then(|most| u16::try_from(most).ok()).unwrap_or(0);
        column.width = column.width.max(most);
    }
}

/// The columns that the board declares.
fn own(view: &View) -> Vec<Column> {
    /// The least and the most room that a text has.
    const TEXT: (usize, usize) = (12, 16);
    let column = |(place, declared): (usize, &Declared)| {
        let heading = declared.name().to_uppercase();
        let (width, align) = match declared.kind() {
            ColumnKind::Counter | ColumnKind::Gauge => {
                // As wide as any figure is, and the heading as far as it goes.
                (heading.len().clamp(6, 10), Align::Right)
            }
            ColumnKind::Text => (heading.len().clamp(TEXT.0, TEXT.1), Align::Left),
        };
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        Column { key: Key::Own(place), heading, width, align, declared: Some(declared.clone()) }
    };
    view.columns.iter().enumerate().map(column).collect()
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
            Key::InHand => row.hands().map_or_else(dash, |hands| hands.replace(" of ", "/")),
            Key::Queued => row.queued.map_or_else(dash, fine_duration),
            Key::Requests => count(row.requests),
            Key::Age => row.age.map_or_else(dash, duration),
            Key::Time => row.request_time.map_or_else(dash, duration),
            Key::Memory => row.memory.map_or_else(dash, bytes),
            Key::Client => row.client.clone(),
            Key::Label => row.label.clone(),
            Key::Own(place) => match (&self.declared, row.value(place)) {
                (Some(declared), Some(value)) => short(declared, value),
                (None, _) | (_, None) => dash(),
            },
        }
    }
}

/// A value in six characters, if it is a number.
fn short(declared: &Declared, value: &Value) -> String {
    match (declared.unit_name(), value) {
        (None, Value::Number(number)) => count(*number),
        (Some(_), Value::Number(_)) | (_, Value::Text(_)) => figure(declared, value),
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
    use prefork_view::samples::{jobs, many, view};

    fn columns(width: u16) -> Vec<Column> {
        super::columns(width, &view())
    }

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
        assert_eq!(
            keys(100).len(),
            ALL.len() - 2,
            "nobody has many in hand, nor is it known who has waited"
        );
        // Nothing but the label is left to be cut once it is shorter than 25.
        for width in 0..400 {
            if label(width).is_some_and(|(_, label)| label < LABEL) {
                assert_eq!(keys(width).len(), 4, "{width}");
            }
        }
    }

    #[test]
    fn requests_in_hand_have_a_column_where_children_have_many() {
        let mut view = many();
        let shown = |view: &View, width| {
            let columns = super::columns(width, view);
            let in_hand = columns.iter().find(|column| column.key == Key::InHand)?;
            assert!(needed(&columns) <= width, "{width}: {columns:?}");
            Some((in_hand.width, in_hand.text(&view.rows[0]), in_hand.text(&view.rows[2])))
        };
        assert_eq!(shown(&view, 80), Some((7, "16/64".to_owned(), "-".to_owned())));
        (view.rows[0].in_hand, view.rows[0].concurrency) = (65_535, 65_536);
        assert_eq!(shown(&view, 80), Some((11, "65535/65536".to_owned(), "-".to_owned())));
        for width in 30..200 {
            assert!(shown(&view, width).is_some(), "{width}: what is asked for most stays");
        }
    }

    #[test]
    fn how_long_clients_have_waited_has_a_column_where_that_is_known() {
        let mut view = view();
        view.rows[1].queued = Some(std::time::Duration::from_millis(40));
        let shown = |width| {
            let columns = super::columns(width, &view);
            let queued = columns.iter().find(|column| column.key == Key::Queued)?;
            assert!(needed(&columns) <= width, "{width}: {columns:?}");
            Some((queued.text(&view.rows[0]), queued.text(&view.rows[1])))
        };
        assert_eq!(shown(80), Some(("-".to_owned(), "40ms".to_owned())));
        for width in 18..200 {
            assert_eq!(shown(width).is_some(), width >= 42, "{width}");
        }
    }

    #[test]
    fn what_a_board_declares_stands_before_the_label() {
        let view = jobs();
        let own = |width| {
            let columns = super::columns(width, &view);
            assert!(columns.iter().all(|column| column.key != Key::Generation), "it has none");
            assert!(width < 20 || needed(&columns) <= width, "{width}: {columns:?}");
            let own = columns.iter().filter(|column| column.declared.is_some());
            let shown = own.map(|column| (column.heading.clone(), column.text(&view.rows[1])));
            shown.collect::<Vec<_>>()
        };
        let shown = |all: &[(&str, &str)]| {
            let owned =
                |(heading, text): &(&str, &str)| ((*heading).to_owned(), (*text).to_owned());
            all.iter().map(owned).collect::<Vec<_>>()
        };
        let all = [("WRITTEN", "4.6K"), ("VOLUME", "photos-2"), ("ERRORS", "1"), ("QUEUE", "2")];
        assert_eq!(own(120), shown(&all));
        assert_eq!(own(80), shown(&all[..3]));
        assert_eq!(own(60), shown(&all[..1]));
        let wide = super::columns(120, &view);
        assert!(wide.iter().all(|column| column.key != Key::Client), "nobody has one");
        for width in 0..300 {
            let _ = own(width);
        }
    }

    #[test]
    fn a_text_that_a_board_declares_is_whole_where_there_is_room() {
        let mut view = jobs();
        let file = "photos/2026/11/cat-00006.jpg";
        let values = view.rows[1].values.as_mut().expect("it has some");
        let place = values.iter().position(|value| matches!(value, Value::Text(_)));
        values[place.expect("a text")] = Value::Text(file.to_owned());
        let width = |width| {
            let columns = super::columns(width, &view);
            let texts = columns.iter().filter(|column| column.text(&view.rows[1]) == file);
            texts.map(|column| column.width).next()
        };
        assert_eq!(width(160), Some(28));
        assert!(width(120) > Some(16), "{:?}", width(120));
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
