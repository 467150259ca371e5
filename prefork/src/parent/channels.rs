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
    /// Whether nothing can be heard of children.
    pub(crate) is_deaf: bool,
}

impl Channels {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            reports: Reports::new()?,
            lifeline: Lifeline::new()?,
            nudge: Nudge::new()?,
            asks: Asks::new()?,
            is_deaf: false,
        })
    }

    /// Leaves all of them to the next program in this process.
    pub(crate) fn pass<'a>(&'a self, passed: &mut Passed<'a>) -> HandedChannels {
        HandedChannels {
            reports: self.reports.descriptors().map(|fd| passed.pass(fd)),
            lifeline: self.lifeline.descriptors().map(|fd| passed.pass(fd)),
            nudge: self.nudge.descriptors().map(|fd| passed.pass(fd)),
            asks: self.asks.descriptors().map(|fd| passed.pass(fd)),
        }
    }

    /// Goes on with what the program of before has left; `get` finds a descriptor by its number.
    pub(crate) fn adopt(
        handed: HandedChannels,
        mut get: impl FnMut(RawFd) -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let HandedChannels { reports: [a, b], lifeline: [c, d], .. } = handed;
        let HandedChannels { nudge: [e, f, g], asks: [h, i, j, k], .. } = handed;
        Ok(Self {
            reports: Reports::adopt([get(a)?, get(b)?]),
            lifeline: Lifeline::adopt([get(c)?, get(d)?]),
            nudge: Nudge::adopt([get(e)?, get(f)?, get(g)?])?,
            asks: Asks::adopt([get(h)?, get(i)?, get(j)?, get(k)?])?,
            is_deaf: false,
        })
    }
}
