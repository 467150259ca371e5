//! What a slot has in the columns of its board.
//!
//! The values are published as a record is, with a sequence and a checksum of their own, so that a record needs no other layout
//! for them: readers that know of no columns pass over them. So they are of one moment, and what the process is doing may be
//! of another one. A slot that changes hands begins with all of them at zero.

use crate::board::Board;
use crate::column::{Column, NumberColumn, TextColumn, Value};
use crate::description::Description;
use crate::error::{ColumnError, SlotError};
use crate::format::{WORDS, values};
use crate::protocol::{SEQUENCE, Shadow, Wholeness, judge};
use crate::read::{self, Patience};
use crate::write;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl Board {
    /// Returns what the board is about, as those who made it have declared; text of at most 64 bytes, safe for a terminal.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.description.title()
    }

    /// Returns the columns that the board has, in their order. Of most boards there are none.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &Column> {
        self.description.columns()
    }

    /// Reads what a slot has in the [columns](Self::columns), in their order; `None` if it is being written, or was left
    /// half-written, for as long as this is willing to look.
    ///
    /// They mean something only while the slot is somebody's, and may have changed after its record.
    ///
    /// # Errors
    ///
    /// As of [`record`](Self::record).
    pub fn values(&self, slot: usize) -> Result<Option<Vec<Value>>, SlotError> {
        let offset = self.offset(slot)? + values::SEQUENCE as u64;
        if !self.description.has_columns() {
            return Ok(Some(Vec::new()));
        }
        let copy = read::record(&self.file, offset, &mut Patience::new())
            .map_err(|source| self.slot_error("read", slot, source))?;
        Ok(match judge(&copy) {
            Wholeness::Whole => Some(self.description.values(&copy)),
            Wholeness::HalfWritten | Wholeness::Damaged => None,
        })
    }

    /// Sets the values of the slot at `offset` to zero, if there are any.
    pub(crate) fn empty_values(&self, offset: u64) -> io::Result<()> {
        if self.description.has_columns() {
            write::empty::<WORDS>(&self.file, offset + values::SEQUENCE as u64)
        } else {
            Ok(())
        }
    }
}

/// The values of a slot as its process has them.
#[derive(Debug)]
pub(crate) struct Values {
    path: PathBuf,
    description: Arc<Description>,
    shadow: Shadow,
}

impl Values {
    /// Goes on from what the slot at `offset` has; `None` if the board has no columns.
    pub(crate) fn of_slot(board: &Board, offset: u64) -> io::Result<Option<Self>> {
        if !board.description.has_columns() {
            return Ok(None);
        }
        Ok(Some(Self {
            path: board.name.clone(),
            description: Arc::clone(&board.description),
            shadow: read_shadow(&board.file, offset + values::SEQUENCE as u64)?,
        }))
    }

    pub(crate) fn number(&self, name: &str) -> Result<NumberColumn, ColumnError> {
        self.description.number(name, &self.path)
    }

    pub(crate) fn text(&self, name: &str) -> Result<TextColumn, ColumnError> {
        self.description.text(name, &self.path)
    }

    #[inline]
    pub(crate) const fn shadow(&mut self) -> &mut Shadow {
        &mut self.shadow
    }

    #[inline]
    pub(crate) fn publish(&mut self, page: &[AtomicU64; WORDS]) {
        if self.shadow.is_changed() {
            self.shadow.publish(page);
        }
    }
}

fn read_shadow(file: &File, offset: u64) -> io::Result<Shadow> {
    let copy = read::words(file, offset)?;
    Ok(match judge(&copy) {
        Wholeness::Whole => Shadow::adopt(copy),
        Wholeness::HalfWritten | Wholeness::Damaged => Shadow::following(copy[SEQUENCE]),
    })
}
