//! Trying a new program, and becoming it.

use prefork_core::{ChangeNotice, Event, Hook, Notice, Time, one_line};

use super::Parent;
use crate::{
    ErrorChain,
    logs::{ChangeMessage, HookMessage},
    start::pid_file::KeptPidFile,
    status::Service,
    system::clock,
    upgrade::{HandingOver, Probe, Processes, Which, Word},
};

impl Parent<'_> {
    /// Starts the program as its file is now, as a probe; or this one, where that is what may help.
    pub(super) fn start_probe(&mut self) {
        let which = if self.tries_itself() { Which::Running } else { Which::Installed };
        let invocation = match &self.invocation {
            Ok(invocation) => invocation,
            Err(error) => {
                let why = format!("it is not known how this program was started: {error}");
                return self.refuse(clock::now(), &why);
            }
        };
        let probed = self.handing_over().probe(invocation, which, self.signals.before());
        match probed {
            Ok(probe) => self.helpers.probe = Some(probe),
            Err(error) => {
                let why = format!("{}{}", ErrorChain(&error), error.shortage());
                self.refuse(clock::now(), &why);
            }
        }
    }

    /// Logs which file is tried, which one this process becomes, and whether that is another than before; returns
    /// whether the notice is about that.
    pub(super) fn log_upgrade(&self, notice: Notice) -> bool {
        let Ok(invocation) = &self.invocation else { return false };
        match (notice, &self.helpers.probe) {
            (Notice::Change(ChangeNotice::Probing), _) if self.is_about_to_try_itself() => {
                let path = one_line(invocation.running());
                self.log.write(&ChangeMessage::ProbingAgain { path: &path });
            }
            (Notice::Change(ChangeNotice::Probing), _) => {
                Probe::announce(invocation, &self.log);
            }
            (Notice::Change(ChangeNotice::Upgrading), Some(probe)) => {
                probe.announce_works(invocation, &self.log);
            }
            _ => return false,
        }
        true
    }

    /// Passes on what the probe reports.
    pub(super) fn read_probe(&mut self, now: Time) {
        let word = self.helpers.probe.as_mut().and_then(Probe::read);
        match word {
            None => {}
            Some(Word::Ready) => self.supervisor.handle(now, Event::ProbeReady),
            Some(Word::Busy) => {
                self.helpers.end_probe();
                self.supervisor.handle(now, Event::ProgramBusy);
            }
        }
    }

    /// Becomes the program that the probe runs. If this returns, that was refused.
    pub(super) fn upgrade(&mut self) {
        // A board that was just found damaged is not left to the next program, which would find it once more.
        self.keep_board();
        self.helpers.end_for_upgrade();
        self.say_calls_are_lost();
        self.counters.observe(clock::now(), &self.supervisor);
        self.mend_listeners(clock::now());
        let refused = match (&self.helpers.probe, &self.invocation) {
            (Some(probe), Ok(invocation)) => Some(self.handing_over().hand_over(invocation, probe)),
            (None, _) | (_, Err(_)) => None,
        };
        if let Some(error) = refused {
            self.say_refused(&format!("the new program cannot be executed in place: {error}"));
        }
        self.helpers.end_probe();
        self.supervisor.handle(clock::now(), Event::UpgradeFailed);
    }

    /// Logs that calls for ended children are left out, as the hook takes too long.
    fn say_calls_are_lost(&self) {
        let lost = self.helpers.calls.open(Hook::OnChildExit);
        if lost > 0 {
            self.log.write(&HookMessage::CallsLost { calls: lost });
        }
    }

    pub(super) fn handing_over(&self) -> HandingOver<'_> {
        HandingOver {
            settings: &self.settings,
            hangups: &self.hangups,
            listeners: &self.listeners,
            access_log: &self.access_log,
            board: self.runtime_files.board.as_ref(),
            pid_file: self.runtime_files.pid_file.as_ref().map(KeptPidFile::file),
            status: self.helpers.status.as_ref().map(Service::sockets),
            of: Processes::Children {
                channels: &self.channels,
                children: self.table.hand_over(),
                tags: self.descendants.hand_over(),
                supervisor: self.supervisor.hand_over(),
                counters: Box::new(self.counters.hand_over(clock::now())),
                link: self.link.as_ref(),
            },
        }
    }

    /// Passes on that the program was tried and does not work.
    pub(super) fn refuse(&mut self, now: Time, why: &str) {
        self.say_refused(why);
        self.supervisor.handle(now, Event::ProbeFailed);
    }

    fn say_refused(&mut self, why: &str) {
        self.log.write(&ChangeMessage::UpgradeRefused { reason: &why });
        why.clone_into(&mut self.reported.program);
    }
}
