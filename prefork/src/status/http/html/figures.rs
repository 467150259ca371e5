//! The figures at the top, and the pool as a bar.

use std::fmt::{self, Display, Write};

use prefork_view::{bytes, duration};

use super::{Escaped, grouped};
use crate::status::{http::report::Report, rate::Rate};

pub(super) fn write(to: &mut String, report: &Report) -> fmt::Result {
    write_figures(to, report)?;
    write_pool(to, report)
}

fn write_figures(to: &mut String, report: &Report) -> fmt::Result {
    let figures = &report.figures;
    writeln!(to, "<dl class=\"figures\">")?;
    if let Some(requests) = report.requests {
        let rate = report.rate.map_or_else(|| "since the start".to_owned(), words);
        figure(to, "requests", grouped(requests), &rate)?;
    }
    figure(
        to,
        "children",
        figures.alive,
        &format!("of {}, {} at rest", figures.max_children, figures.prefork),
    )?;
    if let Some(view) = &report.view {
        let share =
            report.busy_ratio().map(|ratio| format!("{:.0} % of the maximum", ratio * 100.0));
        figure(to, "children at work", view.tally.busy, &share.unwrap_or_default())?;
        if view.has_many() {
            let of = format!("of {}", grouped(view.concurrency()));
            figure(to, "requests in hand", grouped(view.in_hand()), &of)?;
        }
        let longest = view.longest_request().map_or_else(|| "none".to_owned(), duration);
        figure(to, "longest request", longest, "in hand")?;
    }
    if let Some(queue) = report.queue {
        let room = format!("of {} in the queue", grouped(queue.limit.into()));
        figure(to, "clients waiting", queue.waiting, &room)?;
    }
    if let Some(jobs) = figures.jobs_waiting {
        figure(to, "jobs waiting", grouped(jobs), "as the program reports")?;
    }
    let rows = report.view.iter().flat_map(|view| &view.rows);
    if let Some(memory) = rows.filter_map(|row| row.memory).reduce(u64::saturating_add) {
        figure(to, "memory", bytes(memory), "of all children")?;
    }
    writeln!(to, "</dl>")
}

/// `12.3 a second, over the last 5.0s`.
fn words(Rate { a_second, over }: Rate) -> String {
    let digits = if a_second < 10.0 { 1 } else { 0 };
    format!("{a_second:.digits$} a second, over the last {}", duration(over))
}

fn figure(to: &mut String, name: &str, value: impl Display, note: &str) -> fmt::Result {
    writeln!(to, "<div class=\"card\"><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>")
}

fn write_pool(to: &mut String, report: &Report) -> fmt::Result {
    let Some(view) = &report.view else {
        return writeln!(
            to,
            "<p class=\"card pool soft\">What children do is not known: there is no scoreboard.</p>"
        );
    };
    let tally = &view.tally;
    let parts = [
        ("busy", tally.busy),
        ("draining", tally.draining),
        ("stalled", tally.stalled),
        ("starting", tally.starting),
        ("idle", tally.idle),
    ];
    let most = usize::try_from(report.figures.max_children).unwrap_or(usize::MAX);
    let free = most.saturating_sub(tally.taken());
    writeln!(to, "<div class=\"card pool\"><div class=\"bar\" aria-hidden=\"true\">")?;
    for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
        write!(to, "<i class=\"{class}\" style=\"flex:{count}\"></i>")?;
    }
    write!(to, "<i class=\"free\" style=\"flex:{free}\"></i></div><div class=\"key\">")?;
    for (class, count) in parts {
        write!(to, "<span><i class=\"{class}\"></i>{count} {class}</span>")?;
    }
    write!(to, "<span class=\"soft\"><i class=\"free\"></i>room for {free} more</span>")?;
    for listener in &view.owner.listeners {
        write!(to, "<span class=\"soft\">listens on {}</span>", Escaped(&listener.address))?;
    }
    writeln!(to, "</div></div>")
}
