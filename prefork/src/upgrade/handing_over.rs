//! What the parent leaves to the next program in its process.

use std::{
    ffi::{CString, OsStr, OsString},
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    process,
};

use nix::sys::signal::SigSet;
use prefork_core::{
    HandedTags, Hangups, Time,
    pools::{PoolsChange, Wishes},
};
use prefork_daemonize::PidFile;

use super::{
    Probe, Reading, Station,
    handed_arbiter::{HandedArbiter, HandedMember, HandedParent},
    handover::{
        HandedBoard, HandedChild, HandedImage, HandedListener, HandedLog, HandedPool,
        HandedProcess, Handover,
    },
    subject::Subject,
};
use crate::{
    AccessLog,
    args::check::Settings,
    board::{ParentBoard, Place},
    channels::Channels,
    program::{self, Image, Invocation, NoProbe},
    seat::{Desk, Link, Seated},
    sockets::listeners::Listeners,
    status::counters::HandedCounters,
    status::{StatusSocket, StatusSockets},
    sys,
    system::KeptDescriptors,
    system::helper::Helper,
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
    pub(crate) status: Option<&'a StatusSockets>,
    pub(crate) of: Processes<'a>,
}

/// The processes of who hands over, and the ways to them.
pub(crate) enum Processes<'a> {
    /// The children of a parent.
    Children {
        channels: &'a Channels,
        children: Vec<HandedChild>,
        tags: HandedTags,
        supervisor: prefork_core::Handover,
        counters: Box<HandedCounters>,
        link: Option<&'a Link>,
    },
    /// The parents of several pools.
    Pools {
        pools: Vec<Member<'a>>,
        /// What there is to know of each, of those that are to stay.
        seats: &'a [Seated],
        bell: &'a OwnedFd,
        /// What this is for.
        change: PoolsChange,
        /// When that began.
        began: Time,
        /// What was asked for meanwhile.
        again: Wishes,
    },
}

/// A pool, and its parent if it has one.
pub(crate) struct Member<'a> {
    pub(crate) pool: prefork_core::pools::HandedPool,
    pub(crate) parent: Option<(&'a Helper, &'a Desk)>,
    /// Both ends of the way by which it takes connections of other pools.
    pub(crate) way: Option<(&'a OwnedFd, &'a OwnedFd)>,
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
        let knows_nothing = Handover {
            listeners: Vec::new(),
            access_log: None,
            status: None,
            metrics: None,
            ..handover
        };
        Reading::start(&invocation.image, &knows_nothing.write()?, mask)
    }

    /// Becomes the program that the probe runs; returns only if that is refused.
    pub(crate) fn hand_over(&self, invocation: &Invocation, probe: &Probe) -> io::Error {
        let refused = || -> io::Result<io::Error> {
            // The very file that runs now, whatever stands at its path, to come back to.
            let own = program::open_own()?;
            let mut passed = KeptDescriptors::default();
            let mut handover = self.handover(invocation, &mut passed);
            // The program that reads its settings again is the very one that runs.
            if let Some(command) = handover.command.as_mut().filter(|_| !self.is_reload()) {
                command.is_direct = probe.is_direct();
            }
            let process = self.process(&mut passed, invocation, &own, probe);
            self.leave(&mut handover, process, &mut passed);
            let memory = handover.write()?;
            self.require_spare_descriptors(&own)?;
            let message = format!("successor:{}:{}", passed.pass(&memory), own.as_raw_fd());
            // What is buffered, of which the next program knows nothing.
            let _ = io::stdout().flush();
            sys::flush_c_streams();
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
        let operators = self.status.and_then(|status| status.operators.as_ref());
        let everybody = self.status.and_then(|status| status.everybody.as_ref());
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
            status: operators.map(|socket| handed(passed, socket)),
            metrics: everybody.map(|socket| handed(passed, socket)),
            station: self.station(),
            seats: match self.of {
                Processes::Pools { seats, .. } => seats.to_vec(),
                Processes::Children { .. } => Vec::new(),
            },
            pool: None,
            arbiter: None,
        }
    }

    const fn is_reload(&self) -> bool {
        matches!(self.of, Processes::Pools { change: PoolsChange::Reload, .. })
    }

    fn station(&self) -> Station {
        match &self.of {
            Processes::Children { link: None, .. } => Station::Alone,
            Processes::Children { link: Some(link), .. } => Station::Pool(link.pool().to_owned()),
            Processes::Pools { .. } => Station::Arbiter,
        }
    }

    fn process<'a>(
        &'a self,
        passed: &mut KeptDescriptors<'a>,
        invocation: &'a Invocation,
        own: &'a OwnedFd,
        probe: &Probe,
    ) -> HandedProcess {
        HandedProcess {
            pid_file: self.pid_file.map(|pid_file| passed.pass(pid_file)),
            program: passed.pass(own),
            image: Some(invocation.image.hand_over(passed)),
            probe: Some(number(probe.helper())),
        }
    }

    /// Adds what a probe does not get.
    fn leave<'a>(
        &'a self,
        handover: &mut Handover,
        process: HandedProcess,
        passed: &mut KeptDescriptors<'a>,
    ) {
        match &self.of {
            Processes::Children { channels, children, tags, supervisor, counters, link } => {
                let board = self.board.and_then(|board| board.public().descriptors());
                let board = board.map(|(file, lock)| HandedBoard {
                    file: passed.pass_borrowed(file),
                    lock: lock.map(|lock| passed.pass_borrowed(lock)),
                });
                if let Some(link) = link {
                    link.pass(passed);
                }
                handover.pool = Some(HandedPool {
                    supervisor: supervisor.clone(),
                    children: children.clone(),
                    tags: tags.clone(),
                    channels: channels.pass(passed),
                    board,
                    counters: (**counters).clone(),
                    process,
                });
            }
            Processes::Pools { pools, seats: _, bell, change, began, again } => {
                let members = pools.iter().map(|Member { pool, parent, way }| HandedMember {
                    pool: pool.clone(),
                    parent: parent.map(|(helper, desk)| {
                        let (page, call) = desk.pass(passed);
                        HandedParent { pid: number(helper), page, call }
                    }),
                    way: way.map(|(taking, leading)| (passed.pass(taking), passed.pass(leading))),
                });
                let pools = members.collect();
                let bell = passed.pass(*bell);
                let (again, reload_again) = (again.upgrade, again.reload);
                let (change, began) = (*change, Some(*began));
                handover.arbiter = Some(HandedArbiter {
                    pools,
                    bell,
                    again,
                    reload_again,
                    change,
                    began,
                    process,
                });
            }
        }
    }
}

fn number(helper: &Helper) -> i32 {
    helper.pid().as_raw_nonzero().get()
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

/// A socket of the status process, for the next program.
fn handed<'a>(passed: &mut KeptDescriptors<'a>, socket: &'a StatusSocket) -> HandedListener {
    HandedListener {
        fd: passed.pass(socket.descriptor()),
        known_by: socket.known_by().clone(),
        activated: None,
        file: socket.file(),
    }
}
