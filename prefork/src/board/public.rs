//! The scoreboard for others to read, which the parent writes and keeps in repair.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use prefork_core::{Allowance, SlotId, Time, one_line};
use prefork_scoreboard::{CreateError, Facts, OwnedBoard, Record, Slot, SlotError, Stamp};

use super::monotonic;
use crate::{ErrorChain, logs::FileMessage, logs::log::Log, system::os::FileHints};

/// How long hints are left alone after the whole file was read for some.
const REST: Duration = Duration::from_millis(100);

/// How long after one attempt to make a scoreboard the next one comes.
const PAUSE: Duration = Duration::from_secs(1);

/// A scoreboard that is there, or is to be.
#[derive(Debug)]
pub(crate) struct Public {
    place: Place,
    slots: usize,
    /// What is published about the daemon, and by what that is known again.
    facts: (Facts, Stamp),
    board: Option<OwnedBoard>,
    /// The file of a damaged one, which a new one may replace.
    damaged: Option<OwnedFd>,
    /// What is to be done about it.
    repair: Repair,
    /// What others do to the file.
    hints: Option<FileHints>,
    /// When hints count again.
    listen_at: Option<Time>,
    /// How often it is logged that others write over it.
    complaints: Allowance,
}

/// Its place.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Memory,
    /// Nobody is to read it.
    Nowhere,
}

/// Why the file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Its hints may be there.
    Hinted,
    /// The children are looked at too.
    Due,
}

#[derive(Debug)]
enum Repair {
    /// Nothing.
    No,
    /// It is to be made; not before then. `said` is why it could not be the last time.
    Due { not_before: Time, said: Option<String> },
}

impl Public {
    /// Makes a scoreboard of so many slots.
    pub(crate) fn create(place: &Place, slots: u32) -> Result<Self, CreateError> {
        let mut public = Self::absent(place, slots);
        public.board = public.make()?;
        public.repair = Repair::No;
        public.listen();
        Ok(public)
    }

    /// Takes over the scoreboard of the old program in this process, with its lock; what is missing, damaged
    /// or of another size is made again as soon as that is possible.
    pub(crate) fn adopt(
        place: &Place,
        slots: u32,
        handed: Option<(OwnedFd, Option<OwnedFd>)>,
        log: &Log,
    ) -> Self {
        let mut public = Self::absent(place, slots);
        let Some((file, lock)) = handed else { return public };
        public.damaged = file.try_clone().ok();
        match OwnedBoard::adopt(public.path(), file, lock) {
            Ok(board) => {
                if board.slots() == public.slots {
                    public.repair = Repair::No;
                }
                public.board = Some(board);
                public.damaged = None;
                public.listen();
            }
            Err(error) => {
                log.write(&FileMessage::ScoreboardNotAdopted { error: &ErrorChain(&error) });
            }
        }
        public
    }

    /// A scoreboard that is to be made.
    fn absent(place: &Place, slots: u32) -> Self {
        let repair = match place {
            Place::File(_) | Place::Memory => Repair::Due { not_before: Time::ZERO, said: None },
            Place::Nowhere => Repair::No,
        };
        let complaints = Allowance::new(1, Duration::from_secs(60));
        Self {
            place: place.clone(),
            slots: slots as usize,
            facts: (Facts::new(), Stamp::EMPTY),
            board: None,
            damaged: None,
            repair,
            hints: None,
            listen_at: None,
            complaints,
        }
    }

    /// Has room for so many slots at the least, as soon as it can be made again.
    pub(super) fn grow(&mut self, slots: u32) {
        let slots = slots as usize;
        if slots <= self.slots {
            return;
        }
        self.slots = slots;
        match (&self.place, &self.repair) {
            (Place::File(_) | Place::Memory, Repair::No) => {
                self.repair = Repair::Due { not_before: Time::ZERO, said: None };
            }
            (Place::File(_) | Place::Memory, Repair::Due { .. }) | (Place::Nowhere, _) => {}
        }
    }

    /// Its path, if it is in a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory | Place::Nowhere => None,
        }
    }

    /// What another program in this process needs to go on with it.
    pub(crate) fn descriptors(&self) -> Option<(BorrowedFd<'_>, Option<BorrowedFd<'_>>)> {
        let damaged = || self.damaged.as_ref().map(|file| (file.as_fd(), None));
        self.board.as_ref().map(OwnedBoard::descriptors).or_else(damaged)
    }

    /// Maps a slot in this very process, for a main loop that runs in it.
    pub(crate) fn enter(&self, slot: SlotId, log: &Log) -> Option<Slot> {
        let board = self.board.as_ref()?;
        let entered = board.assign(slot.index(), 1).and_then(|()| board.enter(slot.index()));
        entered
            .inspect_err(|error| {
                log.write(&FileMessage::ScoreboardNotMapped { error: &ErrorChain(error) });
            })
            .ok()
    }

    /// Shows what a child is doing; returns by what it is known again.
    pub(super) fn publish(&mut self, slot: SlotId, record: &Record, log: &Log) -> Stamp {
        // Children of a larger pool before an upgrade can be beyond a smaller new board.
        let board = self.board.as_ref().filter(|board| slot.index() < board.slots());
        let Some(board) = board else { return Stamp::EMPTY };
        let written = board.publish(slot.index(), record);
        let stamp = written.as_ref().copied().unwrap_or(Stamp::EMPTY);
        self.wrote(written.map(drop), log);
        stamp
    }

    /// Empties the slot of a child that was reaped.
    pub(super) fn clear(&mut self, slot: SlotId, log: &Log) {
        if let Some(board) = self.board.as_ref().filter(|board| slot.index() < board.slots()) {
            let written = board.clear(slot.index());
            self.wrote(written, log);
        }
    }

    /// Publishes what there is to know about the daemon.
    pub(super) fn publish_facts(&mut self, facts: Facts, log: &Log) {
        self.facts = (facts, Stamp::EMPTY);
        self.show_facts(log);
    }

    fn show_facts(&mut self, log: &Log) {
        let (Some(board), (facts, stamp)) = (&self.board, &mut self.facts) else { return };
        match board.publish_facts(facts) {
            Ok(published) => *stamp = published,
            Err(fault) => self.condemn(&ErrorChain(&fault), log),
        }
    }

    /// Shows that the daemon rests, until then if it is to wake by itself.
    pub(super) fn beat(&mut self, due: Option<Time>, log: &Log) {
        // One that is to be made again may not even be there.
        let Some(board) = self.board.as_ref().filter(|_| matches!(self.repair, Repair::No)) else {
            return;
        };
        if let Err(fault) = board.beat(due.map(monotonic)) {
            self.condemn(&ErrorChain(&fault), log);
        }
    }

    fn wrote(&mut self, written: Result<(), SlotError>, log: &Log) {
        if let Err(error) = written {
            self.condemn(&ErrorChain(&error), log);
        }
    }

    /// Begins to listen for what happens to the file. Where that cannot be had, it is seen when the parent
    /// next looks at its children.
    fn listen(&mut self) {
        self.hints =
            self.board.as_ref().and_then(|board| FileHints::new(board.descriptors().0).ok());
    }

    /// What to wait for before [`examine`](Self::examine).
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.hints.as_ref().filter(|_| self.listen_at.is_none()).map(FileHints::fd)
    }

    /// Looks whether somebody has damaged the file, if something may have happened to it; returns the slots
    /// that do not show what they are to, by these stamps. Only a look that is `due` makes sure where there are no
    /// hints to go by.
    pub(super) fn examine(
        &mut self,
        now: Time,
        occasion: Occasion,
        shown: impl Fn(SlotId) -> Stamp,
        log: &Log,
    ) -> Vec<SlotId> {
        match occasion {
            Occasion::Hinted if self.listen_at.is_some_and(|at| now < at) => return Vec::new(),
            Occasion::Hinted => self.listen_at = None,
            Occasion::Due => {}
        }
        // First, so that what happens meanwhile is a hint again.
        let is_hinted = self.hints.as_ref().map(FileHints::take);
        let Some(board) = self.board.as_ref().filter(|_| matches!(self.repair, Repair::No)) else {
            return Vec::new();
        };
        let is_whole = match (is_hinted, occasion) {
            (Some(true), _) | (None, Occasion::Due) => true,
            // Cut without having been opened, there is no hint of it.
            (Some(false), Occasion::Due) => false,
            (Some(false) | None, Occasion::Hinted) => return Vec::new(),
        };
        if let Err(fault) = board.check() {
            self.condemn(&ErrorChain(&fault), log);
            return Vec::new();
        }
        if !is_whole {
            return Vec::new();
        }
        match board.shows_facts(self.facts.1) {
            Ok(true) => {}
            // What this finds is what others have done, and a slot of theirs is complained about.
            Ok(false) => self.show_facts(log),
            Err(fault) => self.condemn(&ErrorChain(&fault), log),
        }
        let Some(board) = &self.board else { return Vec::new() };
        // All of it is read, so not again at once.
        self.listen_at = self.hints.as_ref().map(|_| now + REST);
        let slots = (0..).map(SlotId).take(board.slots());
        let wrong = slots.filter_map(|slot| match board.shows(slot.index(), shown(slot)) {
            Ok(true) => None,
            Ok(false) => Some(Ok(slot)),
            Err(error) => Some(Err(error)),
        });
        let wrong: Vec<SlotId> = match wrong.collect::<Result<_, _>>() {
            Ok(wrong) => wrong,
            Err(error) => {
                self.condemn(&ErrorChain(&error), log);
                return Vec::new();
            }
        };
        if !wrong.is_empty() && self.complaints.take(now) {
            let path = self.path().unwrap_or(Path::new("in memory"));
            log.write(&FileMessage::SlotsOverwritten { path: &one_line(path), slots: wrong.len() });
        }
        wrong
    }

    fn condemn(&mut self, why: &ErrorChain<'_>, log: &Log) {
        if matches!(self.repair, Repair::No) {
            log.write(&FileMessage::ScoreboardDamaged { error: why });
            self.repair = Repair::Due { not_before: Time::ZERO, said: None };
        }
    }

    /// When it is to be made, or looked at, if nothing happens before.
    pub(crate) const fn due(&self) -> Option<Time> {
        match self.repair {
            Repair::No => self.listen_at,
            Repair::Due { not_before, .. } => Some(not_before),
        }
    }

    /// Makes it at its place, over what was damaged there.
    fn make(&self) -> Result<Option<OwnedBoard>, CreateError> {
        Ok(match (&self.place, &self.damaged) {
            (Place::File(path), Some(damaged)) => {
                Some(OwnedBoard::create_over(path, self.slots, damaged)?)
            }
            (Place::File(path), None) => Some(OwnedBoard::create(path, self.slots)?),
            (Place::Memory, _) => Some(OwnedBoard::anonymous(self.slots)?),
            (Place::Nowhere, _) => None,
        })
    }

    /// Makes it again if that is due; returns whether there is a new one.
    pub(super) fn heal(&mut self, now: Time, log: &Log) -> bool {
        let Repair::Due { not_before, said } = &mut self.repair else { return false };
        if now < *not_before {
            return false;
        }
        let said = said.take();
        let made = match &mut self.board {
            Some(board) => board.resize(self.slots),
            None => self.make().map(|made| self.board = made),
        };
        match made {
            Ok(()) => {
                if said.is_some() {
                    log.write(&FileMessage::ScoreboardRestored);
                }
                self.damaged = None;
                self.repair = Repair::No;
                self.listen();
                self.show_facts(log);
                true
            }
            Err(error) => {
                let why = ErrorChain(&error).to_string();
                if said.as_ref() != Some(&why) {
                    log.write(&FileMessage::NoScoreboard { error: &why });
                }
                self.repair = Repair::Due { not_before: now + PAUSE, said: Some(why) };
                false
            }
        }
    }
}
