//! Trying a program, which is another one or the same with its settings read again, and becoming it.

use prefork_core::{
    ChangeNotice, Exit, Notice, Time,
    pools::{
        ChangeState, HandedStage, ListedOutcome, PoolId, PoolsChange, PoolsEvent, PoolsNotice,
    },
};
use rustix::process::Pid;

use super::{arbiter::Arbiter, pool_process::PoolProcess, ways::Way};
use crate::{
    AccessLog, ErrorChain,
    logs::describe::{Span, why_refused},
    logs::notices::{self, About},
    logs::{ArbiterMessage, ChangeMessage},
    start::pid_file::KeptPidFile,
    system::clock,
    upgrade::{HandingOver, Member, Probe, Processes, Which, Word},
};

impl Arbiter<'_> {
    /// Starts a program as a probe: as its file is now, or for a reload the one that runs.
    pub(super) fn start_probe(&mut self) {
        let which = match self.change() {
            PoolsChange::Reload => Which::Running,
            PoolsChange::Upgrade => Which::Installed,
        };
        let nowhere = AccessLog::nowhere();
        let handing_over = self.handing_over(&nowhere);
        let probed = handing_over.probe(&self.invocation, which, self.signals.before());
        match probed {
            Ok(probe) => self.probe = Some(probe),
            Err(error) => {
                self.refuse(clock::now(), &format!("{}{}", ErrorChain(&error), error.shortage()));
            }
        }
    }

    /// Ends the probe, if there is one.
    pub(super) fn end_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            // Dropping it kills it.
            self.leftovers.take_over(probe.helper());
        }
    }

    /// Passes on what the probe reports.
    pub(super) fn read_probe(&mut self, now: Time) {
        match self.probe.as_mut().and_then(Probe::read) {
            None => {}
            Some(Word::Ready) => self.pools.handle(now, PoolsEvent::ProbeReady),
            Some(Word::Busy) => {
                self.end_probe();
                self.pools.handle(now, PoolsEvent::ProgramBusy);
            }
        }
    }

    /// Takes in that a process has ended, if that was the probe.
    pub(super) fn probe_ended(&mut self, now: Time, pid: Pid, exit: Exit) {
        if let Some(probe) = self.probe.take_if(|probe| probe.helper().pid() == pid) {
            self.refuse(now, &probe.why(self.what(), exit));
        }
    }

    fn refuse(&mut self, now: Time, why: &str) {
        self.log_refused(why);
        self.pools.handle(now, PoolsEvent::ProbeFailed);
    }

    fn log_refused(&mut self, why: &str) {
        self.log.write(&match self.change() {
            PoolsChange::Reload => ChangeMessage::ReloadRefused { reason: &why },
            PoolsChange::Upgrade => ChangeMessage::UpgradeRefused { reason: &why },
        });
        why.clone_into(&mut self.reason);
    }

    /// What is tried.
    fn what(&self) -> &'static str {
        match self.change() {
            PoolsChange::Reload => "the program that was to read the settings",
            PoolsChange::Upgrade => "the new program",
        }
    }

    fn change(&self) -> PoolsChange {
        self.pools.change().unwrap_or_default()
    }

    /// Writes down, for who has asked for it, how far a change of the whole has come.
    pub(super) fn report(&mut self, change: PoolsChange, state: ChangeState) {
        let reason = std::mem::take(&mut self.reason);
        if state == ChangeState::Begun {
            self.change_began = clock::now();
        }
        let Some(roster) = &mut self.roster else { return };
        let written = match state {
            ChangeState::Begun => roster.note_begun(change, self.change_began),
            ChangeState::Refused(by) => {
                let reason = why_refused(by, || reason);
                roster.note_ended(change, ListedOutcome::Refused, &reason)
            }
            ChangeState::NotTaken => {
                let reason = match change {
                    PoolsChange::Reload => {
                        "the program that has read the settings has failed to go on"
                    }
                    PoolsChange::Upgrade => "the new program has failed to take over",
                };
                let reason = format!("{reason}; the error log says why");
                roster.note_ended(change, ListedOutcome::Failed, &reason)
            }
            ChangeState::Done => roster.note_ended(change, ListedOutcome::Done, ""),
            ChangeState::InPart { refused } => {
                let reason =
                    format!("pools that have not followed: {refused}; the error log says why");
                roster.note_ended(change, ListedOutcome::Failed, &reason)
            }
        };
        if let Err(error) = written {
            self.log.write(&ArbiterMessage::NoRoster { error: &error });
        }
    }

    /// Becomes the program that the probe runs. If this returns, that was refused.
    pub(super) fn upgrade(&mut self) {
        // The next program reaps them.
        self.leftovers.kill();
        if let Some(probe) = &self.probe {
            let nowhere = AccessLog::nowhere();
            let error = self.handing_over(&nowhere).hand_over(&self.invocation, probe);
            let why = format!("{} cannot be executed in place: {error}", self.what());
            self.log_refused(&why);
        }
        self.end_probe();
        self.pools.handle(clock::now(), PoolsEvent::UpgradeFailed);
    }

    fn handing_over<'a>(&'a self, access_log: &'a AccessLog) -> HandingOver<'a> {
        let members = (0..).map(PoolId).zip(&self.seats).map(|(id, seat)| {
            let PoolProcess { identity, way, helper, desk, .. } = seat;
            Member {
                pool: self.pools.hand_over(id, identity.clone()),
                parent: helper.as_ref().zip(desk.as_ref()),
                way: way.as_ref().map(Way::ends),
            }
        });
        // One that has gone for good is nothing to go on with.
        let pools = members.filter(|it| it.parent.is_some() || it.pool.stage == HandedStage::Down);
        HandingOver {
            settings: &self.settings,
            hangups: &self.hangups,
            listeners: &self.listeners,
            access_log,
            board: None,
            pid_file: self.runtime_files.pid_file.as_ref().map(KeptPidFile::file),
            status: None,
            of: Processes::Pools {
                pools: pools.collect(),
                seats: &self.members,
                bell: &self.bell,
                change: self.change(),
                began: self.change_began,
                again: self.pools.wishes(),
            },
        }
    }

    /// Logs what is about an upgrade; returns whether the notice is.
    pub(super) fn log_upgrade(&self, notice: PoolsNotice) -> bool {
        let Self { invocation, log, .. } = self;
        let name = |id| self.name(id);
        match (notice, &self.probe) {
            (PoolsNotice::Change(ChangeNotice::Probing), _) => Probe::announce(invocation, log),
            (PoolsNotice::Change(ChangeNotice::Upgrading), Some(probe)) => {
                probe.announce_works(invocation, log);
            }
            (PoolsNotice::Change(notice), _) => {
                notices::log(log, Notice::Change(notice), &About::default());
            }
            (PoolsNotice::Upgraded { upgraded, refused }, _) => {
                log.write(&ArbiterMessage::PoolsUpgraded { upgraded, refused });
            }
            (PoolsNotice::NotUpgraded(id), _) => {
                log.write(&ArbiterMessage::PoolNotUpgraded { pool: name(id) });
            }
            (PoolsNotice::UpgradeUnanswered { pool, limit }, _) => {
                let limit = Span(limit);
                log.write(&ArbiterMessage::PoolUpgradeUnanswered { pool: name(pool), limit });
            }
            (PoolsNotice::Gone(id), _) => log.write(&ArbiterMessage::PoolGone { pool: name(id) }),
            (PoolsNotice::Changed(id), _) => {
                log.write(&ArbiterMessage::PoolChanged { pool: name(id) });
            }
            (PoolsNotice::Left(id), _) => log.write(&ArbiterMessage::PoolLeft { pool: name(id) }),
            _ => return false,
        }
        true
    }
}
