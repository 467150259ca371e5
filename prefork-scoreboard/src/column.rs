//! Columns that those who make a board add to what each slot shows.

use crate::format::{COLUMN_NAME_SIZE, COLUMN_TEXT_WORDS, UNIT_SIZE};
use std::fmt;

/// A column of a board: a number or a short text that each process reports besides what it is doing.
///
/// Whoever makes a board declares its columns, with [`BoardOptions::column`](crate::BoardOptions::column). Name, kind and
/// unit are kept in the file, so that any reader can show what it finds. A board has at most 12 columns, and each slot room
/// for 30 numbers, where a text takes as much as five.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::{Column, ColumnKind};
///
/// let sent = Column::counter("sent").unit("bytes");
/// assert_eq!((sent.name(), sent.kind()), ("sent", ColumnKind::Counter));
/// assert_eq!((sent.unit_name(), Column::text("host").unit_name()), (Some("bytes"), None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    name: String,
    kind: ColumnKind,
    unit: String,
}

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A number that only grows while the slot has the same process, such as bytes sent.
    Counter,
    /// A number that goes up and down, such as the length of a queue.
    Gauge,
    /// A text of up to 40 bytes.
    Text,
}

impl ColumnKind {
    const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Text];

    /// Returns the word for it: `counter`, `gauge` or `text`, part of the format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Text => "text",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Returns how many words a value takes.
    pub(crate) const fn words(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            Self::Text => COLUMN_TEXT_WORDS,
        }
    }
}

impl Column {
    /// Declares a number that only grows while a slot has the same process.
    ///
    /// A name has 1 to 32 of the characters `a` to `z`, `0` to `9` and `_`, the first of them a letter.
    pub fn counter(name: impl Into<String>) -> Self {
        Self::new(name, ColumnKind::Counter)
    }

    /// Declares a number that goes up and down.
    ///
    /// Names are as those of [`counter`](Self::counter).
    pub fn gauge(name: impl Into<String>) -> Self {
        Self::new(name, ColumnKind::Gauge)
    }

    /// Declares a text of up to 40 bytes.
    ///
    /// Names are as those of [`counter`](Self::counter).
    pub fn text(name: impl Into<String>) -> Self {
        Self::new(name, ColumnKind::Text)
    }

    pub(crate) fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind, unit: String::new() }
    }

    /// Sets what the numbers count: 1 to 16 characters of those of a name, in the plural, such as `bytes` or `seconds`. None
    /// by default, for things that the name says already.
    #[must_use]
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what is in it.
    #[must_use]
    pub const fn kind(&self) -> ColumnKind {
        self.kind
    }

    /// Returns what the numbers count, if that was declared.
    #[must_use]
    pub fn unit_name(&self) -> Option<&str> {
        Some(self.unit.as_str()).filter(|unit| !unit.is_empty())
    }

    pub(crate) fn has_good_name(&self) -> bool {
        is_word(&self.name, COLUMN_NAME_SIZE)
    }

    pub(crate) fn has_good_unit(&self) -> bool {
        match self.kind {
            ColumnKind::Counter | ColumnKind::Gauge => {
                self.unit.is_empty() || is_word(&self.unit, UNIT_SIZE)
            }
            ColumnKind::Text => self.unit.is_empty(),
        }
    }
}

/// As it is declared in a board, without its place: `counter sent bytes`.
impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)?;
        self.unit_name().map_or(Ok(()), |unit| write!(f, " {unit}"))
    }
}

fn is_word(text: &str, most: usize) -> bool {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    text.len() <= most
        && text.bytes().all(is_allowed)
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

/// A number of a slot that can be written: see [`Slot::number`](crate::Slot::number).
///
/// It is good for slots of boards with the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NumberColumn {
    pub(crate) word: usize,
}

/// A text of a slot that can be written: see [`Slot::text`](crate::Slot::text).
///
/// It is good for slots of boards with the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextColumn {
    pub(crate) word: usize,
}

/// What a slot has in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(u64),
    /// Of a text: at most 40 bytes, safe for a terminal, not escaped for HTML.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
