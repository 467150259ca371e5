//! Becoming a new program, once that has shown that it works.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{Action, ChangeNotice, Hook, Notice, Progress, Refusal, Time};

/// How long after it was found busy a program file is tried again, and for how long that goes on.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// How far an upgrade has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    No,
    /// It begins as soon as the daemon serves.
    Wanted,
    /// The program file was being written when it was last tried.
    Busy {
        since: Time,
        retry: Time,
    },
    /// A probe is at work.
    Probing {
        since: Time,
        again: bool,
        /// Since when the file was found busy, if the probe is not the first.
        busy_since: Option<Time>,
    },
    /// The process is to become the new program, once everything else is done.
    Due {
        again: bool,
        /// Until when hooks that are being run are waited for, if any are.
        waits: Option<Time>,
        /// Whether it was asked for.
        asked: bool,
    },
}

impl Supervisor {
    pub(super) fn want_upgrade(&mut self) {
        self.upgrade = match self.upgrade {
            Upgrade::No | Upgrade::Wanted | Upgrade::Busy { .. } => Upgrade::Wanted,
            Upgrade::Probing { since, busy_since, .. } => {
                Upgrade::Probing { since, again: true, busy_since }
            }
            Upgrade::Due { waits, asked, .. } => Upgrade::Due { again: true, waits, asked },
        };
    }

    pub(super) fn probe_ready(&mut self, now: Time) {
        let Upgrade::Probing { again, .. } = self.upgrade else { return };
        self.log(Notice::Change(ChangeNotice::Upgrading));
        self.show(Progress::Upgrading);
        let waits = Some(now + self.config.hook_timeout);
        self.upgrade = Upgrade::Due { again, waits, asked: false };
    }

    /// Waits for a call that has begun when nothing more was to be waited for, as that of a child that has ended in
    /// the moment in which the probe was ready.
    pub(super) fn wait_for_hooks_before_upgrade(&mut self, now: Time) {
        if let Upgrade::Due { again, waits: None, asked: false } = self.upgrade
            && self.hooks.are_about_the_past()
        {
            let waits = Some(now + self.config.hook_timeout);
            self.upgrade = Upgrade::Due { again, waits, asked: false };
        }
    }

    /// Returns what comes after all other actions: what is handed over is there, and all was carried out
    /// that was decided.
    pub(super) const fn last_action(&mut self) -> Option<Action> {
        match self.upgrade {
            Upgrade::Due { again, waits: None, asked: false } => {
                self.upgrade = Upgrade::Due { again, waits: None, asked: true };
                Some(Action::Upgrade)
            }
            Upgrade::No
            | Upgrade::Wanted
            | Upgrade::Busy { .. }
            | Upgrade::Probing { .. }
            | Upgrade::Due { .. } => None,
        }
    }

    pub(super) fn probe_failed(&mut self) {
        if let Upgrade::Probing { again, .. } = self.upgrade {
            self.refuse_upgrade(again, Refusal::Reported);
        }
    }

    pub(super) fn program_busy(&mut self, now: Time) {
        let Upgrade::Probing { again, busy_since, .. } = self.upgrade else { return };
        let since = busy_since.unwrap_or(now);
        let tried = now.since(since);
        self.upgrade = if again {
            Upgrade::Wanted
        } else if tried < BUSY_PATIENCE {
            Upgrade::Busy { since, retry: now + BUSY_PAUSE }
        } else {
            self.log(Notice::Change(ChangeNotice::ProgramBusy { tried }));
            return self.refuse_upgrade(again, Refusal::Busy { tried });
        };
    }

    pub(super) fn upgrade_failed(&mut self) {
        if let Upgrade::Due { again, .. } = self.upgrade {
            self.refuse_upgrade(again, Refusal::Reported);
            self.read_again();
        }
    }

    /// Gives an upgrade up. Another one that was asked for meanwhile may find a better file.
    fn refuse_upgrade(&mut self, again: bool, by: Refusal) {
        self.stats.upgrades_refused += 1;
        self.show(Progress::UpgradeRefused { by });
        self.upgrade = if again { Upgrade::Wanted } else { Upgrade::No };
    }

    /// Starts a probe that is due, and gives up one that takes too long.
    pub(super) fn decide_upgrade(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        match self.upgrade {
            // The end of the start is reported by this program.
            Upgrade::Wanted if self.hooks.is_running(Hook::Ready) => {}
            Upgrade::Wanted => {
                self.log(Notice::Change(ChangeNotice::Probing));
                self.show(Progress::Probing);
                self.probe(now, None);
            }
            Upgrade::Busy { since, retry } if now >= retry => self.probe(now, Some(since)),
            Upgrade::Probing { since, again, .. }
                if now.since(since) >= self.config.start_timeout =>
            {
                self.actions.push_back(Action::EndProbe);
                let limit = self.config.start_timeout;
                self.log(Notice::Change(ChangeNotice::ProbeTimedOut { limit }));
                self.refuse_upgrade(again, Refusal::TimedOut { limit });
                self.decide_upgrade(now);
            }
            // The next program would not know of a call that has begun.
            Upgrade::Due { again, waits: Some(until), asked } => {
                if now >= until || !self.hooks.are_about_the_past() {
                    self.upgrade = Upgrade::Due { again, waits: None, asked };
                }
            }
            Upgrade::No | Upgrade::Busy { .. } | Upgrade::Probing { .. } | Upgrade::Due { .. } => {}
        }
    }

    fn probe(&mut self, now: Time, busy_since: Option<Time>) {
        self.upgrade = Upgrade::Probing { since: now, again: false, busy_since };
        self.actions.push_back(Action::Probe);
    }

    /// When an upgrade needs a decision, if nothing happens.
    pub(super) fn upgrade_due(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        match self.upgrade {
            Upgrade::No | Upgrade::Wanted => None,
            Upgrade::Due { waits, .. } => waits,
            Upgrade::Busy { retry, .. } => Some(retry),
            Upgrade::Probing { since, .. } => Some(since + self.config.start_timeout),
        }
    }

    /// Gives an upgrade up, as the daemon stops.
    pub(super) fn forgo_upgrade(&mut self) {
        match std::mem::replace(&mut self.upgrade, Upgrade::No) {
            Upgrade::No | Upgrade::Wanted | Upgrade::Busy { .. } => {}
            Upgrade::Probing { .. } | Upgrade::Due { .. } => {
                self.actions.push_back(Action::EndProbe);
            }
        }
    }
}
