//! What has become of the file of a board that is in use.

use crate::board::Board;
use crate::description::Description;
use crate::error::{Fault, HeaderFault};
use crate::file::FileId;
use crate::open::read_header;
use std::io;

/// What the name of a board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Its absolute path.
    Path,
    /// Words that stand for it in messages.
    Label,
}

impl Board {
    /// Examines the file of the board: whether it still is at its path, has its size, its header and its columns.
    ///
    /// For an owner, and for those who have claimed a slot: what they report after a fault is seen by nobody. A few
    /// system calls; now and then is often enough. A board without a name, or of a [file](Self::of_file), is compared
    /// with its size and header only.
    ///
    /// # Errors
    ///
    /// [`Fault`] says what has happened. The board stays usable as far as it goes. An owner makes it again by
    /// [`OwnedBoard::resize`](crate::OwnedBoard::resize); those who share it, by [`Board::open_or_create`] and
    /// [`Board::claim`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("board");
    /// use prefork_scoreboard::{Board, Fault};
    ///
    /// let board = Board::open_or_create(&path, 8)?;
    /// let slot = board.claim()?;
    /// std::fs::remove_file(&path)?;
    /// assert!(matches!(board.check(), Err(Fault::Removed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self) -> Result<(), Fault> {
        let name = || self.name.clone();
        let io_error = |source: io::Error| Fault::Io { path: name(), source };
        let own = FileId::of(&self.file).map_err(io_error)?;
        match self.kind_of_name {
            Name::Label => {}
            Name::Path => match FileId::at(&self.name).map_err(io_error)? {
                Some(found) if found == own => {}
                Some(_) => return Err(Fault::Replaced { path: name() }),
                None => return Err(Fault::Removed { path: name() }),
            },
        }
        let expected = self.header.file_size();
        let found = self.file.metadata().map_err(io_error)?.len();
        if found < expected {
            return Err(Fault::Truncated { path: name(), expected, found });
        }
        match read_header(&self.file).map_err(io_error)? {
            Ok(header) if header == self.header => {}
            Err(HeaderFault::Truncated { found, .. }) => {
                return Err(Fault::Truncated { path: name(), expected, found });
            }
            Ok(_) | Err(_) => return Err(Fault::Overwritten { path: name() }),
        }
        if Description::read(&self.file).map_err(io_error)? == *self.description {
            Ok(())
        } else {
            Err(Fault::Overwritten { path: name() })
        }
    }
}
