//! What the parents of pools say to the arbiter: read where they have written it, and passed on where it is news.

use prefork_core::{
    Need, Time,
    pools::{PoolId, PoolReloads, PoolsEvent},
};

use super::arbiter::Arbiter;

/// What the parent of a pool has said last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    is_ready: bool,
    need: Need,
    reloads: PoolReloads,
}

impl Arbiter<'_> {
    /// Takes in what the parents of pools have said.
    pub(super) fn take_bell(&mut self, now: Time) {
        if rustix::io::read(&self.bell, &mut [0; 8]).is_err() {
            return;
        }
        // All ring the same bell: what is no news is not decided upon once more for each of them.
        for (id, seat) in (0..).map(PoolId).zip(&mut self.seats) {
            let Some(desk) = &seat.desk else { continue };
            // In this order: a reload that follows an upgrade is said before that.
            let upgrades = desk.upgrades();
            let reloads = desk.reloads();
            let heard = Heard { is_ready: desk.is_ready(), need: desk.need(), reloads };
            let before = seat.heard.replace(heard);
            if heard.is_ready && before.is_none_or(|before| !before.is_ready) {
                self.pools.handle(now, PoolsEvent::Ready(id));
            }
            if before.is_none_or(|before| before.need != heard.need) {
                self.pools.handle(now, PoolsEvent::Need(id, heard.need));
            }
            if before.is_none_or(|before| before.reloads != reloads) {
                self.pools.handle(now, PoolsEvent::Reloads(id, reloads));
            }
            if let Some(before) = seat.asked.take_if(|before| *before != upgrades) {
                let is_done = upgrades.done != before.done;
                let answer =
                    if is_done { PoolsEvent::PoolUpgraded } else { PoolsEvent::PoolNotUpgraded };
                self.pools.handle(now, answer(id));
            }
        }
    }
}
