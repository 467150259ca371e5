//! The parent's side of a probe: the new program as a child that only tries whether it would work.

use std::{
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

/// The longest message of a probe.
const LONGEST_WORD: usize = 16 << 10;

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
                    // Its standard descriptors are the daemon's, as they will be the next program's: what cannot
                    // print to them is to fail here.
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
        self.channel.iter().map(AsFd::as_fd)
    }

    /// Takes in what it has said.
    pub(crate) fn hear(&mut self) -> Option<Word> {
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

    /// Tells why it does not work, once it has ended and was reaped.
    pub(crate) fn why(mut self, exit: Exit) -> String {
        self.helper.note_reaped(self.helper.pid());
        // The last it said is read after its end, so that nothing is missed.
        let _ = self.hear();
        if let Some(reason) = self.reason.take() {
            return reason;
        }
        format!("it {}", Ended(exit))
    }
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
