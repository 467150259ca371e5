//! How fast a child takes connections that stay.
//!
//! A child that is awake accepts in microseconds, and its siblings wake up in milliseconds where the machine is busy. So one child would
//! take the whole of a burst, and where the connections stay, it alone would work for them. What is limited is by how many
//! the connections of a child become more, not how many it takes: short ones are not held up.

use std::time::{Duration, Instant};

/// How long a child leaves the next connections to its siblings: about as long as they take to wake up.
const TURN: Duration = Duration::from_millis(1);

/// By how many a child's connections can become more in one turn, and by which part of those that it has.
const LEAST: usize = 4;
const PART: usize = 16;

/// How many connections a child had when its turn began.
#[derive(Debug)]
pub(crate) struct Growth {
    begun: Instant,
    connections: usize,
}

impl Growth {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { begun: now, connections: 0 }
    }

    /// Returns for how long a child with so many connections leaves the next ones to others.
    pub(crate) fn pause(&mut self, now: Instant, connections: usize) -> Option<Duration> {
        let left = TURN.saturating_sub(now.saturating_duration_since(self.begun));
        if left.is_zero() {
            *self = Self { begun: now, connections };
        }
        let most = self.connections + LEAST + self.connections / PART;
        (connections >= most).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many as it can, a connection each 10 us, until it has `connections`; returns the time that it takes.
    fn burst(connections: usize) -> Duration {
        let begun = Instant::now();
        let (mut now, mut growth) = (begun, Growth::new(begun));
        for have in 0..connections {
            while let Some(pause) = growth.pause(now, have) {
                assert!(!pause.is_zero(), "it would spin");
                now += pause;
            }
            now += Duration::from_micros(10);
        }
        now - begun
    }

    #[test]
    fn a_burst_is_left_to_others_too() {
        assert!(burst(4) < TURN);
        let (hundred, thousand) = (burst(100), burst(1000));
        assert!(hundred > 10 * TURN, "{hundred:?}");
        assert!(thousand < 100 * TURN, "{thousand:?}");
    }

    #[test]
    fn short_connections_are_not_held_up() {
        let begun = Instant::now();
        let mut growth = Growth::new(begun);
        // 100 a millisecond, of which it has 3 at any time.
        let held = (0..10_000)
            .filter(|number| growth.pause(begun + Duration::from_micros(10 * number), 3).is_some());
        assert_eq!(held.count(), 0);
    }
}
