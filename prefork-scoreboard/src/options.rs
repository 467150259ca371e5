//! How a board is to be that is made.

use crate::board::Board;
use crate::column::Column;
use crate::create::{self, check_slots};
use crate::description::Description;
use crate::error::CreateError;
use crate::file::FileId;
use crate::header::{Header, Kind};
use crate::memfd;
use crate::owned::OwnedBoard;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The mode of a board: its user alone.
const MODE: u32 = 0o600;

/// The most that a mode may allow. Others who could write could cut the file short, which ends those who report there.
const MOST: u32 = 0o644;

/// What a board is to be like that is made: its mode, its title and its columns.
///
/// [`OwnedBoard::create`], [`OwnedBoard::anonymous`] and [`Board::open_or_create`] are shorter, for boards without any of these.
///
/// # Examples
///
/// Jobs that were not started by a common parent show how far they are.
///
/// ```
/// use prefork_scoreboard::{Board, BoardOptions, Column, Value};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("thumbnails");
/// let board = BoardOptions::new()
///     .title("thumbnails")
///     .column(Column::counter("written").unit("bytes"))
///     .column(Column::counter("errors"))
///     .column(Column::gauge("queue"))
///     .column(Column::text("volume"))
///     .mode(0o640)
///     .open_or_create(&path, 64)?;
///
/// let mut slot = board.claim()?;
/// let (written, queue) = (slot.number("written")?, slot.number("queue")?);
/// let volume = slot.text("volume")?;
/// slot.busy("cat.png");
/// slot.set(queue, 17);
/// slot.set_text(volume, "photos-3");
/// // At the end of a job, as one change:
/// slot.update(|report| {
///     report.count_requests(1).add(written, 48_211).set(queue, 16);
/// });
///
/// // Anybody with the right to read the file can show it.
/// let board = Board::open(&path)?;
/// assert_eq!(board.title(), Some("thumbnails"));
/// let values = board.values(slot.index())?.expect("nobody is writing");
/// let shown: Vec<_> = board.columns().zip(values).map(|(column, it)| format!("{}={it}", column.name())).collect();
/// assert_eq!(shown, ["written=48211", "errors=0", "queue=16", "volume=photos-3"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BoardOptions {
    mode: u32,
    title: String,
    columns: Vec<Column>,
}

impl Default for BoardOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl BoardOptions {
    /// Begins with a board that only its user may read, without a title and without columns.
    #[must_use]
    pub const fn new() -> Self {
        Self { mode: MODE, title: String::new(), columns: Vec::new() }
    }

    /// Sets the mode of the file, whatever the umask: besides its user, who reads and writes, the group and others may be
    /// allowed to read. Default 0600.
    ///
    /// Of a board that is there already the mode stays.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets what the board is about, for those who look at it: printable text of at most 64 bytes. Default none.
    /// The command `prefork` finds the board by it.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Adds a column, which is shown behind those that were added before. Default none.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// Creates a board of `slots` empty slots for this process and its children, as [`OwnedBoard::create`] does.
    ///
    /// # Errors
    ///
    /// As of [`OwnedBoard::create`], and if mode, title or a column cannot be so.
    pub fn create(&self, path: impl AsRef<Path>, slots: usize) -> Result<OwnedBoard, CreateError> {
        OwnedBoard::make(path.as_ref(), &self.plan(Kind::Owned, slots)?, None)
    }

    /// Creates a board over one of this process's own, as [`OwnedBoard::create_over`] does.
    ///
    /// # Errors
    ///
    /// As of [`create`](Self::create).
    pub fn create_over(
        &self,
        path: impl AsRef<Path>,
        slots: usize,
        own: impl AsFd,
    ) -> Result<OwnedBoard, CreateError> {
        let (path, plan) = (path.as_ref(), self.plan(Kind::Owned, slots)?);
        let io_error = |source| CreateError::Io { action: "examine", path: path.into(), source };
        let own = own.as_fd().try_clone_to_owned().map_err(io_error)?;
        let own = FileId::of(&own.into()).map_err(io_error)?;
        OwnedBoard::make(path, &plan, Some(own))
    }

    /// Creates a board in memory that has no name, as [`OwnedBoard::anonymous`] does.
    ///
    /// # Errors
    ///
    /// As of [`OwnedBoard::anonymous`], and if title or a column cannot be so.
    pub fn anonymous(&self, slots: usize) -> Result<OwnedBoard, CreateError> {
        OwnedBoard::make_anonymous(&self.plan(Kind::Owned, slots)?)
    }

    /// Opens the shared board at `path`, or creates one of `slots` slots, as [`Board::open_or_create`] does.
    ///
    /// A board is used as it is if it has each of these columns, with the same kind and unit; it may have others. One that has
    /// not is replaced, unless a living process has a slot of it.
    ///
    /// # Errors
    ///
    /// As of [`Board::open_or_create`], if mode, title or a column cannot be so, and [`CreateError::Columns`] if a board in use has
    /// other columns.
    pub fn open_or_create(
        &self,
        path: impl AsRef<Path>,
        slots: usize,
    ) -> Result<Board, CreateError> {
        create::open_or_create(path.as_ref(), &self.plan(Kind::Shared, slots)?)
    }

    fn plan(&self, kind: Kind, slots: usize) -> Result<Plan, CreateError> {
        if self.mode & !MOST != 0 || self.mode & MODE != MODE {
            return Err(CreateError::Mode { mode: self.mode });
        }
        let description = Description::declare(&self.title, &self.columns)
            .map_err(|reason| CreateError::Description { reason })?;
        Ok(Plan { kind, slots: check_slots(slots)?, mode: self.mode, description })
    }
}

/// What a board is to be like, checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) slots: u32,
    pub(crate) mode: u32,
    pub(crate) description: Description,
}

impl Plan {
    /// Plans a board like this one, but with so many slots, all empty. What its user allows others by now counts, within
    /// what can be allowed.
    pub(crate) fn like(board: &Board, slots: usize) -> Result<Self, CreateError> {
        let mode = board.file.metadata().map(|metadata| metadata.mode() & MOST | MODE);
        Ok(Self {
            kind: board.kind(),
            slots: check_slots(slots)?,
            mode: mode.unwrap_or(MODE),
            description: Description::clone(&board.description),
        })
    }

    pub(crate) fn header(&self) -> Header {
        Header::new(self.kind, self.slots)
    }

    /// Returns a new file in memory that is so.
    pub(crate) fn in_memory(&self) -> Result<(File, Header), CreateError> {
        let header = self.header();
        let file = memfd::create(&header, &self.description)?;
        Ok((file, header))
    }
}
