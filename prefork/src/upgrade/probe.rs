//! The parent's side of a probe: the new program as a child that only tries whether it would work.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use nix::sys::signal::SigSet;
use prefork_core::{Exit, one_line};
use prefork_reload::Distrust;
use rustix::{
    fs::{Mode, OFlags, open},
    io::{Errno, retry_on_intr},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
    pipe::{PipeFlags, pipe_with},
    process::{
        Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal, setsid,
    },
};

use super::{Origin, Passed};
use crate::{
    describe::Ended,
    helper::Helper,
    os::{fork, set_signal_mask},
    sys::{self, Forked},
};

/// The longest message of a probe, and the most of its standard error that is kept.
const LONGEST_WORD: usize = 16 << 10;
const LONGEST_ERRORS: usize = 4 << 10;

/// What a probe says over its channel, as the bytes that stand for it.
pub(super) const READY: &[u8] = b"ready";
pub(super) const REFUSED: &[u8] = b"refused:";
const NOT_EXECUTED: &[u8] = b"not executed:";

/// What a probe has said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It works.
    Ready,
    /// Its file is being written.
    Busy,
}

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoProbe {
    /// The file cannot be opened.
    #[error("cannot open the program {}", one_line(path))]
    Open {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there cannot be executed.
    #[error("{} is no regular file", one_line(path))]
    NotAFile {
        /// The program.
        path: PathBuf,
    },
    /// Somebody else decides what this daemon of root would become.
    #[error("root does not run what others can change")]
    Distrusted {
        /// Who, and where.
        #[from]
        source: Distrust,
    },
    /// It cannot be run.
    #[error("cannot start the probe")]
    System {
        /// What the system said.
        #[from]
        source: io::Error,
    },
}

/// A probe at work.
///
/// It is killed when this is dropped; reaping it is left to the parent's loop.
#[derive(Debug)]
pub(crate) struct Probe {
    helper: Helper,
    /// What it runs, and what the parent is to run.
    program: OwnedFd,
    channel: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// The end of what it has printed to its standard error.
    errors: VecDeque<u8>,
    /// Why it does not work, in its own words.
    reason: Option<String>,
}

/// Opens the program file, once for all that follows.
pub(super) fn open_program(origin: &Origin) -> Result<OwnedFd, NoProbe> {
    let path = origin.program.clone();
    // To execute a file, nobody needs to be able to read it.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let program: File = match open(&path, flags, Mode::empty()) {
        Ok(program) => program.into(),
        Err(error) => return Err(NoProbe::Open { path, source: error.into() }),
    };
    if !program.metadata()?.is_file() {
        return Err(NoProbe::NotAFile { path });
    }
    origin.distrust(&program)?;
    Ok(program.into())
}

impl Probe {
    /// Starts one, with the signal mask that the program was started with.
    ///
    /// `passed` is what `handover` speaks of.
    pub(super) fn start(
        origin: &Origin,
        program: OwnedFd,
        handover: &OwnedFd,
        passed: Passed<'_>,
        mask: &SigSet,
    ) -> io::Result<Self> {
        let (channel, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (stderr, far_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut passed = passed;
        let message = format!("probe:{}:{}", passed.pass(handover), passed.pass(&far));
        let parent = getpid();
        match fork()? {
            Forked::Child => {
                let run = || -> io::Result<io::Error> {
                    set_parent_process_death_signal(Some(Signal::KILL))?;
                    if getppid() != Some(parent) {
                        return Ok(io::Error::other("the parent has gone"));
                    }
                    // A group of its own, to be ended with all that it starts, and no terminal.
                    setsid()?;
                    rustix::stdio::dup2_stdin(&null)?;
                    rustix::stdio::dup2_stdout(&null)?;
                    rustix::stdio::dup2_stderr(&far_stderr)?;
                    set_signal_mask(mask)?;
                    Ok(passed.become_program(origin, program.as_fd(), &message))
                };
                let error = run().unwrap_or_else(|error| error);
                let errno = error.raw_os_error().unwrap_or(0);
                let text = [NOT_EXECUTED, errno.to_string().as_bytes()].concat();
                let _ = send(&far, &text, SendFlags::NOSIGNAL);
                sys::exit_now(127)
            }
            Forked::Parent { child } => Ok(Self {
                helper: Helper::new(child),
                program,
                channel: Some(channel),
                stderr: Some(stderr),
                errors: VecDeque::new(),
                reason: None,
            }),
        }
    }

    /// The process.
    pub(crate) const fn helper(&self) -> &Helper {
        &self.helper
    }

    pub(crate) const fn helper_mut(&mut self) -> &mut Helper {
        &mut self.helper
    }

    /// The file that it runs.
    pub(super) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// What to wait for before [`hear`](Self::hear).
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.channel, &self.stderr].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Takes in what it has said.
    pub(crate) fn hear(&mut self) -> Option<Word> {
        self.hear_errors();
        let channel = self.channel.as_ref()?;
        let mut space = [0; LONGEST_WORD];
        let length = match retry_on_intr(|| recv(channel, &mut space, RecvFlags::DONTWAIT)) {
            Err(Errno::AGAIN) => return None,
            Ok((length, _)) if length > 0 => length,
            // It has gone; its end is told by the kernel.
            Ok(_) | Err(_) => {
                self.channel = None;
                return None;
            }
        };
        let message = &space[..length];
        if message == READY {
            return Some(Word::Ready);
        }
        let errno = message.strip_prefix(NOT_EXECUTED).and_then(|errno| {
            std::str::from_utf8(errno).ok().and_then(|errno| errno.parse::<i32>().ok())
        });
        match errno {
            Some(errno) if Errno::from_raw_os_error(errno) == Errno::TXTBSY => {
                return Some(Word::Busy);
            }
            Some(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                self.reason = Some(format!("cannot execute it: {error}"));
            }
            None => {
                let text = message.strip_prefix(REFUSED).unwrap_or(message);
                self.reason = Some(String::from_utf8_lossy(text).trim().to_owned());
            }
        }
        None
    }

    fn hear_errors(&mut self) {
        let Some(stderr) = &self.stderr else { return };
        let mut space = [0; LONGEST_ERRORS];
        // Whoever writes without end cannot keep the parent: so much at a time.
        for _ in 0..16 {
            match retry_on_intr(|| rustix::io::read(stderr, &mut space)) {
                Err(Errno::AGAIN) => return,
                Ok(length) if length > 0 => {
                    self.errors.extend(&space[..length]);
                    let surplus = self.errors.len().saturating_sub(LONGEST_ERRORS);
                    self.errors.drain(..surplus);
                }
                Ok(_) | Err(_) => {
                    self.stderr = None;
                    return;
                }
            }
        }
    }

    /// Tells why it does not work, once it has ended and was reaped.
    pub(crate) fn why(mut self, exit: Exit) -> String {
        self.helper.note_reaped(self.helper.pid());
        // The last it said is read after its end, so that nothing is missed.
        let _ = self.hear();
        if let Some(reason) = self.reason.take() {
            return reason;
        }
        let errors: Vec<u8> = std::mem::take(&mut self.errors).into();
        let last_words = last_words(&String::from_utf8_lossy(&errors));
        let separator = if last_words.is_empty() { "" } else { ": " };
        format!("it {}{separator}{last_words}", Ended(exit))
    }
}

/// Returns the last lines of what a program has printed as one, as many as fit.
fn last_words(text: &str) -> String {
    const MOST: usize = 400;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut length = 0;
    let mut last: Vec<&str> = lines
        .rev()
        .take_while(|line| {
            length += line.len();
            // One line at the least.
            length <= MOST || length == line.len()
        })
        .collect();
    last.reverse();
    last.join(" / ").chars().take(MOST).collect()
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.helper.is_ours() {
            // While the pid is the probe's, so is the group that it leads. Before it leads one, there is only
            // the process.
            let _ = kill_process_group(self.helper.pid(), Signal::KILL);
            self.helper.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_what_fits_on_a_line() {
        assert_eq!(last_words(""), "");
        assert_eq!(last_words("error: no\n\n  try --help\n"), "error: no / try --help");
        let long = "x".repeat(1000);
        assert_eq!(last_words(&long).len(), 400);
        assert_eq!(last_words(&format!("{long}\nlast")), "last");
    }
}
