//! How long clients have waited until their connections were accepted, as a daemon publishes it.

use std::time::Duration;

use prefork_scoreboard::{Facts, names};

use crate::{Exposition, View, metrics::HistogramClass};

/// The most classes that are read.
const MOST: usize = 32;

/// Clients by how long they have waited, and those that were not served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueTimes {
    /// How many were served that have waited no longer than this, and longer than the one before; ascending, at last those
    /// without a bound.
    pub classes: Vec<(Option<Duration>, u64)>,
    /// How long these have waited together.
    pub waited: Duration,
    /// How many were refused, as they had waited too long.
    pub refused: u64,
    /// How many had gone before their connections were accepted.
    pub abandoned: u64,
}

impl QueueTimes {
    /// Takes them from what a daemon publishes; `None` of what is not as it should be.
    pub(crate) fn new(facts: &Facts) -> Option<Self> {
        let number = |name| facts.get(name)?.parse::<u64>().ok();
        let mut classes = Vec::new();
        for class in facts.get(names::QUEUE_CLASSES)?.split(' ') {
            let (bound, count) = class.split_once(':')?;
            let bound = match bound {
                "more" => None,
                ms => Some(Duration::from_millis(ms.parse().ok()?)),
            };
            let is_next = match (classes.last(), bound) {
                (None, _) | (Some((Some(_), _)), None) => true,
                (Some((Some(before), _)), Some(bound)) => *before < bound,
                (Some((None, _)), _) => false,
            };
            if !is_next || classes.len() == MOST {
                return None;
            }
            classes.push((bound, count.parse().ok()?));
        }
        classes.last().filter(|(bound, _)| bound.is_none())?;
        Some(Self {
            classes,
            waited: Duration::from_millis(number(names::QUEUE_WAITED)?),
            refused: number(names::QUEUE_REFUSED)?,
            abandoned: number(names::QUEUE_ABANDONED)?,
        })
    }

    /// Writes them as metrics.
    pub(crate) fn write(&self, to: &mut Exposition) {
        let classes: Vec<_> = self
            .classes
            .iter()
            .map(|(bound, count)| HistogramClass { bound: *bound, count: *count })
            .collect();
        let help = "Time that clients have waited until their connections were accepted";
        to.histogram("queue_seconds", help, &classes, self.waited);
        let help = "Clients that were refused as they had waited too long";
        to.counter("queue_refused_total", help, Some(self.refused));
        let help = "Clients that had gone before their connections were accepted";
        to.counter("queue_abandoned_total", help, Some(self.abandoned));
    }
}

impl View {
    /// Returns whether it is known of any process how long its clients have waited.
    #[must_use]
    pub fn has_queue_times(&self) -> bool {
        self.rows.iter().any(|row| row.queued.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn facts(classes: &str) -> Facts {
        let mut facts = Facts::new();
        facts.add(names::QUEUE_CLASSES, classes).add(names::QUEUE_WAITED, 1500);
        facts.add(names::QUEUE_REFUSED, 7).add(names::QUEUE_ABANDONED, 1);
        facts
    }

    #[test]
    fn what_is_published_is_read_and_what_is_wrong_is_not() {
        let times = QueueTimes::new(&facts("5:3 100:1 more:2")).expect("it is right");
        let ms = |ms| Some(Duration::from_millis(ms));
        let expected = vec![(ms(5), 3), (ms(100), 1), (None, 2)];
        assert_eq!((times.classes, times.waited), (expected, Duration::from_millis(1500)));
        for wrong in [
            "",
            "5:3",
            "5:3 more:-1",
            "5:3 5:1 more:0",
            "9:1 5:1 more:0",
            "more:1 more:2",
            "more:1 5:2",
            "more",
            "5:3  more:1",
            "5:99999999999999999999999 more:1",
            "x:1 more:1",
        ] {
            assert_eq!(QueueTimes::new(&facts(wrong)), None, "{wrong}");
        }
        let endless = (0..99).map(|ms| format!("{ms}:0 ")).collect::<String>() + "more:0";
        assert_eq!(QueueTimes::new(&facts(&endless)), None);
        assert_eq!(QueueTimes::new(&Facts::new()), None);
    }

    #[test]
    fn they_are_a_histogram_and_two_counters() {
        let times = QueueTimes::new(&facts("5:3 100:1 more:2")).expect("it is right");
        let mut to = Exposition::new(Format::OpenMetrics, Some("hello"));
        times.write(&mut to);
        let expected = "# HELP prefork_queue_seconds Time that clients have waited until their connections were accepted
# TYPE prefork_queue_seconds histogram
# UNIT prefork_queue_seconds seconds
prefork_queue_seconds_bucket{name=\"hello\",le=\"0.005\"} 3
prefork_queue_seconds_bucket{name=\"hello\",le=\"0.1\"} 4
prefork_queue_seconds_bucket{name=\"hello\",le=\"+Inf\"} 6
prefork_queue_seconds_sum{name=\"hello\"} 1.5
prefork_queue_seconds_count{name=\"hello\"} 6
# HELP prefork_queue_refused Clients that were refused as they had waited too long
# TYPE prefork_queue_refused counter
prefork_queue_refused_total{name=\"hello\"} 7
# HELP prefork_queue_abandoned Clients that had gone before their connections were accepted
# TYPE prefork_queue_abandoned counter
prefork_queue_abandoned_total{name=\"hello\"} 1
# EOF
";
        assert_eq!(to.finish(), expected);
    }
}
