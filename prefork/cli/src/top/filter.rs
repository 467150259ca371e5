//! Which children are shown.

use prefork_scoreboard::{Class, Life};
use prefork_view::{Row, state};

/// What a child must have to be shown.
#[derive(Debug, Default)]
pub(super) struct Filter {
    hides_idle: bool,
    text: String,
}

impl Filter {
    /// Whether a child is shown: by its label, client, state, pid or what the board declares, in small or capital letters.
    pub(super) fn shows(&self, row: &Row) -> bool {
        let rests = row.class() == Class::Idle && row.life != Life::Gone && !row.is_leaving;
        if self.hides_idle && rests {
            return false;
        }
        let wanted = self.text.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        wanted.is_empty()
            || has(&row.label)
            || has(&row.client)
            || has(state(row.status))
            || row.values.iter().flatten().any(|value| has(&value.to_string()))
            || row.pid.is_some_and(|pid| has(&pid.to_string()))
    }

    pub(super) fn toggle_idle(&mut self) {
        self.hides_idle = !self.hides_idle;
    }

    pub(super) fn push(&mut self, character: char) {
        self.text.push(character);
    }

    pub(super) fn pop(&mut self) {
        self.text.pop();
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is left out, in words; nothing if all are shown.
    pub(super) fn words(&self) -> Option<String> {
        let text = (!self.text.is_empty()).then(|| format!("with \"{}\"", self.text));
        let idle = self.hides_idle.then(|| "not idle".to_owned());
        let words: Vec<_> = text.into_iter().chain(idle).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use prefork_view::samples::view;

    use super::*;

    fn slots(filter: &Filter) -> Vec<usize> {
        view().taken().filter(|row| filter.shows(row)).map(|row| row.slot).collect()
    }

    #[test]
    fn children_are_found_by_what_is_seen_of_them() {
        let table: [(&str, &[usize]); 6] = [
            ("", &[0, 1, 3, 4, 5, 6]),
            ("get /page/1", &[1]),
            ("192.0.2", &[0, 1, 3, 4, 5, 6]),
            ("READING", &[6]),
            ("4005", &[5]),
            ("nobody", &[]),
        ];
        for (text, expected) in table {
            let filter = Filter { text: text.to_owned(), ..Filter::default() };
            assert_eq!(slots(&filter), expected, "{text}");
        }
    }

    #[test]
    fn those_that_wait_can_be_hidden() {
        let mut filter = Filter::default();
        assert_eq!(filter.words(), None);
        filter.toggle_idle();
        assert_eq!(slots(&filter), [1, 3, 4, 5, 6]);
        filter.push('4');
        assert_eq!(filter.words().as_deref(), Some("with \"4\", not idle"));
        filter.toggle_idle();
        assert_eq!(filter.words().as_deref(), Some("with \"4\""));
    }
}
