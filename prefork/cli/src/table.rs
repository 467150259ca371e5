//! A board as a table, for people.

use anstyle::{AnsiColor, Style};
use prefork_scoreboard::{Class, ColumnKind, Life};
use unicode_width::UnicodeWidthStr;

use prefork_view::{Owner, Row, Slots, View, bytes, duration, figure, fine_duration};

/// How many letters of the summary stand in a line, as in Apache's server status.
const LETTERS: usize = 64;

/// A column of the table.
enum Column<'a> {
    Slot,
    Pid,
    State,
    Generation,
    InHand,
    Queued,
    Requests,
    Age,
    Time,
    Idle,
    Memory,
    Client,
    Label,
    /// One that the board declares, by its place among them.
    Own(usize, &'a prefork_scoreboard::Column),
}

/// Chooses the columns: figures first, words behind them. What is always empty on a board that is no daemon's is left out.
fn columns<'a>(view: &'a View, rows: &[&Row]) -> Vec<Column<'a>> {
    let generation = (view.is_of_daemon() || rows.iter().any(|row| row.generation != 0))
        .then_some(Column::Generation);
    let client = (view.is_of_daemon() || rows.iter().any(|row| !row.client.is_empty()))
        .then_some(Column::Client);
    let own = view.columns.iter().enumerate().map(|(place, column)| Column::Own(place, column));
    let (figures, words): (Vec<_>, Vec<_>) = own.partition(Column::is_figure);
    let mut columns = vec![Column::Slot, Column::Pid, Column::State];
    columns.extend(generation);
    columns.extend(view.has_many().then_some(Column::InHand));
    columns.extend([Column::Requests, Column::Age]);
    columns.extend(view.has_queue_times().then_some(Column::Queued));
    columns.extend([Column::Time, Column::Idle, Column::Memory]);
    columns.extend(figures);
    columns.extend(client);
    columns.extend(words);
    columns.push(Column::Label);
    columns
}

/// Renders a board, with colours.
pub(crate) fn table(view: &View, slots: Slots) -> String {
    let mut text = header(view);
    let rows: Vec<&Row> = view.rows.iter().filter(|row| slots.show(row)).collect();
    if rows.is_empty() {
        return text;
    }
    let columns = columns(view, &rows);
    let cells = |row: &&Row| columns.iter().map(|column| column.cell(row)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings: Vec<String> = columns.iter().map(Column::heading).collect();
    let width = |place: usize| {
        let all = cells.iter().chain([&headings]);
        all.map(|line| line[place].width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let bold = Style::new().bold();
    let heading = line(&columns, &headings, &widths, Style::new());
    text.push_str(&format!("\n{bold}{heading}{bold:#}\n"));
    for (row, cells) in rows.iter().zip(&cells) {
        text.push_str(&line(&columns, cells, &widths, colour(row)));
        text.push('\n');
    }
    text
}

fn header(view: &View) -> String {
    let bold = Style::new().bold();
    let summary = view.summary();
    let last = view.owner.last_change();
    let change = last.map(|(what, change)| format!("last {what}: {}\n", change.words()));
    let (details, change) = (details(view), change.unwrap_or_default());
    let trouble = view.trouble().filter(|_| !view.is_left_behind());
    let trouble = trouble.map(|trouble| format!("NOT WELL: {trouble}\n")).unwrap_or_default();
    let sums = view.sums_in_words().map(|sums| format!("in all: {sums}\n")).unwrap_or_default();
    format!("{bold}{summary}{bold:#}\n{trouble}{details}\n{change}{sums}{}", letters(view))
}

/// What is where.
fn details(view: &View) -> String {
    let owner = &view.owner;
    let all = |what: &str, texts: &[String]| {
        let has_any = !texts.is_empty();
        has_any.then(|| format!("{what}{}", texts.join(", ")))
    };
    let addresses: Vec<_> = owner.listeners.iter().map(|it| it.address.clone()).collect();
    let details = [
        Some(format!("board {}", view.path)),
        all("listening at ", &addresses),
        program(owner),
        all("settings ", &owner.settings),
        owner.library.clone(),
        owner.isolation_in_words(),
    ];
    details.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Which program runs, and by which it is run, if that is another.
fn program(owner: &Owner) -> Option<String> {
    let by = owner.program.as_ref().map(|path| format!("run by {path}"));
    match (&owner.runs, &owner.program) {
        (Some(runs), _) => {
            let parts = [Some(format!("program {runs}")), by];
            Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        (None, program) => program.as_ref().map(|path| format!("program {path}")),
    }
}

/// One letter a slot, without the empty ones at the end; an `x` for a process that is gone.
fn letters(view: &View) -> String {
    let used = view.rows.iter().rposition(|row| row.class() != Class::Empty);
    let used = &view.rows[..used.map_or(0, |last| last + 1)];
    let mut text = String::new();
    for chunk in used.chunks(LETTERS) {
        text.extend(chunk.iter().map(|row| match row.life {
            Life::Gone => 'x',
            Life::Running | Life::Unknown => row.status.letter(),
        }));
        text.push('\n');
    }
    text
}

impl Column<'_> {
    fn heading(&self) -> String {
        let heading = match self {
            Self::Slot => "SLOT",
            Self::Pid => "PID",
            Self::State => "STATE",
            Self::Generation => "GEN",
            Self::InHand => "IN HAND",
            Self::Queued => "QUEUED",
            Self::Requests => "REQUESTS",
            Self::Age => "AGE",
            Self::Time => "TIME",
            Self::Idle => "IDLE",
            Self::Memory => "MEMORY",
            Self::Client => "CLIENT",
            Self::Label => "LABEL",
            Self::Own(_, column) => return column.name().to_uppercase(),
        };
        heading.to_owned()
    }

    /// Whether it has figures, which stand to the right.
    fn is_figure(&self) -> bool {
        match self {
            Self::Slot | Self::Pid | Self::Generation | Self::InHand | Self::Queued => true,
            Self::Requests | Self::Age | Self::Time | Self::Idle | Self::Memory => true,
            Self::State | Self::Client | Self::Label => false,
            Self::Own(_, column) => match column.kind() {
                ColumnKind::Counter | ColumnKind::Gauge => true,
                ColumnKind::Text => false,
            },
        }
    }

    fn cell(&self, row: &Row) -> String {
        let dash = || "-".to_owned();
        let text = |text: &String| if text.is_empty() { dash() } else { text.clone() };
        match self {
            Self::Slot => row.slot.to_string(),
            Self::Pid => match (row.pid, row.life) {
                (Some(pid), Life::Gone) => format!("{pid} gone"),
                (Some(pid), Life::Running | Life::Unknown) => pid.to_string(),
                (None, _) => dash(),
            },
            Self::State => format!("{} {}", row.status.letter(), row.doing()),
            Self::Generation => row.generation.to_string(),
            Self::InHand => row.hands().unwrap_or_else(dash),
            Self::Queued => row.queued.map_or_else(dash, fine_duration),
            Self::Requests => row.requests.to_string(),
            Self::Age => row.age.map_or_else(dash, duration),
            Self::Time => row.request_time.map_or_else(dash, duration),
            Self::Idle => {
                let idle = row.since_update.filter(|_| row.class() == Class::Idle);
                idle.map_or_else(dash, duration)
            }
            Self::Memory => row.memory.map_or_else(dash, bytes),
            Self::Client => text(&row.client),
            Self::Label => text(&row.label),
            Self::Own(place, column) => {
                row.value(*place).map_or_else(dash, |value| figure(column, value))
            }
        }
    }
}

/// Sets cells side by side, figures to the right; the last one as it is.
fn line(columns: &[Column<'_>], cells: &[String], widths: &[usize], style: Style) -> String {
    let mut text = String::new();
    for ((column, cell), width) in columns.iter().zip(cells).zip(widths) {
        // The width as it is seen; padding of `format!` counts characters.
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        if matches!(column, Column::State) {
            text.push_str(&format!("{style}{cell}{style:#}{padding}  "));
        } else if column.is_figure() {
            text.push_str(&format!("{padding}{cell}  "));
        } else if matches!(column, Column::Label) {
            text.push_str(cell);
        } else {
            text.push_str(&format!("{cell}{padding}  "));
        }
    }
    text
}

fn colour(row: &Row) -> Style {
    if row.life == Life::Gone {
        return AnsiColor::Red.on_default();
    }
    match row.class() {
        Class::Empty | Class::Idle => Style::new(),
        Class::Busy => AnsiColor::Green.on_default(),
        Class::Starting => AnsiColor::Yellow.on_default(),
        Class::Draining => AnsiColor::Cyan.on_default(),
        Class::Stalled => AnsiColor::Red.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use prefork_scoreboard::{State, Status};

    use super::*;
    use prefork_view::{
        Change, Outcome,
        samples::{jobs, many, of_rows, row, view},
    };

    fn plain(view: &View, slots: Slots) -> String {
        strip_str(&table(view, slots)).to_string()
    }

    #[test]
    fn a_board_is_a_header_and_a_line_a_child() {
        let expected = "\
hello 0.1.0, pid 3999, up 3h05m: 6 children of 3 to 150, 1 idle, 2 busy, 1 starting, 1 draining, 1 stalled, queue 0 of 4096
board /run/hello/board; listening at 127.0.0.1:8080; program /usr/bin/hello; settings /etc/hello.toml; prefork 0.1.0
_W.S?GR

SLOT   PID  STATE       GEN  REQUESTS    AGE  TIME  IDLE  MEMORY  CLIENT          LABEL
   0  4000  _ idle        1      1000  1m40s     -  0.5s    1.0M  192.0.2.1:4711  GET /page/0
   1  4001  W writing     1      2000  3m20s  2.5s     -    2.0M  192.0.2.1:4711  GET /page/1
   3  4003  S starting    1      4000  6m40s     -     -    4.0M  192.0.2.1:4711  GET /page/3
   4  4004  ? stalled     1      5000  8m20s     -     -    5.0M  192.0.2.1:4711  GET /page/4
   5  4005  G draining    1      6000  10m00s     -     -    6.0M  192.0.2.1:4711  GET /page/5
   6  4006  R reading     1      7000  11m40s  8.7s     -    7.0M  192.0.2.1:4711  GET /page/6
";
        let found = plain(&view(), Slots::Taken);
        // Widths follow the contents; that is asserted by another test.
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&found), squeezed(expected), "\n{found}");
        assert_eq!(plain(&view(), Slots::All).lines().count(), found.lines().count() + 2);
    }

    #[test]
    fn a_board_of_strangers_has_its_own_columns_and_none_that_are_empty() {
        let mut view = jobs();
        view.rows[1].values = None;
        let expected = "\
thumbnails, up 1h02m: 2 processes in 3 slots, 1 idle, 1 busy
board /run/thumbnails
in all: written 2.3K, errors 1, queue 1
W_

SLOT   PID  STATE      REQUESTS    AGE  TIME  IDLE  MEMORY  WRITTEN  ERRORS  QUEUE  VOLUME    LABEL
   0  4000  W writing      1000  1m40s  1.2s     -    1.0M     2.3K       1      1  photos-1  cat-1.png
   1  4001  _ idle         2000  3m20s     -  0.5s    2.0M        -       -      -  -         cat-2.png
";
        assert_eq!(plain(&view, Slots::Taken), expected);
        view.rows[0].client = "queue-a".into();
        assert!(plain(&view, Slots::Taken).contains("  CLIENT   VOLUME"));
    }

    #[test]
    fn of_children_with_many_requests_each_shows_how_many_it_has() {
        let found = plain(&many(), Slots::Taken);
        let table: Vec<&str> = found.lines().skip(4).collect();
        let expected = [
            "SLOT   PID  STATE      GEN   IN HAND  REQUESTS    AGE  TIME  IDLE  MEMORY  CLIENT          LABEL",
            "   0  4000  W writing    1  16 of 64      1000  1m40s  1.2s     -    1.0M  192.0.2.1:4711  GET /page/0",
            "   1  4001  _ idle       1   0 of 64      2000  3m20s     -  0.5s    2.0M  192.0.2.1:4711  GET /page/1",
            "   2  4002  W writing    1         -      3000  5m00s  3.7s     -    3.0M  192.0.2.1:4711  GET /page/2",
        ];
        assert_eq!(table, expected, "\n{found}");
    }

    #[test]
    fn how_long_clients_have_waited_has_a_column_where_that_is_known() {
        let mut view = view();
        assert!(!plain(&view, Slots::Taken).contains("QUEUED"));
        view.rows[1].queued = Some(std::time::Duration::from_millis(40));
        let found = plain(&view, Slots::Taken);
        let table: Vec<&str> = found.lines().skip(4).take(3).collect();
        let expected = [
            "SLOT   PID  STATE       GEN  REQUESTS     AGE  QUEUED  TIME  IDLE  MEMORY  CLIENT          LABEL",
            "   0  4000  _ idle        1      1000   1m40s       -     -  0.5s    1.0M  192.0.2.1:4711  GET /page/0",
            "   1  4001  W writing     1      2000   3m20s    40ms  2.5s     -    2.0M  192.0.2.1:4711  GET /page/1",
        ];
        assert_eq!(table, expected, "\n{found}");
    }

    #[test]
    fn columns_stand_one_below_the_other_whatever_is_in_them() {
        let mut view = view();
        view.rows[0].client = "\u{65e5}\u{672c}".into();
        view.rows[1].client = String::new();
        view.rows[3].pid = Some(4_000_000);
        let found = plain(&view, Slots::Taken);
        let table: Vec<&str> = found.lines().skip(4).collect();
        let column = table[0].find("LABEL").expect("a heading");
        for line in &table[1..] {
            let before = &line[..line.find("GET").expect("a label")];
            assert_eq!(before.width(), column, "{found}");
        }
    }

    #[test]
    fn what_is_left_over_is_said() {
        let mut view = of_rows(vec![row(0, Status::Live(State::Idle))]);
        (view.age, view.creator_life) = (None, Life::Gone);
        view.rows[0].life = Life::Gone;
        let found = plain(&view, Slots::Taken);
        let first = found.lines().next();
        let expected = "NOT RUNNING: hello 0.1.0, pid 3999, has ended with another boot of the machine; 1 child of 3 to \
                        150, 1 idle, 0 busy";
        assert_eq!(first, Some(expected), "{found}");
        assert!(found.contains("4000 gone"), "{found}");
    }

    #[test]
    fn who_finishes_a_request_before_it_leaves_is_shown() {
        let mut view = view();
        view.rows[1].is_leaving = true;
        let found = plain(&view, Slots::Taken);
        assert!(found.contains("1 stalled, 1 leaving, queue 0 of 4096\n"), "{found}");
        assert!(found.contains("W writing (leaving)"), "{found}");
        assert_eq!(found.matches("(leaving)").count(), 1, "{found}");
    }

    #[test]
    fn what_has_become_of_the_last_upgrade_is_shown_with_the_reason() {
        let mut view = view();
        view.owner.upgrade = Some(Change {
            outcome: Outcome::Refused,
            reason: Some("cannot bind 127.0.0.1:80: Permission denied".into()),
            began: None,
            ended: None,
        });
        let found = plain(&view, Slots::Taken);
        let line = "last upgrade: refused: cannot bind 127.0.0.1:80: Permission denied";
        assert_eq!(found.lines().nth(2), Some(line), "{found}");
    }

    #[test]
    fn an_empty_board_has_no_table() {
        let view = of_rows((0..150).map(|slot| row(slot, Status::Empty)).collect());
        let found = plain(&view, Slots::Taken);
        assert_eq!(found.lines().count(), 2, "{found}");
        assert!(found.contains(": 0 children of 3 to 150, 0 idle, 0 busy, queue"), "{found}");
    }

    #[test]
    fn letters_stand_in_lines_of_64() {
        let mut rows: Vec<Row> = (0..150).map(|slot| row(slot, Status::Empty)).collect();
        rows[70].status = Status::Live(State::Writing);
        rows[71].status = Status::Live(State::Writing);
        rows[71].life = Life::Gone;
        let letters = letters(&of_rows(rows));
        assert_eq!(letters, format!("{}\n{}Wx\n", ".".repeat(64), ".".repeat(6)));
    }
}
