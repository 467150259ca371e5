//! What can go wrong with a title and columns.

use prefork_core::one_line;
use std::path::PathBuf;
use thiserror::Error;

/// Why a board cannot have a title or a column: see [`BoardOptions`](crate::BoardOptions).
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptionFault {
    /// The title is too long, or not printable.
    #[error(
        "title {title:?} cannot be that of a scoreboard; give one line of printable text, at most {max} bytes"
    )]
    Title {
        /// The title asked for.
        title: String,
        /// The most bytes there may be.
        max: usize,
    },
    /// The name of a column has other characters than names have, or too many.
    #[error(
        "column {name:?} cannot have that name; give 1 to 32 of a to z, 0 to 9 and _, the first a letter"
    )]
    Name {
        /// The name asked for.
        name: String,
    },
    /// The unit of a column has other characters than units have, or too many, or is that of a text.
    #[error(
        "column {name} cannot have the unit {unit:?}; units of numbers are 1 to 16 of a to z, 0 to 9 and _, the first a letter, and texts have none",
        name = one_line(name)
    )]
    Unit {
        /// The name of the column.
        name: String,
        /// The unit asked for.
        unit: String,
    },
    /// Two columns have the same name.
    #[error("column {name} is declared twice; give each a name of its own", name = one_line(name))]
    Twice {
        /// The name.
        name: String,
    },
    /// There are too many columns.
    #[error("a scoreboard has at most {max} columns; declare fewer")]
    Many {
        /// The most there may be: [`MAX_COLUMNS`](crate::format::MAX_COLUMNS).
        max: usize,
    },
    /// A slot has no room for the values of a column.
    #[error(
        "there is no room for column {name}, as a slot holds 30 numbers and a text takes as much as five; declare fewer",
        name = one_line(name)
    )]
    Room {
        /// The name of the first column for which there is none.
        name: String,
    },
}

/// Why a column could not be found in a slot.
#[derive(Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// The board of the slot has no columns.
    #[error(
        "slot {slot} has no column {name}, as its scoreboard was made without columns; declare them with `BoardOptions::column`",
        name = one_line(name)
    )]
    None {
        /// The slot.
        slot: usize,
        /// The name asked for.
        name: String,
    },
    /// The board has columns, but not this one.
    #[error("scoreboard {path} has no column {name}, but {}", known.join(", "), path = one_line(path), name = one_line(name))]
    Missing {
        /// The path of the board.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The column is a text, and a number was asked for.
    #[error("column {name} of scoreboard {path} is a text; ask for it with `Slot::text`", path = one_line(path), name = one_line(name))]
    Text {
        /// The path of the board.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// The column is a number, and a text was asked for.
    #[error("column {name} of scoreboard {path} is a number; ask for it with `Slot::number`", path = one_line(path), name = one_line(name))]
    Number {
        /// The path of the board.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
}

prefork_core::debug_as_chain!(DescriptionFault, ColumnError);
