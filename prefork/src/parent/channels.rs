//! All ways between the parent and its children.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
};

use crate::{
    asks::Asks,
    nudge::Nudge,
    os::{Lifeline, Reports},
    upgrade::{HandedChannels, Passed},
};

/// The parent's ends, and what a child makes its own of.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) reports: Reports,
    pub(crate) lifeline: Lifeline,
    pub(crate) nudge: Nudge,
    pub(crate) asks: Asks,
}

impl Channels {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            reports: Reports::new()?,
            lifeline: Lifeline::new()?,
            nudge: Nudge::new()?,
            asks: Asks::new()?,
        })
    }

    /// Leaves all of them to the next program in this process.
    pub(crate) fn pass<'a>(&'a self, passed: &mut Passed<'a>) -> HandedChannels {
        let mut pass = |fds: [&'a OwnedFd; 2]| fds.map(|fd| passed.pass(fd));
        HandedChannels {
            reports: pass(self.reports.descriptors()),
            lifeline: pass(self.lifeline.descriptors()),
            nudge: pass(self.nudge.descriptors()),
            asks: pass(self.asks.descriptors()),
        }
    }

    /// Goes on with what the program of before has left; `get` finds a descriptor by its number.
    pub(crate) fn adopt(
        handed: HandedChannels,
        mut get: impl FnMut(RawFd) -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let mut pair = |[a, b]: [RawFd; 2]| Ok::<_, io::Error>([get(a)?, get(b)?]);
        Ok(Self {
            reports: Reports::adopt(pair(handed.reports)?),
            lifeline: Lifeline::adopt(pair(handed.lifeline)?),
            nudge: Nudge::adopt(pair(handed.nudge)?)?,
            asks: Asks::adopt(pair(handed.asks)?)?,
        })
    }
}
