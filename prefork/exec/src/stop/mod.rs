//! Stopping a program from outside: carries out what [`Stop`] decides.

mod trace;

use std::{io, os::fd::BorrowedFd, time::Duration};

use prefork_core::{
    Time,
    program::{Door, Facts, Judgement, Stance, Stop, StopAction, Treatment},
};
use rustix::process::Signal;

use self::trace::Trace;
use crate::{
    door,
    look::{Client, Held, Listeners, Tree},
};

/// A program that is being stopped.
///
/// The main loop calls [`step`](Self::step) whenever [`due`](Self::due) has come, and waits for the program's end as ever:
/// none of this waits for more than some milliseconds. When it is dropped, nothing of the program is left stopped or traced.
#[derive(Debug)]
pub(crate) struct Stopping {
    stop: Stop,
    tree: Tree,
    listeners: Listeners,
    held: Held,
    trace: Option<Trace>,
    /// When traced threads are to be attended to.
    attend_at: Option<Time>,
    stands: bool,
    /// When the signal was sent, for which those that are held wait.
    signalled_at: Option<Time>,
    door: Door,
    /// What it did when it was not stopped last.
    stance: Stance,
    /// Why it could not be seen what is in hand.
    unseen: Option<io::Error>,
    was_killed: bool,
    /// The clients that had a request in hand when that was seen last.
    in_hand: Vec<Client>,
}

/// What the main loop has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// Send the program the signal to stop, or run the command for that: once.
    Signal,
}

/// What is known of a program that was stopped, once it has ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Whether it was ended between two requests, instead of being sent a signal.
    pub(crate) was_killed: bool,
    /// The clients that had a request in hand when that was seen last.
    pub(crate) cut_off: Vec<Client>,
    /// Why it could not be seen what was in hand.
    pub(crate) unseen: Option<io::Error>,
}

/// For how long those that are held at `accept(2)` are kept there until they are sent the signal, perhaps by another process of
/// the program.
const SIGNALLED: Duration = Duration::from_secs(2);

/// After so long a process of several threads counts as having got the signal: one of the others takes it at once, and nothing
/// shows that.
const TAKEN: Duration = Duration::from_millis(50);

/// How soon traced threads are attended to again.
const ATTEND: Duration = Duration::from_millis(1);

impl Stopping {
    /// Begins to stop a program.
    ///
    /// `treatment` is what it does with the signal to stop, and [`Treatment::Handled`] if a command is run instead. See
    /// [`Stop::new`] for `patience`.
    pub(crate) fn begin(
        now: Time,
        tree: Tree,
        listeners: Listeners,
        treatment: Treatment,
        patience: Duration,
    ) -> Self {
        Self {
            stop: Stop::new(now, treatment, patience),
            tree,
            listeners,
            held: Held::default(),
            trace: None,
            attend_at: None,
            stands: false,
            signalled_at: None,
            door: Door::Open,
            stance: Stance::Accepts,
            unseen: None,
            was_killed: false,
            in_hand: Vec::new(),
        }
    }

    /// Returns when to call [`step`](Self::step) again; `None` if only its end is to be waited for.
    pub(crate) fn due(&self) -> Option<Time> {
        [self.stop.due(), self.attend_at].into_iter().flatten().min()
    }

    /// Returns whether the program was sent the signal or was killed, so that its end is expected.
    pub(crate) const fn is_ending(&self) -> bool {
        self.stop.is_ending()
    }

    /// Does what is due; `sockets` are those of the listeners, in their order.
    pub(crate) fn step(&mut self, now: Time, sockets: &[BorrowedFd<'_>]) -> Wanted {
        if self.attend_at.is_some_and(|at| at <= now) {
            self.attend(now);
        }
        let Some(action) = self.stop.next_action(now) else { return Wanted::Nothing };
        let done = match action {
            StopAction::CloseDoor => self.close_door(now, sockets),
            StopAction::Hold => self.hold(now),
            StopAction::Look => self.look(now, sockets),
            StopAction::Freeze => self.freeze(),
            StopAction::Thaw => self.thaw().map(|()| self.attend_later(now)),
            StopAction::Kill => self.kill(now),
            StopAction::Signal => {
                if let Some(trace) = &mut self.trace {
                    trace.let_running_go();
                    self.signalled_at = Some(now);
                    self.attend_at = Some(now);
                }
                // How it ends is seen by what it has in hand now.
                if self.unseen.is_none()
                    && let Err(error) = self.see()
                {
                    self.unseen = Some(error);
                }
                return Wanted::Signal;
            }
        };
        if let Err(error) = done {
            // It is not left standing, whatever was refused.
            let _ = self.thaw();
            self.stop.unseen(now);
            self.unseen = Some(error);
        }
        Wanted::Nothing
    }

    /// Returns what is known of it, after its end.
    pub(crate) fn finish(mut self) -> Stopped {
        let cut_off = std::mem::take(&mut self.in_hand);
        Stopped { was_killed: self.was_killed, cut_off, unseen: self.unseen.take() }
    }

    fn close_door(&mut self, now: Time, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.tree.refresh();
        // Where that is refused, other ways may be open.
        self.door = door::close(&self.tree, &self.listeners, sockets).unwrap_or(Door::Open);
        self.stop.door(now, self.door);
        Ok(())
    }

    fn hold(&mut self, now: Time) -> io::Result<()> {
        let trace = self.trace.get_or_insert_default();
        let holding = trace.step(&mut self.tree, &self.listeners, &mut self.held)?;
        self.stop.held(now, holding);
        self.attend_later(now);
        Ok(())
    }

    /// Has traced threads go on that are not to be held.
    fn attend(&mut self, now: Time) {
        self.attend_at = None;
        let Some(trace) = &mut self.trace else { return };
        if self.was_killed {
            if !trace.reap() {
                self.attend_at = Some(now + ATTEND);
            }
        } else if let Some(at) = self.signalled_at {
            self.tree.refresh();
            if now.since(at) >= SIGNALLED {
                trace.let_go();
            }
            if trace.interrupt(&self.tree, now.since(at) >= TAKEN) {
                (self.signalled_at, self.trace) = (None, None);
            } else {
                self.attend_at = Some(now + ATTEND);
            }
        } else {
            if self.stands {
                trace.see_off();
            } else {
                // What cannot be seen now is seen to by the next look.
                let _ = trace.step(&mut self.tree, &self.listeners, &mut self.held);
            }
            self.attend_later(now);
        }
    }

    fn attend_later(&mut self, now: Time) {
        let is_needed =
            |trace: &Trace| (trace.has_running() && !self.stands) || trace.has_leaving();
        self.attend_at = self.trace.as_ref().is_some_and(is_needed).then(|| now + ATTEND);
    }

    fn look(&mut self, now: Time, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.tree.refresh();
        if self.door == Door::Closed && !self.stands && !self.is_ending() {
            // One that was registered again, or by a process that is new.
            door::close(&self.tree, &self.listeners, sockets)?;
        }
        let ran = self.tree.ran();
        let asleep = if self.stands { self.tree.stands() } else { self.tree.is_asleep() };
        self.see()?;
        let connections = self.held.connections();
        if self.door == Door::Open && !self.stands && !connections.is_empty() {
            self.stance = self.tree.stance(&self.listeners, connections)?;
        }
        let mut facts: Vec<Facts> = connections.iter().map(|it| it.facts).collect();
        if self.door == Door::Open && self.stance == Stance::Works {
            // Whatever it has sent, it has not come to its end.
            facts.iter_mut().for_each(|facts| facts.unread = facts.unread.max(1));
        }
        self.stop.seen(now, &facts, ran, asleep);
        Ok(())
    }

    /// Reads which connections it holds.
    fn see(&mut self) -> io::Result<()> {
        let connections = self.held.look(&self.tree, &self.listeners)?;
        // One that ends holds nothing, and has cut off those who were seen before.
        if !self.tree.first().is_ending() {
            let in_hand = connections.iter().filter(|connection| is_in_hand(&connection.facts));
            self.in_hand = in_hand.map(|connection| connection.client.clone()).collect();
        }
        Ok(())
    }

    fn freeze(&mut self) -> io::Result<()> {
        self.tree.refresh();
        self.stands = true;
        self.tree.signal(Signal::STOP)?;
        // Of a traced process the signal stops only the thread that takes it.
        self.trace.iter().for_each(Trace::stop_running);
        Ok(())
    }

    fn thaw(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.stands) {
            self.tree.signal(Signal::CONT)?;
        }
        Ok(())
    }

    fn kill(&mut self, now: Time) -> io::Result<()> {
        self.tree.signal(Signal::KILL)?;
        // The killed need not go on.
        self.stands = false;
        self.was_killed = true;
        self.in_hand.clear();
        self.attend_at = self.trace.is_some().then_some(now);
        Ok(())
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let _ = self.thaw();
    }
}

fn is_in_hand(facts: &Facts) -> bool {
    match facts.judge(Duration::ZERO) {
        Judgement::AtWork | Judgement::Silent => true,
        Judgement::Answered | Judgement::KeptAlive => false,
    }
}

#[cfg(test)]
mod tests;
