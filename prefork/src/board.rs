//! The parent's scoreboard: opened, read, and lived without when somebody has damaged it.

use std::{
    error::Error,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use prefork_core::{Activity, Generation, SlotId, Time};
use prefork_scoreboard::{
    Class, CreateError, Monotonic, OpenError, OwnedBoard, Slot, SlotError, State,
};

use crate::{
    Report,
    check::{Pool, Scoreboard, Settings},
    log::Log,
};

/// A board that reports a fault once and not at every reading.
#[derive(Debug)]
pub(crate) struct ParentBoard {
    board: OwnedBoard,
    /// How many slots it should have.
    slots: usize,
    faulty: bool,
}

/// Opens the scoreboard that the settings ask for.
pub(crate) fn open(settings: &Settings) -> Result<Option<ParentBoard>, CreateError> {
    let slots = slots(settings);
    let board = match &settings.scoreboard {
        Scoreboard::None => return Ok(None),
        Scoreboard::File(path) => OwnedBoard::create(path, slots)?,
        Scoreboard::InMemory => OwnedBoard::anonymous(slots)?,
    };
    Ok(Some(ParentBoard { board, slots, faulty: false }))
}

/// The same, where the board of before may be in the place, damaged: it is the file `own`.
pub(crate) fn open_over(
    settings: &Settings,
    own: &OwnedFd,
) -> Result<Option<ParentBoard>, CreateError> {
    let Scoreboard::File(path) = &settings.scoreboard else { return open(settings) };
    let slots = slots(settings);
    let board = OwnedBoard::create_over(path, slots, own)?;
    Ok(Some(ParentBoard { board, slots, faulty: false }))
}

fn slots(settings: &Settings) -> usize {
    match &settings.pool {
        Pool::Solo => 1,
        Pool::Children(config) => config.slots() as usize,
    }
}

impl ParentBoard {
    /// Takes over the board of the program that ran before in this process. One of another size is made
    /// anew with the next reload, which in a new program is at once.
    pub(crate) fn adopt(
        settings: &Settings,
        path: Option<&Path>,
        file: OwnedFd,
        lock: Option<OwnedFd>,
    ) -> Result<Self, OpenError> {
        let board = OwnedBoard::adopt(path, file, lock)?;
        let slots = slots(settings);
        let faulty = board.slots() != slots;
        Ok(Self { board, slots, faulty })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) fn descriptors(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        self.board.descriptors()
    }

    /// Where it is, if it is not in memory.
    #[cfg(feature = "status")]
    pub(crate) fn path(&self) -> Option<&Path> {
        self.board.path()
    }

    /// Gives a slot to a child about to be forked.
    pub(crate) fn assign(&mut self, slot: SlotId, generation: Generation, log: &Log) {
        if !self.has(slot) {
            return;
        }
        let assigned = self.board.assign(slot.index(), u64::from(generation.0));
        self.judge(assigned.as_ref().map_err(as_error), log);
    }

    /// Empties the slot of a child that was reaped.
    pub(crate) fn clear(&mut self, slot: SlotId, log: &Log) {
        if !self.has(slot) {
            return;
        }
        let cleared = self.board.clear(slot.index());
        self.judge(cleared.as_ref().map_err(as_error), log);
    }

    /// Maps the slot of this process, a child, and closes the board.
    ///
    /// A board that cannot be entered, as one that somebody has truncated, is no reason not to serve.
    pub(crate) fn enter(mut self, slot: SlotId, log: &Log) -> Option<Slot> {
        self.enter_here(slot, log)
    }

    /// Maps a slot in the process that owns the board.
    pub(crate) fn enter_here(&mut self, slot: SlotId, log: &Log) -> Option<Slot> {
        let slot = self.board.enter(slot.index());
        slot.inspect_err(|error| {
            log.error(format_args!("serving without the scoreboard: {}", Report(error)));
        })
        .ok()
    }

    /// Reads what the children in these slots are doing; `None` while the board is damaged.
    pub(crate) fn activities(
        &mut self,
        slots: impl Iterator<Item = SlotId>,
        log: &Log,
    ) -> Option<Vec<(SlotId, Activity)>> {
        // One that was only removed can be read all the same; but nobody else can see it.
        if let Err(fault) = self.board.check() {
            self.judge::<()>(Err(&fault), log);
        }
        let read: Result<_, _> = slots.map(|slot| Ok((slot, self.activity(slot)?))).collect();
        self.judge(read.as_ref().map_err(as_error), log)?;
        read.ok()
    }

    /// Reads how many requests the child in a slot says that it has answered.
    pub(crate) fn requests(&self, slot: SlotId) -> Option<u64> {
        self.board.record(slot.index()).ok().map(|record| record.requests())
    }

    /// Makes a new board in the place of one that somebody has damaged, for the children to come; tells
    /// whether there is another board now.
    pub(crate) fn renew(&mut self, log: &Log) -> bool {
        if !self.faulty {
            return false;
        }
        match self.board.resize(self.slots) {
            Ok(()) => {
                self.faulty = false;
                log.info("the scoreboard is made anew");
            }
            Err(error) => log.error(format_args!("no new scoreboard: {}", Report(&error))),
        }
        !self.faulty
    }

    /// Whether a slot is on the board: children of before an upgrade can be beyond a smaller new one.
    fn has(&self, slot: SlotId) -> bool {
        slot.index() < self.board.slots()
    }

    fn activity(&self, slot: SlotId) -> Result<Activity, SlotError> {
        if !self.has(slot) {
            return Ok(Activity::Busy { since: None });
        }
        let record = self.board.record(slot.index())?;
        Ok(match record.status().class() {
            // One that serves and has never said anything may be doing anything; a pool of such loops
            // must not grow for that.
            Class::Idle | Class::Starting => {
                Activity::Idle { since: record.updated().map_or(Time::ZERO, time) }
            }
            // Between two requests of a connection nothing is in hand that could take too long.
            Class::Busy if record.status().state() == Some(State::Keepalive) => {
                Activity::Busy { since: None }
            }
            Class::Busy => Activity::Busy { since: record.request_started().map(time) },
            Class::Draining | Class::Stalled | Class::Empty => Activity::Busy { since: None },
        })
    }

    /// Reads what the child in a slot says that it is doing; empty if it says nothing.
    pub(crate) fn label(&self, slot: SlotId) -> String {
        let record = self.board.record(slot.index());
        record.map(|record| record.label().to_owned()).unwrap_or_default()
    }

    /// Says once that the board cannot be used, until it is made anew.
    fn judge<T>(&mut self, result: Result<T, &(dyn Error + 'static)>, log: &Log) -> Option<T> {
        result
            .inspect_err(|error| {
                if !std::mem::replace(&mut self.faulty, true) {
                    let error = Report(*error);
                    log.error(format_args!("{error}; the next reload makes a new scoreboard"));
                }
            })
            .ok()
    }
}

fn as_error(error: &SlotError) -> &(dyn Error + 'static) {
    error
}

/// The board's clock is the parent's (`CLOCK_MONOTONIC`).
fn time(monotonic: Monotonic) -> Time {
    Time::after_origin(Duration::from_nanos(monotonic.as_nanos()))
}
