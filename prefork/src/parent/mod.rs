//! The parent's hands: it waits, reports to the supervisor what happened, and does what that decides.
//!
//! One thread, one `ppoll`, no timer unless the supervisor asks for one. The order within one
//! wake-up matters: what children reported comes before their ends, as they reported it while they lived,
//! and what operators ask for before the ends too, as a signal to the whole process group reaches
//! parent and children alike. All ended children are taken from the kernel first and the messages read
//! after that, so that nothing the dead have reported is missed; the kernel gives their pids to no process
//! of ours meanwhile, since only this loop forks.

mod bare;
mod bells;
mod carry_out;
mod clients;
mod deaths;
mod descendants;
mod gossip;
pub(crate) mod hangup;
mod helpers;
mod hooks;
mod logs;
pub(crate) mod ready;
mod reap;
mod settings;
mod status;
mod table;
mod take_in;
mod upgrade;

use std::{io, mem::ManuallyDrop, os::fd::AsFd, rc::Rc};

use prefork_core::{
    AdoptedAs, Allowance, Config, Event, Generation, Hangups, SlotId, Supervisor, Time, Verdict,
};
use prefork_daemonize::{Privileges, Readiness};
use rustix::event::{PollFd, PollFlags};

use crate::{
    AccessLog, Report, RunError,
    args::check::{Settings, Users},
    channels::{Bell, Channels},
    child::ChildContext,
    disconnect::ClientWatch,
    hooks::ParentHooks,
    hooks::{Duty, HookContext},
    logs::Streams,
    logs::describe::Children,
    logs::log::{Log, Role},
    logs::{ChangeMessage, ProcessMessage},
    manager::{Begun, Occasion, Reporting},
    program::Invocation,
    program::{AutoReload, FileWatch},
    sockets::listeners::Listeners,
    start::RuntimeFiles,
    start::pid_file::KeptPidFile,
    status::Service,
    status::counters::{Counter, Counters},
    system::clock::{self, Slept},
    system::os::{Shortage, Signals, Title, allowed_descriptors},
    upgrade::Adopted,
};

use bare::Bare;
use carry_out::Done;
use deaths::Deaths;
use descendants::Descendants;
use helpers::Helpers;
use logs::HandoverOfLogs;
use table::{Table, number};

/// How many actions are carried out before events are taken in again: what a thousand replacements take is too
/// long to wait for operators, and for the ends of others.
const MOST_ACTIONS: usize = 32;

/// The parent of a pool.
pub(crate) struct Parent<'a> {
    settings: Settings,
    privileges: Rc<Privileges>,
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
    /// Why a fork has failed, and when that was logged, so that it is not at every attempt.
    fork_error: Option<(String, Time)>,
    /// Why children are killed, as far as control groups count that.
    deaths: Deaths,
    /// How many descriptors it was to wait for when these were more than it may.
    too_many: Option<u64>,
    /// The messages to the service manager.
    reporting: Reporting,
    /// Whether all children have gone over to the logs that were opened again.
    handover_of_logs: HandoverOfLogs,
    log: Log,
    /// The last to go: sockets are closed before the pid file is removed.
    runtime_files: RuntimeFiles,
}

/// What a parent ends as: it is over, or it is not the parent any more but a process just forked.
///
/// So whatever a parent comes to hold is closed in what is forked from it, unless it is moved into a context. A status
/// process closes by number what it is not to have, and a probe executes another program.
pub(crate) enum Became {
    /// What is left in the file system is to be removed.
    Over(Verdict, Box<RuntimeFiles>),
    Child(Box<ChildContext>),
    Hook(Box<HookContext>),
}

/// What a parent has of the arguments, whether it is a new one or takes over.
pub(crate) struct Basis {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    pub(crate) access_log: AccessLog,
    /// How this program was started, or why that is not known.
    pub(crate) invocation: io::Result<Invocation>,
    pub(crate) hooks: ParentHooks,
    pub(crate) auto_reload: Option<AutoReload>,
}

/// A pool that is to be supervised.
pub(crate) struct Pool {
    pub(crate) config: Config,
    pub(crate) signals: Signals,
    pub(crate) hangups: Hangups,
    pub(crate) channels: Channels,
    /// What another program has left in this process, if one has.
    pub(crate) adopted: Option<Adopted>,
}

/// What a parent is made of.
pub(crate) struct Parts<'a> {
    pub(crate) basis: Basis,
    pub(crate) pool: Pool,
    pub(crate) title: Title,
    pub(crate) listeners: Listeners,
    pub(crate) status: Option<Service>,
    /// Whether there is nothing that children could begin with.
    pub(crate) is_bare: bool,
    pub(crate) readiness: &'a mut Option<Readiness>,
    pub(crate) runtime_files: RuntimeFiles,
}

impl<'a> Parent<'a> {
    /// Makes the parent of a new pool, or of one that the old program has had in this process.
    ///
    /// It is not on the stack, nor is anything left there of the making: a loop with small frames writes to few
    /// pages between two forks, and those are what each fork has copied.
    #[inline(never)]
    pub(crate) fn new(parts: Parts<'a>) -> Result<Box<Self>, RunError> {
        let Parts { basis, pool, title, mut listeners, readiness, .. } = parts;
        let Basis { settings, users, access_log, invocation, hooks, auto_reload } = basis;
        let Pool { config, signals, hangups, mut channels, adopted } = pool;
        // What the program has set up is how it is to stay.
        listeners.settle_terms();
        let mut counters = Counters::new(clock::now(), config.prefork(), config.max_children());
        let log = Log::new(&settings.name, Role::Parent);
        let watches = hooks.on_client_disconnect.is_some();
        let client_watch = watches.then(|| ClientWatch::new(&listeners, &log));
        let watched = config.netwatch_interval.filter(|_| watches);
        let mut table = Table::new().map_err(RunError::system("keep a descriptor in reserve"))?;
        let mut has_returned = false;
        let handed = adopted.as_ref().map(|adopted| &adopted.tags);
        let descendants = Descendants::begin(config.descendants, handed, &log);
        let begun = if adopted.is_some() { Begun::InPlace } else { Begun::Fresh };
        let mut reporting = settings.manager.report(&config, begun, &log);
        let supervisor = match adopted {
            None => {
                reporting.on(Occasion::Starting);
                Supervisor::new(config)
            }
            Some(adopted) => {
                let children = Children(adopted.children.len());
                log.write(&ChangeMessage::TookOver { children });
                table.adopt(&adopted);
                let Adopted { adopted_as, mut supervisor, .. } = adopted;
                for child in &mut supervisor.children {
                    child.pid = table.pid(child.slot).map_or(0, number);
                }
                counters.adopt(&adopted.counters);
                counters.count(match adopted_as {
                    AdoptedAs::NewProgram => Counter::Upgrades,
                    AdoptedAs::SameProgram => Counter::UpgradesRefused,
                });
                has_returned = adopted_as == AdoptedAs::SameProgram;
                if has_returned {
                    reporting.on(Occasion::Back);
                }
                Supervisor::adopt(config, clock::now(), &supervisor, adopted_as)
            }
        };
        channels.pages.watch_clients(watched, supervisor.slots());
        let mut parent = Box::new(Self {
            settings,
            privileges: users.children,
            supervisor,
            table,
            signals,
            channels,
            wakes: bells::ALLOWANCE,
            orphan_wakes: take_in::ORPHANS,
            title,
            access_log,
            listeners,
            hooks,
            readiness,
            invocation,
            hangups,
            auto_reload,
            file_watch: None,
            client_watch,
            helpers: Helpers::new(parts.status),
            descendants,
            counters,
            has_returned,
            bare: parts.is_bare.then(Bare::new),
            // Children may have ended before the signal was blocked, or while a program took over from another.
            must_reap: true,
            have_ended: false,
            fork_error: None,
            deaths: Deaths::new(),
            too_many: None,
            reporting,
            handover_of_logs: HandoverOfLogs::default(),
            log,
            runtime_files: parts.runtime_files,
        });
        parent.adopt_gossip();
        Ok(parent)
    }

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
                        // Its children, which shared them, are gone.
                        self.listeners.disarm();
                        let runtime_files = std::mem::take(&mut self.runtime_files);
                        return Ok(Became::Over(verdict, Box::new(runtime_files)));
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
            self.keep_status();
            let stirred = self.wait().map_err(RunError::system("wait for events"))?;
            if stirred && let Some(watch) = &mut self.file_watch {
                watch.stirred(clock::now());
            }
            self.take_in().map_err(RunError::system("take in events"))?;
        }
    }

    /// Begins to watch files, if that was asked for.
    fn watch_files(&mut self) {
        if let (Some(AutoReload { list: None, .. }), Err(error)) =
            (&self.auto_reload, &self.invocation)
        {
            self.log.write(&ChangeMessage::ProgramNotWatched { error: &Report(error) });
        }
        self.file_watch = self.auto_reload.take().map(|auto_reload| {
            let invocation = self.invocation.as_ref().ok();
            FileWatch::begin(auto_reload, invocation, self.has_returned, clock::now())
        });
    }

    /// Sleeps until something happens or the next deadline is reached; returns whether files have stirred.
    fn wait(&mut self) -> io::Result<bool> {
        // A daemon that stops watches no files.
        let watch = self.file_watch.as_ref().filter(|_| !self.supervisor.is_stopping());
        let files = watch.and_then(FileWatch::fd);
        let now = clock::now();
        // Bells that ring without end are read no more often than that.
        let bells_due = self.wakes.due(now);
        let bells = bells_due.is_none().then(|| self.channels.bells.descriptor().as_fd());
        // Nor are signals, where all that they report is orphans without end.
        let signals_due = self.orphan_wakes.due(now);
        let signals = signals_due.is_none().then(|| self.signals.as_fd());
        let mut fds: Vec<_> = signals
            .into_iter()
            .chain(bells)
            .chain(self.helpers.descriptors())
            .chain(self.runtime_files.pid_file.as_ref().and_then(KeptPidFile::fd))
            .chain(self.runtime_files.board.as_ref().and_then(|board| board.public().fd()))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let files = files.map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        });
        let helpers_due = self.helpers.due(self.supervisor.is_stopping());
        let files_due = watch.and_then(FileWatch::due);
        let (own, report_due) = (self.supervisor.deadline(), self.reporting.due());
        let pid_file_due = self.runtime_files.pid_file.as_ref().and_then(KeptPidFile::due);
        let board_due = self.board_due();
        let deadlines =
            [own, files_due, helpers_due, report_due, bells_due, board_due, pid_file_due]
                .into_iter()
                .chain([signals_due, self.handover_of_logs.due()]);
        let slept = clock::sleep(&mut fds, deadlines.flatten().min())?;
        let stirred = files.is_some_and(|files| !fds[files].revents().is_empty());
        let descriptors = fds.len() as u64;
        self.note_sleep(slept, descriptors);
        Ok(stirred)
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

    /// Turns into what a child needs of the parent. The rest is dropped, as the child's copy of it
    /// is of no use.
    fn into_child_context(
        self: Box<Self>,
        slot: SlotId,
        generation: Generation,
        bell: Bell,
    ) -> ChildContext {
        // The child's copy of the way to the launcher; the word is the parent's to say.
        drop(self.readiness.take());
        let streams = Streams::of(&self.settings);
        let Self { mut settings, title, signals, access_log, privileges, .. } = *self;
        let Self { channels, runtime_files, hooks, listeners, invocation, .. } = *self;
        let tag = self.descendants.tag(slot);
        let (name, limits) = (std::mem::take(&mut settings.name), settings.limits);
        // Left alone, their memory stays shared with the parent; freeing it would make copies of it.
        let _shared = ManuallyDrop::new((
            (self.supervisor, self.counters, self.descendants, settings),
            (self.deaths, self.log),
        ));
        self.table.close();
        // Its copies: what is in the file system is the parent's, and so is the lock of the pid file,
        // which a holder of the descriptor could release, and the pid in it, by which scripts of
        // root's may kill.
        let RuntimeFiles { board, sockets: _, status: _, pid_file: _ } = runtime_files;
        let has_board = board.is_some();
        let outliving = listeners.outliving();
        let _ = invocation.map(Invocation::close);
        if let Some(board) = board {
            board.close();
        }
        listeners.close();
        // What the hooks of the parent have captured is not the child's to drop: it would undo, with the
        // parent's rights and once in each child, what the parent has done once.
        let _hooks = ManuallyDrop::new(hooks);
        ChildContext {
            slot,
            generation,
            tag,
            name,
            title,
            signals,
            channels,
            bell,
            has_board,
            outliving,
            limits,
            privileges,
            access_log,
            streams,
        }
    }

    /// Turns into what a hook process needs of the parent; the rest is dropped.
    fn into_hook_context(self: Box<Self>, duty: Duty) -> HookContext {
        drop(self.readiness.take());
        let streams = Streams::of(&self.settings);
        let Self { settings, title, signals, hooks, channels, .. } = *self;
        // Left alone, their memory stays shared with the parent.
        let _shared = ManuallyDrop::new((self.supervisor, self.counters, self.descendants));
        let Channels { handout, .. } = channels;
        HookContext { duty, name: settings.name, title, signals, hooks, handout, streams }
    }
}
