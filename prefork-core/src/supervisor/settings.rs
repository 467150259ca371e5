//! Reading settings again, before children are replaced.

use super::{Phase, Supervisor};
use crate::{Action, ChangeNotice, Config, Notice, Progress, Refusal, ReloadEnd, Reread, Time};

/// How far the reading of settings has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    No,
    /// It begins as soon as the daemon serves.
    Wanted,
    /// Somebody is at it.
    Begun {
        since: Time,
        /// Whether it was asked for once more: what was read may be older than that.
        again: bool,
    },
}

impl Supervisor {
    /// Takes in that children are to be replaced, once the settings are read where there are any.
    pub(super) const fn want_reload(&mut self) {
        match (self.config.reread, self.reading) {
            (Reread::Never, _) => self.rollout_again = true,
            (Reread::AtReload, Reading::No | Reading::Wanted) => self.reading = Reading::Wanted,
            (Reread::AtReload, Reading::Begun { since, .. }) => {
                self.reading = Reading::Begun { since, again: true };
            }
        }
    }

    /// Takes in that settings were read, and are good.
    pub(super) fn note_settings(&mut self, now: Time, config: Config) {
        if !self.end_reading() {
            return;
        }
        self.show(Progress::Reconfigured);
        let size = |config: &Config| (config.prefork(), config.max_children());
        let before = size(&std::mem::replace(&mut self.config, config));
        let (prefork, max_children) = size(&self.config);
        self.slots.grow(self.config.slots());
        self.change_one_shot();
        match (&mut self.watch, self.config.scaling_policy()) {
            (Some(watch), Some(policy)) => {
                watch.change(policy, now);
                self.target = self.target.clamp(prefork, max_children);
            }
            (None, _) | (_, None) => self.target = prefork,
        }
        if before != (prefork, max_children) {
            self.note_size();
        }
        self.rollout_again = true;
    }

    /// Takes in that they are wrong.
    pub(super) fn settings_refused(&mut self, by: Refusal) {
        if self.end_reading() {
            self.stats.reloads_failed += 1;
            self.last_reload = ReloadEnd::SettingsRefused;
            self.show(Progress::SettingsRefused { by });
        }
    }

    /// Takes in that nobody could read them.
    pub(super) fn settings_unread(&mut self) {
        if self.end_reading() {
            self.show(Progress::Reconfigured);
            self.rollout_again = true;
        }
    }

    /// Begins to read settings where that is wanted, and gives it up if it takes too long.
    pub(super) fn decide_settings(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        match self.reading {
            Reading::Wanted => {
                self.reading = Reading::Begun { since: now, again: false };
                self.log(Notice::Change(ChangeNotice::ReadingSettings));
                self.show(Progress::ReadingSettings);
                self.actions.push_back(Action::ReadSettings);
            }
            Reading::Begun { since, .. } if now.since(since) >= self.config.start_timeout => {
                self.actions.push_back(Action::EndReading);
                let limit = self.config.start_timeout;
                self.log(Notice::Change(ChangeNotice::SettingsTimedOut { limit }));
                self.settings_refused(Refusal::TimedOut { limit });
                self.decide_settings(now);
            }
            Reading::No | Reading::Begun { .. } => {}
        }
    }

    /// When the reading of settings will have taken too long.
    pub(super) fn reading_due(&self) -> Option<Time> {
        match (self.phase, self.reading) {
            (Phase::Serving, Reading::Begun { since, .. }) => {
                Some(since + self.config.start_timeout)
            }
            (_, Reading::No | Reading::Wanted | Reading::Begun { .. }) => None,
        }
    }

    /// Gives the reading of settings up, as the daemon stops.
    pub(super) fn forgo_settings(&mut self) {
        match std::mem::replace(&mut self.reading, Reading::No) {
            Reading::No | Reading::Wanted => {}
            Reading::Begun { .. } => self.actions.push_back(Action::EndReading),
        }
    }

    /// Has settings read once more whose reading was ended.
    pub(super) const fn read_again(&mut self) {
        if let Reading::Begun { .. } = self.reading {
            self.reading = Reading::Wanted;
        }
    }

    /// Notes that nobody is at it any more; returns whether anybody was.
    const fn end_reading(&mut self) -> bool {
        let Reading::Begun { again, .. } = self.reading else { return false };
        self.reading = if again { Reading::Wanted } else { Reading::No };
        true
    }
}
