//! Slots for programs that a supervisor executes.
//!
//! A child that was forked has the board from its parent. A program that was executed has nothing but a path and a number, and
//! both may be old, wrong, or given to two. So before it writes it makes sure of what a fork would have made sure of: that the
//! board has an owner that lives, by the lock that this one holds; that the slot was assigned; and that no process has
//! entered it since, under the lock of the slot, so that of two at the same moment one is refused. The lock of the slot is not
//! kept: a program that this one leaves behind would hold it, and the supervisor, which reaps the process, decides when the
//! slot is free.

use crate::board::Board;
use crate::check::Name;
use crate::claim::is_empty;
use crate::error::{EnterError, OpenError};
use crate::file::{ByteLock, Lock, Locked, refuse_foreign, try_lock_shared};
use crate::format::{record, word};
use crate::header::Kind;
use crate::open::open_file;
use crate::owned::OwnedBoard;
use crate::process;
use crate::read::Patience;
use crate::slot::Slot;
use rustix::fs::OFlags;
use std::env;
use std::ffi::OsString;
use std::path::Path;

/// Environment variables by which a supervisor gives the programs that it executes their slots.
pub mod variables {
    /// The absolute path of the board.
    pub const PATH: &str = "SCOREBOARD_PATH";
    /// The number of the slot, in decimal; the first is 0.
    pub const SLOT: &str = "SCOREBOARD_SLOT";
}

impl OwnedBoard {
    /// Returns the environment variables, whose names are in [`variables`], for a program that is to enter `slot`.
    ///
    /// The slot is [assigned](Self::assign) before the program is executed, and [cleared](Self::clear) once it was reaped.
    ///
    /// # Errors
    ///
    /// [`EnterError`] of a board without a name, which no program can open, and if there is no such slot.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::OwnedBoard;
    /// use std::process::Command;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("board");
    /// let board = OwnedBoard::create(&path, 8)?;
    /// board.assign(3, 1)?;
    /// let mut program = Command::new("true");
    /// program.envs(board.variables(3)?);
    /// let mut program = program.spawn()?;
    /// program.wait()?;
    /// board.clear(3)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn variables(&self, slot: usize) -> Result<[(&'static str, OsString); 2], EnterError> {
        self.offset(slot)?;
        let path = self.path().ok_or(EnterError::Unnamed)?.as_os_str().to_owned();
        Ok([(variables::PATH, path), (variables::SLOT, slot.to_string().into())])
    }
}

impl Slot {
    /// Enters the slot that a supervisor has given this program by the environment [`variables`]; `None` if neither is
    /// set, so that it was started by somebody else.
    ///
    /// Programs that this one starts inherit the variables, and are refused the slot.
    ///
    /// # Errors
    ///
    /// As of [`Board::enter`], and if one of the two is missing or no number.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::Slot;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// if let Some(mut slot) = Slot::from_environment()? {
    ///     slot.busy("rebuild index");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_environment() -> Result<Option<Self>, EnterError> {
        let (path, slot) = match (env::var_os(variables::PATH), env::var_os(variables::SLOT)) {
            (None, None) => return Ok(None),
            (Some(path), Some(slot)) => (path, slot),
            (Some(_), None) => return Err(EnterError::Unset { variable: variables::SLOT }),
            (None, Some(_)) => return Err(EnterError::Unset { variable: variables::PATH }),
        };
        let number = slot.to_str().and_then(|slot| slot.parse().ok());
        let number = number.ok_or(EnterError::Number { value: slot })?;
        Board::enter(path, number).map(Some)
    }
}

impl Board {
    /// Enters `slot` of the board at `path`, which its owner has assigned to this program before it executed it.
    ///
    /// A program does not end with the owner: one whose owner was killed goes on, and reports to a board that nobody reads
    /// once another owner has replaced it. See that it leaves, as `examples/farm.rs` does.
    ///
    /// The program runs as the user of the board, in the same pid namespace. It need not be a child of the owner: a shell
    /// may be between the two. A program that has entered and executes another one may enter again there. The owner empties
    /// the slot once it has reaped the program.
    ///
    /// # Errors
    ///
    /// [`EnterError`]; among others if the owner of the board is gone, the slot was not assigned, or another process has
    /// entered it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("board");
    /// use prefork_scoreboard::{Board, OwnedBoard};
    ///
    /// // In the supervisor:
    /// let owner = OwnedBoard::create(&path, 8)?;
    /// owner.assign(3, 1)?;
    /// // In the program:
    /// let mut slot = Board::enter(&path, 3)?;
    /// slot.busy("rebuild index");
    /// assert_eq!(owner.record(3)?.label(), "rebuild index");
    /// # Ok(())
    /// # }
    /// ```
    pub fn enter(path: impl AsRef<Path>, slot: usize) -> Result<Slot, EnterError> {
        let board = open_to_enter(path.as_ref())?;
        let path = || board.name.clone();
        let slot_error = |action| {
            let board = &board;
            move |source| board.slot_error(action, slot, source)
        };
        let lock = ByteLock::take(&board.file, board.offset(slot)?).map_err(slot_error("lock"))?;
        let Some(_lock) = lock else {
            return Err(EnterError::Taken { path: path(), slot, pid: None });
        };
        let copy = board.copy(slot, &mut Patience::new())?;
        if is_empty(&copy) {
            return Err(EnterError::Unassigned { path: path(), slot });
        }
        match copy[word(record::PID)] & u64::from(u32::MAX) {
            0 => {}
            pid if pid == u64::from(std::process::id()) => {}
            pid => {
                let pid = process::plausible_pid(pid);
                return Err(EnterError::Taken { path: path(), slot, pid });
            }
        }
        Ok(Slot::enter_executed(&board, slot)?)
    }
}

/// Opens a board for writing that has an owner which lives.
fn open_to_enter(path: &Path) -> Result<Board, EnterError> {
    let file = open_file(path, OFlags::RDWR)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let examine = |source| OpenError::Io { action: "examine", path: path.clone(), source };
    let metadata = file.metadata().map_err(examine)?;
    refuse_foreign(&metadata)
        .map_err(|reason| OpenError::Foreign { path: path.clone(), reason })?;
    let board = Board::from_file(file, path, Name::Path)?;
    let path = || board.name.clone();
    match board.kind() {
        Kind::Owned => {}
        Kind::Shared => return Err(EnterError::Shared { path: path() }),
    }
    match try_lock_shared(&board.file) {
        Ok(Lock::Contended) => {}
        Ok(Lock::Taken) => {
            drop(Locked::new(&board.file));
            return Err(EnterError::NoOwner { path: path() });
        }
        Err(source) => return Err(OpenError::Io { action: "lock", path: path(), source }.into()),
    }
    if !board.is_of_this_namespace() {
        return Err(EnterError::Namespace { path: path() });
    }
    Ok(board)
}
