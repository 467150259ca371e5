//! Words for what a board says.

use prefork_scoreboard::{Life, Stall, State, Status, Tally};

/// Returns the word for what was found in a slot: part of the JSON and of the metrics.
#[must_use]
pub const fn state(status: Status) -> &'static str {
    match status {
        Status::Empty => "empty",
        Status::Live(state) => match state {
            State::Starting => "starting",
            State::Idle => "idle",
            State::Reading => "reading",
            State::Writing => "writing",
            State::Keepalive => "keepalive",
            State::Dns => "dns",
            State::Closing => "closing",
            State::Logging => "logging",
            State::Draining => "draining",
            State::IdleCleanup => "leaving",
        },
        Status::Stalled(Stall::HalfWritten | Stall::Damaged | Stall::UnknownState(_)) => "stalled",
    }
}

/// Returns the word for whether a process runs: part of the JSON.
#[must_use]
pub const fn life(life: Life) -> &'static str {
    match life {
        Life::Running => "running",
        Life::Gone => "gone",
        Life::Unknown => "unknown",
    }
}

/// Counts what there is: `2 idle, 3 busy`.
#[must_use]
pub fn tally(tally: &Tally) -> String {
    let always = [(tally.idle, "idle"), (tally.busy, "busy")];
    let seldom =
        [(tally.starting, "starting"), (tally.draining, "draining"), (tally.stalled, "stalled")];
    let seldom = seldom.into_iter().filter(|(count, _)| *count > 0);
    let words = always.into_iter().chain(seldom).map(|(count, word)| format!("{count} {word}"));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_there_is() {
        let mut counted = Tally::default();
        assert_eq!(tally(&counted), "0 idle, 0 busy");
        (counted.busy, counted.stalled, counted.empty) = (3, 1, 40);
        assert_eq!(tally(&counted), "0 idle, 3 busy, 1 stalled");
    }

    #[test]
    fn every_state_has_a_word_of_its_own() {
        let mut words: Vec<_> = State::ALL.iter().map(|it| state(Status::Live(*it))).collect();
        words.extend([state(Status::Empty), state(Status::Stalled(Stall::Damaged))]);
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        assert!(words.iter().all(|word| word.len() <= 9), "the table has room for 9: {words:?}");
    }
}
