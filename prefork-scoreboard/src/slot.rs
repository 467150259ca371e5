//! A slot as the process has it whose slot it is.

use crate::board::Board;
use crate::clock::Monotonic;
use crate::column::{NumberColumn, TextColumn};
use crate::error::{ColumnError, SlotError};
use crate::format::{WORDS, record, word};
use crate::guard::Maker;
use crate::index::Index;
use crate::process;
use crate::protocol::{CHECKSUM, SEQUENCE, Shadow, Wholeness, judge};
use crate::read::record_once;
use crate::state::State;
use crate::sys::SlotPage;
use crate::update::Update;
use crate::values::Values;
use std::fmt::Display;
use std::sync::atomic::AtomicU64;

/// A slot of this process, to report in what it is doing.
///
/// Every report is one consistent change, stamped with the present time: readers see all of it or
/// none. It takes no lock, allocates nothing and is no system call, where the clock is none.
///
/// Methods take `&mut self`: a record has one writer at a time, and the compiler sees to it.
///
/// # Fork
///
/// A slot belongs to the process that entered or claimed it. In a child forked from that process
/// its methods do nothing, and dropping it releases nothing. A process that execs without dropping
/// a claimed slot keeps it until it ends.
///
/// # Signals
///
/// If somebody truncates the file of the board, the next report ends the process with SIGBUS. A
/// board without a name is sealed against that. A process killed in the middle of a report leaves a
/// half-written record, which readers call stalled.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::{OwnedBoard, State};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let board = OwnedBoard::anonymous(1)?;
/// board.assign(0, 1)?;
/// let mut slot = board.enter(0)?;
/// slot.idle();
/// slot.update(|report| {
///     report.state(State::Reading).client("192.0.2.1:4711");
/// });
/// slot.busy("GET /index.html");
/// slot.finished();
///
/// let record = board.record(0)?;
/// assert_eq!((record.requests(), record.client()), (1, "192.0.2.1:4711"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Slot {
    page: Page,
    shadow: Shadow,
    /// Of a board with columns.
    values: Option<Values>,
    maker: Maker,
    index: usize,
    release: Release,
}

/// Where the record is.
#[derive(Debug)]
enum Page {
    /// In the file of a board.
    Mapped(SlotPage),
    /// In memory that its owner shares: see [`SlotMemory`](crate::SlotMemory).
    Shared(&'static [AtomicU64; WORDS]),
}

impl Page {
    #[inline]
    fn words(&self) -> &[AtomicU64; WORDS] {
        match self {
            Self::Mapped(page) => page.words(),
            Self::Shared(words) => words,
        }
    }

    #[inline]
    fn values(&self) -> Option<&[AtomicU64; WORDS]> {
        match self {
            Self::Mapped(page) => Some(page.values()),
            Self::Shared(_) => None,
        }
    }
}

/// Who empties the slot in the end.
#[derive(Debug)]
pub(crate) enum Release {
    /// The parent, once it has reaped the process.
    ByParent,
    /// The process, when it drops the slot; the index is where it shows the slot to be free.
    OnDrop(Index),
}

impl Slot {
    pub(crate) fn enter(board: &Board, index: usize) -> Result<Self, SlotError> {
        Ok(Self::map(board, index, Release::ByParent)?.entered())
    }

    /// Enters a slot in a program that was executed: its start says which process it is, whoever its parent is.
    pub(crate) fn enter_executed(board: &Board, index: usize) -> Result<Self, SlotError> {
        let mut slot = Self::map(board, index, Release::ByParent)?;
        slot.shadow.set(word(record::PROCESS_START), process::own_start().unwrap_or(0));
        Ok(slot.entered())
    }

    /// Goes on in memory from the record that `shadow` has taken over.
    pub(crate) fn in_memory(
        words: &'static [AtomicU64; WORDS],
        shadow: Shadow,
        index: usize,
    ) -> Self {
        let page = Page::Shared(words);
        let (maker, release) = (Maker::new(), Release::ByParent);
        Self { page, shadow, values: None, maker, index, release }.entered()
    }

    /// Writes whose the slot is from now on.
    fn entered(mut self) -> Self {
        self.shadow.set(word(record::PID), u64::from(std::process::id()));
        self.update(|report| {
            report.state(State::Starting);
        });
        self
    }

    /// Maps the slot and goes on from what is in it, if that is whole.
    pub(crate) fn map(board: &Board, index: usize, release: Release) -> Result<Self, SlotError> {
        let offset = board.offset(index)?;
        let io_error = |action| move |source| board.slot_error(action, index, source);
        let stride = board.header.stride as usize;
        let page = rustix::param::page_size();
        if !stride.is_multiple_of(page) {
            return Err(SlotError::PageSize { path: board.name.clone(), stride, page });
        }
        let size = board.file.metadata().map_err(io_error("examine"))?.len();
        if size < offset + stride as u64 {
            return Err(SlotError::Truncated { path: board.name.clone(), slot: index });
        }
        let copy = record_once(&board.file, offset).map_err(io_error("read"))?;
        let shadow = match judge(&copy) {
            Wholeness::Whole => Shadow::adopt(copy),
            Wholeness::HalfWritten | Wholeness::Damaged => Shadow::following(copy[SEQUENCE]),
        };
        let page = SlotPage::map(&board.file, offset, stride).map_err(io_error("map"))?;
        let values = Values::of_slot(board, offset).map_err(io_error("read"))?;
        Ok(Self { page: Page::Mapped(page), shadow, values, maker: Maker::new(), index, release })
    }

    /// Returns the number of the slot on its board; the first is 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Returns the generation that the slot was assigned to; 0 for a claimed slot.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.shadow.get(word(record::GENERATION)) & u32::MAX as u64
    }

    /// Returns how many requests this process has counted.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.shadow.get(word(record::REQUESTS))
    }

    /// Reports `_`: waiting for a request. The label stays: it is then that of the last request.
    #[inline]
    pub fn idle(&mut self) {
        self.state(State::Idle);
    }

    /// Reports `_` and counts one request more.
    #[inline]
    pub fn finished(&mut self) {
        self.update(|report| {
            report.state(State::Idle).count_requests(1);
        });
    }

    /// Reports `R`: reading a request.
    #[inline]
    pub fn reading(&mut self) {
        self.state(State::Reading);
    }

    /// Reports `W`: working on the request that `label` describes, in at most 96 bytes.
    #[inline]
    pub fn busy(&mut self, label: &str) {
        self.update(|report| {
            report.state(State::Writing).label(label);
        });
    }

    /// Reports `K`: holding a connection open for its next request.
    #[inline]
    pub fn keepalive(&mut self) {
        self.state(State::Keepalive);
    }

    /// Reports `C`: closing a connection.
    #[inline]
    pub fn closing(&mut self) {
        self.state(State::Closing);
    }

    /// Reports `G`: finishing the request in hand, then leaving.
    #[inline]
    pub fn draining(&mut self) {
        self.state(State::Draining);
    }

    /// Reports any state.
    #[inline]
    pub fn state(&mut self, state: State) {
        self.update(|report| {
            report.state(state);
        });
    }

    /// Reports what the process is doing in words, at most 96 bytes; the rest is cut off.
    ///
    /// All who may read the board can read it: leave secrets out.
    #[inline]
    pub fn label(&mut self, label: &str) {
        self.update(|report| {
            report.label(label);
        });
    }

    /// Reports whom the process is working for, at most 64 bytes; the rest is cut off.
    ///
    /// A [`SocketAddr`](std::net::SocketAddr) goes as it is, a path with
    /// [`display`](std::path::Path::display).
    pub fn client(&mut self, client: impl Display) {
        self.update(|report| {
            report.client(client);
        });
    }

    /// Finds the number of this name among the columns of the board, to report in it with [`set`](Self::set) and
    /// [`add`](Self::add).
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if there is none, or it is a text.
    pub fn number(&self, name: &str) -> Result<NumberColumn, ColumnError> {
        self.columns(name)?.number(name)
    }

    /// Finds the text of this name among the columns of the board, to report in it with [`set_text`](Self::set_text).
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if there is none, or it is a number.
    pub fn text(&self, name: &str) -> Result<TextColumn, ColumnError> {
        self.columns(name)?.text(name)
    }

    fn columns(&self, wanted: &str) -> Result<&Values, ColumnError> {
        let none = || ColumnError::None { slot: self.index, name: wanted.to_owned() };
        self.values.as_ref().ok_or_else(none)
    }

    /// Reports a number in a column.
    ///
    /// # Panics
    ///
    /// Panics if the board of this slot has no columns: then the column is another board's.
    #[inline]
    pub fn set(&mut self, column: NumberColumn, value: u64) {
        self.update(|report| {
            report.set(column, value);
        });
    }

    /// Adds to a number in a column, up to the largest that there is.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    #[inline]
    pub fn add(&mut self, column: NumberColumn, more: u64) {
        self.update(|report| {
            report.add(column, more);
        });
    }

    /// Reports a text in a column; at most 40 bytes of it are kept, and none from a zero on.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    pub fn set_text(&mut self, column: TextColumn, text: &str) {
        self.update(|report| {
            report.set_text(column, text);
        });
    }

    /// Reports several things as one change, but for numbers and texts in columns, which are a change of their own at the
    /// same time.
    ///
    /// The time of the change is taken before `report` runs. Even one that changes nothing renews
    /// the time stamp. If `report` panics, what it changed is published by the next change.
    #[inline]
    pub fn update(&mut self, report: impl FnOnce(&mut Update<'_>)) {
        if !self.maker.is_here() {
            return;
        }
        let now = Monotonic::now().as_nanos();
        let values = self.values.as_mut().map(Values::shadow);
        report(&mut Update { shadow: &mut self.shadow, values, now });
        if let (Some(values), Some(page)) = (&mut self.values, self.page.values()) {
            values.publish(page);
        }
        self.shadow.set(word(record::UPDATED), now);
        self.shadow.publish(self.page.words());
    }

    /// Empties the record but for the pid, by which other processes know whose it was in case this
    /// one dies half-way.
    fn release(&mut self) {
        let kept = [SEQUENCE, CHECKSUM, word(record::PID), word(record::PROCESS_START)];
        for index in (0..WORDS).filter(|index| !kept.contains(index)) {
            self.shadow.set(index, 0);
        }
        self.shadow.publish(self.page.words());
        match &self.release {
            Release::OnDrop(index) => index.put(self.index),
            Release::ByParent => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if matches!(self.release, Release::OnDrop(_)) && self.maker.is_surely_here() {
            self.release();
        }
    }
}
