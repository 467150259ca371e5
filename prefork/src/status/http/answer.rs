//! What is answered to what.

use std::fmt::Write;

use super::{
    html, metrics,
    request::{Method, Refusal, Request},
};
use crate::status::process::Source;
use prefork_view::Slots;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Makes the whole answer to a request.
pub(super) fn answer(request: &Request, source: &Source<'_>) -> Vec<u8> {
    let head_only = request.method == Method::Head;
    let (kind, body) = match request.path.as_str() {
        "/" => (HTML, html::index()),
        "/status" if request.wants_json => (JSON, source.report().json(slots(request))),
        "/status" => (HTML, html::page(&source.report(), slots(request), request.asks("refresh"))),
        "/status.json" => (JSON, source.report().json(slots(request))),
        "/metrics" => {
            let format = request.metrics;
            (format.content_type(), metrics::text(&source.report(), format))
        }
        _ => {
            return whole(
                "404 Not Found",
                TEXT,
                "try /status, /status.json or /metrics\n",
                head_only,
            );
        }
    };
    whole("200 OK", kind, &body, head_only)
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
    use super::*;

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
