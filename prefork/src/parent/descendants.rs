//! Ending what children have started and left behind.
//!
//! The parent is a subreaper: processes whose parent has ended become its own children. The tag that each child
//! has from the parent and leaves to all that it starts shows from which child they descend (see
//! [`Tags`]). Those of children that have ended are killed; what these had started becomes the parent's in its
//! turn. *When* to look is the supervisor's.

use prefork_core::{Descendants as Policy, Event, HandedTags, Owner, SlotId, Tags};
use rustix::process::Pid;

use super::Parent;
use crate::{
    logs::PoolMessage,
    logs::log::Log,
    system::clock,
    system::os::{
        Reaper, Shortage,
        orphans::{self, Children, End},
    },
};

/// How many are ended in one look, so that other events wait for a few milliseconds at the most.
const MOST: usize = 256;

/// The owner of each process that children have started.
#[derive(Debug)]
pub(crate) struct Descendants {
    /// `None` where they are kept.
    tags: Option<Tags>,
    /// The last failure, so that it is logged once.
    trouble: Option<String>,
    children: Children,
}

impl Descendants {
    /// Begins to collect them, or goes on with those of another program in this process.
    pub(super) fn begin(policy: Policy, handed: Option<&HandedTags>, log: &Log) -> Self {
        let none = Self { tags: None, trouble: None, children: Children::default() };
        let reaper = match (policy, handed) {
            (Policy::End, _) => Reaper::OfAll,
            // What a program has asked for itself stays.
            (Policy::Keep, None) => return none,
            (Policy::Keep, Some(_)) => Reaper::OfNone,
        };
        let applied = reaper.apply();
        let limit = orphans::own_tag();
        let obstacle = match (policy, applied) {
            (Policy::Keep, _) => return none,
            (Policy::End, Err(error)) => Some(format!("cannot become a subreaper: {error}")),
            (Policy::End, Ok(())) if !orphans::has_own_proc() => {
                Some("/proc is not that of this pid namespace; mount it".to_owned())
            }
            (Policy::End, Ok(())) if limit.is_some_and(|limit| limit < 2) => {
                Some("the limit of file locks (RLIMIT_LOCKS) leaves no room; raise it".to_owned())
            }
            (Policy::End, Ok(())) => None,
        };
        if let Some(obstacle) = obstacle {
            log.write(&PoolMessage::KeepsDescendants { error: &obstacle });
            return none;
        }
        let mut tags = Tags::below(limit);
        if let Some(handed) = handed {
            tags.adopt(handed);
        }
        Self { tags: Some(tags), trouble: None, children: Children::default() }
    }

    /// What the next program in this process needs to go on with them.
    pub(super) fn hand_over(&self) -> HandedTags {
        self.tags.as_ref().map(Tags::hand_over).unwrap_or_default()
    }

    /// Chooses the tag of a child that is about to be forked.
    pub(super) fn assign(&mut self, slot: SlotId) {
        if let Some(tags) = &mut self.tags {
            // A pool larger than its tags goes on without.
            let _ = tags.assign(slot);
        }
    }

    /// Notes that a child has ended, or was not forked.
    pub(super) fn release(&mut self, slot: SlotId) {
        if let Some(tags) = &mut self.tags {
            tags.release(slot);
        }
    }

    /// Ends what is still in the group of a child that has ended and was not reaped.
    pub(super) fn end_group(&self, child: Pid) {
        if self.tags.is_some() {
            orphans::kill_group_of(child);
        }
    }

    /// The tag of a child.
    pub(super) fn tag(&self, slot: SlotId) -> Option<u64> {
        self.tags.as_ref()?.tag_of(slot)
    }

    /// Ends those of children that have ended, [`MOST`] at a time; returns how many of them are there still, as far
    /// as it has looked. Children of the parent's own are passed over.
    fn end(&mut self, is_child: impl Fn(Pid) -> bool, log: &Log) -> usize {
        let Some(tags) = &self.tags else { return 0 };
        let (mut killed, mut others, mut trouble) = (0, 0, None);
        if let Err(error) = self.children.read() {
            // It is tried again, as if somebody were there.
            let short = Shortage::behind(&error);
            (others, trouble) = (1, Some(format!("cannot list them: {error}{short}")));
        }
        for pid in self.children.iter().filter(|pid| !is_child(*pid)) {
            if killed >= MOST {
                break;
            }
            match orphans::tag_of(pid).map(|tag| tags.owner(tag)) {
                None | Some(Owner::Stranger | Owner::Living) => {}
                Some(Owner::Ended) => match orphans::kill(pid) {
                    Ok(End::Killed) => killed += 1,
                    Ok(End::WasOver) => others += 1,
                    Ok(End::NotOurs) => {}
                    Err(error) => {
                        let number = pid.as_raw_nonzero();
                        trouble = Some(format!("cannot end process {number}: {error}"));
                        others += 1;
                    }
                },
            }
        }
        if let Some(trouble) =
            trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(trouble))
        {
            log.write(&PoolMessage::CannotEndDescendants { error: trouble });
        }
        self.trouble = trouble;
        killed + others
    }
}

impl Parent<'_> {
    /// Ends what children that have ended had started.
    pub(super) fn end_descendants(&mut self) {
        let begun = clock::now();
        let table = &self.table;
        let left = self.descendants.end(|pid| table.slot(pid).is_some(), &self.log);
        let now = clock::now();
        let took = now.since(begun);
        self.supervisor.handle(now, Event::DescendantsEnded { left, took });
    }
}
