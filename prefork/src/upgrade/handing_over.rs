//! What the parent leaves to the next program in its process.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    process,
};

use nix::sys::signal::SigSet;
use prefork_core::{HandedTags, Hangups};
use prefork_daemonize::PidFile;

use super::{
    Probe, Reading,
    handover::{
        HandedBoard, HandedChild, HandedImage, HandedListener, HandedLog, HandedPool, Handover,
    },
    subject::Subject,
};
use crate::{
    AccessLog,
    args::check::Settings,
    board::{ParentBoard, Place},
    channels::Channels,
    program::{self, Image, Invocation, NoProbe},
    seat::Link,
    sockets::listeners::Listeners,
    status::StatusSocket,
    status::counters::HandedCounters,
    system::KeptDescriptors,
};

/// How many descriptors a program opens that takes over, sockets aside: the ways to the children once more,
/// logs, files, signals, a directory, with some room.
const SPARE: usize = 22;

/// The program that is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// What stands where this one was started from.
    Installed,
    /// This one, which has come back without what its `after_init` makes.
    Running,
}

/// All of it.
pub(crate) struct HandingOver<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) hangups: &'a Hangups,
    pub(crate) listeners: &'a Listeners,
    pub(crate) access_log: &'a AccessLog,
    pub(crate) board: Option<&'a ParentBoard>,
    pub(crate) pid_file: Option<&'a PidFile>,
    pub(crate) channels: &'a Channels,
    pub(crate) children: Vec<HandedChild>,
    pub(crate) tags: HandedTags,
    pub(crate) supervisor: prefork_core::Handover,
    pub(crate) counters: HandedCounters,
    pub(crate) status: Option<&'a StatusSocket>,
    pub(crate) link: Option<&'a Link>,
}

impl HandingOver<'_> {
    /// Starts a program as a probe that knows of the listening sockets alone.
    pub(crate) fn probe(
        &self,
        invocation: &Invocation,
        which: Which,
        mask: &SigSet,
    ) -> Result<Probe, NoProbe> {
        let subject = match which {
            Which::Installed => Subject::installed(invocation)?,
            Which::Running => Subject::running(invocation)?,
        };
        let mut passed = KeptDescriptors::default();
        let handover = self.handover(invocation, &mut passed).write()?;
        Ok(Probe::start(subject, &handover, passed, mask)?)
    }

    /// Starts the running program again, to report its settings; it knows of nothing that the daemon has.
    pub(crate) fn read_settings(
        &self,
        invocation: &Invocation,
        mask: &SigSet,
    ) -> io::Result<Reading> {
        let handover = self.handover(invocation, &mut KeptDescriptors::default());
        let knows_nothing =
            Handover { listeners: Vec::new(), access_log: None, status: None, ..handover };
        Reading::start(&invocation.image, &knows_nothing.write()?, mask)
    }

    /// Becomes the program that the probe runs; returns only if that is refused.
    pub(crate) fn hand_over(&self, invocation: &Invocation, probe: &Probe) -> io::Error {
        let refused = || -> io::Result<io::Error> {
            // The very file that runs now, whatever stands at its path, to come back to.
            let own = program::open_own()?;
            let mut passed = KeptDescriptors::default();
            let mut handover = self.handover(invocation, &mut passed);
            if let Some(command) = &mut handover.command {
                command.is_direct = probe.is_direct();
            }
            if let Some(link) = self.link {
                link.pass(&mut passed);
            }
            handover.pool = Some(self.pool(&mut passed, invocation, &own, probe));
            let memory = handover.write()?;
            self.require_spare_descriptors(&own)?;
            let message = format!("successor:{}:{}", passed.pass(&memory), own.as_raw_fd());
            Ok(passed.become_program(&probe.start_again(), &message))
        };
        refused().unwrap_or_else(|error| error)
    }

    /// Makes sure that the next program does not run out of descriptors: until all is settled it has what
    /// it was left, copies of that, and what it opens itself. The probe was left less, so it cannot find out;
    /// and the old program needs as many to come back.
    fn require_spare_descriptors(&self, any: &OwnedFd) -> io::Result<()> {
        let copies_of_listeners = 2 * self.listeners.iter().count();
        let spare = (0..SPARE + copies_of_listeners).map(|_| any.try_clone());
        spare.collect::<io::Result<Vec<_>>>().map(drop)
    }

    fn handover<'a>(
        &'a self,
        invocation: &Invocation,
        passed: &mut KeptDescriptors<'a>,
    ) -> Handover {
        let listeners = self.listeners.iter().map(|listener| HandedListener {
            fd: passed.pass(&listener.socket),
            known_by: listener.known_by.clone(),
            activated: listener.activated.clone(),
            file: listener.file,
        });
        Handover {
            parent: process::id(),
            program: invocation.command.program(&invocation.image).into(),
            command: Some(invocation.command.clone()),
            in_background: self.settings.daemonize,
            hangups: Some(self.hangups.clone()),
            listeners: listeners.collect(),
            error_log_path: self.settings.error_log_path.clone().map(Into::into),
            access_log: self.access_log.open_file().map(|(path, file)| HandedLog {
                fd: passed.pass_borrowed(file),
                path: path.into(),
            }),
            pid_path: self.pid_file.map(|pid_file| pid_file.path().into()),
            scoreboard_path: self.settings.scoreboard_path().map(OsString::from),
            has_board: self.board.is_some(),
            limit_ms: u64::try_from(self.settings.start_timeout.as_millis()).unwrap_or(u64::MAX),
            status: self.status.map(|status| HandedListener {
                fd: passed.pass(status.descriptor()),
                known_by: status.known_by().clone(),
                activated: None,
                file: status.file(),
            }),
            pool: None,
        }
    }

    fn pool<'a>(
        &'a self,
        passed: &mut KeptDescriptors<'a>,
        invocation: &'a Invocation,
        own: &'a OwnedFd,
        probe: &Probe,
    ) -> HandedPool {
        let board = self.board.and_then(|board| board.public().descriptors());
        let board = board.map(|(file, lock)| HandedBoard {
            file: passed.pass_borrowed(file),
            lock: lock.map(|lock| passed.pass_borrowed(lock)),
        });
        let pid_file = self.pid_file.map(|pid_file| passed.pass(pid_file));
        HandedPool {
            supervisor: self.supervisor.clone(),
            children: self.children.clone(),
            tags: self.tags.clone(),
            channels: self.channels.pass(passed),
            board,
            pid_file,
            counters: self.counters.clone(),
            program: passed.pass(own),
            image: Some(invocation.image.hand_over(passed)),
            probe: Some(probe.helper().pid().as_raw_nonzero().get()),
        }
    }
}

impl Image {
    /// What it takes to execute this program again.
    fn hand_over<'a>(&'a self, passed: &mut KeptDescriptors<'a>) -> HandedImage {
        let (arguments, loaded) = self.arguments_to_return();
        let texts = |texts: &[CString]| {
            texts.iter().map(|text| OsStr::from_bytes(text.as_bytes()).to_owned()).collect()
        };
        HandedImage {
            arguments: texts(&arguments),
            environment: texts(&self.environment),
            directory: passed.pass(&self.directory),
            loaded: loaded.map(|file| passed.pass_borrowed(file)),
        }
    }
}

impl Settings {
    fn scoreboard_path(&self) -> Option<&std::path::Path> {
        match &self.scoreboard {
            Some(Place::File(path)) => Some(path),
            Some(Place::Memory | Place::Nowhere) | None => None,
        }
    }
}
