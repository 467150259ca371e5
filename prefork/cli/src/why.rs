//! What children wait for.

use std::{fmt::Write as _, thread, time::Duration};

use anstyle::Style;
use prefork_scoreboard::{Class, Life};
use prefork_view::{Row, View, duration, pretty, state};
use prefork_why::{Inquiry, Thread, WhyError};
use serde::Serialize;

use crate::{
    exit::Exit,
    failure::Failure,
    find::Found,
    look::{self, read},
    output,
};

/// So many children are looked at at the same time.
const AT_ONCE: usize = 16;

/// Raised when something is removed or changes its meaning; what is added does not raise it.
const SCHEMA: u32 = 1;

/// A child, and what it and what it has started were found doing.
struct Looked<'a> {
    row: &'a Row,
    pid: u32,
    found: Result<Vec<Inquiry>, WhyError>,
}

/// Prints what the children wait for that are at work, or this one.
pub(crate) fn run(found: &Found, pid: Option<u32>, json: bool) -> Result<Exit, Failure> {
    let views = views(found)?;
    let mut chosen: Vec<(&View, Vec<&Row>)> = Vec::new();
    for view in &views {
        chosen.push((view, choose(view, pid)));
    }
    if let Some(pid) = pid
        && chosen.iter().all(|(_, rows)| rows.is_empty())
    {
        let board = views.iter().map(|view| view.path.clone()).collect::<Vec<_>>().join(", ");
        return Err(Failure::NoSuchChild { pid, board });
    }
    let looked: Vec<_> = chosen.iter().map(|(view, rows)| (*view, look_at(rows))).collect();
    output::print(&match json {
        true => pretty(&shown(&looked)),
        false => text(&looked, pid.is_some()),
    })?;
    // One that was asked for and cannot be looked at is a failure; of many, those that have ended are none.
    let mut all = looked.iter().flat_map(|(_, children)| children);
    if pid.is_some() && all.any(|child| child.found.is_err()) {
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// Reads the board of the daemon, or those of all its pools that have a process.
fn views(found: &Found) -> Result<Vec<View>, Failure> {
    let Some(daemon) = found.pooled() else {
        let view = read(&found.clone().into_board()?)?;
        // Nobody is left to be looked at.
        return match look::exit(&view) {
            Exit::NotRunning => Err(Failure::LeftBehind { summary: view.summary() }),
            _ => Ok(vec![view]),
        };
    };
    let views: Vec<_> = daemon.pools.iter().filter_map(|pool| pool.found.view()).collect();
    match views.is_empty() {
        true => Err(Failure::NoPoolAwake { daemon: daemon.name }),
        false => Ok(views),
    }
}

/// Chooses the children at work, the longest request first; or the one of this pid, whatever it does.
fn choose(view: &View, pid: Option<u32>) -> Vec<&Row> {
    let mut rows: Vec<_> = match pid {
        Some(pid) => view.rows.iter().filter(|row| row.pid == Some(pid)).collect(),
        None => view.rows.iter().filter(|row| is_at_work(row)).collect(),
    };
    rows.sort_by_key(|row| std::cmp::Reverse(row.request_time));
    rows
}

fn is_at_work(row: &Row) -> bool {
    row.life != Life::Gone && (row.status.class() == Class::Busy || row.in_hand > 0)
}

fn look_at<'a>(rows: &[&'a Row]) -> Vec<Looked<'a>> {
    let look = |row: &'a Row| {
        let pid = row.pid?;
        Some(Looked { row, pid, found: Inquiry::of_family(pid) })
    };
    let mut all = Vec::new();
    for some in rows.chunks(AT_ONCE) {
        let looked = thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|row| scope.spawn(|| look(row))).collect();
            threads.into_iter().filter_map(|it| it.join().ok()?).collect::<Vec<_>>()
        });
        all.extend(looked);
    }
    all
}

fn text(looked: &[(&View, Vec<Looked<'_>>)], is_one: bool) -> String {
    let bold = Style::new().bold();
    let mut text = String::new();
    for (view, children) in looked {
        if !is_one {
            let name = view.name().unwrap_or("a board");
            let all = view.processes(view.tally.taken());
            let count = children.len();
            let _ = writeln!(text, "{bold}{name}{bold:#}: {count} of {all} at work");
        }
        for child in children {
            let _ = writeln!(text, "{}{}", if is_one { "" } else { "\n" }, headline(child));
            match &child.found {
                Ok(inquiries) => inquiries.iter().for_each(|it| process(&mut text, it, child.pid)),
                Err(error) => {
                    let _ = writeln!(text, "  {}", prefork_core::ErrorChain(error));
                }
            }
        }
    }
    text
}

/// `child 4711 (slot 2) busy for 12.3s with GET /report for 10.0.0.9:40112; 17 requests before`.
fn headline(child: &Looked<'_>) -> String {
    let Looked { row, pid, .. } = child;
    let mut text = format!("child {pid} (slot {}) {}", row.slot, state(row.status));
    if let Some(time) = row.request_time {
        let _ = write!(text, " for {}", duration(time));
    }
    if !row.label.is_empty() {
        let _ = write!(text, " with {}", row.label);
    }
    if !row.client.is_empty() {
        let _ = write!(text, " for {}", row.client);
    }
    if row.in_hand > 1 {
        let _ = write!(text, ", {} requests in hand", row.in_hand);
    }
    let _ = write!(text, "; {} requests done", row.requests);
    text
}

fn process(text: &mut String, inquiry: &Inquiry, child: u32) {
    if inquiry.pid != child {
        let _ = writeln!(text, "  has started process {} ({}):", inquiry.pid, inquiry.name);
    }
    for line in inquiry.lines() {
        let _ = writeln!(text, "  {}{line}", if inquiry.pid == child { "" } else { "  " });
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    schema: u32,
    children: Vec<ShownChild<'a>>,
}

#[derive(Serialize)]
struct ShownChild<'a> {
    board: &'a str,
    daemon: Option<&'a str>,
    slot: usize,
    pid: u32,
    state: &'static str,
    request_seconds: Option<f64>,
    requests: u64,
    in_hand: u32,
    client: &'a str,
    label: &'a str,
    error: Option<String>,
    processes: Vec<ShownProcess<'a>>,
}

#[derive(Serialize)]
struct ShownProcess<'a> {
    pid: u32,
    name: &'a str,
    more_threads: usize,
    threads: Vec<ShownThread<'a>>,
}

#[derive(Serialize)]
struct ShownThread<'a> {
    tid: u32,
    name: &'a str,
    state: &'static str,
    call: Option<&'static str>,
    cause: &'static str,
    text: String,
    cpu_ratio: Option<f64>,
    wchan: Option<&'a str>,
}

fn shown<'a>(looked: &'a [(&'a View, Vec<Looked<'a>>)]) -> Shown<'a> {
    let child = |view: &'a View, child: &'a Looked<'a>| {
        let Looked { row, pid, found } = child;
        ShownChild {
            board: &view.path,
            daemon: view.name(),
            slot: row.slot,
            pid: *pid,
            state: state(row.status),
            request_seconds: row.request_time.as_ref().map(Duration::as_secs_f64),
            requests: row.requests,
            in_hand: row.in_hand,
            client: &row.client,
            label: &row.label,
            error: found.as_ref().err().map(|it| prefork_core::ErrorChain(it).to_string()),
            processes: found.iter().flatten().map(shown_process).collect(),
        }
    };
    let children = looked.iter().flat_map(|(view, all)| all.iter().map(|it| child(view, it)));
    Shown { schema: SCHEMA, children: children.collect() }
}

fn shown_process(inquiry: &Inquiry) -> ShownProcess<'_> {
    let Inquiry { pid, name, threads, more_threads, .. } = inquiry;
    let threads = threads.iter().map(shown_thread).collect();
    ShownProcess { pid: *pid, name, more_threads: *more_threads, threads }
}

fn shown_thread(thread: &Thread) -> ShownThread<'_> {
    ShownThread {
        tid: thread.tid,
        name: &thread.name,
        state: thread.state.word(),
        call: thread.call,
        cause: thread.cause.word(),
        text: thread.doing(),
        cpu_ratio: thread.cpu,
        wchan: thread.wchan.as_deref(),
    }
}
