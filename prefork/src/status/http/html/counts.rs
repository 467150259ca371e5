//! What has happened since the start: what went wrong, and what went as it should.

use std::{
    fmt::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use prefork_scoreboard::Monotonic;
use prefork_view::{Change, Outcome, duration};

use super::{Escaped, grouped};
use crate::{
    logs::describe::Ended,
    status::{counters::Counter, failure::Failure, http::report::Report},
};

pub(super) fn write(to: &mut String, report: &Report) -> fmt::Result {
    write_wrong(to, report)?;
    writeln!(to, "<h2>Since the start</h2><div class=\"card counts\">")?;
    let orderly = Counter::ALL.iter().filter_map(|it| Some((it, words(*it).orderly()?)));
    for (counter, words) in orderly {
        write_count(to, words, report.figures.get(*counter), report.uptime)?;
    }
    let at_maximum = report.figures.at_maximum;
    if !at_maximum.is_zero() {
        write_line(to, "time at the maximum", &duration(at_maximum), "")?;
    }
    writeln!(to, "</div>")
}

/// What happened that should not have: all of it, and nothing that has not happened.
fn write_wrong(to: &mut String, report: &Report) -> fmt::Result {
    writeln!(to, "<h2>What went wrong</h2>")?;
    let wrong = Counter::ALL.iter().filter_map(|it| Some((it, words(*it).wrong()?)));
    let counts: Vec<_> = wrong
        .map(|(counter, words)| (words, report.figures.get(*counter)))
        .chain(report.dropped.map(|dropped| ("clients that found the queue full", dropped)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let owner = report.view.as_ref().map(|view| &view.owner);
    let changes = owner.map(|owner| [("reload", &owner.reload), ("upgrade", &owner.upgrade)]);
    let failed: Vec<_> = changes
        .into_iter()
        .flatten()
        .filter_map(|(what, change)| Some((what, change.as_ref()?)))
        .filter(|(_, change)| match change.outcome {
            Outcome::Refused | Outcome::Failed => true,
            Outcome::Running | Outcome::Done => false,
        })
        .collect();
    let trouble = report.trouble();
    if trouble.is_none() && counts.is_empty() && failed.is_empty() {
        return writeln!(to, "<p class=\"card counts soft\">Nothing since the start.</p>");
    }
    writeln!(to, "<div class=\"card wrong\">")?;
    if let Some(trouble) = trouble {
        writeln!(to, "<p><strong>Now: {}</strong></p>", Escaped(&trouble))?;
    }
    for (what, change) in failed {
        write_change(to, what, change)?;
    }
    if let Some(failure) = report.figures.last_failure {
        write_failure(to, failure, report.taken_unix)?;
    }
    writeln!(to, "<div class=\"counts\">")?;
    for (words, count) in counts {
        write_count(to, words, count, report.uptime)?;
    }
    writeln!(to, "</div></div>")
}

fn write_failure(to: &mut String, failure: Failure, now_unix: Duration) -> fmt::Result {
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + failure.at_unix);
    let (pid, ended) = (failure.pid, Ended(failure.exit()));
    let ago = duration(now_unix.saturating_sub(failure.at_unix));
    writeln!(to, "<p>Last: <time datetime=\"{at}\">{ago} ago</time> child {pid} {ended}</p>")
}

fn write_change(to: &mut String, what: &str, change: &Change) -> fmt::Result {
    let ago = change.ended.map(|ended| duration(Monotonic::now().since(ended)));
    let ago = ago.map(|ago| format!(" {ago} ago")).unwrap_or_default();
    let reason = change.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    writeln!(to, "<p>{what} {}{ago}{}</p>", change.outcome.word(), Escaped(&reason))
}

/// What has not happened is not shown.
fn write_count(to: &mut String, words: &str, count: u64, uptime: Duration) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    write_line(to, words, &grouped(count), &rate(count, uptime))
}

fn write_line(to: &mut String, words: &str, count: &str, rate: &str) -> fmt::Result {
    writeln!(to, "<div><span>{words}</span><span>{count}<small>{rate}</small></span></div>")
}

/// How often it happens on average, by the shortest unit in which that is once at least. What happens while a daemon
/// starts is no average.
fn rate(count: u64, uptime: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("day", 86_400)];
    let seconds = uptime.as_secs();
    if seconds < 60 {
        return String::new();
    }
    let a_unit = |unit: u64| count.saturating_mul(unit) / seconds;
    let lasting = UNITS.into_iter().filter(|(_, unit)| *unit <= seconds);
    let often = lasting.map(|(word, unit)| (word, a_unit(unit))).find(|(_, often)| *often > 0);
    often.map(|(word, often)| format!("{}/{word}", grouped(often))).unwrap_or_default()
}

/// What a counter is called among people, and where it stands.
enum Words {
    Orderly(&'static str),
    Wrong(&'static str),
    /// It is a part of another.
    Part,
}

impl Words {
    const fn orderly(self) -> Option<&'static str> {
        match self {
            Self::Orderly(words) => Some(words),
            Self::Wrong(_) | Self::Part => None,
        }
    }

    const fn wrong(self) -> Option<&'static str> {
        match self {
            Self::Wrong(words) => Some(words),
            Self::Orderly(_) | Self::Part => None,
        }
    }
}

const fn words(counter: Counter) -> Words {
    use Words::{Orderly, Part, Wrong};
    match counter {
        Counter::RequestsOfEnded => Part,
        Counter::Spawns => Orderly("children started"),
        Counter::SpawnFailures => Wrong("forks that failed"),
        Counter::Exited => Orderly("children ended in order"),
        Counter::Failed => Wrong("children ended with an error"),
        Counter::Killed => Wrong("children killed (SIGKILL)"),
        Counter::Aborted => Wrong("children aborted"),
        Counter::Crashed => Wrong("children crashed"),
        Counter::Signalled => Wrong("children ended by other signals"),
        Counter::EarlyDeaths => Wrong("children ended before they had worked"),
        Counter::Retired => Orderly("children retired, too many"),
        Counter::Replaced => Orderly("children replaced"),
        Counter::ReplacedOldGeneration => Orderly("of them by a reload"),
        Counter::ReplacedOldAge => Orderly("of them for their age"),
        Counter::Timeouts => Wrong("requests that took too long"),
        Counter::CutShort => Wrong("children that left too late"),
        Counter::StuckStarts => Wrong("children that did not start"),
        Counter::RetiredForMemory => Wrong("children retired for want of memory"),
        Counter::EndedForMemory => Wrong("children killed for want of memory"),
        Counter::Disconnects => Orderly("clients hung up"),
        Counter::Cancelled => Orderly("requests cancelled"),
        Counter::Reloads => Orderly("reloads"),
        Counter::ReloadsFailed => Wrong("reloads failed"),
        Counter::Upgrades => Orderly("upgrades"),
        Counter::UpgradesRefused => Wrong("upgrades refused"),
        Counter::HookTimeouts => Wrong("hooks that took too long"),
        Counter::LogLinesLost => Wrong("log lines lost"),
        Counter::ChildLogLinesLost => Wrong("log lines lost by children"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_in_the_unit_in_which_they_are_seen() {
        let table = [
            (5, 0, ""),
            (50, 20, ""),
            (120, 60, "2/s"),
            (30, 3600, "30/h"),
            (90, 3600, "1/min"),
            (1, 86_400 * 2, ""),
            (3, 86_400, "3/day"),
            (7_200_000, 3600, "2_000/s"),
        ];
        for (count, seconds, expected) in table {
            let found = rate(count, Duration::from_secs(seconds)).replace('\u{202f}', "_");
            assert_eq!(found, expected, "{count} in {seconds} s");
        }
    }
}
