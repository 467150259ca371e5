//! The parent's side of a settings process: the running program as a child that reads its settings again.
//!
//! It is executed as the daemon was, with the same arguments, environment and directory, and goes the same way up to
//! where the daemon would begin: see `settings/in_force.rs`. Its file is the one that runs, whatever was deployed
//! meanwhile, as another program may have other settings: those are for an upgrade. What is printed on the way goes to
//! standard error alone; standard output is the daemon's, and nobody expects anything there.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::signal::SigSet;
use prefork_core::{Exit, one_line};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair},
    process::getpid,
    stdio::{dup2_stdin, dup2_stdout},
};

use super::{
    exec::{Executable, Start},
    probe::{END, REFUSED, not_executed, receive, why_not_executed},
};
use crate::{
    args::settings::InForce,
    logs::describe::Ended,
    program::{Image, open_own},
    sys::{self, Forked},
    system::KeptDescriptors,
    system::helper::Helper,
    system::os::fork,
};

/// Before settings, in a message.
pub(super) const SETTINGS: &[u8] = b"settings:";

/// What has come of it.
#[derive(Debug)]
pub(crate) enum Read {
    /// These are the settings now.
    Settings(Box<InForce>),
    /// They are wrong, or cannot be read, for this reason.
    Refused(String),
    /// The program could not be executed, for this reason.
    NotRun(io::Error),
}

/// A settings process at work.
///
/// It is killed when this is dropped; reaping it is left to the parent's loop.
#[derive(Debug)]
pub(crate) struct Reading {
    helper: Helper,
    channel: Option<OwnedFd>,
    /// Why there are no settings, in its own words.
    reason: Option<String>,
}

impl Reading {
    /// Starts one, with the signal mask that the program was started with.
    pub(super) fn start(image: &Image, handover: &OwnedFd, mask: &SigSet) -> io::Result<Self> {
        let (channel, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let program = open_own()?;
        let (arguments, loaded) = image.arguments_to_return();
        let mut passed = KeptDescriptors::default();
        let message = format!("settings:{}:{}", passed.pass(handover), passed.pass(&far));
        loaded.map(|file| passed.pass_borrowed(file));
        let parent = getpid();
        match fork()? {
            Forked::Child => {
                let start = Start {
                    program: Executable::File(program.as_fd()),
                    arguments: &arguments,
                    environment: &image.environment,
                    directory: image.directory.as_fd(),
                };
                let silent = dup2_stdin(&nothing).and_then(|()| dup2_stdout(&nothing));
                let error = match silent {
                    Ok(()) => passed.become_helper(parent, mask, &start, &message),
                    Err(errno) => errno.into(),
                };
                let _ = send(&far, &not_executed(&error), SendFlags::NOSIGNAL);
                sys::exit_now(127)
            }
            Forked::Parent { child } => {
                Ok(Self { helper: Helper::new(child), channel: Some(channel), reason: None })
            }
        }
    }

    /// The process.
    pub(crate) const fn helper(&self) -> &Helper {
        &self.helper
    }

    pub(crate) const fn helper_mut(&mut self) -> &mut Helper {
        &mut self.helper
    }

    /// What to wait for before [`read`](Self::read).
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.channel.iter().map(AsFd::as_fd)
    }

    /// Reads what it has reported; a reason alone waits for its end, as the program may go on in spite of it.
    pub(crate) fn read(&mut self) -> Option<Read> {
        loop {
            let message = match receive(self.channel.as_ref()?) {
                Err(Errno::AGAIN) => return None,
                Ok((message, _)) if !message.is_empty() => message,
                // It has gone; its end comes from the kernel.
                Ok(_) | Err(_) => {
                    self.channel = None;
                    return None;
                }
            };
            if let Some(text) = message.strip_prefix(SETTINGS) {
                return Some(match serde_json::from_slice(text) {
                    Ok(settings) => Read::Settings(settings),
                    Err(error) => Read::Refused(format!("they cannot be understood: {error}")),
                });
            }
            if let Some(error) = why_not_executed(&message) {
                return Some(Read::NotRun(error));
            }
            let text = message.strip_prefix(REFUSED).unwrap_or(&message);
            let text = text.strip_suffix(&[END]).unwrap_or(text);
            self.reason = Some(String::from_utf8_lossy(text).trim().to_owned());
        }
    }

    /// Returns what has come of it, once it has ended and was reaped.
    pub(crate) fn end(mut self, exit: Exit) -> Read {
        self.helper.note_reaped(self.helper.pid());
        // The last it has reported is read after its end, so that nothing is missed.
        if let Some(read) = self.read() {
            return read;
        }
        Read::Refused(match self.reason.take() {
            Some(reason) => one_line(&reason).to_string(),
            None => format!("the program that was to read them {}", Ended(exit)),
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.helper.kill_group();
    }
}
