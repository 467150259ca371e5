//! When to look at a program, and what has begun and ended between two looks.
//!
//! At rest nobody looks: the driver waits for the listening socket to become readable, once, and reports that by
//! [`Observer::stirred`]. From then on looks follow each other, each at twice the distance, for as long as the program holds
//! connections. A look begins with the question whether the program has run at all, which costs one call; only if it has are its
//! descriptors read. Where others of the pool take all that comes, a program does not run, and is asked ever less often.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Facts, Judgement, budget::Budget};
use crate::Time;

/// How many requests a program serves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtOnce {
    /// One: a connection of which nothing has come yet keeps it from others, and is in hand.
    One,
    /// Many.
    Many,
}

/// What a program does that serves one connection at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stance {
    /// It waits for the next connection, or may, or nothing is known of that.
    #[default]
    Accepts,
    /// It waits for the client of a connection that it holds.
    Reads,
    /// Something else: it works, whatever has been sent by its connection.
    Works,
}

/// A connection that was found, by the inode of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which socket it is.
    pub inode: u64,
    /// What the kernel reports of it.
    pub facts: Facts,
}

/// A request that has begun or ended, by the inode of its connection; those that the program reports itself are numbered from
/// `u64::MAX` down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in hand now.
    Begun(u64),
    /// It is in hand, but what comes next is its client's to send, which may take any time.
    Waits(u64),
    /// It is not in hand any more.
    Ended(u64),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing, until the next time.
    NotNow,
    /// Read which connections the program holds, and report that by [`Observer::found`].
    AtConnections,
}

/// Observes one program: see the module.
#[derive(Clone, Debug)]
pub struct Observer {
    at_once: AtOnce,
    stance: Stance,
    budget: Budget,
    /// When to look next; none at rest.
    due: Option<Time>,
    /// How long after a look the next one follows.
    distance: Duration,
    /// Whether the listening socket is to be waited for.
    is_armed: bool,
    /// How long after the socket became readable the first look is.
    patience: Duration,
    /// Since when it has been at rest.
    resting_since: Time,
    ran_at: Time,
    looked_at: Time,
    /// When a connection was held last.
    held_at: Time,
    known: BTreeMap<u64, Known>,
    /// How many the program says it has in hand.
    reported: Option<u32>,
    accepted: u64,
    changes: VecDeque<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    judgement: Judgement,
    is_in_hand: bool,
    /// Whether its client is waited for.
    waits: bool,
    facts: Facts,
    /// Since when as many bytes are unsent.
    unsent_since: Time,
}

/// How long after the first sign of a connection the first look is.
const FIRST: Duration = Duration::from_millis(50);
/// The longest distance of two looks; those that cost too much may be further apart, as the budget says.
const LONGEST: Duration = Duration::from_secs(1);
/// For how long a program without connections is looked at.
const EMPTY: Duration = Duration::from_secs(2);
/// After so long, a client that takes nothing of its answer is not served any more.
const STUCK: Duration = Duration::from_secs(10);

impl Observer {
    /// Begins at rest, with how much of each second may be spent on looking: see [`budget_of`](Self::budget_of).
    #[must_use]
    pub const fn new(now: Time, at_once: AtOnce, budget: Duration) -> Self {
        Self {
            at_once,
            stance: Stance::Accepts,
            budget: Budget::new(now, budget),
            due: None,
            distance: FIRST,
            is_armed: true,
            patience: FIRST,
            resting_since: now,
            ran_at: now,
            looked_at: now,
            held_at: now,
            known: BTreeMap::new(),
            reported: None,
            accepted: 0,
            changes: VecDeque::new(),
        }
    }

    /// Returns the share of one program of so many: together they spend 0.4 percent of a second, and with what is not measured
    /// less than half a percent.
    #[must_use]
    pub fn budget_of(programs: u32) -> Duration {
        Duration::from_millis(4) / programs.max(1)
    }

    /// Returns when to look next; `None` at rest.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Returns whether to wait for the listening socket to become readable: once, as for `EPOLLONESHOT`.
    #[must_use]
    pub const fn is_armed(&self) -> bool {
        self.is_armed
    }

    /// Returns how many requests are in hand.
    #[must_use]
    pub fn in_hand(&self) -> u32 {
        let seen = || self.known.values().filter(|known| known.is_in_hand).count();
        self.reported.unwrap_or_else(|| u32::try_from(seen()).unwrap_or(u32::MAX))
    }

    /// Returns how many connections the program holds.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.known.len()
    }

    /// Returns how many connections were seen to be accepted; those that end between two looks are not among them.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns the next of what has begun or ended, in the order in which to report it.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Notes how much of a processor was used since that was noted last: before anything else that happens.
    pub fn spent(&mut self, now: Time, cost: Duration) {
        self.budget.spend(now, cost);
    }

    /// Notes that the listening socket has become readable: somebody of the pool will accept.
    pub fn stirred(&mut self, now: Time) {
        if !self.is_armed {
            return;
        }
        self.is_armed = false;
        // After a pause this may be the first of many.
        if now.since(self.resting_since) >= EMPTY {
            self.patience = FIRST;
        }
        self.distance = FIRST;
        self.due = Some(self.budget.earliest(now, now + self.patience));
    }

    /// Notes how many requests the program says it has in hand, which is believed; `None` if it says so no more.
    pub fn reported(&mut self, now: Time, in_hand: Option<u32>) {
        let before = self.reported.unwrap_or(0);
        if self.reported.is_none() && in_hand.is_some() {
            self.let_go(|_| false);
        }
        self.reported = in_hand;
        let after = in_hand.unwrap_or(0);
        let key = |number: u32| u64::MAX - u64::from(number);
        self.changes.extend((after..before).rev().map(|number| Change::Ended(key(number))));
        self.changes.extend((before..after).map(|number| Change::Begun(key(number))));
        match in_hand {
            Some(_) => (self.due, self.is_armed) = (None, false),
            None if before > 0 || self.due.is_none() => {
                (self.due, self.is_armed) = (Some(now), false);
            }
            None => {}
        }
    }

    /// Takes in, when a look is due, whether the program has run since the last one.
    pub fn look(&mut self, now: Time, ran: bool) -> Look {
        if ran {
            self.ran_at = now;
            self.patience = FIRST;
        }
        if ran || self.known.values().any(Known::may_change) {
            return Look::AtConnections;
        }
        self.looked_at = now;
        if self.known.is_empty() {
            // Others took what came.
            self.patience = (self.patience * 2).min(LONGEST);
            self.rest(now);
        } else {
            self.held_at = now;
            self.wait_longer(now);
        }
        Look::NotNow
    }

    /// Returns whether it matters what the program does: [`in_stance`](Self::in_stance) is to be called before
    /// [`found`](Self::found) if there are any connections.
    #[must_use]
    pub const fn wants_stance(&self) -> bool {
        matches!(self.at_once, AtOnce::One)
    }

    /// Takes in what the program does, for the next call of [`found`](Self::found).
    ///
    /// One that serves one connection at a time is occupied by any that it holds, unless it waits for the next one beside it:
    /// the kernel cannot know whether an answer is complete.
    pub const fn in_stance(&mut self, stance: Stance) {
        self.stance = stance;
    }

    /// Takes in which connections the program holds.
    pub fn found(&mut self, now: Time, connections: &[Found]) {
        if self.reported.is_some() {
            return;
        }
        let since_last = now.since(self.looked_at);
        let rested = now.since(self.ran_at);
        let before = self.changes.len();
        let found: BTreeMap<u64, Facts> =
            connections.iter().map(|found| (found.inode, found.facts)).collect();
        self.let_go(|inode| found.contains_key(inode));
        for (&inode, &facts) in &found {
            self.see(now, inode, facts, rested, since_last);
        }
        self.looked_at = now;
        if !self.known.is_empty() {
            self.held_at = now;
        } else if now.since(self.held_at) >= EMPTY {
            self.rest(now);
            return;
        }
        if self.changes.len() > before {
            self.distance = (self.distance / 2).max(FIRST);
            self.due = Some(self.budget.earliest(now, now + self.distance));
        } else {
            self.wait_longer(now);
        }
    }

    /// Takes in one connection.
    fn see(&mut self, now: Time, inode: u64, facts: Facts, rested: Duration, since_last: Duration) {
        let old = self.known.get(&inode).copied();
        let unsent_since = match old {
            Some(old) if old.facts.unsent == facts.unsent => old.unsent_since,
            Some(_) | None => now,
        };
        let is_stuck = now.since(unsent_since) >= STUCK;
        let judged = Facts { unsent: if is_stuck { 0 } else { facts.unsent }, ..facts };
        let judgement = judged.judge(rested);
        let is_quiet = !matches!(judgement, Judgement::AtWork);
        let (is_in_hand, waits) = match (self.at_once, self.stance, judgement) {
            (AtOnce::One, Stance::Reads, _) => (true, is_quiet),
            (AtOnce::One, Stance::Works, _) => (true, false),
            (AtOnce::One, Stance::Accepts, Judgement::Silent) => (true, false),
            (AtOnce::One | AtOnce::Many, ..) => (judgement.is_in_hand(), false),
        };
        self.known.insert(inode, Known { judgement, is_in_hand, waits, facts, unsent_since });
        self.accepted += u64::from(old.is_none());
        let was_in_hand = old.is_some_and(|old| old.is_in_hand);
        let is_another = old.is_some_and(|old| {
            self.at_once == AtOnce::Many && facts.exchange.is_none() && rested < since_last
                || old.waits && !waits
                || another_request(&old.facts, &facts, since_last)
        });
        if was_in_hand && (!is_in_hand || is_another) {
            self.changes.push_back(Change::Ended(inode));
        }
        if is_in_hand && (!was_in_hand || is_another) {
            self.changes.push_back(Change::Begun(inode));
        }
        if waits && (is_another || old.is_none_or(|old| !old.waits)) {
            self.changes.push_back(Change::Waits(inode));
        }
    }

    /// Forgets connections that are no more.
    fn let_go(&mut self, is_there: impl Fn(&u64) -> bool) {
        self.known.retain(|inode, known| {
            let stays = is_there(inode);
            if !stays && known.is_in_hand {
                self.changes.push_back(Change::Ended(*inode));
            }
            stays
        });
    }

    fn wait_longer(&mut self, now: Time) {
        self.due = Some(self.budget.earliest(now, now + self.distance));
        self.distance = (self.distance * 2).min(LONGEST);
    }

    fn rest(&mut self, now: Time) {
        self.due = None;
        self.is_armed = true;
        self.resting_since = now;
        self.distance = FIRST;
    }
}

impl Known {
    /// Whether it may be something else soon although the program does not run.
    fn may_change(&self) -> bool {
        match self.judgement {
            Judgement::Answered => true,
            // Its client may take the answer, or a tie of two times may be resolved.
            Judgement::AtWork => {
                self.facts.unsent > 0
                    || self.facts.exchange.is_none_or(|exchange| exchange.is_unclear())
            }
            Judgement::KeptAlive | Judgement::Silent => false,
        }
    }
}

/// Whether what is in hand is another request than that of the last look: of one that was answered meanwhile the answer was
/// sent, and data has come since.
fn another_request(old: &Facts, new: &Facts, since_last: Duration) -> bool {
    let (Some(old), Some(new)) = (&old.exchange, &new.exchange) else { return false };
    new.sent != old.sent && new.received != old.received && new.received_ago <= since_last
}

#[cfg(test)]
mod tests;
