//! Which process is in which slot.

use std::collections::{HashMap, HashSet};

use prefork_core::{Generation, SlotId};
use rustix::process::Pid;

use crate::{
    os::Message,
    upgrade::{Adopted, HandedChild},
};

/// The parent's private list of its unreaped children: the only pids that are ever signalled.
///
/// A pid stays the child's until the child has been reaped (see `wait(2)`); a number from any other
/// place may belong to anybody.
#[derive(Debug, Default)]
pub(crate) struct Table {
    children: HashMap<Pid, (SlotId, Generation)>,
    pids: HashMap<SlotId, Pid>,
    buried: HashMap<SlotId, Pid>,
    /// The children that look at the parent's word, and notice it.
    attentive: HashSet<SlotId>,
}

impl Table {
    pub(crate) fn insert(&mut self, pid: Pid, slot: SlotId, generation: Generation) {
        self.children.insert(pid, (slot, generation));
        self.pids.insert(slot, pid);
        self.attentive.remove(&slot);
    }

    /// Goes on with the children of the program of before, who are still this process's own, and not
    /// reaped.
    pub(crate) fn adopt(&mut self, adopted: &Adopted) {
        let children = adopted.supervisor.children.iter();
        let generations: HashMap<SlotId, Generation> =
            children.map(|child| (child.slot, child.generation)).collect();
        for HandedChild { slot, pid, attentive } in adopted.children.iter().copied() {
            let (generation, pid) = (generations.get(&slot), Pid::from_raw(pid));
            let (Some(generation), Some(pid)) = (generation, pid) else { continue };
            self.insert(pid, slot, *generation);
            if attentive {
                self.attentive.insert(slot);
            }
        }
    }

    /// Tells of all children, for the next program in this process.
    pub(crate) fn hand_over(&self) -> Vec<HandedChild> {
        let children = self.children.iter().map(|(pid, (slot, _))| HandedChild {
            slot: *slot,
            pid: pid.as_raw_nonzero().get(),
            attentive: self.attentive.contains(slot),
        });
        children.collect()
    }

    /// Notes what a message says of how its child can be asked to leave.
    pub(crate) fn note(&mut self, slot: SlotId, message: Message) {
        match message {
            Message::Ready => {
                self.attentive.insert(slot);
            }
            Message::Polls => {
                self.attentive.remove(&slot);
            }
            Message::Entered | Message::Worked | Message::Tired | Message::Extend(_) => {}
        }
    }

    /// Tells whether a child notices only a signal.
    pub(crate) fn needs_signal(&self, slot: SlotId) -> bool {
        !self.attentive.contains(&slot)
    }

    /// Takes a reaped child off the list; `None` if it was none of ours.
    pub(crate) fn remove(&mut self, pid: Pid) -> Option<(SlotId, Generation)> {
        let (slot, generation) = self.children.remove(&pid)?;
        self.pids.remove(&slot);
        self.buried.insert(slot, pid);
        Some((slot, generation))
    }

    pub(crate) fn slot(&self, pid: Pid) -> Option<SlotId> {
        self.children.get(&pid).map(|(slot, _)| *slot)
    }

    pub(crate) fn pid(&self, slot: SlotId) -> Option<Pid> {
        self.pids.get(&slot).copied()
    }

    /// The pid of the last child that was taken off a slot, for messages about it.
    pub(crate) fn buried(&self, slot: SlotId) -> Option<Pid> {
        self.buried.get(&slot).copied()
    }
}
