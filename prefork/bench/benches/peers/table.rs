//! The table, in Markdown.

use std::fmt::Write as _;

use crate::{
    measure::{Cost, Figure, LEFT_OUT, Row},
    peer::Peer,
};

const COLUMNS: [&str; 10] = [
    "server",
    "version",
    "CPU per request",
    "to bare loop",
    "burst of 100",
    "respawn",
    "stop of 150",
    "wake-ups in 5 s",
    "private memory",
    "failed in 20 reloads",
];

/// Returns the table, and under it why there is no figure where there is none.
pub(crate) fn render(rows: &[Row], absent: &[Peer]) -> String {
    let mut text = String::new();
    let mut notes: Vec<String> = Vec::new();
    line(&mut text, &COLUMNS.map(str::to_owned));
    let mut rule = COLUMNS.map(|_| "---:".to_owned());
    rule[..2].fill("---".to_owned());
    line(&mut text, &rule);
    for row in rows {
        let mut cells = Cells { peer: row.peer, notes: &mut notes };
        let cpu = cells.of(&row.cpu, |cost| format!("{:.0} us", cost.microseconds));
        let ratio = row.cpu.as_ref().map_or(
            "-".to_owned(),
            |Cost { ratio: [low, middle, high], .. }| {
                format!("{middle:.2} ({low:.2} to {high:.2})")
            },
        );
        let line_of = [
            row.peer.name().to_owned(),
            row.version.clone(),
            cpu,
            ratio,
            cells.of(&row.burst, |ms| format!("{:.2} s", ms / 1000.0)),
            cells.of(&row.respawn, |ms| format!("{ms:.1} ms")),
            cells.of(&row.stop, |ms| format!("{ms:.0} ms")),
            cells.of(&row.wake_ups, u64::to_string),
            cells.of(&row.private_kb, |kb| format!("{kb:.0} kB")),
            cells.of(&row.reload, |(failed, asked, times)| {
                format!("{failed} of {asked} in {times}")
            }),
        ];
        line(&mut text, &line_of);
    }
    for peer in absent {
        let mut cells = COLUMNS.map(|_| "-".to_owned());
        cells[0] = peer.name().to_owned();
        cells[1] = "not installed".to_owned();
        line(&mut text, &cells);
    }
    text.push('\n');
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "{}. {note}", number + 1);
    }
    text
}

fn line(text: &mut String, cells: &[String; COLUMNS.len()]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// The cells of one row, and the notes of all.
struct Cells<'a> {
    peer: Peer,
    notes: &'a mut Vec<String>,
}

impl Cells<'_> {
    fn of<T>(&mut self, figure: &Figure<T>, show: impl FnOnce(&T) -> String) -> String {
        match figure {
            Ok(value) => show(value),
            Err(reason) if reason == LEFT_OUT => "-".to_owned(),
            Err(reason) => {
                let note = format!("{}: {reason}.", self.peer.name());
                let known = self.notes.iter().position(|known| *known == note);
                let number = known.unwrap_or_else(|| {
                    self.notes.push(note);
                    self.notes.len() - 1
                });
                format!("- ({})", number + 1)
            }
        }
    }
}
