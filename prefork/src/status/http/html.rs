//! The page for people.
//!
//! Whatever comes from children or clients is escaped. There is no script, and nothing is loaded.

use std::fmt::{self, Display, Write};

use prefork_scoreboard::{Class, Life};
use prefork_view::{Row, Slots, bytes, duration, plural, words::tally};

use super::report::Report;
use crate::status::counters::Counter;

const STYLE: &str = include_str!("page.css");

/// Text from outside, made harmless.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(char),
        })
    }
}

/// Makes the list of what there is.
pub(super) fn index() -> String {
    let head = head("Status", false);
    format!(
        "{head}<h1>Status</h1><ul>\
         <li><a href=\"/status\">/status</a>: what each child does\
         <li><a href=\"/status?refresh\">/status?refresh</a>: the same, every 5 seconds\
         <li><a href=\"/status.json\">/status.json</a>: for programs\
         <li><a href=\"/metrics\">/metrics</a>: for Prometheus</ul>\n"
    )
}

/// Makes the page; one that refreshes itself every 5 seconds, if asked for.
pub(super) fn page(report: &Report, slots: Slots, refreshes: bool) -> String {
    let tally = report.view.as_ref().map(|view| format!(": {}", tally(&view.tally)));
    let title = format!("{}{}", report.name, tally.unwrap_or_default());
    let mut page = head(&title, refreshes);
    // A string takes any text.
    let _ = write_page(&mut page, report, slots, refreshes);
    page
}

fn head(title: &str, refreshes: bool) -> String {
    let refresh = if refreshes { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
         <style>\n{STYLE}</style></head><body>\n",
        Escaped(title)
    )
}

fn write_page(to: &mut String, report: &Report, slots: Slots, refreshes: bool) -> fmt::Result {
    let (other, word) =
        if refreshes { ("/status", "pause") } else { ("/status?refresh", "refresh") };
    writeln!(
        to,
        "<header><h1>{}</h1><span class=\"soft\">process {}, up {}, generation {}</span>\
         <nav class=\"soft\"><a href=\"{other}\">{word}</a><a href=\"/status.json\">JSON</a>\
         <a href=\"/metrics\">metrics</a></nav></header>",
        Escaped(&report.name),
        report.pid,
        duration(report.uptime),
        report.figures.generation,
    )?;
    write_figures(to, report)?;
    write_pool(to, report)?;
    write_children(to, report, slots)?;
    write_counts(to, report)?;
    writeln!(to, "</body></html>")
}

fn write_figures(to: &mut String, report: &Report) -> fmt::Result {
    let figures = &report.figures;
    writeln!(to, "<dl class=\"figures\">")?;
    if let Some(requests) = report.requests {
        figure(to, "requests", grouped(requests), "since the start")?;
    }
    figure(
        to,
        "children",
        figures.alive,
        &format!("of {}, {} at rest", figures.max_children, figures.prefork),
    )?;
    if let Some(view) = &report.view {
        figure(to, "at work", view.tally.busy, "children")?;
        let longest = view.longest_request().map_or("-".to_owned(), duration);
        figure(to, "longest request", longest, "in hand")?;
    }
    if let Some(queue) = report.queue {
        figure(to, "waiting", queue.waiting, &format!("of {}", grouped(queue.limit.into())))?;
    }
    let memory = report
        .view
        .as_ref()
        .and_then(|view| view.rows.iter().filter_map(|row| row.memory).reduce(u64::saturating_add));
    if let Some(memory) = memory {
        figure(to, "memory", bytes(memory), "of all children")?;
    }
    writeln!(to, "</dl>")
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
    writeln!(to, "<div class=\"card pool\"><div class=\"bar\">")?;
    for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
        write!(to, "<i class=\"{class}\" style=\"flex:{count}\"></i>")?;
    }
    write!(to, "<i class=\"free\" style=\"flex:{free}\"></i></div><div class=\"key\">")?;
    for (class, count) in parts {
        write!(to, "<span><i class=\"{class}\"></i>{count} {class}</span>")?;
    }
    writeln!(
        to,
        "<span class=\"soft\"><i class=\"free\"></i>room for {free} more</span></div></div>"
    )
}

fn write_children(to: &mut String, report: &Report, slots: Slots) -> fmt::Result {
    let Some(view) = &report.view else { return Ok(()) };
    let rows: Vec<&Row> = view.rows.iter().filter(|row| slots.show(row)).collect();
    writeln!(
        to,
        "<h2>{}</h2><div class=\"card wide\"><table><tr><th>slot<th>pid<th class=\"left\">state\
         <th>time<th>requests<th>age<th>memory<th>gen<th class=\"left\">client<th class=\"left\">doing",
        plural(view.tally.taken(), "child", "children")
    )?;
    for row in rows {
        write_child(to, row)?;
    }
    writeln!(to, "</table></div>")
}

fn write_child(to: &mut String, row: &Row) -> fmt::Result {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (gone, note) = match row.life {
        Life::Gone => (" class=\"gone\"", " gone"),
        Life::Running | Life::Unknown => ("", ""),
    };
    writeln!(
        to,
        "<tr{gone}><td>{}<td>{}{note}<td class=\"left\"><b class=\"{}\">{}</b>{}<td>{}<td>{}<td>{}<td>{}\
         <td>{}<td class=\"left\"><bdi>{}</bdi><td class=\"label\" title=\"{}\"><bdi>{}</bdi>",
        row.slot,
        or_dash(row.pid.map(|pid| pid.to_string())),
        class(row.class()),
        row.status.letter(),
        row.doing(),
        or_dash(row.request_time.map(duration)),
        grouped(row.requests),
        or_dash(row.age.map(duration)),
        or_dash(row.memory.map(bytes)),
        row.generation,
        Escaped(&row.client),
        Escaped(&row.label),
        Escaped(&row.label),
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

fn write_counts(to: &mut String, report: &Report) -> fmt::Result {
    writeln!(to, "<h2>Since the start</h2><div class=\"card counts\">")?;
    for counter in Counter::ALL {
        let Some(words) = words(*counter) else { continue };
        let count = report.figures.get(*counter);
        write_count(to, words, &grouped(count), count == 0)?;
    }
    let at_maximum = report.figures.at_maximum;
    write_count(to, "time at the maximum", &duration(at_maximum), at_maximum.is_zero())?;
    writeln!(to, "</div>")
}

fn write_count(to: &mut String, words: &str, count: &str, is_zero: bool) -> fmt::Result {
    let zero = if is_zero { " class=\"zero\"" } else { "" };
    writeln!(to, "<div{zero}><span>{words}</span><span>{count}</span></div>")
}

/// What a counter is called among people; nothing for one that is only part of a sum.
const fn words(counter: Counter) -> Option<&'static str> {
    Some(match counter {
        Counter::RequestsOfEnded => return None,
        Counter::Spawns => "children started",
        Counter::SpawnFailures => "failed forks",
        Counter::Exited => "ended in order",
        Counter::Failed => "ended with an error",
        Counter::Killed => "killed (SIGKILL)",
        Counter::Aborted => "aborted",
        Counter::Crashed => "crashed",
        Counter::Signalled => "ended by other signals",
        Counter::EarlyDeaths => "early deaths",
        Counter::Retired => "retired, too many",
        Counter::Replaced => "replaced",
        Counter::ReplacedOldGeneration => "replaced by a reload",
        Counter::ReplacedOldAge => "replaced for their age",
        Counter::Timeouts => "requests timed out",
        Counter::CutShort => "left too late",
        Counter::StuckStarts => "stuck starts",
        Counter::Disconnects => "clients hung up",
        Counter::Cancelled => "requests cancelled",
        Counter::Reloads => "reloads",
        Counter::ReloadsFailed => "reloads failed",
        Counter::Upgrades => "upgrades",
        Counter::UpgradesRefused => "upgrades refused",
        Counter::HookTimeouts => "hooks timed out",
        Counter::LogLinesLost => "log lines lost",
        Counter::ChildLogLinesLost => "log lines lost by children",
    })
}

/// `1 234 567`, with spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn what_children_and_clients_say_is_escaped() {
        let mut report = report();
        report.name = "<b>hello</b>".to_owned();
        let evil = "GET /\"><script>alert('x')</script>&amp;";
        let view = report.view.as_mut().expect("there");
        (view.rows[1].label, view.rows[1].client) = (evil.to_owned(), "<i>".to_owned());
        let page = page(&report, Slots::Taken, false);
        assert!(!page.contains("<script") && !page.contains("<b>hello") && !page.contains("<i>"));
        let escaped = "GET /&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;";
        assert_eq!(page.matches(escaped).count(), 2, "{page}");
    }

    #[test]
    fn everybody_who_is_there_has_a_row() {
        let page = page(&report(), Slots::Taken, false);
        assert_eq!(page.matches("<tr").count(), 7, "a heading and six children");
        for text in
            ["26\u{202f}000", "up 50s", "<b class=\"busy\">W</b>writing", "GET /page/1", "2.5s"]
        {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(
            page.contains("style=\"flex:2\"></i><i class=\"draining\" style=\"flex:1\">"),
            "{page}"
        );
    }

    #[test]
    fn it_refreshes_only_if_asked_to() {
        assert!(!page(&report(), Slots::Taken, false).contains("http-equiv"));
        assert!(
            page(&report(), Slots::Taken, true).contains("http-equiv=\"refresh\" content=\"5\"")
        );
    }

    #[test]
    fn a_pool_without_a_board_has_a_page_too() {
        let mut report = report();
        (report.view, report.requests, report.queue) = (None, None, None);
        let page = page(&report, Slots::Taken, false);
        assert!(page.contains("there is no scoreboard") && !page.contains("<table"), "{page}");
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1_000"), (1_234_567, "1_234_567")] {
            assert_eq!(grouped(number).replace('\u{202f}', "_"), text);
        }
    }
}
