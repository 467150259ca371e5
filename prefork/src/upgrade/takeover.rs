//! Taking a daemon over from the old program.
//!
//! First all that can fail, with nothing claimed: until then the daemon can be handed back. Then, in one
//! go, what cannot fail, or is no reason not to serve.

use std::{
    ffi::CString,
    io,
    mem::ManuallyDrop,
    os::{
        fd::{OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use prefork_core::{AdoptedAs, HandedTags};
use prefork_daemonize::{PidFile, SocketFile};
use prefork_scoreboard::OwnedBoard;
use rustix::{
    fs::Mode,
    process::{Pid, chdir, umask},
};

use super::{HandedChild, Inherited, Leftovers, handover::HandedProcess, inherited::Purpose};
use crate::{
    ErrorChain, RunError,
    args::AfterInit,
    args::check::Settings,
    board::{ParentBoard, Place, Public},
    channels::Channels,
    logs::log::{Log, Role as Speaker},
    logs::{ChangeMessage, FileMessage},
    program::Role,
    sockets::InheritedListener,
    sockets::Init,
    sockets::kept,
    sockets::listeners::{KnownBy, Listeners, Listening},
    start::pid_file::KeptPidFile,
    start::{Initialized, Opened, RuntimeFiles, call_after_init, create_board},
    status::counters::HandedCounters,
    status::{Audience, Audiences, StatusSocket, StatusSockets},
    system::clock,
    system::os::Title,
};

/// The children, and how they can be reached.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) adopted_as: AdoptedAs,
    pub(crate) supervisor: prefork_core::Handover,
    pub(crate) children: Vec<HandedChild>,
    pub(crate) tags: HandedTags,
    pub(crate) counters: HandedCounters,
}

/// A daemon that can be taken over: nothing can fail any more.
pub(crate) struct Takeover<S> {
    pub(super) initialized: Initialized<Option<S>>,
    channels: Option<Channels>,
}

impl<S> Takeover<S> {
    /// Removes what a probe has put into the file system. The rest is the daemon's, and never dropped here.
    pub(crate) fn leave(self, log: &Log) {
        let Self {
            initialized: Initialized { state, listeners, title, left_open: _, runtime_files },
            channels,
        } = self;
        let _kept = ManuallyDrop::new((state, listeners, title, channels));
        runtime_files.remove(log);
    }
}

impl Inherited {
    /// Does what comes between the logs and the children, claiming nothing of what was left.
    ///
    /// A probe does this too, and then leaves it at that.
    pub(crate) fn initialize<S>(
        &self,
        settings: &Settings,
        after_init: AfterInit<S>,
        opened: Opened,
    ) -> Result<Takeover<S>, RunError> {
        self.show_name();
        self.end_probe(&Log::new(&settings.name, Speaker::Parent));
        if self.handover.in_background {
            // As at the first start, once the paths of the arguments had been made absolute.
            let enter = RunError::system("enter the directory /");
            chdir("/").map_err(io::Error::from).map_err(enter)?;
            umask(Mode::from_raw_mode(0o022));
        }
        let pid_file = self.new_pid_path(settings).map(PidFile::create).transpose();
        let pid_file = pid_file.map_err(RunError::PidFile)?;
        let log = Log::new(&settings.name, Speaker::Parent);
        let pid_file = pid_file.map(|file| KeptPidFile::begin(file, &log));
        let board = if self.keeps_board(settings) { None } else { create_board(settings)? };
        let status = Audiences::try_make(|audience| self.status_socket(settings, audience));
        let status = status.map_err(RunError::system("open the status page"))?;
        let title = Title::parent(&settings.name);
        let left_open = opened.left_open();
        let (state, listeners, sockets) = self.make_state(settings, after_init, opened, &log)?;
        let channels = self.handover.pool.as_ref().map(|pool| {
            let (slots, metrics) = (settings.slots(), settings.metrics.as_ref());
            Channels::adopt(pool.channels, slots, metrics, |number| self.copy(number))
        });
        let channels = channels.transpose();
        let channels = channels.map_err(RunError::system("take over the ways to the children"))?;
        let runtime_files = RuntimeFiles { sockets, status, board, pid_file };
        let initialized = Initialized { state, listeners, title, left_open, runtime_files };
        Ok(Takeover { initialized, channels })
    }

    /// Runs `after_init` with the sockets that were left. An old program that has come back goes on without what
    /// that makes, if it cannot be had, and does not run again what has ended it the last time.
    fn make_state<S>(
        &self,
        settings: &Settings,
        after_init: AfterInit<S>,
        opened: Opened,
        log: &Log,
    ) -> Result<(Option<S>, Listeners, Vec<SocketFile>), RunError> {
        let left = || self.listeners().map_err(RunError::system("take over the listening sockets"));
        let outcome = match self.purpose {
            Purpose::Returned(returned) if returned.was_ended_itself() => Err(None),
            Purpose::Probe(_)
            | Purpose::Settings(_)
            | Purpose::Successor
            | Purpose::Returned(_) => {
                let mut init = Init::new(
                    settings.name.clone(),
                    settings.daemonize,
                    settings.directory.clone(),
                );
                init.inherit(self.purpose.role(), left()?);
                let opened = opened.before_after_init();
                let made = call_after_init(settings, &mut init, after_init);
                if made.is_ok() {
                    // Of others the log has the same already, or soon.
                    if let Purpose::Successor = self.purpose {
                        opened.warn(&init.shared_on_purpose(), log);
                    }
                    init.report_unclaimed(log);
                }
                made.map(|state| (state, init.into_listeners())).map_err(Some)
            }
        };
        match (outcome, self.purpose.role()) {
            (Ok((state, (listeners, files))), _) => Ok((Some(state), listeners, files)),
            (Err(Some(error)), Role::Probe | Role::Settings | Role::Successor) => Err(error),
            (Err(failure), _) => {
                let why =
                    failure.map(|error| format!(": {}", ErrorChain(&error))).unwrap_or_default();
                log.write(&ChangeMessage::ReturnedBare { reason: &why });
                let as_left = |left: InheritedListener| {
                    let InheritedListener { known_by, activated, file, socket } = left;
                    Listening { known_by, activated, file, socket }
                };
                let listeners = left()?.into_iter().map(as_left).collect();
                Ok((None, Listeners::new(listeners), Vec::new()))
            }
        }
    }

    /// Says that this program works, and ends.
    pub(crate) fn pass(self) -> ! {
        match &self.purpose {
            Purpose::Probe(reply) | Purpose::Settings(reply) => reply.pass(),
            Purpose::Successor | Purpose::Returned(_) => crate::sys::exit_now(0),
        }
    }

    /// Claims all that was left, and closes what the program does not want; `None` for a probe, which
    /// was left nothing.
    pub(crate) fn claim<S>(
        mut self,
        settings: &Settings,
        takeover: Takeover<S>,
        log: &Log,
    ) -> Option<(Initialized<Option<S>>, Channels, Adopted)> {
        let Takeover { mut initialized, channels } = takeover;
        let (pool, mut channels) = (self.handover.pool.take()?, channels?);
        self.settle();
        if let Err(error) = channels.publish() {
            log.write(&FileMessage::MetricsNotDeclared { error: &ErrorChain(&error) });
        }
        self.claim_pid_file(&pool.process, settings, &mut initialized.runtime_files, log);
        let board = pool.board.and_then(|board| {
            Some((self.take(board.file)?, board.lock.and_then(|lock| self.take(lock))))
        });
        if let Some(place) = settings.scoreboard.as_ref().filter(|_| self.keeps_board(settings)) {
            let public = Public::adopt(place, settings.slots(), board, log);
            initialized.runtime_files.board = Some(ParentBoard::new(public));
        } else if let (Some((file, lock)), Some(path)) = (board, &self.handover.scoreboard_path) {
            // Dropped at once, as this program wants none there.
            drop(OwnedBoard::adopt(Some(Path::new(path)), file, lock));
        }
        for audience in Audience::ALL {
            self.claim_status(&mut initialized.runtime_files.status, audience);
        }
        self.claim_socket_files(&mut initialized);
        initialized.listeners = self.give_up_kept(initialized.listeners);
        let adopted_as = self.adopted_as();
        let (supervisor, children, tags) = (pool.supervisor, pool.children, pool.tags);
        let counters = pool.counters;
        Some((initialized, channels, Adopted { adopted_as, supervisor, children, tags, counters }))
    }

    pub(super) const fn adopted_as(&self) -> AdoptedAs {
        match self.purpose {
            // The others end before.
            Purpose::Probe(_) | Purpose::Settings(_) | Purpose::Successor => AdoptedAs::NewProgram,
            Purpose::Returned(_) => AdoptedAs::SameProgram,
        }
    }

    /// Ends the probe of this program: it has bound what is to be bound here.
    fn end_probe(&self, log: &Log) {
        let probe = self.handover.process().and_then(|process| Pid::from_raw(process.probe?));
        let mut leftovers = Leftovers::default();
        probe.into_iter().for_each(|probe| leftovers.note(probe));
        leftovers.end(log);
    }

    /// Shows the name of the file that runs, where an older kernel shows a number for what was executed
    /// by a descriptor (see `execveat(2)`).
    fn show_name(&self) {
        let name = Path::new(&self.handover.program).file_name();
        if let Some(Ok(name)) = name.map(|name| CString::new(name.as_bytes())) {
            // For people alone.
            let _ = rustix::thread::set_name(&name);
        }
    }

    /// Listens where an audience is to be answered, by the old socket if that is there.
    fn status_socket(
        &self,
        settings: &Settings,
        audience: Audience,
    ) -> io::Result<Option<StatusSocket>> {
        let Some(address) = settings.status.get(audience) else { return Ok(None) };
        let handed = self.handover.answering(audience);
        let inherited = handed
            .map(|handed| Ok::<_, io::Error>((self.copy(handed.fd)?, handed.known_by.clone())));
        StatusSocket::obtain(address, audience, inherited.transpose()?).map(Some)
    }

    /// Takes charge of the socket at which an audience is answered, or gives up the old one.
    fn claim_status(&self, sockets: &mut StatusSockets, audience: Audience) {
        let Some(handed) = self.handover.answering(audience) else { return };
        match sockets.get_mut(audience) {
            Some(status) if *status.known_by() == handed.known_by => status.own(handed.file),
            Some(_) | None => {
                if let Some(socket) = self.descriptor(handed.fd) {
                    StatusSocket::discard(socket, &handed.known_by, handed.file);
                }
            }
        }
    }

    /// Takes charge of the UNIX sockets that this program goes on with, and removes the others: a client that
    /// connected there now would find nobody for long.
    pub(super) fn claim_socket_files<S>(&self, initialized: &mut Initialized<S>) {
        for handed in &self.handover.listeners {
            let (KnownBy::Unix(path), Some(identity)) = (&handed.known_by, handed.file) else {
                continue;
            };
            let file = SocketFile::known(path.into(), identity);
            if initialized.listeners.iter().any(|listening| listening.file == Some(identity)) {
                initialized.runtime_files.sockets.push(file);
            }
        }
    }

    /// Notes which sockets of the old program the service manager is to keep no more: those that this one does not want.
    fn give_up_kept(&self, listeners: Listeners) -> Listeners {
        let own = self.handover.listeners.iter().filter(|handed| handed.activated.is_none());
        let left = own.filter_map(|handed| kept::name(self.descriptor(handed.fd)?, handed.file));
        let wanted: Vec<_> = kept::names(listeners.iter()).map(|(name, _)| name).collect();
        let not_wanted = left.filter(|name| !wanted.contains(name)).collect();
        listeners.without(not_wanted)
    }

    /// Goes on with the old pid file, or removes it if this program wants none there.
    pub(super) fn claim_pid_file(
        &mut self,
        process: &HandedProcess,
        settings: &Settings,
        runtime_files: &mut RuntimeFiles,
        log: &Log,
    ) {
        let Some(file) = process.pid_file else { return };
        let keeps = runtime_files.pid_file.is_none() && settings.pid_path.is_some();
        let pid_file = self.adopt_pid_file(file, log);
        if keeps {
            runtime_files.pid_file = pid_file;
        } else {
            RuntimeFiles { pid_file, ..RuntimeFiles::default() }.remove(log);
        }
    }

    fn adopt_pid_file(&mut self, file: RawFd, log: &Log) -> Option<KeptPidFile> {
        let path = self.handover.pid_path.clone()?;
        let adopted = PidFile::adopt(path, self.take(file)?);
        let adopted = adopted.inspect_err(|error| {
            log.write(&FileMessage::PidFileNotAdopted { error: &ErrorChain(error) });
        });
        let mut pid_file = KeptPidFile::begin(adopted.ok()?, log);
        // Whatever has happened to it while nobody watched.
        pid_file.doubt(clock::now());
        Some(pid_file)
    }

    fn copy(&self, number: RawFd) -> io::Result<OwnedFd> {
        let found = self.descriptor(number);
        found.ok_or_else(|| io::Error::other("a descriptor is missing"))?.try_clone()
    }

    /// Returns the path at which a pid file is to be made, if not where it is.
    fn new_pid_path<'a>(&self, settings: &'a Settings) -> Option<&'a Path> {
        let is_new = |path: &&Path| self.handover.pid_path.as_ref().map(Path::new) != Some(*path);
        settings.pid_path.as_deref().filter(is_new)
    }

    /// Whether the scoreboard stays where it is.
    fn keeps_board(&self, settings: &Settings) -> bool {
        let path = self.handover.scoreboard_path.as_ref().map(Path::new);
        match &settings.scoreboard {
            None => false,
            Some(Place::File(wanted)) => path == Some(wanted),
            Some(Place::Memory | Place::Nowhere) => self.handover.has_board && path.is_none(),
        }
    }
}
