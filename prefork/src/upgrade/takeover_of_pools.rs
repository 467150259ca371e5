//! Taking the arbiter of several pools over from the old program: the parents of the pools, and the ways to them.

use std::{io, os::fd::OwnedFd, path::PathBuf};

use prefork_core::{
    AdoptedAs, Time,
    pools::{HandedPool, Held, PoolsChange, Wishes},
};
use rustix::process::Pid;

use super::{Inherited, handed_arbiter::HandedParent, takeover::Takeover};
use crate::{
    RunError, args::check::Settings, logs::log::Log, seat::Desk, seat::Seated, start::Initialized,
};

/// The parents of several pools, and how they can be reached.
#[derive(Debug)]
pub(crate) struct AdoptedArbiter {
    pub(crate) adopted_as: AdoptedAs,
    pub(crate) pools: Vec<AdoptedMember>,
    /// Rung by the parents of pools.
    pub(crate) bell: OwnedFd,
    /// What this program was executed for, and when that began.
    pub(crate) change: PoolsChange,
    pub(crate) began: Option<Time>,
    /// What was asked for meanwhile.
    pub(crate) again: Wishes,
    /// Where the pid file of the old program was.
    pub(crate) pid_path: Option<PathBuf>,
}

/// One of several pools.
#[derive(Debug)]
pub(crate) struct AdoptedMember {
    pub(crate) pool: HandedPool,
    /// The pid of its parent and the way to it, if it has one.
    pub(crate) parent: Option<(Pid, Desk)>,
    /// Both ends of the way by which it takes connections of other pools.
    pub(crate) way: Option<(OwnedFd, OwnedFd)>,
}

impl AdoptedMember {
    /// Returns what was handed over of it, with what it has of a ceiling and how far its reloads have come, as its parent has
    /// reported that by now.
    pub(crate) fn as_it_is(&self) -> HandedPool {
        let mut pool = self.pool.clone();
        if let Some((_, desk)) = &self.parent {
            pool.held = Held { said: desk.said(), need: desk.need() };
            pool.reloads = desk.reloads();
        }
        pool
    }
}

impl Inherited {
    /// Returns what the old program has known of its pools.
    pub(crate) fn seats(&self) -> &[Seated] {
        &self.handover.seats
    }

    /// Claims all that an arbiter has left.
    ///
    /// # Errors
    ///
    /// Fails if the pages of the pools cannot be had, with nothing claimed.
    pub(crate) fn claim_arbiter<S>(
        mut self,
        settings: &Settings,
        takeover: Takeover<S>,
        log: &Log,
    ) -> Result<(Initialized<Option<S>>, AdoptedArbiter), RunError> {
        let mut initialized = takeover.initialized;
        let missing = || io::Error::other("a descriptor is missing");
        let look = || {
            let arbiter = self.handover.arbiter.as_ref().ok_or_else(missing)?;
            self.descriptor(arbiter.bell).ok_or_else(missing)?;
            let look = |parent: HandedParent| {
                Pid::from_raw(parent.pid).ok_or_else(missing)?;
                self.descriptor(parent.call).ok_or_else(missing)?;
                Desk::look(self.descriptor(parent.page).ok_or_else(missing)?)
            };
            let pages = arbiter.pools.iter().map(|member| member.parent.map(look).transpose());
            pages.collect::<io::Result<Vec<_>>>()
        };
        let pages = look().map_err(RunError::system("take over the ways to the pools"));
        let pages = match pages {
            Ok(pages) => pages,
            Err(error) => {
                self.refuse(Some(&settings.name), &error);
                return Err(error);
            }
        };
        let Some(arbiter) = self.handover.arbiter.take() else { return Err(RunError::NoPool) };
        self.settle();
        self.claim_pid_file(&arbiter.process, settings, &mut initialized.runtime_files, log);
        self.claim_socket_files(&mut initialized);
        let (change, began, again) = (arbiter.change, arbiter.began, arbiter.wishes());
        let Some(bell) = self.take(arbiter.bell) else { return Err(RunError::NoPool) };
        let members = arbiter.pools.into_iter().zip(pages).map(|(member, page)| {
            let parent = member.parent.zip(page).and_then(|(parent, page)| {
                let desk = Desk::adopt(page, self.take(parent.page)?, self.take(parent.call)?);
                Some((Pid::from_raw(parent.pid)?, desk))
            });
            let way = member.way;
            let way =
                way.and_then(|(taking, leading)| Some((self.take(taking)?, self.take(leading)?)));
            AdoptedMember { pool: member.pool, parent, way }
        });
        let pools = members.collect();
        let adopted_as = self.adopted_as();
        let pid_path = self.handover.pid_path.as_ref().map(PathBuf::from);
        let adopted = AdoptedArbiter { adopted_as, pools, bell, change, began, again, pid_path };
        Ok((initialized, adopted))
    }
}
