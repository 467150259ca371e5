//! What a child has in hand, as it reports itself.
//!
//! Gossip from its page: as long as a page holds, for people and hooks to read. All that is decided by it is how a death
//! is logged.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use prefork_scoreboard::{Record, State};

use super::describe::Span;

/// What a child has in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InHand {
    /// It cannot report it, without a scoreboard, or has not left a whole record.
    Unknown,
    Nothing,
    /// A request.
    Request {
        /// What it is about, and for whom; empty where the child has not said.
        label: String,
        client: String,
        /// The time since it began.
        time: Duration,
        /// How many the child has in hand besides.
        others: u32,
    },
}

impl InHand {
    /// Takes it from the record in its page.
    pub(crate) fn of(record: &Record) -> Self {
        match record.status().state() {
            None => Self::Unknown,
            Some(State::Reading | State::Writing | State::Dns | State::Logging) => Self::Request {
                label: record.label().to_owned(),
                client: record.client().to_owned(),
                time: record.request_time().unwrap_or_default(),
                others: record.in_hand().saturating_sub(1),
            },
            // What was finished is over, though the scoreboard shows it until something else begins.
            Some(_) => Self::Nothing,
        }
    }

    /// The same of a child that has been there for so long: it cannot have been at it for longer.
    pub(crate) fn within(self, lived: Duration) -> Self {
        match self {
            Self::Request { label, client, time, others } => {
                Self::Request { label, client, time: time.min(lived), others }
            }
            Self::Unknown | Self::Nothing => self,
        }
    }

    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::Request { label, .. } => Some(&**label).filter(|label| !label.is_empty()),
            Self::Unknown | Self::Nothing => None,
        }
    }

    pub(crate) fn client(&self) -> Option<&str> {
        match self {
            Self::Request { client, .. } => Some(&**client).filter(|client| !client.is_empty()),
            Self::Unknown | Self::Nothing => None,
        }
    }

    /// What it is about, behind a line that has the time: `: GET /, of 127.0.0.1:7`, or `: GET /, of 127.0.0.1:7, and 2 more`.
    pub(crate) fn what(&self) -> String {
        let more = match self.others() {
            0 => String::new(),
            others => format!(", and {others} more"),
        };
        match (self.label(), self.client()) {
            (None, None) if more.is_empty() => String::new(),
            (None, None) => format!(": a request{more}"),
            (Some(label), None) => format!(": {label}{more}"),
            (None, Some(client)) => format!(": a request of {client}{more}"),
            (Some(label), Some(client)) => format!(": {label}, of {client}{more}"),
        }
    }

    const fn others(&self) -> u32 {
        match self {
            Self::Request { others, .. } => *others,
            Self::Unknown | Self::Nothing => 0,
        }
    }

    pub(crate) const fn time(&self) -> Option<Duration> {
        match self {
            Self::Request { time, .. } => Some(*time),
            Self::Unknown | Self::Nothing => None,
        }
    }
}

/// Stands behind what is logged of the child; empty where it is not known.
impl Display for InHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = match self {
            Self::Unknown => return Ok(()),
            Self::Nothing => return f.write_str("; nothing in hand"),
            Self::Request { time, .. } => Span(*time),
        };
        match self.what() {
            what if what.is_empty() => write!(f, "; in hand for {time}: it does not say what"),
            what => write!(f, "; in hand for {time}{what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_left_out() {
        let among = |others, label: &str, client: &str| {
            let time = Duration::from_millis(1200);
            InHand::Request { label: label.to_owned(), client: client.to_owned(), time, others }
        };
        let request = |label: &str, client: &str| among(0, label, client);
        let table = [
            (InHand::Unknown, ""),
            (InHand::Nothing, "; nothing in hand"),
            (request("", ""), "; in hand for 1.2 s: it does not say what"),
            (request("GET /", ""), "; in hand for 1.2 s: GET /"),
            (request("", "[::1]:7"), "; in hand for 1.2 s: a request of [::1]:7"),
            (request("GET /", "[::1]:7"), "; in hand for 1.2 s: GET /, of [::1]:7"),
            (among(2, "", ""), "; in hand for 1.2 s: a request, and 2 more"),
            (among(2, "GET /", ""), "; in hand for 1.2 s: GET /, and 2 more"),
            (among(9, "GET /", "[::1]:7"), "; in hand for 1.2 s: GET /, of [::1]:7, and 9 more"),
        ];
        for (in_hand, text) in table {
            assert_eq!(in_hand.to_string(), text);
        }
        let lived = Duration::from_secs(1);
        assert_eq!(request("", "").within(lived).time(), Some(lived), "it cannot be older");
    }
}
