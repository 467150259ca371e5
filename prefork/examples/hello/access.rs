//! Lines of the access log, in the Common Log Format: whatever reads the logs of web servers reads these.

use std::{
    fmt::{self, Display},
    time::SystemTime,
};

use prefork::AnyAddr;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A request that is over.
pub(crate) struct Line<'a> {
    pub(crate) client: &'a AnyAddr,
    pub(crate) ended: SystemTime,
    /// What was asked for and what was answered: `"GET / HTTP/1.1" 200 6`.
    pub(crate) exchange: &'a str,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, ended, exchange } = self;
        // Of `2026-11-29T19:41:07Z`.
        let time = humantime::format_rfc3339_seconds(*ended).to_string();
        let (year, month, day) = (&time[..4], &time[5..7], &time[8..10]);
        let month = month.parse().ok().and_then(|month: usize| MONTHS.get(month.wrapping_sub(1)));
        let (month, clock) = (month.unwrap_or(&"-"), &time[11..19]);
        match client {
            AnyAddr::Tcp(address) => write!(f, "{}", address.ip())?,
            other => write!(f, "{other}")?,
        }
        write!(f, " - - [{day}/{month}/{year}:{clock} +0000] {exchange}")
    }
}
