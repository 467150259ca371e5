//! A daemon of several pools, shown as one thing.

use anstyle::Style;
use prefork_core::one_line;
use prefork_scoreboard::{Life, Standing};
use prefork_view::{
    Format, PoolView, PoolsView, ShownPools, Slots, View, duration, metrics, pretty, up_of_process,
};
use unicode_width::UnicodeWidthStr;

use crate::{
    exit::Exit,
    failure::Failure,
    find::{Member, Pooled},
    look, output, table,
};

/// Reads the boards of all its pools.
pub(crate) fn view(daemon: &Pooled) -> PoolsView {
    let pid = daemon.pid.map(|pid| pid.as_raw().unsigned_abs());
    PoolsView {
        name: daemon.name.clone(),
        pid,
        pid_file: one_line(&daemon.pid_file).to_string(),
        standing: pid.and_then(Standing::of),
        up: pid.and_then(up_of_process),
        pools: daemon.pools.iter().map(pool).collect(),
    }
}

fn pool(member: &Member) -> PoolView {
    let pid = member.pid().map(|pid| pid.as_raw().unsigned_abs());
    // One that was left behind is not that of the process that is there.
    let view =
        member.found.view().filter(|view| view.creator == pid && view.creator_life != Life::Gone);
    PoolView {
        name: member.name.clone(),
        kind: member.kind.word(),
        presence: member.presence.word(),
        pid,
        addresses: member.addresses.clone(),
        view,
    }
}

/// Returns how to exit after a daemon was shown.
fn exit(view: &PoolsView) -> Exit {
    if view.pid.is_some() { Exit::Done } else { Exit::NotRunning }
}

/// Prints what each pool is doing.
pub(crate) fn status(daemon: &Pooled, json: bool, slots: Slots) -> Result<Exit, Failure> {
    let mut view = view(daemon);
    output::print(&match json {
        true => as_json(&mut view, slots),
        false => text(&view, slots),
    })?;
    Ok(exit(&view))
}

fn as_json(view: &mut PoolsView, slots: Slots) -> String {
    read_metrics(view);
    pretty(&ShownPools::new(view, slots))
}

/// Reads what the children of each pool have counted.
fn read_metrics(view: &mut PoolsView) {
    for view in view.pools.iter_mut().filter_map(|pool| pool.view.as_mut()) {
        view.read_metrics();
        look::warn_of_missing(view);
    }
}

/// Prints the metrics of all pools, on one page.
pub(crate) fn metrics(daemon: &Pooled, format: Format) -> Result<Exit, Failure> {
    let mut view = view(daemon);
    read_metrics(&mut view);
    output::print(&metrics::of_pools(&view, format))?;
    match exit(&view) {
        Exit::Done => Ok(Exit::Done),
        _ => Err(Failure::LeftBehind { summary: view.summary() }),
    }
}

/// Prints one pool that has no board now: it sleeps, say.
pub(crate) fn status_of_one(daemon: &Pooled, json: bool, slots: Slots) -> Result<Exit, Failure> {
    let mut view = view(daemon);
    output::print(&match json {
        true => as_json(&mut view, slots),
        false => overview(&view),
    })?;
    Ok(exit(&view))
}

fn text(view: &PoolsView, slots: Slots) -> String {
    let bold = Style::new().bold();
    let trouble = view.trouble().map(|trouble| format!("NOT WELL: {trouble}\n"));
    let mut text = format!(
        "{bold}{}{bold:#}\n{}pid file {}\n\n{}",
        view.summary(),
        trouble.unwrap_or_default(),
        view.pid_file,
        overview(view)
    );
    for view in view.pools.iter().filter_map(|pool| pool.view.as_ref()) {
        text.push('\n');
        text.push_str(&table::table(view, slots));
    }
    text
}

const HEADINGS: [&str; 8] =
    ["POOL", "KIND", "STATE", "PID", "CHILDREN", "BUSY", "QUEUE", "LISTENING AT"];

/// A line for each pool.
fn overview(view: &PoolsView) -> String {
    let rows: Vec<_> = view.pools.iter().map(row).collect();
    let mut text = String::new();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    });
    for row in [&HEADINGS.map(str::to_owned)].into_iter().chain(&rows) {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell}{:1$}", "", width - cell.width()));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(pool: &PoolView) -> [String; 8] {
    let dash = || "-".to_owned();
    let view = pool.view.as_ref();
    let queue = view.and_then(|view| view.owner.queue());
    let addresses = match view.map(|view| &view.owner.listeners).filter(|known| !known.is_empty()) {
        Some(known) => known.iter().map(|it| it.address.as_str()).collect::<Vec<_>>().join(", "),
        None => pool.addresses.join(", "),
    };
    [
        pool.name.clone(),
        pool.kind.to_owned(),
        state(pool).to_owned(),
        pool.pid.map_or_else(dash, |pid| pid.to_string()),
        view.map_or_else(dash, children),
        view.map_or_else(dash, |view| view.tally.busy.to_string()),
        queue.map_or_else(dash, |queue| queue.waiting.to_string()),
        addresses,
    ]
}

/// Returns how a pool is: that of its parent if it has one.
pub(crate) fn state(pool: &PoolView) -> &'static str {
    match &pool.view {
        Some(view) => view.state().word(),
        None => pool.presence,
    }
}

/// Returns how many children there are, of how many.
pub(crate) fn children(view: &View) -> String {
    match view.owner.max_children.filter(|max| *max > 0) {
        Some(max) => format!("{} of {max}", view.tally.taken()),
        None => view.tally.taken().to_string(),
    }
}

/// Returns the lines of a daemon and its pools in the list of daemons: name, pid, state, time, children, busy, file.
pub(crate) fn listed(daemon: &Pooled) -> Vec<[String; 7]> {
    let dash = || "-".to_owned();
    let view = view(daemon);
    let views = || view.pools.iter().filter_map(|pool| pool.view.as_ref());
    let children_of_all: usize = views().map(|view| view.tally.taken()).sum();
    let busy: usize = views().map(|view| view.tally.busy).sum();
    let number = |pid: Option<u32>| pid.map_or_else(dash, |pid| pid.to_string());
    let mut rows = vec![[
        view.name.clone(),
        number(view.pid),
        view.state().word().to_owned(),
        view.up.map_or_else(dash, duration),
        children_of_all.to_string(),
        busy.to_string(),
        view.pid_file.clone(),
    ]];
    for (pool, member) in view.pools.iter().zip(&daemon.pools) {
        let shown = pool.view.as_ref();
        let file = member.found.board.as_ref().or(member.found.pid_file.as_ref());
        rows.push([
            crate::find::full_name(&view.name, &pool.name),
            number(pool.pid),
            state(pool).to_owned(),
            pool.pid.and_then(up_of_process).map_or_else(dash, duration),
            shown.map_or_else(dash, children),
            shown.map_or_else(dash, |view| view.tally.busy.to_string()),
            file.filter(|_| pool.pid.is_some())
                .map_or_else(dash, |path| one_line(path).to_string()),
        ]);
    }
    rows
}
