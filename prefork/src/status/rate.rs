//! How fast requests are answered, from one look at the page to the next.

use std::{collections::VecDeque, time::Duration};

use prefork_core::Time;

/// Looks further back than this are no measure of what happens now.
const MEMORY: Duration = Duration::from_secs(60);

/// Looks that are closer together are one.
const APART: Duration = Duration::from_secs(1);

/// A number of requests and how long they took to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) a_second: f64,
    pub(super) over: Duration,
}

/// The looks of the last minute. Nobody wakes up for it: where nobody looks, nothing is remembered.
#[derive(Debug, Default)]
pub(super) struct Looks {
    counts: VecDeque<(Time, u64)>,
}

impl Looks {
    /// Notes how many requests there were by now; returns how fast they came since the first look of the last minute,
    /// and since the daemon was started where there is none.
    pub(super) fn rate(&mut self, now: Time, count: u64, started: Time) -> Option<Rate> {
        while self.counts.front().is_some_and(|(then, _)| now.since(*then) > MEMORY) {
            self.counts.pop_front();
        }
        let first = self.counts.front().copied().filter(|(then, _)| now.since(*then) >= APART);
        if self.counts.back().is_none_or(|(then, _)| now.since(*then) >= APART) {
            self.counts.push_back((now, count));
        }
        let (then, before) = first.unwrap_or((started, 0));
        let over = now.since(then);
        let more = u32::try_from(count.saturating_sub(before)).unwrap_or(u32::MAX);
        (over >= APART).then(|| Rate { a_second: f64::from(more) / over.as_secs_f64(), over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    fn rate(looks: &mut Looks, ms: u64, count: u64) -> Option<(f64, u64)> {
        let rate = looks.rate(at(ms), count, at(1000))?;
        Some((rate.a_second, rate.over.as_secs()))
    }

    #[test]
    fn it_is_that_of_the_last_minute_where_somebody_has_looked() {
        let mut looks = Looks::default();
        assert_eq!(rate(&mut looks, 1500, 10), None, "too soon");
        assert_eq!(rate(&mut looks, 11_500, 110), Some((10.0, 10)));
        assert_eq!(rate(&mut looks, 61_500, 410), Some((6.666_666_666_666_667, 60)));
        assert_eq!(rate(&mut looks, 71_500, 410), Some((5.0, 60)));
        assert_eq!(rate(&mut looks, 301_000, 3000), Some((10.0, 300)), "on average");
    }

    #[test]
    fn it_remembers_no_more_than_a_minute_of_seconds() {
        let mut looks = Looks::default();
        for look in 0..10_000 {
            rate(&mut looks, 2000 + look * 100, look);
        }
        assert!(looks.counts.len() <= 61, "{}", looks.counts.len());
    }
}
