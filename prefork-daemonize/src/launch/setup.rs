//! What the new process does to itself before it is a daemon.
//!
//! The order matters: the directory while paths still mean what they meant, the standard
//! descriptors before the inherited ones go (the output may be one of those), signals last,
//! so that nothing interrupts the rest.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;

use super::descriptors::{Descriptors, close_inherited};
use super::message::Step;
use crate::signals::{InheritedSignals, reset_signals};

/// Everything the daemon is to look like.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) directory: PathBuf,
    pub(crate) umask: u32,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) keep: Vec<RawFd>,
    pub(crate) descriptors: Descriptors,
    pub(crate) signals: InheritedSignals,
}

impl Setup {
    /// Applies it all to the calling process; the error names the step and its reason.
    ///
    /// `mask` is the signal mask to go back to when signals are kept as they were.
    pub(crate) fn apply(self, mask: &SigSet) -> Result<(), (Step, io::Error)> {
        rustix::process::chdir(&self.directory).map_err(|error| (Step::Directory, error.into()))?;
        rustix::process::umask(Mode::from_raw_mode(self.umask));
        redirect_stdio(self.output.as_ref()).map_err(|error| (Step::Stdio, error))?;
        // Before the inherited descriptors are closed: it may be one of them.
        drop(self.output);
        match self.descriptors {
            Descriptors::CloseInherited => {
                close_inherited(&self.keep).map_err(|error| (Step::Descriptors, error))?;
            }
            Descriptors::KeepAll => {}
        }
        match self.signals {
            InheritedSignals::Reset => reset_signals(),
            InheritedSignals::Keep => mask.thread_set_mask().map_err(io::Error::from),
        }
        .map_err(|error| (Step::Signals, error))
    }
}

/// Puts `/dev/null` over descriptor 0 and the output over 1 and 2.
///
/// They are replaced, never closed: a number below 3 that is free would be given to the next
/// file or client connection, and the first `println!` would write into that.
fn redirect_stdio(output: Option<&OwnedFd>) -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null = above_stdio(null)?;
    retry_on_intr(|| rustix::stdio::dup2_stdin(&null))?;
    let output = output.unwrap_or(&null);
    retry_on_intr(|| rustix::stdio::dup2_stdout(output))?;
    retry_on_intr(|| rustix::stdio::dup2_stderr(output))?;
    Ok(())
}

/// Returns the same open file under a number from 3 upwards.
///
/// A process that was started with 0, 1 or 2 closed gets those numbers from its next open.
/// Such a low number is better occupied than free, so `/dev/null` is left there; not the same file,
/// as one end of a socket that is open somewhere keeps the other end from seeing it closed.
pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let high = rustix::io::fcntl_dupfd_cloexec(&fd, 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut low = fd;
    retry_on_intr(|| rustix::io::dup2(&null, &mut low))?;
    let _occupied = low.into_raw_fd();
    if null.as_raw_fd() <= 2 {
        let _occupied = null.into_raw_fd();
    }
    Ok(high)
}
