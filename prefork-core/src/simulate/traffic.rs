//! When requests arrive, and how long each takes.

use std::{fmt, time::Duration};

use super::{dice::Dice, work::Work};

/// After its last request a simulation goes on for so long, unless [`Traffic::until`] says otherwise.
const TAIL: Duration = Duration::from_secs(60);

/// Requests: when each arrives after the start, and how long a child is at work on it.
///
/// Equal arguments make equal traffic: what looks random is drawn from the seed.
///
/// # Examples
///
/// An hour of a request every 50 ms, with 80 more that come at once after ten minutes:
///
/// ```
/// use prefork_core::simulate::Traffic;
/// use std::time::Duration;
///
/// let (hour, minute, ms) = (Duration::from_secs(3600), Duration::from_secs(60), Duration::from_millis);
/// let crowd = Traffic::burst(80, ms(500)).later(10 * minute);
/// let traffic = Traffic::constant(ms(50), ms(480), hour).and(crowd);
/// assert_eq!(traffic.requests(), 72_080);
/// ```
///
/// What an access log has seen, here one that nginx has written with `log_format` `$msec $request_time`: when each answer
/// was complete, and how long that took.
///
/// ```
/// use prefork_core::simulate::Traffic;
/// use std::time::Duration;
///
/// let log = "1700000000.250 0.250\n1700000000.260 0.010\n1700000003.000 1.500\n";
/// let mut requests: Vec<(f64, f64)> = log
///     .lines()
///     .filter_map(|line| line.split_once(' '))
///     .filter_map(|(end, took)| Some((end.parse().ok()?, took.parse().ok()?)))
///     .map(|(end, took): (f64, f64)| (end - took, took))
///     .collect();
/// requests.sort_by(|a, b| a.0.total_cmp(&b.0));
/// let first = requests[0].0;
/// let traffic: Traffic = requests
///     .into_iter()
///     .map(|(at, took)| (Duration::from_secs_f64(at - first), Duration::from_secs_f64(took)))
///     .collect();
/// assert_eq!(traffic.requests(), 3);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// In the order of arrival.
    arrivals: Vec<(Duration, Duration)>,
    end: Duration,
}

/// In a line, however many requests there are: what a property test prints of a case that fails.
impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, end) = (self.arrivals.len(), self.end);
        write!(f, "Traffic {{ {requests} requests in {end:?}")?;
        let shown = 8;
        for (at, work) in self.arrivals.iter().take(shown) {
            write!(f, ", {work:?} at {at:?}")?;
        }
        f.write_str(if requests > shown { ", .. }" } else { " }" })
    }
}

impl Traffic {
    /// Makes one request every so often, for so long. No requests come `every` zero.
    #[must_use]
    pub fn constant(every: Duration, work: Duration, length: Duration) -> Self {
        let arrivals = std::iter::successors(Some(Duration::ZERO), |at| at.checked_add(every));
        arrivals.take_while(|at| !every.is_zero() && *at < length).map(|at| (at, work)).collect()
    }

    /// Makes so many requests that come at once.
    #[must_use]
    pub fn burst(requests: u32, work: Duration) -> Self {
        (0..requests).map(|_| (Duration::ZERO, work)).collect()
    }

    /// Makes requests that come as chance has it, `rate` a second (a Poisson process), for so long. A time for the work on each
    /// is the average of an exponential distribution; see [`Work`] for others.
    #[must_use]
    pub fn random(rate: f64, work: impl Into<Work>, length: Duration, seed: u64) -> Self {
        Self::varying(|_| rate, work.into(), length, seed)
    }

    /// Makes days that are quiet at midnight and busiest at noon: `peak` a second then, a fiftieth of it at night, all as
    /// random as [`random`](Self::random) is. A day has 0.4 as many requests as if it were noon all day.
    #[must_use]
    pub fn diurnal(days: u32, peak: f64, work: impl Into<Work>, seed: u64) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        let rate = |at: f64| {
            let of_day = (at / DAY.as_secs_f64()).fract();
            peak * (0.02 + 0.98 * (std::f64::consts::PI * of_day).sin().powi(4))
        };
        Self::varying(rate, work.into(), DAY * days, seed)
    }

    /// Makes random requests whose rate depends on how many seconds have passed.
    fn varying(rate: impl Fn(f64) -> f64, work: Work, length: Duration, seed: u64) -> Self {
        let (mut dice, mut now) = (Dice::new(seed), 0.0);
        let length = length.as_secs_f64();
        let arrivals = std::iter::from_fn(|| {
            now += dice.exponential() / rate(now).max(0.0);
            (now < length).then(|| (now, work.draw(&mut dice)))
        });
        let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        arrivals.map(|(at, work)| (time(at), time(work))).collect()
    }

    /// Returns how many requests there are.
    #[must_use]
    pub const fn requests(&self) -> usize {
        self.arrivals.len()
    }

    /// Has all come so much later, and end so much later.
    #[must_use]
    pub fn later(mut self, by: Duration) -> Self {
        self.arrivals.iter_mut().for_each(|(at, _)| *at = at.saturating_add(by));
        self.end = self.end.saturating_add(by);
        self
    }

    /// Adds what comes beside it. The later end is that of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.arrivals.extend(other.arrivals);
        self.arrivals.sort_by_key(|(at, _)| *at);
        self.end = self.end.max(other.end);
        self
    }

    /// Ends so long after the start; what arrives later does not come. Default 60 s after the last request.
    #[must_use]
    pub fn until(mut self, end: Duration) -> Self {
        self.arrivals.retain(|(at, _)| *at < end);
        self.end = end;
        self
    }

    pub(super) fn arrivals(&self) -> &[(Duration, Duration)] {
        &self.arrivals
    }

    pub(super) const fn end(&self) -> Duration {
        self.end
    }
}

/// Requests in any order: (time of arrival after the start, time of work).
impl FromIterator<(Duration, Duration)> for Traffic {
    fn from_iter<I: IntoIterator<Item = (Duration, Duration)>>(requests: I) -> Self {
        let mut arrivals: Vec<_> = requests.into_iter().collect();
        arrivals.sort_by_key(|(at, _)| *at);
        let end = arrivals.last().map_or(TAIL, |(at, _)| at.saturating_add(TAIL));
        Self { arrivals, end }
    }
}
