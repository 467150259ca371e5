//! What those who make a board declare about it: a title, and the columns of its slots.
//!
//! The problem: what processes want to show differs from board to board, and readers in any language are to show it
//! without knowing the board. The idea: lines of text in the first page, as facts are, each column with the place of its
//! values. They are written before the file gets its name, and never change. A reader passes over what it does not know
//! or cannot believe, and checks each place before it reads there.

use crate::checksum;
use crate::column::{Column, ColumnKind, NumberColumn, TextColumn, Value};
use crate::error::{ColumnError, DescriptionFault};
use crate::format::{
    COLUMN_TEXT_SIZE, DESCRIPTION_SIZE, DESCRIPTION_WORDS, MAX_COLUMNS, TITLE_SIZE, WORDS,
    description, values, word,
};
use crate::read;
use crate::text::{Clipped, Text, is_printable};
use crate::write;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

/// The word of a description that holds its checksum.
const CHECKSUM: usize = DESCRIPTION_WORDS - 1;

/// The first word of a slot's values that a column may have.
const FIRST: usize = word(values::FIRST - values::SEQUENCE);

/// The title and the columns of a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Description {
    title: String,
    columns: Vec<Placed>,
}

/// A column, and the first word of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    column: Column,
    word: usize,
}

impl Description {
    /// Takes what a caller declares.
    pub(crate) fn declare(title: &str, columns: &[Column]) -> Result<Self, DescriptionFault> {
        if title.len() > TITLE_SIZE || !title.chars().all(is_printable) {
            return Err(DescriptionFault::Title { title: title.to_owned(), max: TITLE_SIZE });
        }
        let mut declared = Self { title: title.to_owned(), columns: Vec::new() };
        let mut free = FIRST;
        for column in columns {
            declared.examine(column)?;
            if free + column.kind().words() > WORDS {
                return Err(DescriptionFault::Room { name: column.name().to_owned() });
            }
            declared.columns.push(Placed { column: column.clone(), word: free });
            free += column.kind().words();
        }
        Ok(declared)
    }

    /// Refuses a column that cannot be beside those that are there.
    fn examine(&self, column: &Column) -> Result<(), DescriptionFault> {
        let name = || column.name().to_owned();
        if !column.has_good_name() {
            return Err(DescriptionFault::Name { name: name() });
        }
        if !column.has_good_unit() {
            let unit = column.unit_name().unwrap_or_default().to_owned();
            return Err(DescriptionFault::Unit { name: name(), unit });
        }
        if self.find(column.name()).is_some() {
            return Err(DescriptionFault::Twice { name: name() });
        }
        if self.columns.len() >= MAX_COLUMNS {
            return Err(DescriptionFault::Many { max: MAX_COLUMNS });
        }
        Ok(())
    }

    pub(crate) fn title(&self) -> Option<&str> {
        Some(self.title.as_str()).filter(|title| !title.is_empty())
    }

    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = &Column> {
        self.columns.iter().map(|placed| &placed.column)
    }

    pub(crate) fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Returns the first column of `wanted` that this one has not, or of another kind or unit.
    pub(crate) fn missing<'a>(&self, wanted: &'a Self) -> Option<&'a Column> {
        wanted.columns().find(|wanted| !self.columns().any(|column| column == *wanted))
    }

    fn find(&self, name: &str) -> Option<&Placed> {
        self.columns.iter().find(|placed| placed.column.name() == name)
    }

    /// Finds the number of this name; `path` is the board's, for messages.
    pub(crate) fn number(&self, name: &str, path: &Path) -> Result<NumberColumn, ColumnError> {
        let Placed { column, word } = self.find(name).ok_or_else(|| self.lacks(name, path))?;
        match column.kind() {
            ColumnKind::Counter | ColumnKind::Gauge => Ok(NumberColumn { word: *word }),
            ColumnKind::Text => Err(ColumnError::Text { path: path.into(), name: name.to_owned() }),
        }
    }

    /// Finds the text of this name.
    pub(crate) fn text(&self, name: &str, path: &Path) -> Result<TextColumn, ColumnError> {
        let Placed { column, word } = self.find(name).ok_or_else(|| self.lacks(name, path))?;
        match column.kind() {
            ColumnKind::Text => Ok(TextColumn { word: *word }),
            ColumnKind::Counter | ColumnKind::Gauge => {
                Err(ColumnError::Number { path: path.into(), name: name.to_owned() })
            }
        }
    }

    fn lacks(&self, name: &str, path: &Path) -> ColumnError {
        let known = self.columns().map(|column| column.name().to_owned()).collect();
        ColumnError::Missing { path: path.into(), name: name.to_owned(), known }
    }

    /// Takes the values of a slot from a copy that is whole, in the order of the columns.
    pub(crate) fn values(&self, copy: &[u64; WORDS]) -> Vec<Value> {
        let value = |placed: &Placed| match placed.column.kind() {
            ColumnKind::Counter | ColumnKind::Gauge => Value::Number(copy[placed.word]),
            ColumnKind::Text => {
                let mut bytes = [0; COLUMN_TEXT_SIZE];
                for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(&copy[placed.word..]) {
                    *chunk = word.to_le_bytes();
                }
                let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                Value::Text(Text::printable(&bytes, length).as_str().to_owned())
            }
        };
        self.columns.iter().map(value).collect()
    }

    /// Writes it into the first page of a new board.
    pub(crate) fn write_new(&self, file: &File) -> io::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        write::words(file, description::LENGTH as u64, &self.encode())
    }

    /// Reads it from a board.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        Ok(Self::decode(&read::words(file, description::LENGTH as u64)?))
    }

    fn encode(&self) -> [u64; DESCRIPTION_WORDS] {
        let mut text = self.title().map(|title| format!("title={title}\n")).unwrap_or_default();
        for Placed { column, word } in &self.columns {
            // A string takes any text.
            let _ = writeln!(text, "column={} {column}", values::SEQUENCE + 8 * word);
        }
        let mut bytes = [0; DESCRIPTION_SIZE];
        // No text is longer: see `format.rs`.
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let mut words = [0; DESCRIPTION_WORDS];
        words[0] = text.len() as u64;
        for (word, chunk) in words[1..].iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        words[CHECKSUM] = checksum::sum(&words, CHECKSUM);
        words
    }

    /// Takes it from words that may be anything: what is damaged describes nothing.
    fn decode(words: &[u64; DESCRIPTION_WORDS]) -> Self {
        let mut found = Self::default();
        if checksum::sum(words, CHECKSUM) != words[CHECKSUM] {
            return found;
        }
        let bytes: Vec<u8> =
            words[1..CHECKSUM].iter().flat_map(|word| word.to_le_bytes()).collect();
        let length = usize::try_from(words[0]).unwrap_or(usize::MAX).min(bytes.len());
        for line in bytes[..length].split(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            match line.split_once('=') {
                Some(("title", title)) => found.title = printable(title),
                Some(("column", column)) => {
                    let placed = Placed::parse(column);
                    let good = placed.filter(|placed| found.examine(&placed.column).is_ok());
                    found.columns.extend(good);
                }
                Some(_) | None => {}
            }
        }
        found
    }
}

impl Placed {
    /// Reads `OFFSET KIND NAME [UNIT]`; `None` of what is not known or lies outside of a slot's values.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let offset: usize = words.next()?.parse().ok()?;
        let kind = ColumnKind::of_word(words.next()?)?;
        let column = Column::new(words.next()?, kind).unit(words.next().unwrap_or_default());
        let is_aligned = offset.is_multiple_of(8) && words.next().is_none();
        let word = word(offset.checked_sub(values::SEQUENCE).filter(|_| is_aligned)?);
        let inside = word >= FIRST && word.saturating_add(kind.words()) <= WORDS;
        inside.then_some(Self { column, word })
    }
}

fn printable(title: &str) -> String {
    let shown = |character| if is_printable(character) { character } else { '?' };
    Clipped::<TITLE_SIZE>::format(title).as_str().chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn declared(columns: &[Column]) -> Result<Description, DescriptionFault> {
        Description::declare("jobs", columns)
    }

    /// Makes words of any text, as one who forges a board does.
    fn forged(text: &[u8], length: u64) -> Description {
        let mut words = [0; DESCRIPTION_WORDS];
        for (word, chunk) in words[1..CHECKSUM].iter_mut().zip(text.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(bytes);
        }
        words[0] = length;
        words[CHECKSUM] = checksum::sum(&words, CHECKSUM);
        Description::decode(&words)
    }

    #[test]
    fn what_cannot_be_declared_is_named() {
        let many: Vec<_> = (0..13).map(|number| Column::gauge(format!("n{number}"))).collect();
        let texts: Vec<_> = (0..7).map(|number| Column::text(format!("n{number}"))).collect();
        let table = [
            (vec![Column::gauge("two words")], "column \"two words\""),
            (vec![Column::gauge("")], "column \"\""),
            (vec![Column::gauge("9a")], "column \"9a\""),
            (vec![Column::gauge("x".repeat(33))], "column \"xxx"),
            (vec![Column::gauge("a\n")], "column \"a\\n\""),
            (vec![Column::gauge("a").unit("m/s")], "column a cannot have the unit \"m/s\""),
            (vec![Column::text("a").unit("bytes")], "column a cannot have the unit \"bytes\""),
            (vec![Column::gauge("a"), Column::text("a")], "column a is declared twice"),
            (many, "at most 12 columns"),
            (texts, "no room for column n6"),
        ];
        for (columns, expected) in table {
            let error = declared(&columns).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}, not {expected}");
        }
        for title in ["x".repeat(65), "a\nb".to_owned(), "\u{202e}".to_owned()] {
            assert!(Description::declare(&title, &[]).is_err(), "{title:?}");
        }
    }

    #[test]
    fn the_longest_description_has_room() {
        let name = |number| format!("{number:a>32}").replace(' ', "a");
        let columns: Vec<_> =
            (0..12).map(|number| Column::counter(name(number)).unit("u".repeat(16))).collect();
        let longest = Description::declare(&"t".repeat(64), &columns).expect("as long as allowed");
        assert_eq!(Description::decode(&longest.encode()), longest);
    }

    #[test]
    fn of_a_forged_description_what_makes_sense_is_taken() {
        let text = b"title=a\x1b[2J\xff\ncolumn=272 gauge a\ncolumn=272 gauge b bytes\ncolumn=1 gauge c\n\
            column=8 gauge d\ncolumn=512 gauge e\ncolumn=480 text f\ncolumn=18446744073709551608 gauge g\n\
            column=280 gauge A\ncolumn=280 gauge a\ncolumn=280 float h\ncolumn=280 gauge i x y\ncolumn=\n\
            colour=red\nnothing\ncolumn=504 counter z\ncolumn=472 text y\n";
        let found = forged(text, u64::MAX);
        assert_eq!(found.title(), Some("a?[2J\u{fffd}"));
        let columns: Vec<_> = found.columns().map(ToString::to_string).collect();
        assert_eq!(columns, ["gauge a", "gauge b bytes", "counter z", "text y"]);
        assert_eq!(found.values(&[u64::MAX; WORDS])[3], Value::Text("?".repeat(40)));
    }

    #[test]
    fn a_page_of_zeros_describes_nothing() {
        assert_eq!(Description::decode(&[0; DESCRIPTION_WORDS]), Description::default());
    }

    #[test]
    fn what_is_missing_is_of_another_name_kind_or_unit() {
        let there = declared(&[Column::gauge("a"), Column::counter("b").unit("bytes")]);
        let there = there.expect("good columns");
        let table = [
            (vec![], None),
            (vec![Column::counter("b").unit("bytes")], None),
            (vec![Column::counter("b")], Some("b")),
            (vec![Column::gauge("a"), Column::counter("c")], Some("c")),
            (vec![Column::counter("a")], Some("a")),
        ];
        for (columns, missing) in table {
            let wanted = declared(&columns).expect("good columns");
            assert_eq!(there.missing(&wanted).map(Column::name), missing);
        }
    }

    fn arb_columns() -> impl Strategy<Value = Vec<Column>> {
        let column =
            (0..3_u8, "[a-z][a-z0-9_]{0,31}", "[a-z]{0,16}").prop_map(|(kind, name, unit)| {
                match kind {
                    0 => Column::counter(name).unit(unit),
                    1 => Column::gauge(name).unit(unit),
                    _ => Column::text(name),
                }
            });
        prop::collection::vec(column, 0..12)
    }

    proptest! {
        #[test]
        fn it_comes_back_as_declared(columns in arb_columns()) {
            let Ok(declared) = declared(&columns) else { return Ok(()) };
            prop_assert_eq!(Description::decode(&declared.encode()), declared);
        }

        #[test]
        fn any_flipped_bit_is_seen(bit in 0..DESCRIPTION_WORDS * 64) {
            let mut words = declared(&[Column::gauge("a")]).expect("a column").encode();
            words[bit / 64] ^= 1 << (bit % 64);
            prop_assert_eq!(Description::decode(&words), Description::default());
        }

        #[test]
        fn any_bytes_are_read_in_bounds(
            bytes in prop::collection::vec(any::<u8>(), 0..DESCRIPTION_SIZE), length: u64,
            values: [u64; WORDS],
        ) {
            let found = forged(&bytes, length);
            prop_assert!(found.columns().len() <= MAX_COLUMNS);
            prop_assert_eq!(found.values(&values).len(), found.columns().len());
        }

        #[test]
        fn lines_of_any_columns_are_read_in_bounds(
            offsets in prop::collection::vec(any::<u16>(), 0..20), values: [u64; WORDS],
        ) {
            let lines = offsets.iter().enumerate();
            let kind = |number| ["gauge", "text"][number % 2];
            let text: String = lines
                .map(|(number, offset)| format!("column={offset} {} c{number}\n", kind(number)))
                .collect();
            let found = forged(text.as_bytes(), text.len() as u64);
            for value in found.values(&values) {
                prop_assert!(matches!(value, Value::Number(_))
                    || value.to_string().chars().all(is_printable));
            }
        }
    }
}
