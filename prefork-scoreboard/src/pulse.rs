//! When the owner of a board was last seen to decide anything.

use crate::checksum;
use crate::clock::{Monotonic, wall_now};
use crate::format::PULSE_WORDS;
use crate::record::{Times, believable, wall};
use std::time::SystemTime;

/// The word of a pulse that holds its checksum.
const CHECKSUM: usize = PULSE_WORDS - 1;

/// When the owner of a board last went to rest, having decided what there was to decide, and until when.
///
/// An owner that has nothing to do may rest for days, so the age of a pulse alone proves nothing. That a pulse has stayed the
/// same long after it was [`due`](Self::due) does: its owner is stopped, hangs, or is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    at: Option<Monotonic>,
    at_wall: Option<SystemTime>,
    due: Option<Monotonic>,
}

impl Pulse {
    /// Returns when the owner went to rest; `None` if that is not believable, or was on another boot.
    #[must_use]
    pub const fn at(&self) -> Option<Monotonic> {
        self.at
    }

    /// Returns the same by the wall clock, for people.
    #[must_use]
    pub const fn at_wall(&self) -> Option<SystemTime> {
        self.at_wall
    }

    /// Returns when the owner was to wake by itself, if nothing happened before; `None` if it was to wait for
    /// something to happen.
    #[must_use]
    pub const fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// Makes the words of a pulse of this moment.
    pub(crate) fn encode(due: Option<Monotonic>) -> [u64; PULSE_WORDS] {
        let due = due.map_or(0, Monotonic::as_nanos);
        let mut words = [Monotonic::now().as_nanos(), wall_now(), due, 0];
        words[CHECKSUM] = checksum::sum(&words, CHECKSUM);
        words
    }

    /// Takes it from a copy; `None` where there is none, or that is not of one moment.
    pub(crate) fn decode(words: &[u64; PULSE_WORDS], times: Times) -> Option<Self> {
        let [at, at_wall, due, sum] = *words;
        if at == 0 || checksum::sum(words, CHECKSUM) != sum {
            return None;
        }
        let (at, due) = match times {
            Times::ThisBoot => {
                (believable(at, Monotonic::now()), Some(due).filter(|due| *due != 0))
            }
            Times::OtherBoot => (None, None),
        };
        Some(Self { at, at_wall: wall(at_wall), due: due.map(Monotonic::from_nanos) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_written_and_nothing_else_does() {
        let due = Monotonic::from_nanos(u64::MAX);
        let words = Pulse::encode(Some(due));
        let pulse = Pulse::decode(&words, Times::ThisBoot).expect("a pulse");
        assert!(pulse.at().is_some() && pulse.at_wall().is_some());
        assert_eq!(pulse.due(), Some(due));
        let other = Pulse::decode(&words, Times::OtherBoot).expect("a pulse");
        assert_eq!((other.at(), other.due(), other.at_wall()), (None, None, pulse.at_wall()));
        let at_rest = Pulse::decode(&Pulse::encode(None), Times::ThisBoot).expect("a pulse");
        assert_eq!(at_rest.due(), None);
        assert_eq!(Pulse::decode(&[0; PULSE_WORDS], Times::ThisBoot), None);
        for bit in 0..PULSE_WORDS * 64 {
            let mut words = words;
            words[bit / 64] ^= 1 << (bit % 64);
            assert_eq!(Pulse::decode(&words, Times::ThisBoot), None, "bit {bit}");
        }
    }
}
