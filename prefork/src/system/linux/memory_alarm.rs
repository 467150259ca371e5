//! Descriptors that the kernel makes ready when a control group is about to use up its memory.
//!
//! Of version 1 it does so when what is used passes a threshold, in either direction. Of version 2 there are no thresholds
//! that do not slow down whoever passes them (`memory.high`), so it is when memory has to be taken back from the group, be
//! it that somebody has waited for that for long enough (`memory.pressure`) or that the limit was reached
//! (`memory.events`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd},
    fs::OFlags,
};

use super::control_groups::{ControlGroup, Version};

/// How many of 32 parts of what may be used are a threshold, where there are any. The first is that below which the
/// guard measures children.
const THRESHOLDS: [u64; 4] = [24, 28, 30, 31];

/// How long somebody has waited for memory in which time, in microseconds. The kernel watches closely for those alone who
/// may (`CAP_SYS_RESOURCE`), and for others since Linux 6.5, at whole multiples of 2 s: see `Documentation/accounting/psi.rst`.
const STALLS: [&str; 2] = ["some 20000 500000", "some 100000 2000000"];

/// The alarm of one group, for the limit that it has at this time.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    limit: Option<u64>,
    /// Where a counter of thresholds that were passed is kept.
    thresholds: Option<OwnedFd>,
    /// Where the limit that was reached is counted.
    events: Option<File>,
    /// Where stalls are noticed for as long as it is open.
    pressure: Option<File>,
    refused: Option<io::Error>,
}

impl Alarm {
    /// Sets it for this limit, unless it is already.
    pub(super) fn keep(&mut self, group: &ControlGroup, limit: Option<u64>) {
        if limit != self.limit {
            // The old one is given up first.
            *self = Self { limit, ..Self::default() };
            if let Some(limit) = limit
                && let Err(error) = self.set(group, limit)
            {
                self.refused = Some(error);
            }
        }
    }

    fn set(&mut self, group: &ControlGroup, limit: u64) -> io::Result<()> {
        match group.version() {
            Version::One => self.thresholds = Some(thresholds(group, limit)?),
            Version::Two => {
                self.pressure = pressure(group).ok();
                self.events = Some(events(group)?);
            }
        }
        Ok(())
    }

    /// Returns why there is none.
    pub(super) const fn refused(&self) -> Option<&io::Error> {
        self.refused.as_ref()
    }

    /// Returns what is to be waited for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        // The files can always be read.
        let files = self.events.iter().chain(&self.pressure);
        let files = files.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI));
        let counter = self.thresholds.iter();
        counter.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).chain(files)
    }

    /// Takes in what has happened: it is ready when something new does.
    pub(super) fn silence(&self) {
        if let Some(counter) = &self.thresholds {
            let _ = rustix::io::read(counter, &mut [0; 8]);
        }
        if let Some(events) = &self.events {
            let _ = events.read_at(&mut [0; 512], 0);
        }
        // To wait for stalls has taken them in.
    }
}

/// Has thresholds counted: see "Thresholds" in `Documentation/admin-guide/cgroup-v1/memory.rst`. Closing what is returned
/// ends that.
fn thresholds(group: &ControlGroup, limit: u64) -> io::Result<OwnedFd> {
    let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let used = File::open(group.path().join("memory.usage_in_bytes"))?;
    let mut control =
        OpenOptions::new().write(true).open(group.path().join("cgroup.event_control"))?;
    let (counter_number, used_number) = (counter.as_raw_fd(), used.as_raw_fd());
    for parts in THRESHOLDS {
        let bytes = limit / 32 * parts;
        control.write_all(format!("{counter_number} {used_number} {bytes}").as_bytes())?;
    }
    Ok(counter)
}

fn events(group: &ControlGroup) -> io::Result<File> {
    // Linux 5.2. Before, the limits of groups in this one count too.
    let local = File::open(group.path().join("memory.events.local"));
    let mut events = local.or_else(|_| File::open(group.path().join("memory.events")))?;
    // It is ready by what has changed since it was read.
    let _ = events.read(&mut [0; 512])?;
    Ok(events)
}

fn pressure(group: &ControlGroup) -> io::Result<File> {
    let path = group.path().join("memory.pressure");
    let set = |stall: &str| {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)?;
        file.write_all(stall.as_bytes())?;
        Ok(file)
    };
    let [close, coarse] = STALLS;
    set(close).or_else(|_| set(coarse))
}
