//! What the arbiter logs of what was decided.

use std::{fmt::Display, io, time::Duration};

use prefork_core::pools::{PoolId, PoolsNotice, PoolsTrouble, PoolsVerdict, TroubleKind};

use super::arbiter::Arbiter;
use crate::{
    logs::ArbiterMessage,
    logs::describe::{Ended, Span},
    logs::log::Log,
    system::clock,
};

impl Arbiter<'_> {
    pub(super) fn log_notice(&self, notice: PoolsNotice) {
        if self.log_upgrade(notice) {
            return;
        }
        let name = |id: PoolId| self.name(id);
        self.log.write(&match notice {
            PoolsNotice::Woken(pool) => ArbiterMessage::PoolWoken { pool: name(pool) },
            PoolsNotice::Asleep(pool) => ArbiterMessage::PoolAsleep { pool: name(pool) },
            PoolsNotice::Lost { pool, exit, lived, pause } => {
                let next: &dyn Display = match &pause {
                    Some(pause) => &format!("starting it again in {}", Span(*pause)),
                    None => &"starting it again",
                };
                let (pool, how, lived) = (name(pool), &Ended(exit), Span(lived));
                self.log.write(&ArbiterMessage::PoolLost { pool, how, lived, next });
                return;
            }
            PoolsNotice::NotStarted { pool, pause } => {
                ArbiterMessage::PoolNotStarted { pool: name(pool), pause: Span(pause) }
            }
            PoolsNotice::Stuck(pool) => ArbiterMessage::PoolStuck { pool: name(pool) },
            PoolsNotice::Reloading { pools } => ArbiterMessage::Reloading { pools },
            PoolsNotice::Reloaded { reloaded, started, refused, took } => {
                let took = Span(took);
                self.log.write(&match refused {
                    0 => ArbiterMessage::PoolsReloaded { reloaded, started, refused, took },
                    _ => ArbiterMessage::PoolsNotReloaded { reloaded, started, refused, took },
                });
                return;
            }
            PoolsNotice::NotReloaded(id) => ArbiterMessage::PoolNotReloaded { pool: name(id) },
            PoolsNotice::ReloadUnanswered { pool, limit } => {
                ArbiterMessage::PoolReloadUnanswered { pool: name(pool), limit: Span(limit) }
            }
            PoolsNotice::Killed { pools } => ArbiterMessage::PoolsKilled { pools },
            // Logged already.
            PoolsNotice::Change(_)
            | PoolsNotice::Upgraded { .. }
            | PoolsNotice::NotUpgraded(_)
            | PoolsNotice::UpgradeUnanswered { .. }
            | PoolsNotice::Gone(_)
            | PoolsNotice::Changed(_)
            | PoolsNotice::Left(_) => return,
        });
    }

    /// Shows the service manager what is wrong with pools.
    pub(super) fn show_trouble(&mut self, trouble: Option<PoolsTrouble>) {
        let text = trouble.map(|PoolsTrouble { kind, pool, others }| {
            let what = match kind {
                TroubleKind::Lost => "its parent has ended and is started again",
                TroubleKind::SettingsRefused => {
                    "the settings were refused, the old ones stay in force"
                }
                TroubleKind::ReloadFailed => "new children did not work, old children stay",
                TroubleKind::NotUpgraded => "has refused the new program, the old one goes on",
            };
            let and_others = match others {
                0 => String::new(),
                1 => " (and 1 other pool)".to_owned(),
                others => format!(" (and {others} other pools)"),
            };
            format!("pool {}: {what}{and_others}", self.name(pool))
        });
        self.reporting.trouble(text);
    }

    pub(super) fn name(&self, PoolId(number): PoolId) -> &str {
        &self.seats[number as usize].identity.name
    }

    pub(super) fn log_end(&self, verdict: PoolsVerdict) {
        match verdict {
            PoolsVerdict::Stopped => {
                let now = clock::now();
                let duration =
                    Span(self.stop_began.map_or(Duration::ZERO, |began| now.since(began)));
                let uptime = Span(now.since(self.began));
                self.log.write(&ArbiterMessage::Stopped { duration, uptime });
            }
            // By what is returned.
            PoolsVerdict::PoolDied(..) | PoolsVerdict::StartTimedOut(_) => {}
        }
    }
}

/// Logs, in a process that was forked to be the parent of a pool, why it cannot be.
pub(super) fn report_not_executed(pool: &str, error: &io::Error, log: &Log) {
    log.write(&ArbiterMessage::NotExecuted { pool, error });
}
