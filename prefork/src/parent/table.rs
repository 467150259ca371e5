//! The process in each slot.

use std::{collections::HashMap, io, mem::ManuallyDrop};

use prefork_core::{Generation, RequestCount, SlotId, Time};
use rustix::process::{Pid, Signal};

use super::accepted::Accepted;
use crate::{
    channels::{BellId, Report, Reports},
    system::clock,
    system::os::{Process, Reserve},
    upgrade::{Adopted, HandedChild},
};

/// The parent's private list of its unreaped children: the only processes that are ever signalled.
#[derive(Debug)]
pub(crate) struct Table {
    /// By slot.
    children: Vec<Option<Child>>,
    slots: HashMap<Pid, SlotId>,
    /// Distinguishes the bells of one child from those of the slot's other children.
    serial: u32,
    /// How many connections they have accepted.
    pub(super) accepted: Accepted,
    reserve: Reserve,
}

/// A child, as its parent knows it.
#[derive(Debug)]
struct Child {
    pid: Pid,
    /// None once it has ended and is about to be reaped.
    process: Option<Process>,
    generation: Generation,
    /// The serial number of its bell.
    serial: u32,
    /// What it has reported, as far as that was read.
    reports: Reports,
    /// How many lines it could not write, as far as that is believed: as many can be lost as requests be answered.
    lost: RequestCount,
}

impl Table {
    pub(crate) fn new() -> io::Result<Self> {
        let (children, slots, accepted) = Default::default();
        Ok(Self { children, slots, serial: 0, accepted, reserve: Reserve::new()? })
    }

    /// Closes what it holds in a process just forked, whose memory stays as it is.
    pub(crate) fn close(self) {
        let Self { children, slots, serial: _, accepted, reserve } = self;
        let _shared = ManuallyDrop::new((children, slots, accepted));
        drop(reserve);
    }

    /// Names the bell of a child that is about to be forked.
    pub(crate) const fn next_bell(&mut self, slot: SlotId) -> BellId {
        self.serial = self.serial.wrapping_add(1);
        BellId { slot, serial: self.serial }
    }

    /// Notes a child that was just forked, with this bell.
    pub(crate) fn insert(&mut self, pid: Pid, generation: Generation, bell: BellId) {
        self.put(pid, generation, bell, Reports::default());
    }

    fn put(&mut self, pid: Pid, generation: Generation, bell: BellId, reports: Reports) {
        let process = Some(Process::of_our_own(pid));
        let BellId { slot, serial } = bell;
        self.slots.insert(pid, slot);
        if self.children.len() <= slot.index() {
            self.children.resize_with(slot.index() + 1, || None);
        }
        let lost = RequestCount::new(clock::now());
        let child = Child { pid, process, generation, serial, reports, lost };
        self.children[slot.index()] = Some(child);
    }

    fn child(&self, slot: SlotId) -> Option<&Child> {
        self.children.get(slot.index())?.as_ref()
    }

    fn child_mut(&mut self, slot: SlotId) -> Option<&mut Child> {
        self.children.get_mut(slot.index())?.as_mut()
    }

    fn children(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let slots = (0..).map(SlotId).zip(&self.children);
        slots.filter_map(|(slot, child)| Some((slot, child.as_ref()?)))
    }

    /// Goes on with the children of the old program, which are still this process's own, and not reaped.
    pub(crate) fn adopt(&mut self, adopted: &Adopted) {
        let children = adopted.supervisor.children.iter();
        let generations: HashMap<SlotId, Generation> =
            children.map(|child| (child.slot, child.generation)).collect();
        for HandedChild { slot, pid, bell, reports } in adopted.children.iter().copied() {
            let (generation, pid) = (generations.get(&slot), Pid::from_raw(pid));
            let (Some(generation), Some(pid)) = (generation, pid) else { continue };
            self.put(pid, *generation, BellId { slot, serial: bell }, reports);
            self.serial = self.serial.max(bell);
        }
    }

    /// All children, with their slots and generations.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotId, Pid, Generation)> {
        self.children().map(|(slot, child)| (slot, child.pid, child.generation))
    }

    /// Describes all children, for the next program in this process.
    pub(crate) fn hand_over(&self) -> Vec<HandedChild> {
        let children = self.children().map(|(slot, child)| HandedChild {
            slot,
            pid: child.pid.as_raw_nonzero().get(),
            bell: child.serial,
            reports: child.reports,
        });
        children.collect()
    }

    /// Returns the slot of the child whose bell it is; `None` if that is none that lives.
    pub(crate) fn slot_of(&self, bell: BellId) -> Option<SlotId> {
        self.child(bell.slot).filter(|child| child.serial == bell.serial).map(|_| bell.slot)
    }

    /// Notes what a child has reported, and returns what of it is new. What it takes back stays reported.
    pub(crate) fn note(
        &mut self,
        slot: SlotId,
        reports: Reports,
    ) -> impl Iterator<Item = Report> + use<> {
        let known = match self.child_mut(slot) {
            Some(child) => {
                let all = child.reports.union(reports);
                std::mem::replace(&mut child.reports, all)
            }
            None => reports,
        };
        reports.since(known)
    }

    /// Returns whether a child notices only a signal: it has never looked at its page, or does not any more.
    pub(crate) fn needs_signal(&self, slot: SlotId) -> bool {
        let reports = self.child(slot).map(|child| child.reports).unwrap_or_default();
        !reports.contains(Report::Ready) || reports.contains(Report::Polls)
    }

    /// Returns whether a child is in a main loop that has never looked whether it is to leave, or that only waits for
    /// that: what it prints goes where it went at its start.
    pub(crate) fn never_looks(&self, slot: SlotId) -> bool {
        let reports = self.child(slot).map(|child| child.reports).unwrap_or_default();
        reports.contains(Report::Entered) && self.needs_signal(slot)
    }

    /// Takes in how many lines a child says that it could not write; returns how many that are more than before.
    pub(crate) fn count_lost(&mut self, slot: SlotId, now: Time, claimed: u64) -> u64 {
        let Some(child) = self.child_mut(slot) else { return 0 };
        let before = child.lost.believed();
        let _ = child.lost.claim(now, claimed);
        child.lost.believed() - before
    }

    /// Lets go of a child that has ended and is about to be reaped: it is signalled no more. Returns whether it was
    /// one of ours.
    pub(crate) fn let_go(&mut self, pid: Pid) -> bool {
        let child = self.slot(pid).and_then(|slot| self.child_mut(slot));
        child.is_some_and(|child| child.process.take().is_some())
    }

    /// Takes a child off the list that has ended and was reaped; `None` if it was none of ours.
    pub(crate) fn remove(&mut self, pid: Pid) -> Option<(SlotId, Generation)> {
        let slot = self.slots.remove(&pid)?;
        let child = self.children.get_mut(slot.index())?.take()?;
        Some((slot, child.generation))
    }

    pub(crate) fn slot(&self, pid: Pid) -> Option<SlotId> {
        self.slots.get(&pid).copied()
    }

    /// Signals the child in a slot, if there is one that was not reaped.
    pub(crate) fn signal(&mut self, slot: SlotId, signal: Signal) -> io::Result<()> {
        let child = self.children.get(slot.index()).and_then(Option::as_ref);
        let Some(process) = child.and_then(|child| child.process.as_ref()) else { return Ok(()) };
        let sent = process.signal(signal, &mut self.reserve);
        self.reserve.restore();
        sent
    }

    pub(crate) fn pid(&self, slot: SlotId) -> Option<Pid> {
        self.child(slot).map(|child| child.pid)
    }
}

/// Returns a pid as the number that others are shown.
pub(super) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SLOT: SlotId = SlotId(2);

    fn with(pid: u32) -> (Table, Pid) {
        let mut table = Table::new().expect("made");
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        let bell = table.next_bell(SLOT);
        table.insert(pid, Generation(1), bell);
        (table, pid)
    }

    /// Its number may be another process's by then: here that is this very one.
    #[test]
    fn a_child_that_was_reaped_is_not_signalled() {
        let mut stranger = Command::new("sleep").arg("1000").spawn().expect("started");
        let (mut table, pid) = with(stranger.id());
        table.let_go(pid);
        table.signal(SLOT, Signal::KILL).expect("nothing is done");
        assert_eq!(table.pid(SLOT), Some(pid), "it can still be named");
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(stranger.try_wait().expect("looked").is_none());
        let (mut table, _) = with(stranger.id());
        table.signal(SLOT, Signal::KILL).expect("sent");
        assert!(!stranger.wait().expect("reaped").success());
    }

    #[test]
    fn what_a_child_takes_back_and_reports_again_is_not_new() {
        let (mut table, _) = with(1);
        let set = |reports: &[Report]| Reports::of(reports);
        let new = |table: &mut Table, reports: &[Report]| {
            table.note(SLOT, set(reports)).collect::<Vec<_>>()
        };
        assert_eq!(
            new(&mut table, &[Report::Ready, Report::Tired]),
            [Report::Ready, Report::Tired]
        );
        assert_eq!(new(&mut table, &[]), []);
        assert_eq!(new(&mut table, &[Report::Tired, Report::Polls]), [Report::Polls]);
    }
}
