//! The page for people.
//!
//! What went wrong and what was counted stand above the children, those at work above those that wait. Whatever comes
//! from children or clients is escaped. There is no script, and nothing is loaded.

mod children;
mod counts;
mod figures;

use std::{
    fmt::{self, Display, Write},
    time::UNIX_EPOCH,
};

use prefork_view::{Slots, duration, words::tally};

use super::report::Report;

const STYLE: &str = include_str!("page.css");

/// A child of a pool; within the page, as nothing is loaded.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
                    width='16' height='16' rx='3' fill='%232f7d4f'/%3E%3Cpath d='M3 11h2V5H3zm4 0h2V3H7zm4 0h2V7h-2z' \
                    fill='%23fff'/%3E%3C/svg%3E";

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
         <li><a href=\"/metrics\">/metrics</a>: for Prometheus\
         <li><a href=\"/ready\">/ready</a>: whether new clients are wanted\
         <li><a href=\"/live\">/live</a>: whether the parent decides anything</ul>\n</body></html>\n"
    )
}

/// Makes the page; one that refreshes itself every 5 seconds, if asked for.
pub(super) fn page(report: &Report, slots: Slots, refreshes: bool) -> String {
    let tally = report.view.as_ref().map(|view| format!(": {}", tally(&view.tally)));
    let mark = report.condition().mark().map(|mark| format!("{mark}: ")).unwrap_or_default();
    let title = format!("{mark}{}{}", report.name, tally.unwrap_or_default());
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
         <link rel=\"icon\" href=\"{ICON}\"><style>\n{STYLE}</style></head><body>\n",
        Escaped(title)
    )
}

fn write_page(to: &mut String, report: &Report, slots: Slots, refreshes: bool) -> fmt::Result {
    write_header(to, report, refreshes)?;
    writeln!(to, "<main>")?;
    figures::write(to, report)?;
    counts::write(to, report)?;
    children::write(to, report, slots)?;
    writeln!(to, "</main></body></html>")
}

fn write_header(to: &mut String, report: &Report, refreshes: bool) -> fmt::Result {
    let (other, word) =
        if refreshes { ("/status", "pause") } else { ("/status?refresh", "refresh") };
    let owner = report.view.as_ref().map(|view| &view.owner);
    let version = owner.and_then(|owner| owner.version.as_deref());
    let version = version.map(|version| format!("version {version}, ")).unwrap_or_default();
    let isolation = owner.and_then(prefork_view::Owner::isolation_in_words).unwrap_or_default();
    let isolation_begins = if isolation.is_empty() { "" } else { "<br>" };
    writeln!(
        to,
        "<header><h1>{}</h1><p class=\"soft\">{}process {}, up {}, generation {}<br>as of {}{isolation_begins}{}</p>\
         <nav><a href=\"{other}\">{word}</a><a href=\"/status.json\">JSON</a>\
         <a href=\"/metrics\">metrics</a></nav></header>",
        Escaped(&report.name),
        Escaped(&version),
        report.pid,
        duration(report.uptime),
        report.figures.generation,
        as_of(report),
        Escaped(&isolation),
    )
}

/// The time at which everything was looked at: `2023-11-14 22:13:20 UTC`.
fn as_of(report: &Report) -> String {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + report.taken_unix).to_string();
    let shown = time.replace('T', " ").replace('Z', " UTC");
    format!("<time datetime=\"{time}\">{shown}</time>")
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
mod tests;
