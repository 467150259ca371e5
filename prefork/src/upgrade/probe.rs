//! The parent's side of a probe: the new program as a child that only tries whether it would work.
//!
//! It reports what it was executed as by descriptors, over a socket, as nothing else leads to just that file and that
//! directory: `/proc/PID` shows them only of a process that the parent may trace, and shows what they are then. So it
//! does while it has the parent's rights. Before it tries to become what children are to be, it closes the socket; its
//! words come by a pipe, which can carry nothing to the parent.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::sys::signal::SigSet;
use prefork_core::Exit;
use prefork_reload::{Distrust, trusted_file};
use rustix::{
    fs::{Mode, OFlags, Stat, fstat, open},
    io::{Errno, read, retry_on_intr, write},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags,
        SocketType, recvmsg, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
    process::{geteuid, getpid},
};

use super::{
    exec::{Executable, Start},
    handover,
};
use crate::{
    logs::describe::Ended,
    program::{
        Found, Image, Invocation, NoProbe, ProgramFile, Report, c_strings, open_own, path_of,
    },
    sys::refused,
    sys::{self, Forked},
    system::KeptDescriptors,
    system::helper::Helper,
    system::os::fork,
};

/// The longest message of a probe, which a pipe takes whole or not at all (`PIPE_BUF` in `pipe(7)`).
pub(super) const LONGEST_WORD: usize = 4096;

/// The longest message over a socket.
const LONGEST_MESSAGE: usize = 16 << 10;

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

/// A program that is to be tried, and how it is executed.
#[derive(Debug)]
pub(super) struct Subject {
    /// Where to execute it from; none where it is executed by its file.
    path: Option<CString>,
    start: Executed,
}

/// A program that a probe runs, and as what it was executed.
#[derive(Debug)]
struct Executed {
    program: OwnedFd,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: OwnedFd,
    file: ProgramFile,
}

impl Subject {
    /// What a fresh start would run now.
    pub(super) fn installed(invocation: &Invocation) -> Result<Self, NoProbe> {
        let Invocation { command, image } = invocation;
        let Found { directory, path, file, shown } = command.find(image)?;
        distrust(&file, &shown)?;
        let mut program = ProgramFile::of(&file, fs::canonicalize(&shown).unwrap_or(shown))?;
        if let Some(loaded) = &command.loaded {
            let loaded = command.absolute(Path::new(loaded), image);
            let opened = open(&loaded, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let opened: File = match opened {
                Ok(opened) => opened.into(),
                Err(error) => return Err(NoProbe::Open { path: loaded, source: error.into() }),
            };
            distrust(&opened, &loaded)?;
            program = ProgramFile::of(&opened, fs::canonicalize(&loaded).unwrap_or(loaded))?;
        }
        let (arguments, environment) = (command.c_arguments(), command.c_environment());
        let start =
            Executed { program: file.into(), arguments, environment, directory, file: program };
        Ok(Self { path: Some(path), start })
    }

    /// What runs.
    pub(super) fn running(invocation: &Invocation) -> Result<Self, NoProbe> {
        let Image { arguments, environment, directory, file, .. } = &invocation.image;
        let start = Executed {
            program: open_own()?,
            arguments: arguments.clone(),
            environment: environment.clone(),
            directory: directory.try_clone()?,
            file: file.clone(),
        };
        Ok(Self { path: None, start })
    }
}

/// Says if this process is root, and somebody else could change the program.
fn distrust(program: &File, path: &Path) -> Result<(), Distrust> {
    if geteuid().is_root() { trusted_file(program, path, 0) } else { Ok(()) }
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

impl Subject {
    fn start(&self) -> Start<'_> {
        let by_file = Executable::File(self.start.program.as_fd());
        self.start.start(self.path.as_deref().map_or(by_file, Executable::Path))
    }
}

impl Executed {
    fn start<'a>(&'a self, program: Executable<'a>) -> Start<'a> {
        let Self { arguments, environment, directory, .. } = self;
        Start { program, arguments, environment, directory: directory.as_fd() }
    }
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
                    self.reason = Some(crate::Report(&error).to_string());
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
                self.reason = Some(format!("cannot execute it: {error}"));
            }
            None => {
                let text = message.strip_prefix(REFUSED).unwrap_or(message);
                self.reason = Some(String::from_utf8_lossy(text).trim().to_owned());
            }
        }
        None
    }

    /// Returns why it does not work, once it has ended and was reaped.
    pub(crate) fn why(mut self, exit: Exit) -> String {
        self.helper.note_reaped(self.helper.pid());
        // The last it reported is read after its end, so that nothing is missed.
        let _ = self.read();
        if let Some(reason) = self.reason.take() {
            return reason;
        }
        format!("the new program {}", Ended(exit))
    }
}

impl Executed {
    /// Reads what a probe has reported of itself; returns whether it is what was judged before.
    fn reported(descriptors: Vec<OwnedFd>, judged: &Self) -> Result<(Self, bool), NoProbe> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let [memory, program, directory] =
            <[OwnedFd; 3]>::try_from(descriptors).map_err(|_unusable| broken())?;
        let report: Report =
            serde_json::from_slice(&handover::read(memory.as_fd())?).map_err(io::Error::from)?;
        let Report { arguments, environment, file } = report;
        let program = File::from(program);
        let identity = |found: Stat| (found.st_dev, found.st_ino);
        let is_judged = identity(fstat(&program).map_err(io::Error::from)?)
            == identity(fstat(&judged.program).map_err(io::Error::from)?);
        // It is another one than that which was executed, if that is a script.
        if !is_judged {
            distrust(&program, &path_of(program.as_fd())?)?;
        }
        let executed = Self {
            program: program.into(),
            arguments: c_strings(&arguments),
            environment: c_strings(&environment),
            directory,
            file,
        };
        Ok((executed, is_judged))
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
