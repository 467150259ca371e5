//! The columns that a board has besides what every board has.

use std::time::Duration;

use prefork_scoreboard::{Column, ColumnKind, Life, Value};

use crate::{Row, View, bytes, duration};

/// Returns a value as people read it, by the unit of its column: `3.4K`, `12m05s`, `17`, `photos-3`.
#[must_use]
pub fn figure(column: &Column, value: &Value) -> String {
    let number = match value {
        Value::Number(number) => *number,
        Value::Text(text) if text.is_empty() => return "-".to_owned(),
        Value::Text(text) => return text.clone(),
    };
    let time: fn(u64) -> Duration = match column.unit_name() {
        Some("bytes") => return bytes(number),
        Some("seconds") => Duration::from_secs,
        Some("milliseconds") => Duration::from_millis,
        Some("microseconds") => Duration::from_micros,
        Some("nanoseconds") => Duration::from_nanos,
        Some(_) | None => return number.to_string(),
    };
    duration(time(number))
}

impl Row {
    /// Returns what this one has in a column of the board, by the place of that among all; `None` if it is being written.
    #[must_use]
    pub fn value(&self, column: usize) -> Option<&Value> {
        self.values.as_ref().and_then(|values| values.get(column))
    }

    fn number(&self, column: usize) -> Option<u64> {
        match self.value(column)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }
}

impl View {
    /// Returns the columns of numbers, each with what the processes that live have there together.
    pub fn sums(&self) -> impl Iterator<Item = (&Column, u64)> {
        let numbers = self.columns.iter().enumerate().filter(|(_, column)| match column.kind() {
            ColumnKind::Counter | ColumnKind::Gauge => true,
            ColumnKind::Text => false,
        });
        numbers.map(|(place, column)| {
            let living = self.taken().filter(|row| row.life != Life::Gone);
            let sum = living.filter_map(|row| row.number(place)).fold(0, u64::saturating_add);
            (column, sum)
        })
    }

    /// Returns the same in words, nothing of a board without such columns: `written 3.4K, errors 0, queue 17`.
    #[must_use]
    pub fn sums_in_words(&self) -> Option<String> {
        let words = |(column, sum): (&Column, u64)| {
            format!("{} {}", column.name(), figure(column, &Value::Number(sum)))
        };
        let all: Vec<_> = self.sums().map(words).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::jobs;

    #[test]
    fn figures_are_short_and_have_their_unit() {
        let number =
            |unit: &str, number| figure(&Column::gauge("x").unit(unit), &Value::Number(number));
        assert_eq!(number("bytes", 4711), "4.6K");
        assert_eq!(number("seconds", 725), "12m05s");
        assert_eq!(number("milliseconds", 3200), "3.2s");
        assert_eq!(number("pages", 4711), "4711");
        assert_eq!(figure(&Column::text("x"), &Value::Text("a".into())), "a");
        assert_eq!(figure(&Column::text("x"), &Value::Text(String::new())), "-");
    }

    #[test]
    fn what_processes_have_together_is_that_of_the_living() {
        let mut view = jobs();
        assert_eq!(view.sums_in_words().as_deref(), Some("written 6.9K, errors 2, queue 3"));
        view.rows[0].life = Life::Gone;
        assert_eq!(view.sums_in_words().as_deref(), Some("written 4.6K, errors 1, queue 2"));
        view.rows[1].values = None;
        assert_eq!(view.sums_in_words().as_deref(), Some("written 0B, errors 0, queue 0"));
        view.columns.clear();
        assert_eq!(view.sums_in_words(), None);
    }
}
