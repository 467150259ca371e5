//! The daemons that are found, a line each.

use prefork_core::one_line;
use prefork_daemonize::{self as daemonize, Holder};
use prefork_view::duration;

use crate::{
    exit::Exit,
    failure::Failure,
    find::{self, Found},
    output, pools,
};

const HEADINGS: [&str; 7] = ["NAME", "PID", "STATE", "UP", "CHILDREN", "BUSY", "FILE"];

/// Prints them; none is no failure of the looking, but that no daemon runs.
pub(crate) fn run() -> Result<Exit, Failure> {
    let found = find::all();
    if found.is_empty() {
        return Err(find::none());
    }
    let rows: Vec<_> = found.iter().flat_map(rows).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    });
    let mut text = line(&HEADINGS.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    output::print(&text)
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// A daemon of several pools has a line for itself and one for each.
fn rows(found: &Found) -> Vec<[String; 7]> {
    match found.pooled() {
        Some(daemon) => pools::listed(&daemon),
        None => vec![row(found)],
    }
}

fn row(found: &Found) -> [String; 7] {
    let dash = || "-".to_owned();
    let file = found.board.as_ref().or(found.pid_file.as_ref());
    let file = file.map_or_else(dash, |path| one_line(path).to_string());
    let Some(view) = found.view() else {
        let pid = found.pid_file.as_ref().and_then(|path| match daemonize::running(path) {
            Ok(Holder::Owner { pid }) => Some(pid.to_string()),
            Ok(Holder::Nobody | Holder::Unproven) | Err(_) => None,
        });
        let state = if pid.is_some() { "running" } else { "unknown" };
        return [dash(), pid.unwrap_or_else(dash), state.into(), dash(), dash(), dash(), file];
    };
    let children = pools::children(&view);
    let up = view.up.filter(|_| !view.is_left_behind());
    [
        view.name().map_or_else(dash, str::to_owned),
        view.creator.map_or_else(dash, |pid| pid.to_string()),
        view.state().word().to_owned(),
        up.map_or_else(dash, duration),
        children,
        view.tally.busy.to_string(),
        file,
    ]
}
