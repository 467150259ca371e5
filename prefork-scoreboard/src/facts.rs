//! What the owner of a board publishes about itself, as named values.
//!
//! The problem: readers want to know whose board it is, of what program, and what has become of the latest request to
//! that, and what there is to know differs from owner to owner and grows with the years. The idea: one text of
//! a fixed budget, a line for each value, published as a whole as records are. A reader takes the names that it knows.
//! Nothing in the text is a length, an offset or a number that this crate uses.

use crate::format::{FACTS_SIZE, FACTS_WORDS, VALUE_SIZE, facts};
use crate::protocol::{Shadow, Wholeness, judge};
use crate::text::{Clipped, is_printable};
use std::fmt;

/// Named values that the owner of a board publishes about itself: see
/// [`OwnedBoard::publish_facts`](crate::OwnedBoard::publish_facts) and [`Board::facts`](crate::Board::facts).
///
/// Names consist of `a` to `z`, digits, `_` and `.`, and may occur more than once; which ones there are is the owner's. A
/// value is text of one line, of 256 bytes at most. What was read may be anything that a process could write: control
/// characters and those that change the direction of writing have become `?`, as in labels, and the rest is not to be
/// believed further than it is shown.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::Facts;
///
/// let mut facts = Facts::new();
/// facts.add("name", "hello");
/// facts.add("listen", "127.0.0.1:80").add("listen", "[::1]:80");
/// assert_eq!(facts.get("name"), Some("hello"));
/// assert_eq!(facts.all("listen").count(), 2);
/// assert_eq!(facts.get("version"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Lines of `name=value`, of which all are as they are to be.
    text: String,
}

impl Facts {
    /// Begins with none.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new() }
    }

    /// Adds a value, the most important ones first: all of them have 2,976 bytes with their names, and one for which
    /// there is no room left is left out.
    ///
    /// What is longer than a value can be is cut.
    ///
    /// # Panics
    ///
    /// Panics if the name has other characters than names have, or more than 32.
    pub fn add(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        assert!(is_name(name), "{name:?} is no name of a fact");
        let value = Clipped::<VALUE_SIZE>::format(value);
        self.push(name, value.as_str());
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        if self.text.len() + name.len() + value.len() + 2 <= FACTS_SIZE {
            self.text.push_str(name);
            self.text.push('=');
            let shown = |character| if is_printable(character) { character } else { '?' };
            self.text.extend(value.chars().map(shown));
            self.text.push('\n');
        }
    }

    /// Returns the first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Returns the values of this name, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Returns all names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter_map(|line| line.split_once('='))
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Makes them the next ones to be published after those whose sequence was `last`.
    pub(crate) fn encode(&self, last: u64) -> [u64; FACTS_WORDS] {
        let mut bytes = [0; FACTS_SIZE];
        // No text is longer: see `push`.
        bytes[..self.text.len()].copy_from_slice(self.text.as_bytes());
        let mut words = [0; FACTS_WORDS];
        words[facts::LENGTH_WORD] = self.text.len() as u64;
        for (word, chunk) in words[facts::TEXT_WORD..].iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Shadow::sealed(words, last)
    }

    /// Takes them from a copy; `None` of one that is not of one moment.
    pub(crate) fn decode(words: &[u64; FACTS_WORDS]) -> Option<Self> {
        match judge(words) {
            Wholeness::Whole => {}
            Wholeness::HalfWritten | Wholeness::Damaged => return None,
        }
        let bytes: Vec<u8> =
            words[facts::TEXT_WORD..].iter().flat_map(|word| word.to_le_bytes()).collect();
        let length = usize::try_from(words[facts::LENGTH_WORD]).unwrap_or(usize::MAX);
        Some(Self::parse(&bytes[..length.min(FACTS_SIZE)]))
    }

    /// Reads a text that may be anything.
    fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::new();
        for line in bytes.split(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            if let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_name(name)) {
                found.push(name, Clipped::<VALUE_SIZE>::format(value).as_str());
            }
        }
        found
    }
}

/// Names that owners and readers agree on; the documentation of the [format](crate::format) says what they mean.
pub mod names {
    /// Name of the daemon.
    pub const NAME: &str = "name";
    /// Version of the daemon.
    pub const VERSION: &str = "version";
    /// Path of the file that runs.
    pub const PROGRAM: &str = "program";
    /// Path of what its children run, where that is another program.
    pub const RUNS: &str = "runs";
    /// What supervises the children, with its version.
    pub const LIBRARY: &str = "library";
    /// How far the daemon is: `starting`, `serving`, `stopping`.
    pub const PHASE: &str = "phase";
    /// How many children there are at rest.
    pub const MIN_CHILDREN: &str = "min_children";
    /// How many children there may be.
    pub const MAX_CHILDREN: &str = "max_children";
    /// An address at which it listens, and the queue there: any number of them.
    pub const LISTEN: &str = "listen";
    /// How many jobs wait elsewhere than at those addresses, as the program has last reported.
    pub const JOBS_WAITING: &str = "jobs_waiting";
    /// How many clients were served by how long they have waited: `BOUND:COUNT` in ms, and at last `more:COUNT`.
    pub const QUEUE_CLASSES: &str = "queue_classes";
    /// How long these have waited together, in ms.
    pub const QUEUE_WAITED: &str = "queue_waited_ms";
    /// How many clients were refused as they have waited too long.
    pub const QUEUE_REFUSED: &str = "queue_refused";
    /// How many clients had gone before their connections were accepted.
    pub const QUEUE_ABANDONED: &str = "queue_abandoned";
    /// The number of the descriptor of the owner by which there is what its processes count: see [`crate::metrics`].
    pub const METRICS: &str = "metrics";
    /// Path of the pid file.
    pub const PID_FILE: &str = "pid_file";
    /// Path of a file of settings that was read: any number of them.
    pub const SETTINGS: &str = "settings";
    /// A layer that holds children apart, as it is named in settings, with its value: any number of them.
    pub const ISOLATION: &str = "isolation";
    /// A layer that was asked for and is not possible here, with the reason: any number of them.
    pub const NOT_ISOLATED: &str = "not_isolated";
    /// The last reload: what has become of it (`running`, `done`, `refused`, `failed`), why, and when it began and ended,
    /// in nanoseconds of `CLOCK_MONOTONIC`.
    pub const RELOAD: [&str; 4] = ["reload", "reload_reason", "reload_began", "reload_ended"];
    /// The same of the last upgrade.
    pub const UPGRADE: [&str; 4] = ["upgrade", "upgrade_reason", "upgrade_began", "upgrade_ended"];
    /// The same of the last time that the logs were opened again.
    pub const REOPENING: [&str; 4] =
        ["reopening", "reopening_reason", "reopening_began", "reopening_ended"];
    /// Why no child can be forked, while that is so.
    pub const CANNOT_FORK: &str = "cannot_fork";
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    (1..=32).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_room_is_left_out_and_nothing_else() {
        let mut facts = Facts::new();
        for number in 0..20 {
            facts.add("long", format_args!("{number:0250}"));
        }
        facts.add("short", "is there");
        assert_eq!(facts.all("long").count(), FACTS_SIZE / 256);
        assert_eq!(facts.get("short"), Some("is there"));
        facts.add("longer", "x".repeat(10_000));
        assert_eq!(facts.get("longer"), None);
        let value = Facts::new().add("longer", "x".repeat(10_000)).get("longer").map(str::len);
        assert_eq!(value, Some(VALUE_SIZE));
    }

    #[test]
    fn a_value_cannot_become_another_line() {
        let mut facts = Facts::new();
        facts.add("name", "a\nversion=9\r\x1b[2J\u{202e}").add("empty", "");
        let all: Vec<_> = facts.iter().collect();
        assert_eq!(all, [("name", "a?version=9??[2J?"), ("empty", "")]);
    }

    #[test]
    fn a_text_that_is_anything_leaves_the_lines_that_are_facts() {
        let facts = Facts::parse(b"=x\nName=x\nname\nname=\xff\x1b[2J=\n\nlisten=a\nli sten=b\n");
        let all: Vec<_> = facts.iter().collect();
        assert_eq!(all, [("name", "\u{fffd}?[2J="), ("listen", "a")]);
    }

    #[test]
    #[should_panic(expected = "is no name of a fact")]
    fn a_name_is_a_word() {
        Facts::new().add("two words", 1);
    }

    proptest! {
        #[test]
        fn they_come_back_as_published(values: Vec<String>, last: u64) {
            let mut facts = Facts::new();
            values.iter().for_each(|value| { facts.add("value", value); });
            prop_assert_eq!(Facts::decode(&facts.encode(last)), Some(facts));
        }

        #[test]
        fn any_flipped_bit_is_seen(bit in 0..FACTS_WORDS * 64) {
            let mut words = Facts::new().add("name", "hello").encode(6);
            words[bit / 64] ^= 1 << (bit % 64);
            prop_assert_eq!(Facts::decode(&words), None);
        }

        #[test]
        fn any_bytes_are_read_in_bounds(bytes in prop::collection::vec(any::<u8>(), 0..FACTS_SIZE)) {
            let facts = Facts::parse(&bytes);
            prop_assert!(facts.text.len() <= FACTS_SIZE);
            for (name, value) in facts.iter() {
                prop_assert!(is_name(name) && value.chars().all(is_printable));
            }
        }
    }
}
