//! Lines about children that have died, which wait until the dead are replaced.
//!
//! Finding out whether memory was short means reading a dozen files of control groups, and even a plain line is
//! formatted and written with a lock: that is not to stand between a death and the fork that replaces it.

use std::{fmt::Display, time::Duration};

use prefork_core::{Allowance, ChildId, ChildNotice, Exit, Notice, OutOfMemory, PoolNotice};

use super::Parent;
use crate::{
    logs::describe::{Children, Ended, Killed, SIGKILL, Span},
    logs::notices::{self, About},
    logs::{Answered, InHand, PoolMessage},
    system::clock,
    system::os::memory_counts,
};

/// So many children that exit with 0 in the middle of a request are logged at once, and one more in each pause.
const AT_ONCE: u32 = 128;
const PAUSE: Duration = Duration::from_secs(10);

/// The lines, and what is known to explain them.
#[derive(Debug)]
pub(super) struct Deaths {
    held_back: Vec<Notice>,
    /// Those of whose end the supervisor has not said anything yet.
    dead: Vec<Dead>,
    memory: OutOfMemory,
    unfinished: Allowance,
}

/// A child that has ended.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) child: ChildId,
    pub(super) exit: Exit,
    pub(super) lived: Duration,
    /// What it had in hand, and what it had done.
    pub(super) about: About,
}

impl Deaths {
    pub(super) fn new() -> Self {
        let (held_back, dead) = Default::default();
        let memory = OutOfMemory::since(memory_counts());
        Self { held_back, dead, memory, unfinished: Allowance::new(AT_ONCE, PAUSE) }
    }

    /// Takes in that a child has ended.
    pub(super) fn add(&mut self, dead: Dead) {
        self.dead.push(dead);
    }

    /// Holds a notice back.
    pub(super) fn hold_back(&mut self, notice: Notice) {
        self.held_back.push(notice);
    }

    /// Takes what is known of the child that a notice is about.
    fn take(&mut self, notice: Notice) -> Option<Dead> {
        let ended = notice.child()?;
        let place = self.dead.iter().position(|dead| dead.child == ended)?;
        Some(self.dead.remove(place))
    }
}

impl Parent<'_> {
    /// Logs the deaths whose lines were held back.
    pub(super) fn log_deaths(&mut self) {
        let mut counts = None;
        for notice in std::mem::take(&mut self.deaths.held_back) {
            let about = self.deaths.take(notice).map_or_else(About::default, |dead| dead.about);
            let reason = match how(notice) {
                _ if !about.reason.is_empty() => about.reason,
                Some(exit) if exit == SIGKILL => {
                    let counts = counts.get_or_insert_with(memory_counts).clone();
                    Killed(self.deaths.memory.explain(clock::now(), counts)).to_string()
                }
                Some(_) | None => String::new(),
            };
            notices::log(&self.log, notice, &About { reason, ..about });
        }
    }

    /// Logs the ends of children about which the supervisor has no notice: those in order, and some that have left a
    /// request all the same.
    pub(super) fn log_departures(&mut self) {
        let children = self.supervisor.alive();
        for dead in std::mem::take(&mut self.deaths.dead) {
            let Dead { child: ChildId { slot, pid: child_pid }, exit, lived, about } = dead;
            let About { in_hand, requests, .. } = about;
            let (duration, requests) = (Span(lived), Answered(requests));
            let has_request = matches!(in_hand, InHand::Request { .. });
            if exit == Exit::Code(0) && has_request && self.deaths.unfinished.take(clock::now()) {
                self.log.write(&PoolMessage::LeftRequest {
                    child_pid,
                    slot,
                    duration,
                    requests,
                    label: in_hand.label(),
                    client: in_hand.client(),
                    busy: in_hand.time().map(Span),
                    in_hand: &in_hand,
                });
            } else {
                let (how, children) = (Ended(exit), Children(children));
                let how: &dyn Display = &how;
                let left =
                    PoolMessage::ChildLeft { child_pid, slot, how, duration, requests, children };
                self.log.write(&left);
            }
        }
    }
}

/// Whether a notice is about a death, or follows from one.
pub(super) const fn is_about_a_death(notice: Notice) -> bool {
    matches!(
        notice,
        Notice::Child(_, ChildNotice::DiedAbnormally { .. })
            | Notice::Pool(PoolNotice::MoreDied { .. })
            | Notice::Pool(PoolNotice::Throttled { .. })
    )
}

/// How the child has ended that a notice is about, or the last one of several.
const fn how(notice: Notice) -> Option<Exit> {
    match notice {
        Notice::Child(_, ChildNotice::DiedAbnormally { exit, .. })
        | Notice::Pool(PoolNotice::MoreDied { last: exit, .. }) => Some(exit),
        _ => None,
    }
}
