//! The parent's side of a probe: the new program as a child that only tries whether it would work.
//!
//! It reports what it was executed as by descriptors, over a socket, as nothing else leads to just that file and that
//! directory: `/proc/PID` shows them only of a process that the parent may trace, and shows what they are then. So it
//! does while it has the parent's rights. Before it tries to become what children are to be, it closes the socket; its
//! words come by a pipe, which can carry nothing to the parent.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use nix::sys::signal::SigSet;
use prefork_core::{Exit, one_line};
use rustix::{
    io::{Errno, read, retry_on_intr, write},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags,
        SocketType, recvmsg, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
    process::getpid,
};

use super::{
    exec::{Executable, Start},
    subject::{Executed, Subject},
};
use crate::{
    logs::describe::Ended,
    program::{Invocation, ProgramFile},
    sys::refused,
    sys::{self, Forked},
    system::KeptDescriptors,
    system::helper::Helper,
    system::os::fork,
};

/// The longest message of a probe, which a pipe takes whole or not at all (`PIPE_BUF` in `pipe(7)`).
pub(super) const LONGEST_WORD: usize = 4096;

/// The longest message over a socket.
pub(super) const LONGEST_MESSAGE: usize = 64 << 10;

/// What a probe reports over the socket, with descriptors.
pub(super) const EXECUTED: &[u8] = b"executed";

/// What it reports by the pipe, each followed by [`END`].
pub(super) const READY: &[u8] = b"ready";
pub(super) const REFUSED: &[u8] = b"refused:";
pub(super) const END: u8 = 0;
const NOT_EXECUTED: &[u8] = b"not executed:";

/// Says why a program could not be executed.
pub(super) fn not_executed(error: &io::Error) -> Vec<u8> {
    let errno = refused::errno(error).map_or(0, Errno::raw_os_error);
    [NOT_EXECUTED, errno.to_string().as_bytes()].concat()
}

/// Reads [`not_executed`].
pub(super) fn why_not_executed(message: &[u8]) -> Option<io::Error> {
    let errno = std::str::from_utf8(message.strip_prefix(NOT_EXECUTED)?).ok()?;
    Some(io::Error::from_raw_os_error(errno.parse().ok()?))
}

/// What a probe has reported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It works.
    Ready,
    /// Its file is being written.
    Busy,
}

/// What has become of a program that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// The path of its file, with links followed.
    pub(crate) path: PathBuf,
    /// Whether it is that which runs.
    pub(crate) is_running: bool,
}

/// A probe at work.
///
/// It is killed when this is dropped; reaping it is left to the parent's loop.
#[derive(Debug)]
pub(crate) struct Probe {
    helper: Helper,
    /// What it runs, and what the parent is to run.
    executed: Executed,
    /// Whether that is what was called, and not what this has executed.
    is_direct: bool,
    /// Where it reports as what it was executed, until it has.
    channel: Option<OwnedFd>,
    /// What else it reports.
    words: Option<OwnedFd>,
    /// Why it does not work, in its own words.
    reason: Option<String>,
}

impl Probe {
    /// Starts one, with the signal mask that the program was started with.
    ///
    /// `passed` is what `handover` speaks of.
    pub(super) fn start(
        subject: Subject,
        handover: &OwnedFd,
        passed: KeptDescriptors<'_>,
        mask: &SigSet,
    ) -> io::Result<Self> {
        let (channel, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // A report of this length never waits, and neither does its reader.
        let (words, said) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut passed = passed;
        let numbers = [handover, &far, &said].map(|fd| passed.pass(fd).to_string());
        let message = format!("probe:{}", numbers.join(":"));
        let parent = getpid();
        match fork()? {
            Forked::Child => {
                // Its standard descriptors are the daemon's, as they will be the next program's: what cannot
                // print to them is to fail here.
                let error = passed.become_helper(parent, mask, &subject.start(), &message);
                let _ = write(&said, &[&not_executed(&error)[..], &[END]].concat());
                sys::exit_now(127)
            }
            Forked::Parent { child } => Ok(Self {
                helper: Helper::new(child),
                executed: subject.start,
                is_direct: true,
                channel: Some(channel),
                words: Some(words),
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

    /// How to execute just what it runs.
    pub(super) fn start_again(&self) -> Start<'_> {
        self.executed.start(Executable::File(self.executed.program.as_fd()))
    }

    /// Whether it runs what was called, and not something that this has executed.
    pub(super) const fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// What it runs, compared with what the daemon does.
    pub(crate) fn tried(&self, invocation: &Invocation) -> Tried {
        let ProgramFile { path, .. } = &self.executed.file;
        let is_running = self.executed.file.is_same(&invocation.image.file);
        Tried { path: path.clone(), is_running }
    }

    /// What to wait for before [`read`](Self::read).
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.channel.iter().chain(&self.words).map(AsFd::as_fd)
    }

    /// Reads what it has reported.
    pub(crate) fn read(&mut self) -> Option<Word> {
        let mut text = [0; LONGEST_WORD];
        let length = match self.words.as_ref().map(|words| retry_on_intr(|| read(words, &mut text)))
        {
            Some(Err(Errno::AGAIN)) | None => 0,
            // It has gone; its end comes from the kernel.
            Some(Ok(0) | Err(_)) => {
                self.words = None;
                0
            }
            Some(Ok(length)) => length,
        };
        // It reports that it is ready after all else.
        self.take_report();
        let words = text[..length].split(|byte| *byte == END).filter(|word| !word.is_empty());
        let mut words = words.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter();
        words.find_map(|word| self.take_word(&word))
    }

    /// Takes in as what it was executed, and closes the socket, by which nothing else is to come.
    fn take_report(&mut self) {
        let Some(channel) = &self.channel else { return };
        let (message, descriptors) = match receive(channel) {
            Err(Errno::AGAIN) => return,
            Ok(received) => received,
            Err(_) => (Vec::new(), Vec::new()),
        };
        self.channel = None;
        if message == EXECUTED {
            match Executed::reported(descriptors, &self.executed) {
                Ok((executed, is_direct)) => {
                    (self.executed, self.is_direct) = (executed, is_direct);
                }
                Err(error) => {
                    self.reason = Some(crate::ErrorChain(&error).to_string());
                    self.words = None;
                    self.helper.kill();
                }
            }
        } else if !message.is_empty() {
            // One built with an earlier library knows of no pipe, and says there why it refuses.
            let _ = self.take_word(&message);
        }
    }

    fn take_word(&mut self, message: &[u8]) -> Option<Word> {
        if message == READY {
            return Some(Word::Ready).filter(|_| self.words.is_some());
        }
        match why_not_executed(message) {
            Some(error) if Errno::from_io_error(&error) == Some(Errno::TXTBSY) => {
                return Some(Word::Busy);
            }
            Some(error) => {
                // The file was there when it was opened, so what is missing is what it names.
                let is_named = Errno::from_io_error(&error) == Some(Errno::NOENT);
                let whose = if is_named { "the interpreter that it names: " } else { "" };
                let path = one_line(&self.executed.file.path);
                self.reason = Some(format!("cannot execute {path}: {whose}{error}"));
            }
            None => {
                let text = message.strip_prefix(REFUSED).unwrap_or(message);
                self.reason = Some(String::from_utf8_lossy(text).trim().to_owned());
            }
        }
        None
    }

    /// Returns why it does not work, once it has ended and was reaped; `what` is what it is called.
    pub(crate) fn why(mut self, what: &str, exit: Exit) -> String {
        self.helper.note_reaped(self.helper.pid());
        // The last it reported is read after its end, so that nothing is missed.
        let _ = self.read();
        if let Some(reason) = self.reason.take() {
            return reason;
        }
        format!("{what} {}", Ended(exit))
    }
}

/// Takes the next message, with the descriptors that come with it.
pub(super) fn receive(channel: &OwnedFd) -> rustix::io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = vec![0; LONGEST_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| {
        recvmsg(channel, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)
    })?;
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    text.truncate(received.bytes);
    Ok((text, descriptors))
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.helper.kill_group();
    }
}
