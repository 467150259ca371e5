//! Having the pools follow the daemon, each by its own parent: to another program, or to other settings.

use prefork_core::pools::{PoolId, PoolsChange};
use rustix::process::Signal;

use super::arbiter::Arbiter;
use crate::seat::Desk;

impl Arbiter<'_> {
    /// Asks the parent of a pool to follow. What becomes of that is in what it reports (`heard.rs`).
    pub(super) fn ask(&mut self, id: PoolId, change: PoolsChange) {
        let seat = &mut self.seats[id.0 as usize];
        if let Some(roster) = &mut self.roster {
            roster.note_asked(change, &seat.identity.name);
        }
        let signal = match change {
            PoolsChange::Reload => {
                seat.desk.iter().for_each(Desk::ask_reload);
                Signal::HUP
            }
            PoolsChange::Upgrade => {
                seat.asked = seat.desk.as_ref().map(Desk::upgrades);
                Signal::USR2
            }
        };
        self.signal(id, signal);
    }
}
