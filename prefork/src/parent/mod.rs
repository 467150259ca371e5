//! The parent's hands: it waits, reports to the supervisor what happened, and does what that decides.
//!
//! One thread, one `ppoll`, no timer unless the supervisor asks for one. The order within one
//! wake-up matters: what children reported comes before their ends, as they reported it while they lived,
//! and what operators ask for before the ends too, as a signal to the whole process group reaches
//! parent and children alike. All ended children are taken from the kernel first and the messages read
//! after that, so that nothing the dead have reported is missed; the kernel gives their pids to no process
//! of ours meanwhile, since only this loop forks.

mod about;
mod accepted;
mod arbiter;
pub(crate) mod asked;
mod at_work;
mod bare;
mod became;
mod begin;
mod bells;
mod carry_out;
mod clients;
mod cut_off;
mod deaths;
mod descendants;
mod gossip;
mod helpers;
mod hooks;
mod logs;
mod memory;
pub(crate) mod ready;
pub(crate) mod reap;
mod settings;
mod status;
mod table;
mod take_in;
mod upgrade;

use std::{collections::BTreeSet, io, os::fd::AsFd, rc::Rc};

use prefork_core::{Allowance, Event, Hangups, SlotId, Supervisor, Time, Verdict};
use prefork_daemonize::{Privileges, Readiness};
use prefork_isolate::Layers;
use rustix::event::{PollFd, PollFlags};

use crate::{
    AccessLog, ErrorChain, RunError,
    args::check::Settings,
    channels::Channels,
    disconnect::ClientWatch,
    hooks::ParentHooks,
    logs::describe::Measures,
    logs::log::Log,
    logs::{ChangeMessage, ProcessMessage},
    manager::Reporting,
    program::Invocation,
    program::{AutoReload, FileWatch},
    seat::Link,
    sockets::listeners::Listeners,
    start::RuntimeFiles,
    start::pid_file::KeptPidFile,
    status::counters::Counters,
    system::clock::{self, Slept},
    system::os::{LeftOpen, Shortage, Signals, Title, allowed_descriptors},
};
use about::Reported;
use bare::Bare;
pub(crate) use became::{Became, Over};
pub(crate) use begin::{Basis, Parts, Pool};
use carry_out::Done;
use deaths::Deaths;
use descendants::Descendants;
use helpers::Helpers;
use logs::HandoverOfLogs;
use memory::Memory;
use table::Table;

/// How many actions are carried out before events are taken in again: what a thousand replacements take is too
/// long to wait for operators, and for the ends of others.
const MOST_ACTIONS: usize = 32;

/// The parent of a pool.
pub(crate) struct Parent<'a> {
    settings: Settings,
    privileges: Rc<Privileges>,
    /// What holds children apart.
    layers: Rc<Layers>,
    supervisor: Supervisor,
    table: Table,
    signals: Signals,
    channels: Channels,
    /// How often children may wake the parent, all together.
    wakes: Allowance,
    /// How often the ends of processes that it has not forked may wake it.
    orphan_wakes: Allowance,
    title: Title,
    access_log: AccessLog,
    listeners: Listeners,
    /// What is not for anybody whom children and hooks execute.
    left_open: LeftOpen,
    hooks: ParentHooks,
    readiness: &'a mut Option<Readiness>,
    /// How this program was started, or why that is not known.
    invocation: io::Result<Invocation>,
    hangups: Hangups,
    auto_reload: Option<AutoReload>,
    file_watch: Option<FileWatch>,
    client_watch: Option<ClientWatch>,
    helpers: Helpers,
    descendants: Descendants,
    counters: Counters,
    /// Whether the program is one that has come back.
    has_returned: bool,
    /// Whether it has come back without what children begin with.
    bare: Option<Bare>,
    /// Whether a child may have ended without a signal.
    must_reap: bool,
    /// Whether children have ended, and what they may have done to the listening sockets is to be set back.
    have_ended: bool,
    /// Why the last fork that has failed did, to be logged where the supervisor has it logged that children cannot be started.
    fork_error: Option<io::Error>,
    /// The same in words, with the limit behind it, until one has succeeded: for those who read the scoreboard, or start it.
    cannot_fork: Option<String>,
    /// How many requests the stop has cut off, as far as that is known.
    cut_off: u32,
    /// Children of which it was logged that their time is over, and that are about to be interrupted.
    cut_short: BTreeSet<SlotId>,
    /// Why children are killed, as far as control groups count that.
    deaths: Deaths,
    memory: Memory,
    /// Whether the first connection that waits is to be noticed.
    watches_queue: bool,
    /// How many descriptors it was to wait for when these were more than it may.
    too_many: Option<u64>,
    /// The messages to the service manager.
    reporting: Reporting,
    /// The signal that last asked for logs to be opened again, with its sender.
    reopen_reason: String,
    /// Whether all children have gone over to the logs that were opened again.
    handover_of_logs: HandoverOfLogs,
    log: Log,
    reported: Reported,
    /// The way to the arbiter, if there is one above this pool.
    link: Option<Link>,
    /// The last to go: sockets are closed before the pid file is removed.
    runtime_files: RuntimeFiles,
}

impl Parent<'_> {
    /// Runs the pool until it is over, or this process has become one of its children.
    #[inline(never)]
    pub(crate) fn run(mut self: Box<Self>) -> Result<Became, RunError> {
        self.watch_files();
        // A request to stop that came during the initialization goes before the first child.
        self.take_in().map_err(RunError::system("take in events"))?;
        self.supervisor.handle(clock::now(), Event::Start);
        loop {
            self.keep_board();
            let mut actions = 0_usize;
            while let Some(action) = self.supervisor.next_action() {
                match self.carry_out(action)? {
                    None => {
                        actions += 1;
                        if actions.is_multiple_of(MOST_ACTIONS) {
                            self.take_in().map_err(RunError::system("take in events"))?;
                        }
                    }
                    Some(Done::Over(verdict)) => {
                        self.log_deaths();
                        self.log_departures();
                        self.helpers.end_all(&self.log);
                        match verdict {
                            Verdict::Stopped => self.log_stopped(),
                            // By what is returned, or was logged when it began.
                            Verdict::Asleep | Verdict::StartFailed(_) | Verdict::GaveUp { .. } => {}
                        }
                        // Its children, which shared them, are gone.
                        self.listeners.disarm();
                        self.memory.remove_leaves();
                        let Self { runtime_files, cannot_fork, .. } = *self;
                        let over = Over { verdict, runtime_files, cannot_fork };
                        return Ok(Became::Over(Box::new(over)));
                    }
                    Some(Done::Forked { slot, generation, bell }) => {
                        let context = self.into_child_context(slot, generation, bell);
                        return Ok(Became::Child(Box::new(context)));
                    }
                }
            }
            self.log_deaths();
            self.log_departures();
            self.channels.wake_children();
            // After ended children were replaced, which is not to wait for this.
            if std::mem::take(&mut self.have_ended) {
                self.mend_listeners(clock::now());
            }
            if let Some(duty) = self.start_hooks() {
                return Ok(Became::Hook(Box::new(self.into_hook_context(duty))));
            }
            self.report_need();
            self.report_reloads();
            self.keep_status();
            let stirred = self.wait().map_err(RunError::system("wait for events"))?;
            if stirred && let Some(watch) = &mut self.file_watch {
                watch.stirred(clock::now());
            }
            self.take_in().map_err(RunError::system("take in events"))?;
        }
    }

    fn log_stopped(&self) {
        let departure = self.supervisor.departure();
        let how = Measures(departure.and_then(|departure| departure.forced));
        ready::log_stopped(departure, &how, self.counters.started, &self.log);
    }

    /// Begins to watch files, if that was asked for.
    fn watch_files(&mut self) {
        if let (Some(AutoReload { list: None, .. }), Err(error)) =
            (&self.auto_reload, &self.invocation)
        {
            self.log.write(&ChangeMessage::ProgramNotWatched { error: &ErrorChain(error) });
        }
        self.file_watch = self.auto_reload.take().map(|auto_reload| {
            let invocation = self.invocation.as_ref().ok();
            let now = clock::now();
            FileWatch::begin(auto_reload, invocation, self.has_returned, now, &self.log)
        });
    }

    /// Sleeps until something happens or the next deadline is reached; returns whether files have stirred.
    fn wait(&mut self) -> io::Result<bool> {
        let now = clock::now();
        let due = self.due(now);
        if let Some(board) = &mut self.runtime_files.board {
            board.about.jobs_waiting(self.supervisor.jobs_waiting());
            board.about.queue_times(self.counters.queue.total());
            board.rest(due, &self.log);
        }
        // That may have shown that there is something to mend.
        let due = due.into_iter().chain(self.board_due()).min();
        let files = self.watch().and_then(FileWatch::fd);
        // Bells that ring without end wake it no more often than that.
        let bells = self.wakes.due(now).is_none().then(|| self.channels.bells.descriptor().as_fd());
        // Nor are signals, where all that they report is orphans without end.
        let signals = self.orphan_wakes.due(now).is_none().then(|| self.signals.as_fd());
        let mut fds: Vec<_> = signals
            .into_iter()
            .chain(bells)
            .chain(self.helpers.descriptors())
            .chain(self.runtime_files.pid_file.as_ref().and_then(KeptPidFile::fd))
            .chain(self.runtime_files.board.as_ref().and_then(|board| board.public().fd()))
            .chain(self.link.as_ref().map(Link::fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let files = files.map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        });
        let alarms = fds.len();
        if self.supervisor.awaits_memory_alarm() {
            fds.extend(self.memory.alarms());
        }
        let queues = fds.len();
        if self.watches_queue {
            let sockets = self.listeners.watched();
            fds.extend(sockets.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        let slept = clock::sleep(&mut fds, due)?;
        let stirred = files.is_some_and(|files| !fds[files].revents().is_empty());
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (alarmed, queued) =
            (fds[alarms..queues].iter().any(is_ready), fds[queues..].iter().any(is_ready));
        let (descriptors, all) = (queues as u64, fds.len());
        if queued {
            self.disarm();
            self.supervisor.handle(clock::now(), Event::Queued);
        }
        if alarmed {
            self.memory.silence();
            self.supervisor.handle(clock::now(), Event::MemoryShort);
        }
        if slept == Slept::Blindly && all > queues {
            // It can do without these.
            self.watches_queue = false;
            return Ok(stirred);
        }
        self.note_sleep(slept, descriptors);
        Ok(stirred)
    }

    /// Returns the files that are watched. A daemon that stops watches none.
    fn watch(&self) -> Option<&FileWatch> {
        self.file_watch.as_ref().filter(|_| !self.supervisor.is_stopping())
    }

    /// Returns when it is to wake if nothing happens before.
    fn due(&self, now: Time) -> Option<Time> {
        [
            self.supervisor.deadline(),
            self.watch().and_then(FileWatch::due),
            self.helpers.due(self.supervisor.is_stopping()),
            self.reporting.due(),
            self.wakes.due(now),
            self.orphan_wakes.due(now),
            self.board_due(),
            self.runtime_files.pid_file.as_ref().and_then(KeptPidFile::due),
            self.handover_of_logs.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Logs that it cannot wait for so many descriptors, and that it can again.
    fn note_sleep(&mut self, slept: Slept, descriptors: u64) {
        match (slept, self.too_many) {
            (Slept::Blindly, None) => {
                self.too_many = Some(descriptors);
                let shortage = Shortage::of_descriptors();
                self.log.write(&ProcessMessage::FewDescriptors { shortage: &shortage });
            }
            // Fewer are waited for at times.
            (Slept::Watching, Some(too_many)) if allowed_descriptors() >= too_many => {
                self.too_many = None;
                self.log.write(&ProcessMessage::EnoughDescriptors);
            }
            (Slept::Watching, _) | (Slept::Blindly, Some(_)) => {}
        }
    }
}
