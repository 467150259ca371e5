//! Erlang's formula C, as a check: what a queue does before servers whose number does not change.

use std::fmt;

/// A load of requests that come at random and take exponentially distributed times.
#[derive(Debug)]
pub(super) struct Erlang {
    /// Requests a second.
    rate: f64,
    /// Seconds that one takes on the average.
    time: f64,
    servers: u32,
}

impl Erlang {
    pub(super) const fn new(rate: f64, time: f64, servers: u32) -> Self {
        Self { rate, time, servers }
    }

    /// How many servers would be at work.
    fn load(&self) -> f64 {
        self.rate * self.time
    }

    /// The part of the requests that have to wait; `None` where the queue only grows.
    fn waiting(&self) -> Option<f64> {
        let (load, servers) = (self.load(), f64::from(self.servers));
        if load >= servers {
            return None;
        }
        // The part that finds all servers at work if nobody waits (formula B), by its recurrence.
        let blocked = (1..=self.servers).fold(1.0, |blocked, server| {
            let offered = load * blocked;
            offered / (f64::from(server) + offered)
        });
        Some(servers * blocked / (servers - load * (1.0 - blocked)))
    }

    /// How many seconds one request in a hundred waits for longer.
    fn p99(&self) -> Option<f64> {
        let waiting = self.waiting()?;
        let leaving = (f64::from(self.servers) - self.load()) / self.time;
        Some((waiting * 100.0).ln().max(0.0) / leaving)
    }
}

impl fmt::Display for Erlang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (load, servers) = (self.load(), self.servers);
        match (self.waiting(), self.p99()) {
            (Some(waiting), Some(p99)) => write!(
                f,
                "{load:.1} at work on the average; if all {servers} were always there, {:.1} % would wait, p99 {:.1} ms, with \
                 exponentially distributed times",
                waiting * 100.0,
                p99 * 1000.0
            ),
            _ => write!(
                f,
                "{load:.1} would be at work, and there are {servers}: the queue only grows"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of tables of the formula.
    #[test]
    fn the_part_that_waits_is_that_of_the_tables() {
        for (load, servers, expected) in
            [(1.0, 2, 1.0 / 3.0), (0.5, 1, 0.5), (8.0, 10, 0.409), (80.0, 100, 0.0196)]
        {
            let waiting = Erlang::new(load, 1.0, servers).waiting().expect("less than all");
            assert!((waiting - expected).abs() < 0.001, "{load} {servers}: {waiting}");
        }
        assert_eq!(Erlang::new(4.0, 1.0, 4).waiting(), None);
    }
}
