//! What is answered to what.

use std::fmt::Write;

use super::{
    html, metrics,
    report::Report,
    request::{Method, Refusal, Request},
};
use crate::status::{Audience, process::Source};
use prefork_core::Availability;
use prefork_view::{Condition, Slots};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const OK: &str = "200 OK";
const NOT_FOUND: &str = "404 Not Found";

/// Makes the whole answer to a request.
pub(super) fn answer(request: &Request, audience: Audience, source: &Source<'_>) -> Vec<u8> {
    let head_only = request.method == Method::Head;
    let (status, kind, body) = page(request, audience, source);
    whole(status, kind, &body, head_only)
}

/// The status, the kind and the text of what is asked for.
fn page(
    request: &Request,
    audience: Audience,
    source: &Source<'_>,
) -> (&'static str, &'static str, String) {
    let ok = |kind, body| (OK, kind, body);
    match (request.path.as_str(), audience) {
        ("/metrics", _) => {
            let format = request.metrics;
            ok(format.content_type(), metrics::text(&source.report(), format))
        }
        ("/ready", _) => probe(ready(&source.report(), full(request))),
        ("/live", _) => probe(live(&source.report())),
        ("/", Audience::Operators) => ok(HTML, html::index()),
        ("/status", Audience::Operators) if request.wants_json => {
            ok(JSON, source.report().json(slots(request)))
        }
        ("/status", Audience::Operators) => {
            ok(HTML, html::page(&source.report(), slots(request), request.asks("refresh")))
        }
        ("/status.json", Audience::Operators) => ok(JSON, source.report().json(slots(request))),
        (_, Audience::Operators) => {
            let others = "try /status, /status.json, /metrics, /ready or /live\n";
            (NOT_FOUND, TEXT, others.to_owned())
        }
        (_, Audience::Everybody) => (NOT_FOUND, TEXT, "try /metrics, /ready or /live\n".to_owned()),
    }
}

/// Answers a probe by its status, and those who read by a line.
fn probe(found: Result<String, String>) -> (&'static str, &'static str, String) {
    let (status, line) = match found {
        Ok(line) => (OK, line),
        Err(line) => ("503 Service Unavailable", line),
    };
    (status, TEXT, format!("{line}\n"))
}

/// What a daemon is to a probe that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Ready,
    NotReady,
}

/// Full is ready for those who ask so, as where a daemon that is not would have nobody in its place.
fn full(request: &Request) -> Full {
    if request.asks("full") { Full::Ready } else { Full::NotReady }
}

/// Whether new clients are wanted: by a daemon that decides nothing, none.
fn ready(report: &Report, full: Full) -> Result<String, String> {
    live(report)?;
    let availability = report.availability();
    if let (Availability::Full { .. }, Full::Ready) = (availability, full) {
        return Ok(availability.to_string());
    }
    if availability.is_ready() {
        Ok(availability.to_string())
    } else {
        Err(availability.to_string())
    }
}

/// Whether the parent decides anything, as far as that can be seen.
fn live(report: &Report) -> Result<String, String> {
    match report.condition() {
        Condition::Well | Condition::Unseen => Ok("live".to_owned()),
        condition => Err(condition.trouble(report.pid.unsigned_abs()).unwrap_or_default()),
    }
}

/// Makes the line that HAProxy's `agent-check` reads: how much of its weight a server is to have.
///
/// A weight of 0 is what HAProxy shows as `DRAIN`. The words `drain`, `maint` and `ready` are for those who operate HAProxy: each
/// sets the administrative state of the server, and undoes what was set there by hand.
pub(super) fn agent(report: &Report) -> Vec<u8> {
    let line = match live(report) {
        Ok(_) => format!("up {}%", report.availability().weight()),
        Err(trouble) => format!("down #{trouble}"),
    };
    format!("{line}\n").into_bytes()
}

/// With empty slots, if they are asked for.
fn slots(request: &Request) -> Slots {
    if request.asks("all") { Slots::All } else { Slots::Taken }
}

/// Makes the whole answer to what is refused.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let (status, body) = match refusal {
        Refusal::Nonsense => ("400 Bad Request", "this is no HTTP request\n"),
        Refusal::TooLong => ("431 Request Header Fields Too Large", "too long\n"),
        Refusal::Method => ("405 Method Not Allowed", "only GET and HEAD\n"),
        Refusal::OtherHost => {
            ("421 Misdirected Request", "ask by an address or as localhost, by no other name\n")
        }
    };
    whole(status, TEXT, body, false)
}

fn whole(status: &str, kind: &str, body: &str, head_only: bool) -> Vec<u8> {
    let mut text = String::new();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    // A string takes any text.
    let _ = write!(
        text,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}\
         Cache-Control: no-store\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
         frame-ancestors 'none'\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if !head_only {
        text.push_str(body);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prefork_core::Stage;
    use prefork_scoreboard::Standing;

    use super::super::report::tests::report;
    use super::*;

    fn line(report: &Report) -> String {
        String::from_utf8(agent(report)).expect("text")
    }

    #[test]
    fn probes_and_agents_hear_whether_clients_are_wanted() {
        let mut report = report();
        assert_eq!(ready(&report, Full::NotReady), Ok("ready: 80 % is free".to_owned()));
        assert_eq!((live(&report), line(&report)), (Ok("live".to_owned()), "up 80%\n".to_owned()));
        report.figures.max_children = 2;
        let full = "full: all 2 children that there may be are at work";
        assert_eq!(ready(&report, Full::NotReady), Err(full.to_owned()));
        assert_eq!(ready(&report, Full::Ready), Ok(full.to_owned()));
        assert_eq!(line(&report), "up 5%\n");
        report.figures.stage = Stage::Stopping;
        assert_eq!(
            (ready(&report, Full::NotReady), line(&report)),
            (Err("stopping".into()), "up 0%\n".into())
        );
        assert!(live(&report).is_ok(), "nobody is to kill it for that");
    }

    #[test]
    fn a_parent_that_decides_nothing_is_neither_live_nor_ready() {
        let mut report = report();
        let view = report.view.as_mut().expect("there");
        view.sign.standing = Some(Standing::Stopped);
        let trouble = live(&report).expect_err("it was stopped");
        assert!(trouble.contains("was stopped by a signal"), "{trouble}");
        assert_eq!(ready(&report, Full::NotReady), Err(trouble.clone()));
        assert_eq!(line(&report), format!("down #{trouble}\n"));
        let view = report.view.as_mut().expect("there");
        view.sign.standing = Some(Standing::Sleeps);
        view.sign.overdue = Some(Duration::from_secs(9));
        assert!(live(&report).expect_err("it hangs").contains("was to wake 9.0s ago"));
        // Without a board the kernel alone says what it does.
        (report.view, report.standing) = (None, Some(Standing::Stopped));
        assert!(live(&report).is_err());
        report.standing = Some(Standing::Sleeps);
        assert_eq!(ready(&report, Full::NotReady), Ok("ready".to_owned()));
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let text =
            |head_only| String::from_utf8(whole("200 OK", TEXT, "hällo", head_only)).expect("text");
        let (with, without) = (text(false), text(true));
        assert!(with.contains("\r\nContent-Length: 6\r\n") && with.ends_with("\r\n\r\nhällo"));
        assert_eq!(without, with.strip_suffix("hällo").expect("the body"));
    }

    #[test]
    fn a_request_for_a_change_is_answered_with_what_is_allowed() {
        let text = String::from_utf8(refusal(Refusal::Method)).expect("text");
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
    }
}
