//! As much of a request as matters.

use std::net::IpAddr;

use prefork_view::Format;

/// The most bytes of a request, and the most header fields.
pub(super) const LONGEST: usize = 8192;
const MOST_FIELDS: usize = 64;

/// What is to be done about what was read so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It goes on.
    Partial,
    Request(Request),
    /// The word by which a load balancer asks how much is free: `agent-send "agent\n"` of HAProxy.
    Agent,
    Refused(Refusal),
}

/// A request that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// Whether JSON is asked for rather than HTML.
    pub(super) wants_json: bool,
    /// In which format metrics are asked for.
    pub(super) metrics: Format,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no HTTP.
    Nonsense,
    /// It is longer than any that is meant for us.
    TooLong,
    /// It wants something done.
    Method,
    /// It is for somebody else, whose name was made to lead a browser to our address.
    OtherHost,
}

/// For which hosts requests may be that come by a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// This machine, by number or as `localhost`.
    Here,
    /// Any: nobody comes that way by mistake, or everybody may.
    Any,
}

/// What a load balancer sends that asks by the protocol of HAProxy's agents.
const AGENT: &[u8] = b"agent";

impl Request {
    /// Whether the query has this word, alone or with a value.
    pub(super) fn asks(&self, word: &str) -> bool {
        self.query.split('&').any(|part| part.split('=').next() == Some(word))
    }
}

/// Reads a request.
pub(super) fn parse(bytes: &[u8], hosts: Hosts) -> Parsed {
    match bytes.strip_prefix(AGENT) {
        Some(b"\n" | b"\r\n") => return Parsed::Agent,
        Some(b"\r") => return Parsed::Partial,
        Some(_) | None => {}
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => judge(&request, hosts),
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Parsed::Refused(Refusal::TooLong)
        }
        Err(_) => Parsed::Refused(Refusal::Nonsense),
    }
}

fn judge(request: &httparse::Request<'_, '_>, hosts: Hosts) -> Parsed {
    let field = |name: &str| {
        let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value))
    };
    let host = field("host");
    if hosts == Hosts::Here && !host.as_deref().is_none_or(is_here) {
        return Parsed::Refused(Refusal::OtherHost);
    }
    if host.is_none() && request.version == Some(1) {
        return Parsed::Refused(Refusal::Nonsense);
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Parsed::Refused(Refusal::Method),
    };
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let accept = field("accept").unwrap_or_default();
    Parsed::Request(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        wants_json: prefers_json(&accept),
        metrics: metrics_format(&accept),
    })
}

/// Whether the host of a request is this machine by number or as `localhost`: anything else is a name by
/// which a stranger's page could have a browser ask us (DNS rebinding).
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether JSON comes before HTML among what is accepted.
fn prefers_json(accept: &str) -> bool {
    let first = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let mut known = first.filter(|kind| ["application/json", "text/html"].contains(kind));
    known.next() == Some("application/json")
}

/// OpenMetrics, if a reader asks for it and not for plain text rather.
fn metrics_format(accept: &str) -> Format {
    let quality = |wanted: &str| {
        let accepted = accept.split(',').filter_map(|part| {
            let mut words = part.split(';').map(str::trim);
            let is_it = words.next()?.eq_ignore_ascii_case(wanted);
            let quality = words.find_map(|word| word.strip_prefix("q=")?.parse::<f32>().ok());
            is_it.then_some(quality.unwrap_or(1.0))
        });
        accepted.fold(0.0, f32::max)
    };
    let open = quality("application/openmetrics-text");
    if open > 0.0 && open >= quality("text/plain") { Format::OpenMetrics } else { Format::Classic }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<Refusal> {
        match parse(text.as_bytes(), Hosts::Here) {
            Parsed::Refused(refusal) => Some(refusal),
            Parsed::Partial | Parsed::Request(_) | Parsed::Agent => None,
        }
    }

    #[test]
    fn a_request_is_what_comes_before_the_empty_line() {
        let text = "HEAD /status?refresh HTTP/1.1\r\nHost: localhost:9000\r\nAccept: application/json\r\n\r\n";
        let expected = Request {
            method: Method::Head,
            path: "/status".into(),
            query: "refresh".into(),
            wants_json: true,
            metrics: Format::Classic,
        };
        assert_eq!(parse(text.as_bytes(), Hosts::Here), Parsed::Request(expected));
        for length in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..length], Hosts::Here), Parsed::Partial, "{length}");
        }
    }

    #[test]
    fn an_agent_is_asked_by_a_word_on_a_line() {
        for (text, parsed) in [
            ("agent\n", Parsed::Agent),
            ("agent\r\n", Parsed::Agent),
            ("agent", Parsed::Partial),
            ("agent\r", Parsed::Partial),
            ("agents\n", Parsed::Refused(Refusal::Nonsense)),
        ] {
            assert_eq!(parse(text.as_bytes(), Hosts::Here), parsed, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_refused_for_its_reason() {
        let table = [
            ("\u{0}\u{1}\u{2}\r\n\r\n", Refusal::Nonsense),
            ("GET / HTTP/9.9\r\n\r\n", Refusal::Nonsense),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Nonsense),
            ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::Method),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", Refusal::OtherHost),
        ];
        for (text, refusal) in table {
            assert_eq!(refused(text), Some(refusal), "{text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(LONGEST));
        assert_eq!(refused(&long[..LONGEST]), Some(Refusal::TooLong));
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
        assert_eq!(refused(&fields), Some(Refusal::TooLong));
        assert_eq!(refused("GET / HTTP/1.0\r\n\r\n"), None);
    }

    #[test]
    fn names_of_strangers_are_not_here() {
        for host in ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.1:9000", "[::1]:9000"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9000", "", "[evil.example]", ":80"] {
            assert!(!is_here(host), "{host}");
        }
        let request = b"GET / HTTP/1.1\r\nHost: anything\r\n\r\n";
        assert!(matches!(parse(request, Hosts::Any), Parsed::Request(_)));
    }

    #[test]
    fn metrics_are_plain_text_unless_the_other_format_is_asked_for() {
        let open = [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/plain;q=0.5, Application/OpenMetrics-Text; version=1.0.0; q=0.5",
        ];
        let classic = [
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0",
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5",
        ];
        assert!(open.into_iter().all(|accept| metrics_format(accept) == Format::OpenMetrics));
        assert!(classic.into_iter().all(|accept| metrics_format(accept) == Format::Classic));
    }

    #[test]
    fn a_browser_gets_html() {
        assert!(!prefers_json("text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"));
        assert!(prefers_json("application/json"));
        assert!(prefers_json("application/json;q=1, text/html"));
        assert!(!prefers_json("*/*"));
    }
}
