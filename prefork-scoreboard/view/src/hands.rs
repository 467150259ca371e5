//! How many requests are in hand, of processes that can have several at once and of others.

use prefork_scoreboard::{Class, Life};

use crate::{Row, View};

impl Row {
    /// Returns how many requests are in hand of how many there can be, `3 of 64`; `None` of a process that has one at a
    /// time.
    #[must_use]
    pub fn hands(&self) -> Option<String> {
        self.has_many().then(|| format!("{} of {}", self.in_hand, self.concurrency))
    }

    const fn has_many(&self) -> bool {
        self.concurrency > 1
    }

    /// How much of it is in use: 0 to 1.
    fn at_work(&self) -> f64 {
        match self.class() {
            Class::Busy | Class::Idle if self.has_many() => {
                f64::from(self.in_hand) / f64::from(self.concurrency)
            }
            Class::Busy => 1.0,
            Class::Empty | Class::Idle | Class::Starting | Class::Draining | Class::Stalled => 0.0,
        }
    }

    /// Whether it can have requests in hand.
    fn serves(&self) -> bool {
        match self.class() {
            Class::Busy | Class::Idle => self.life != Life::Gone,
            Class::Empty | Class::Starting | Class::Draining | Class::Stalled => false,
        }
    }
}

impl View {
    /// Returns whether any of the processes can have several requests in hand at once.
    #[must_use]
    pub fn has_many(&self) -> bool {
        self.rows.iter().any(Row::has_many)
    }

    /// Returns whether any process that can have several requests in hand has fewer.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.serving().any(|row| row.has_many() && row.in_hand < row.concurrency)
    }

    /// Returns how many requests are in hand.
    #[must_use]
    pub fn in_hand(&self) -> u64 {
        self.serving().map(|row| u64::from(row.in_hand)).sum()
    }

    /// Returns how many the processes that serve can have in hand at once.
    #[must_use]
    pub fn concurrency(&self) -> u64 {
        self.serving().map(|row| u64::from(row.concurrency)).sum()
    }

    /// Returns how many processes are at work, where one that has 16 requests in hand of 64 is a quarter of one.
    #[must_use]
    pub fn at_work(&self) -> f64 {
        self.serving().map(Row::at_work).sum()
    }

    /// Returns how many processes can have requests in hand, whether they have or not.
    #[must_use]
    pub fn count_serving(&self) -> u32 {
        u32::try_from(self.serving().count()).unwrap_or(u32::MAX)
    }

    fn serving(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.serves())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{many, view};

    #[test]
    fn requests_in_hand_are_parts_of_a_process_at_work() {
        let mut view = many();
        let hands: Vec<_> = view.rows.iter().map(Row::hands).collect();
        assert_eq!(hands, [Some("16 of 64".into()), Some("0 of 64".into()), None]);
        assert_eq!((view.in_hand(), view.concurrency(), view.has_room()), (17, 129, true));
        assert!((view.at_work() - 1.25).abs() < 1e-9, "{}", view.at_work());
        view.rows[0].life = Life::Gone;
        assert_eq!((view.in_hand(), view.concurrency()), (1, 65), "it serves nobody");
        assert_eq!(view.count_serving(), 2);
    }

    #[test]
    fn of_one_at_a_time_those_at_work_count() {
        let view = view();
        assert!(!view.has_many() && !view.has_room());
        assert_eq!((view.in_hand(), view.concurrency()), (2, 3));
        assert!((view.at_work() - 2.0).abs() < 1e-9);
    }
}
