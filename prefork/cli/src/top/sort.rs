//! The order of the children.

use std::cmp::Ordering;

use prefork_scoreboard::{Class, Value};

use prefork_view::{Row, View};

/// What children are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Slot,
    Pid,
    State,
    Generation,
    /// How many requests are in hand, of children that can have several.
    InHand,
    /// How long the client had waited whose connection was accepted last.
    Queued,
    Requests,
    Age,
    Time,
    Memory,
    Client,
    Label,
    /// A column that the board declares, by its place among them.
    Own(usize),
}

impl Key {
    /// All keys of every board, in the order of the footer.
    pub(super) const ALL: [Self; 12] = [
        Self::Slot,
        Self::Pid,
        Self::State,
        Self::Generation,
        Self::InHand,
        Self::Queued,
        Self::Requests,
        Self::Age,
        Self::Time,
        Self::Memory,
        Self::Client,
        Self::Label,
    ];

    /// Returns the character on the keyboard, and the word for the footer, which need not begin
    /// with it.
    pub(super) fn name(self) -> (char, &'static str) {
        match self {
            Self::Slot => ('s', "slot"),
            Self::Pid => ('p', "pid"),
            Self::State => ('t', "state"),
            Self::Generation => ('g', "gen"),
            Self::InHand => ('h', "in hand"),
            Self::Queued => ('w', "queued"),
            Self::Requests => ('n', "reqs"),
            Self::Age => ('a', "age"),
            Self::Time => ('d', "time"),
            Self::Memory => ('m', "mem"),
            Self::Client => ('c', "client"),
            Self::Label => ('l', "label"),
            Self::Own(place) => (digit(place), "its own"),
        }
    }

    /// Whether the processes of this board differ by it.
    pub(super) fn is_of(self, view: &View) -> bool {
        match self {
            Self::Generation => view.is_of_daemon(),
            Self::InHand => view.has_many(),
            Self::Queued => view.has_queue_times(),
            Self::Slot | Self::Pid | Self::State | Self::Requests | Self::Age | Self::Time => true,
            Self::Memory | Self::Client | Self::Label | Self::Own(_) => true,
        }
    }

    fn of(character: char) -> Option<Self> {
        let own = OWN.chars().position(|digit| digit == character).map(Self::Own);
        own.or_else(|| Self::ALL.into_iter().find(|key| key.name().0 == character))
    }

    /// Compares as is most useful: of what may be a burden, the greatest comes first.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Self::Slot => a.slot.cmp(&b.slot),
            Self::Pid => a.pid.cmp(&b.pid),
            Self::State => rank(a.class()).cmp(&rank(b.class())),
            Self::Generation => b.generation.cmp(&a.generation),
            Self::InHand => b.in_hand.cmp(&a.in_hand),
            Self::Queued => b.queued.cmp(&a.queued),
            Self::Requests => b.requests.cmp(&a.requests),
            Self::Age => b.age.cmp(&a.age),
            Self::Time => b.request_time.cmp(&a.request_time),
            Self::Memory => b.memory.cmp(&a.memory),
            Self::Client => a.client.cmp(&b.client),
            Self::Label => a.label.cmp(&b.label),
            Self::Own(place) => match (a.value(place), b.value(place)) {
                (Some(Value::Number(a)), Some(Value::Number(b))) => b.cmp(a),
                (Some(Value::Text(a)), Some(Value::Text(b))) => a.cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        }
    }
}

/// The characters for the columns that a board declares.
pub(super) const OWN: &str = "123456789";

/// Returns the character for one of these; of the tenth and later ones there is none.
fn digit(place: usize) -> char {
    OWN.chars().nth(place).unwrap_or(' ')
}

const fn rank(class: Class) -> u8 {
    match class {
        Class::Stalled => 0,
        Class::Busy => 1,
        Class::Draining => 2,
        Class::Starting => 3,
        Class::Idle => 4,
        Class::Empty => 5,
    }
}

/// A key, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) key: Key,
    pub(super) reversed: bool,
}

impl Sort {
    /// The longest request first.
    pub(super) const DEFAULT: Self = Self { key: Key::Time, reversed: false };

    /// Chooses by a character; the one that is in force already is reversed.
    pub(super) fn choose(&mut self, character: char) {
        match Key::of(character) {
            Some(key) if key == self.key => self.reverse(),
            Some(key) => *self = Self { key, reversed: false },
            None => {}
        }
    }

    pub(super) fn reverse(&mut self) {
        self.reversed = !self.reversed;
    }

    /// Sorts; equal ones stand in the order of their slots, whichever way.
    pub(super) fn apply(self, rows: &mut [&Row]) {
        rows.sort_by(|a, b| {
            let order = self.key.compare(a, b);
            let order = if self.reversed { order.reverse() } else { order };
            order.then(a.slot.cmp(&b.slot))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prefork_view::samples::{jobs, view};

    fn slots(sort: Sort) -> Vec<usize> {
        let view = view();
        let mut rows: Vec<&Row> = view.taken().collect();
        sort.apply(&mut rows);
        rows.iter().map(|row| row.slot).collect()
    }

    #[test]
    fn every_key_has_its_order() {
        for key in Key::ALL {
            let expected: &[usize] = match key {
                Key::Slot | Key::Pid | Key::Client | Key::Label | Key::Generation => {
                    &[0, 1, 3, 4, 5, 6]
                }
                // It is known of nobody.
                Key::Queued => &[0, 1, 3, 4, 5, 6],
                Key::Requests | Key::Age | Key::Memory => &[6, 5, 4, 3, 1, 0],
                Key::Time => &[6, 1, 0, 3, 4, 5],
                Key::InHand => &[1, 6, 0, 3, 4, 5],
                Key::State => &[4, 1, 6, 5, 3, 0],
                Key::Own(_) => unreachable!("of no board in particular"),
            };
            assert_eq!(slots(Sort { key, reversed: false }), expected, "{key:?}");
        }
    }

    #[test]
    fn who_has_waited_longest_comes_first() {
        let mut view = view();
        for (slot, ms) in [(1, 40), (3, 0), (4, 900)] {
            view.rows[slot].queued = Some(std::time::Duration::from_millis(ms));
        }
        let mut rows: Vec<&Row> = view.taken().collect();
        let mut sort = Sort::DEFAULT;
        sort.choose('w');
        sort.apply(&mut rows);
        let slots: Vec<usize> = rows.iter().map(|row| row.slot).collect();
        assert_eq!(slots, [4, 1, 3, 0, 5, 6]);
    }

    #[test]
    fn what_a_board_declares_can_be_sorted_by() {
        let view = jobs();
        let slots = |character| {
            let mut sort = Sort::DEFAULT;
            sort.choose(character);
            let mut rows: Vec<&Row> = view.taken().collect();
            sort.apply(&mut rows);
            rows.iter().map(|row| row.slot).collect::<Vec<_>>()
        };
        assert_eq!(slots('1'), [1, 0], "the most that was written");
        assert_eq!(slots('2'), [0, 1], "volumes by their names");
        assert_eq!(slots('9'), [0, 1], "there is no such column");
    }

    #[test]
    fn reversed_equals_keep_the_order_of_slots() {
        assert_eq!(slots(Sort { key: Key::Time, reversed: true }), [0, 3, 4, 5, 1, 6]);
        assert_eq!(slots(Sort { key: Key::Client, reversed: true }), [0, 1, 3, 4, 5, 6]);
    }

    #[test]
    fn choosing_twice_reverses_and_other_characters_do_nothing() {
        let mut sort = Sort::DEFAULT;
        sort.choose('m');
        assert_eq!(sort, Sort { key: Key::Memory, reversed: false });
        sort.choose('m');
        sort.choose('x');
        assert_eq!(sort, Sort { key: Key::Memory, reversed: true });
    }

    #[test]
    fn no_two_keys_share_a_character() {
        let mut all: Vec<char> = Key::ALL.iter().map(|key| key.name().0).collect();
        // These do something else.
        all.extend(['q', 'r', ' ', '/', 'i', 'k', '?']);
        all.extend(OWN.chars());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
