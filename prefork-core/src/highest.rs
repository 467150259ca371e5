//! The highest of what was noted in a time that has passed.

use std::{collections::VecDeque, time::Duration};

use crate::Time;

/// What was noted and is not exceeded by anything later: falling, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Highest {
    noted: VecDeque<(Time, u32)>,
}

impl Highest {
    pub(crate) const fn new() -> Self {
        Self { noted: VecDeque::new() }
    }

    /// Notes a number; what was noted `longest` ago is forgotten.
    pub(crate) fn note(&mut self, now: Time, number: u32, longest: Duration) {
        while self.noted.front().is_some_and(|(at, _)| now.since(*at) >= longest) {
            self.noted.pop_front();
        }
        while self.noted.back().is_some_and(|(_, earlier)| *earlier <= number) {
            self.noted.pop_back();
        }
        self.noted.push_back((now, number));
    }

    /// Returns the highest number of the last `window`, with its time.
    pub(crate) fn of(&self, now: Time, window: Duration) -> Option<(Time, u32)> {
        self.noted.iter().find(|(at, _)| now.since(*at) < window).copied()
    }
}
