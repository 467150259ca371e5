//! How to stop a program so that no client loses its answer, however badly the program treats the signal to stop.
//!
//! First it is kept from accepting more: its door is closed. A program that waits by `epoll(7)` has its listening sockets taken
//! from there, and goes on with what it has. When nothing is in hand and it sleeps, it is sent the signal. Of a program that
//! waits in `accept(2)` or `poll(2)` nothing can be taken: it is traced, and held when it is about to accept again with nothing
//! in hand. There it is ended, if it does not handle the signal; else it is sent that, and goes on as if the signal had
//! interrupted the call. (What handles a signal does not always finish what it has in hand.) Where tracing is refused, one that
//! handles the signal is simply sent it, and another is stopped now and then, until it is found without a request in hand.
//!
//! All that takes as long as requests take. The parent, which waits for the child, has limits for that.

use std::time::Duration;

use super::{Facts, Judgement};
use crate::Time;

/// What a program does with the signal to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// What the kernel does by default.
    Default,
    /// It has a handler, or waits for it.
    Handled,
    /// Nothing.
    Ignored,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAction {
    /// Take the listening sockets from what the program waits for, and report it by [`Stop::door`].
    CloseDoor,
    /// Go on tracing those that accept, for a moment, and report it by [`Stop::held`].
    Hold,
    /// Look at the connections, and report it by [`Stop::seen`].
    Look,
    /// Stop all processes of the program with `SIGSTOP`, until [`Thaw`](Self::Thaw) or [`Kill`](Self::Kill).
    Freeze,
    /// Have them go on.
    Thaw,
    /// Send the program the signal to stop, or run the command for that.
    Signal,
    /// End all its processes at once: nothing is in hand.
    Kill,
}

/// Whether a program was kept from accepting more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// It does not hear of new connections any more.
    Closed,
    /// It waits in another way, or that was refused.
    Open,
}

/// How far those are that are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Some are on their way, and one has come a step further.
    Moving,
    /// They are where they were.
    Waiting,
    /// All that accept are held at it, and others may still work.
    Acceptors,
    /// Nothing of the program runs, and nothing is in hand.
    Everything,
    /// Tracing is not allowed.
    Refused,
}

/// The stop of one program: see the module.
#[derive(Clone, Debug)]
pub struct Stop {
    treatment: Treatment,
    phase: Phase,
    due: Option<Time>,
    distance: Duration,
    /// Origin when on it is not waited for connections that are always at work.
    impatient_at: Time,
    /// When its connections were seen last.
    seen_at: Time,
    /// Since when nothing of it has run.
    rested_since: Option<Time>,
    /// In how many looks in a row nothing was in hand.
    calm: u32,
    /// How many connections had a request in hand in the last look.
    in_hand: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ClosingDoor,
    /// The door is closed.
    Draining,
    /// Those that accept are on their way to be held.
    Holding,
    /// They are not, yet: perhaps it waits for the next request of a connection.
    Waiting,
    /// They are held.
    Held,
    /// About to be stopped.
    Freezing(Origin),
    /// Stopped, since then.
    Frozen(Origin, Time),
    /// To go on.
    Thawing(Origin),
    Signalling,
    Killing,
    /// The signal was sent.
    Signalled,
    Killed,
}

/// Where it was when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It is kept from accepting, because it is not woken.
    Draining,
    /// It is kept from accepting, because those that accept are held.
    Held,
    /// Those that accept are on their way to be held.
    Holding,
    /// It accepts.
    Trying,
    /// What it has in hand cannot be seen.
    Unseen,
}

const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);
/// The longest that a program which is not kept from accepting goes on between two attempts to find it with nothing in hand.
const TRYING: Duration = Duration::from_millis(8);
/// After the signal nothing depends on how often it is looked.
const LONGEST_SIGNALLED: Duration = Duration::from_millis(250);
/// How long a program stays stopped until all that it holds can be judged.
const FROZEN: Duration = Duration::from_millis(80);
/// A connection that is silent for longer is not waited for.
const SILENT: Duration = Duration::from_secs(3);
/// In so many looks without a request in hand a program that always runs counts as calm.
const CALM: u32 = 25;

impl Stop {
    /// Begins to stop a program that does this with the signal.
    ///
    /// After `patience` it is not waited any more for a moment in which nothing is in hand: a program that handles the signal
    /// is sent it, and of others any moment between two requests will do.
    #[must_use]
    pub fn new(now: Time, treatment: Treatment, patience: Duration) -> Self {
        Self {
            treatment,
            phase: Phase::ClosingDoor,
            due: Some(now),
            distance: SHORTEST,
            impatient_at: now + patience,
            seen_at: now,
            rested_since: None,
            calm: 0,
            in_hand: 0,
        }
    }

    /// Returns when [`next_action`](Self::next_action) is to be asked; `None` if nothing remains to be done.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Returns how many connections had a request in hand when that was seen last.
    #[must_use]
    pub const fn in_hand(&self) -> u32 {
        self.in_hand
    }

    /// Returns whether the signal was sent, or the program killed: that it ends is no accident.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Signalled | Phase::Killed)
    }

    /// Returns what to do now, if anything is due.
    pub fn next_action(&mut self, now: Time) -> Option<StopAction> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        // Until the action is reported nothing else is due; those that are not reported set it themselves.
        self.due = None;
        Some(match self.phase {
            Phase::ClosingDoor => StopAction::CloseDoor,
            Phase::Holding => StopAction::Hold,
            Phase::Draining
            | Phase::Waiting
            | Phase::Held
            | Phase::Frozen(..)
            | Phase::Signalled => StopAction::Look,
            Phase::Freezing(from) => {
                self.go_to(Phase::Frozen(from, now), now);
                StopAction::Freeze
            }
            Phase::Thawing(from) => {
                let due = match from {
                    Origin::Unseen => now,
                    Origin::Trying => now + self.longer(TRYING) + uneven(now),
                    Origin::Draining | Origin::Held | Origin::Holding => now + self.longer(LONGEST),
                };
                let next = match from {
                    Origin::Draining => Phase::Draining,
                    Origin::Held => Phase::Held,
                    Origin::Holding => Phase::Holding,
                    Origin::Trying => Phase::Freezing(Origin::Trying),
                    Origin::Unseen => Phase::Signalling,
                };
                self.go_to(next, due);
                StopAction::Thaw
            }
            Phase::Signalling => {
                self.distance = SHORTEST;
                self.go_to(Phase::Signalled, now + SHORTEST);
                StopAction::Signal
            }
            Phase::Killing => {
                self.phase = Phase::Killed;
                StopAction::Kill
            }
            Phase::Killed => return None,
        })
    }

    /// Notes whether the door could be closed.
    pub fn door(&mut self, now: Time, door: Door) {
        match door {
            Door::Closed => self.go_to(Phase::Draining, now),
            Door::Open => self.go_to(Phase::Holding, now),
        }
    }

    /// Notes how far those are that are traced.
    pub fn held(&mut self, now: Time, holding: Holding) {
        match holding {
            // One that always moves, as it asks for connections again and again, is looked at nevertheless.
            Holding::Moving if now.since(self.seen_at) >= LONGEST => {
                self.go_to(Phase::Waiting, now);
            }
            Holding::Moving => {
                self.distance = SHORTEST;
                self.due = Some(now);
            }
            Holding::Waiting => {
                let due = now + self.longer(LONGEST);
                self.go_to(Phase::Waiting, due);
            }
            Holding::Acceptors => {
                self.distance = SHORTEST;
                self.go_to(Phase::Held, now);
            }
            Holding::Everything => {
                self.in_hand = 0;
                let end = match self.treatment {
                    // It is sent it before those that are held go on.
                    Treatment::Handled => Phase::Signalling,
                    Treatment::Default | Treatment::Ignored => Phase::Killing,
                };
                self.go_to(end, now);
            }
            // It alone knows between what it can end.
            Holding::Refused if self.treatment == Treatment::Handled => {
                self.go_to(Phase::Signalling, now);
            }
            Holding::Refused => {
                self.distance = SHORTEST;
                self.go_to(Phase::Freezing(Origin::Trying), now);
            }
        }
    }

    /// Notes what was seen: its connections, whether it has run since the last look, and whether all its threads sleep, or
    /// are stopped.
    pub fn seen(&mut self, now: Time, connections: &[Facts], ran: bool, asleep: bool) {
        self.seen_at = now;
        if ran {
            self.rested_since = None;
        }
        let rested = now.since(*self.rested_since.get_or_insert(now));
        let judged = |facts: &&Facts| is_in_hand(facts, facts.judge(rested));
        let busy = connections.iter().filter(judged).count();
        let answering = |facts: &&Facts| facts.judge(rested) == Judgement::Answered;
        let answering = connections.iter().filter(answering).count();
        self.in_hand = u32::try_from(busy).unwrap_or(u32::MAX);
        match self.phase {
            Phase::Draining | Phase::Waiting | Phase::Held if busy + answering == 0 => {
                self.calm += 1;
                if (!ran && asleep && self.calm > 1) || self.calm >= CALM {
                    self.nothing_in_hand(now);
                } else {
                    self.distance = SHORTEST;
                    self.go_on(now, now + SHORTEST);
                }
            }
            Phase::Draining | Phase::Waiting | Phase::Held => {
                self.calm = 0;
                if now >= self.impatient_at {
                    self.lose_patience(now);
                } else {
                    let due = now + self.longer(LONGEST);
                    self.go_on(now, due);
                }
            }
            Phase::Frozen(from, since) => {
                let unclear = |facts: &Facts| facts.exchange.is_some_and(|it| it.is_unclear());
                if asleep && busy == 0 {
                    self.go_to(Phase::Killing, now);
                } else if now.since(since) < FROZEN && (!asleep || connections.iter().any(unclear))
                {
                    self.due = Some(now + SHORTEST);
                } else {
                    self.go_to(Phase::Thawing(from), now);
                }
            }
            Phase::Signalled => self.due = Some(now + self.longer(LONGEST_SIGNALLED)),
            Phase::ClosingDoor
            | Phase::Holding
            | Phase::Freezing(_)
            | Phase::Thawing(_)
            | Phase::Signalling
            | Phase::Killing
            | Phase::Killed => {}
        }
    }

    /// Goes on after a look that has decided nothing.
    fn go_on(&mut self, now: Time, due: Time) {
        if self.phase == Phase::Waiting {
            self.go_to(Phase::Holding, now);
        } else {
            self.due = Some(due);
        }
    }

    /// Notes that what the program has in hand cannot be seen: it is sent the signal, as nothing else can be waited for.
    pub fn unseen(&mut self, now: Time) {
        match self.phase {
            Phase::Frozen(..) => self.go_to(Phase::Thawing(Origin::Unseen), now),
            Phase::Signalled => self.due = None,
            Phase::Killing | Phase::Killed => {}
            Phase::ClosingDoor
            | Phase::Draining
            | Phase::Holding
            | Phase::Waiting
            | Phase::Held
            | Phase::Freezing(_)
            | Phase::Thawing(_)
            | Phase::Signalling => self.go_to(Phase::Signalling, now),
        }
    }

    /// It accepts no more, and nothing is in hand.
    fn nothing_in_hand(&mut self, now: Time) {
        let takes_signal = match self.treatment {
            Treatment::Handled => true,
            Treatment::Default => self.phase == Phase::Draining,
            Treatment::Ignored => false,
        };
        if takes_signal {
            self.go_to(Phase::Signalling, now);
        } else {
            // Those that are held take no signal, and others of its threads may run.
            self.freeze(now);
        }
    }

    /// Some connections are always at work, as those of clients that follow an answer with a request.
    fn lose_patience(&mut self, now: Time) {
        match self.treatment {
            Treatment::Handled => self.go_to(Phase::Signalling, now),
            Treatment::Default | Treatment::Ignored => self.freeze(now),
        }
    }

    fn freeze(&mut self, now: Time) {
        self.calm = 0;
        let from = if self.phase == Phase::Held {
            Origin::Held
        } else if self.phase == Phase::Waiting {
            Origin::Holding
        } else {
            Origin::Draining
        };
        self.go_to(Phase::Freezing(from), now);
    }

    fn go_to(&mut self, phase: Phase, due: Time) {
        self.phase = phase;
        self.due = Some(due);
    }

    fn longer(&mut self, longest: Duration) -> Duration {
        let distance = self.distance;
        self.distance = (distance * 2).min(longest);
        distance
    }
}

/// Some time that is never the same, so that requests of always the same length are not met always at the same point.
fn uneven(now: Time) -> Duration {
    // What is left of the time below a few milliseconds is as good as chance.
    Duration::from_nanos(u64::from(now.since_origin().subsec_nanos()) % 4_000_000)
}

/// Whether a client would lose something if the program ended now.
fn is_in_hand(facts: &Facts, judgement: Judgement) -> bool {
    match judgement {
        Judgement::AtWork => true,
        Judgement::Silent => facts.exchange.is_none_or(|it| it.received_ago < SILENT),
        Judgement::Answered | Judgement::KeptAlive => false,
    }
}

#[cfg(test)]
mod tests;
