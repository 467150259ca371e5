//! Reporting to the supervisor what has happened.

use std::{io, time::Duration};

use prefork_core::{Allowance, ChildId, Event, Exit, Request, Time};
use rustix::process::Pid;

use super::{
    Parent,
    asked::{Asked, asked},
    deaths::Dead,
    helpers::Ended,
    reap,
    table::number,
};
use crate::{
    ChildExit, OnChange,
    hooks::Call,
    logs::{ChangeMessage, notices::About},
    program,
    system::clock,
};

/// After so many ends of orphans at once, signals are read every 4 ms: often enough for the end of a child, which is
/// replaced within 10 ms, and seldom enough for a child that leaves orphans without end.
pub(super) const ORPHANS: Allowance = Allowance::new(64, Duration::from_millis(4));

/// What the kernel has reported.
struct Collected {
    requests: Vec<Request>,
    ended: Vec<(Pid, Exit)>,
}

impl Parent<'_> {
    /// Takes in all that has happened, in the order that the head of this module explains.
    pub(super) fn take_in(&mut self) -> io::Result<()> {
        let Collected { requests, ended } = self.collect()?;
        let now = clock::now();
        self.have_ended |= !ended.is_empty();
        for (pid, _) in &ended {
            // What the dead have reported, they have while they lived.
            if let Some(slot) = self.table.slot(*pid) {
                self.take_reports(now, slot);
            }
        }
        self.take_bells(now)?;
        self.read_probe(now);
        self.read_reading(now);
        self.read_answers(now);
        self.take_ceiling(now);
        for request in requests {
            self.take_request(now, request);
        }
        for (pid, exit) in ended {
            self.reaped(now, pid, exit);
        }
        self.check_files(now);
        if let Some(pid_file) = &mut self.runtime_files.pid_file {
            pid_file.check(now, &self.log);
        }
        self.check_board(now);
        self.check_logs(now);
        self.reporting.advance(now);
        self.supervisor.advance(now);
        Ok(())
    }

    /// Reads the signals that wait, and takes ended children from the kernel if one announces them.
    fn collect(&mut self) -> io::Result<Collected> {
        let mut requests = Vec::new();
        let mut children_ended = std::mem::take(&mut self.must_reap);
        while let Some((signal, sender)) = self.signals.next()? {
            match asked(signal, sender, &mut self.hangups, &self.log) {
                Asked::For { request, reason } => {
                    if request == Request::Reopen {
                        self.reopen_reason = reason;
                    }
                    requests.push(request);
                }
                Asked::ByTerminal(request) => requests.extend(request),
                Asked::ChildrenEnded => children_ended = true,
                Asked::Nothing => {}
            }
        }
        let mut ended = Vec::new();
        while children_ended && let Some(end) = reap::next(|pid| self.note_reaped(pid))? {
            ended.push(end);
        }
        Ok(Collected { requests, ended })
    }

    /// Passes on what is to be done about files that have changed.
    fn check_files(&mut self, now: Time) {
        let Some(watch) = self.file_watch.as_mut().filter(|_| !self.supervisor.is_stopping())
        else {
            return;
        };
        let Some(changes) = watch.check(now, &self.log) else { return };
        self.log.write(&ChangeMessage::FilesChanged { changes: &changes });
        match self.hooks.auto_reload_handler.as_ref().map(|handler| &handler.0) {
            Some(program::Kind::Always(reaction)) => self.react(now, *reaction),
            Some(program::Kind::Asked(_)) => {
                self.call_hook(now, Call::AutoReloadHandler(changes));
            }
            None => {}
        }
    }

    /// Does what is to be done when files have changed.
    pub(super) fn react(&mut self, now: Time, reaction: OnChange) {
        if let Some(request) = reaction.request() {
            self.supervisor.handle(now, Event::Requested(request));
        }
    }

    /// Sets back what others have done to the listening sockets, as long as these are to let somebody in.
    pub(super) fn mend_listeners(&mut self, now: Time) {
        if !self.supervisor.is_stopping() {
            self.listeners.mend(now, &self.log);
        }
    }

    /// Lets go of a pid that is about to be nobody's of ours any more.
    fn note_reaped(&mut self, pid: Pid) {
        if self.table.slot(pid).is_some() {
            self.descendants.end_group(pid);
        }
        self.table.let_go(pid);
        self.helpers.note_reaped(pid);
    }

    /// Passes on the end of a child. One that is not in the table is a helper, or was adopted when it had lost
    /// its parent.
    fn reaped(&mut self, now: Time, pid: Pid, exit: Exit) {
        let Some((slot, generation)) = self.table.remove(pid) else {
            match self.helpers.claim(pid, exit, &self.log) {
                Ended::Probe(why) => self.refuse(now, &why),
                Ended::Reading(read) => self.take_settings(now, read),
                Ended::Call(made) => self.note_made(now, &made),
                Ended::Nothing => {}
            }
            // Where orphans end without end, the parent reaps them in heaps.
            self.orphan_wakes.take(now);
            self.supervisor.handle(now, Event::OrphanEnded);
            return;
        };
        self.descendants.release(slot);
        let lived = self.supervisor.lived(now, slot).unwrap_or_default();
        let in_hand = self.in_hand(slot).within(lived);
        if let Some(status) = &mut self.helpers.status {
            status.begin();
        }
        let pages = &self.channels.pages;
        let requests =
            self.runtime_files.board.as_mut().map(|board| board.clear(slot, now, pages, &self.log));
        if let Some(times) = pages.queue_times(slot) {
            self.counters.queue.end(now, slot, &times);
        }
        let new = self.table.accepted.end(now, slot, pages.accepted(slot));
        self.supervisor.accepted(new);
        self.channels.clear(slot);
        let child = ChildId { slot, pid: number(pid) };
        self.counters.died(child, exit, requests);
        if self.hooks.on_child_exit.is_some() {
            let ended = ChildExit {
                pid: number(pid),
                slot: slot.0,
                generation: generation.0,
                exit,
                uptime: lived,
                requests: requests.unwrap_or_default(),
                in_hand: in_hand.time(),
                label: in_hand.label().unwrap_or_default().to_owned(),
                client: in_hand.client().unwrap_or_default().to_owned(),
            };
            // Before the supervisor knows, which might see nothing left to wait for.
            self.call_hook(now, Call::OnChildExit(ended));
        }
        let reason = self.memory.clear_leaf(slot);
        let about = About { in_hand, requests, reason, ..About::default() };
        self.deaths.add(Dead { child, exit, lived, about });
        self.supervisor.handle(now, Event::Exited { slot, exit });
    }
}
