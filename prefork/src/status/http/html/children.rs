//! The children: those at work, and folded those that wait.

use std::{
    cmp::Reverse,
    fmt::{self, Write},
};

use prefork_scoreboard::{Class, Life};
use prefork_view::{Row, Slots, bytes, duration, fine_duration, plural};

use super::{Escaped, grouped};
use crate::status::http::report::Report;

/// Of children that can have many requests in hand.
const IN_HAND: &str = "in hand";

/// Where it is known how long clients have waited.
const QUEUED: &str = "queued";

/// What is asked for most comes first, as narrow windows show no more.
const HEADINGS: [(&str, &str); 12] = [
    ("left", "state"),
    ("", IN_HAND),
    ("", QUEUED),
    ("", "time"),
    ("left", "doing"),
    ("left", "client"),
    ("", "pid"),
    ("", "requests"),
    ("", "age"),
    ("", "memory"),
    ("", "slot"),
    ("", "generation"),
];

pub(super) fn write(to: &mut String, report: &Report, slots: Slots) -> fmt::Result {
    let Some(view) = &report.view else { return Ok(()) };
    let columns =
        Columns { in_hand: shown_if(view.has_many()), queued: shown_if(view.has_queue_times()) };
    let shown = view.rows.iter().filter(|row| slots.show(row));
    let (resting, mut others): (Vec<&Row>, Vec<&Row>) = shown.partition(|row| is_resting(row));
    others.sort_by_key(|row| (Reverse(row.request_time), row.slot));
    writeln!(to, "<h2>{}</h2>", plural(view.tally.taken(), "child", "children"))?;
    if !others.is_empty() {
        write_table(to, &others, columns)?;
    }
    if !resting.is_empty() {
        let open = match slots {
            Slots::Taken => "",
            Slots::All => " open",
        };
        let words = match slots {
            Slots::Taken => plural(resting.len(), "idle child", "idle children"),
            Slots::All => "idle children and empty slots".to_owned(),
        };
        writeln!(to, "<details{open}><summary>{words}</summary>")?;
        write_table(to, &resting, columns)?;
        writeln!(to, "</details>")?;
    }
    Ok(())
}

/// The columns that are shown where there is anything in them.
#[derive(Clone, Copy)]
struct Columns {
    /// Where any child can have several requests in hand.
    in_hand: Shown,
    /// Where it is known of any child how long clients have waited.
    queued: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

const fn shown_if(condition: bool) -> Shown {
    if condition { Shown::Yes } else { Shown::No }
}

impl Columns {
    fn has(self, heading: &str) -> bool {
        let shown = match heading {
            IN_HAND => self.in_hand,
            QUEUED => self.queued,
            _ => Shown::Yes,
        };
        shown == Shown::Yes
    }
}

/// Whether there is nothing to see: it waits, or nobody is there.
fn is_resting(row: &Row) -> bool {
    matches!(row.class(), Class::Idle | Class::Empty) && row.life != Life::Gone && !row.is_leaving
}

fn write_table(to: &mut String, rows: &[&Row], columns: Columns) -> fmt::Result {
    write!(to, "<div class=\"card wide\" tabindex=\"0\"><table><tr>")?;
    for (class, heading) in HEADINGS.into_iter().filter(|it| columns.has(it.1)) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        write!(to, "<th scope=\"col\"{class}>{heading}")?;
    }
    writeln!(to)?;
    for row in rows {
        write_child(to, row, columns)?;
    }
    writeln!(to, "</table></div>")
}

fn write_child(to: &mut String, row: &Row, columns: Columns) -> fmt::Result {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (gone, note) = match row.life {
        Life::Gone => (" class=\"gone\"", " gone"),
        Life::Running | Life::Unknown => ("", ""),
    };
    let label = Escaped(&row.label);
    let cell = |shown, text| match shown {
        Shown::Yes => format!("<td>{}", or_dash(text)),
        Shown::No => String::new(),
    };
    let hands = cell(columns.in_hand, row.hands());
    let queued = cell(columns.queued, row.queued.map(fine_duration));
    writeln!(
        to,
        "<tr{gone}><td class=\"left\"><i class=\"{}\"></i>{}{hands}{queued}<td>{}\
         <td class=\"label\" title=\"{label}\"><bdi>{label}</bdi>\
         <td class=\"left\"><bdi>{}</bdi><td>{}{note}<td>{}<td>{}<td>{}<td>{}<td>{}",
        class(row.class()),
        row.doing(),
        or_dash(row.request_time.map(duration)),
        Escaped(&row.client),
        or_dash(row.pid.map(|pid| pid.to_string())),
        grouped(row.requests),
        or_dash(row.age.map(duration)),
        or_dash(row.memory.map(bytes)),
        row.slot,
        row.generation,
    )
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Idle => "idle",
        Class::Busy => "busy",
        Class::Starting => "starting",
        Class::Draining => "draining",
        Class::Empty => "free",
        Class::Stalled => "stalled",
    }
}
