//! When a pool has more to do than it can, so that its children shorten what can be shortened.
//!
//! A queue that comes and goes is what a queue is for. So a pool is overloaded only once connections have waited, and nobody
//! was free, at each look for a whole second; and it is so until a second has gone by without. Looks are not far apart
//! meanwhile: what nobody has seen for longer than two of them counts as a new beginning.

use std::time::Duration;

use crate::Time;

/// How long it takes until a queue stays, and until it is over.
const LASTS: Duration = Duration::from_secs(1);

/// How long after one look the next one comes.
const LOOK: Duration = Duration::from_millis(250);

/// How far apart two sights of a queue may be that is one and the same.
const GAP: Duration = Duration::from_millis(600);

/// Whether a pool has more to do than it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    /// It keeps up.
    #[default]
    Normal,
    /// Connections wait, and nobody is free to take them, for some time already.
    Overloaded,
}

/// Decides that, look by look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauge {
    pressure: Pressure,
    /// Since when connections have waited while nobody was free, and when that was last seen.
    behind: Option<(Time, Time)>,
}

impl Gauge {
    /// Takes in whether connections wait now while nobody is free; returns what holds from now on if that is another.
    pub(crate) fn look(&mut self, now: Time, is_behind: bool) -> Option<Pressure> {
        let goes_on = self.behind.filter(|(_, seen)| now.since(*seen) <= self.patience());
        self.behind = match (goes_on, is_behind) {
            (Some((since, _)), true) => Some((since, now)),
            (None, true) => Some((now, now)),
            (goes_on, false) => goes_on,
        };
        let (now_is, was) = (self.judge(now), self.pressure);
        self.pressure = now_is;
        (now_is != was).then_some(now_is)
    }

    /// Forgets all, as it is not known any more; returns what holds from now on if that is another.
    pub(crate) fn forget(&mut self) -> Option<Pressure> {
        let was = std::mem::take(self).pressure;
        (was != Pressure::Normal).then_some(Pressure::Normal)
    }

    /// Returns when to look again at the latest, after a look now.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        let is_of_interest = self.behind.is_some() || self.pressure == Pressure::Overloaded;
        is_of_interest.then_some(now + LOOK)
    }

    fn judge(&self, now: Time) -> Pressure {
        match (self.pressure, self.behind) {
            (Pressure::Normal, Some((since, seen))) if seen.since(since) >= LASTS => {
                Pressure::Overloaded
            }
            (Pressure::Overloaded, Some((_, seen))) if now.since(seen) < LASTS => {
                Pressure::Overloaded
            }
            (Pressure::Normal | Pressure::Overloaded, _) => Pressure::Normal,
        }
    }

    /// For how long what was seen still counts.
    const fn patience(&self) -> Duration {
        match self.pressure {
            Pressure::Normal => GAP,
            Pressure::Overloaded => LASTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    /// Looks every 100 ms, and returns when what changed; behind is who is so by the time in ms.
    fn run(
        gauge: &mut Gauge,
        ms: std::ops::Range<u64>,
        is_behind: impl Fn(u64) -> bool,
    ) -> Vec<(u64, Pressure)> {
        let looks = ms.step_by(100);
        looks.filter_map(|now| Some((now, gauge.look(at(now), is_behind(now))?))).collect()
    }

    #[test]
    fn a_queue_that_stays_for_a_second_is_pressure_until_a_second_without() {
        let mut gauge = Gauge::default();
        let changes = run(&mut gauge, 0..10_000, |now| (2000..6000).contains(&now));
        assert_eq!(changes, [(3000, Pressure::Overloaded), (6900, Pressure::Normal)]);
        assert_eq!(gauge.due(at(10_000)), None, "a pool at rest needs no timer");
    }

    #[test]
    fn a_burst_is_none_and_a_moment_without_a_queue_ends_none() {
        let mut gauge = Gauge::default();
        assert_eq!(run(&mut gauge, 0..5000, |now| now < 1000), [], "less than a second");
        let mut gauge = Gauge::default();
        assert_eq!(run(&mut gauge, 0..60_000, |now| now % 1000 == 0), [], "seen now and then");
        let mut gauge = Gauge::default();
        let changes = run(&mut gauge, 0..60_000, |now| now % 500 == 0);
        assert_eq!(changes, [(1000, Pressure::Overloaded)], "at every fifth look");
    }

    #[test]
    fn what_was_not_looked_at_is_not_known() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.look(at(0), true), None);
        assert_eq!(gauge.look(at(5000), true), None, "of the time between nothing is known");
        assert_eq!(gauge.look(at(5500), true), None);
        assert_eq!(gauge.look(at(6000), true), Some(Pressure::Overloaded));
        assert_eq!(gauge.forget(), Some(Pressure::Normal));
        assert_eq!((gauge.forget(), gauge.due(at(6000))), (None, None));
    }

    proptest! {
        /// Whatever is seen, each change is to the other, no two are less than a second apart, and looks go on until it is
        /// over.
        #[test]
        fn it_does_not_flap(looks in prop::collection::vec((1..400u64, any::<bool>()), 0..200)) {
            let (mut gauge, mut now, mut last) = (Gauge::default(), 0, (None, Pressure::Normal));
            for (pause, is_behind) in looks {
                now += pause;
                if let Some(pressure) = gauge.look(at(now), is_behind) {
                    prop_assert_ne!(pressure, last.1);
                    prop_assert!(last.0.is_none_or(|before| now - before >= 1000));
                    last = (Some(now), pressure);
                }
                if last.1 == Pressure::Overloaded || is_behind {
                    prop_assert!(gauge.due(at(now)).is_some());
                }
            }
            // Nobody comes any more.
            for pause in 1..8 {
                let changed = gauge.look(at(now + 250 * pause), false);
                last.1 = changed.unwrap_or(last.1);
            }
            prop_assert_eq!(last.1, Pressure::Normal);
            prop_assert_eq!(gauge.due(at(now + 2000)), None);
        }
    }
}
