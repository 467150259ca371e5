//! What the program prints, line by line to the daemon's logs.
//!
//! The pipes are read by the child alone, which waits for no reader of the logs for long: so a program is held up for at most
//! that long, and by a pipe that is full between two readings. Those are a moment apart, so that a program which prints a line
//! for each request does not wake the child for each.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use prefork::Child;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, read},
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

use crate::Output;

/// The longest line that is written in one; a longer one is cut into several.
const LONGEST: usize = 8 * 1024;

/// How long a pipe is left to fill after it was read.
const PAUSE: Duration = Duration::from_millis(20);

/// How much is read at once: each child has that on its stack.
const AT_ONCE: usize = 16 * 1024;

/// How much a pipe holds, where the system allows it.
const ROOM: usize = 256 * 1024;

/// The ends of the pipes that the program is to have.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What is read from the program.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    pipe: OwnedFd,
    which: Which,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Until when the pipe is left alone.
    rests_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Stdout,
    Stderr,
}

/// Whether a pipe can be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Open,
    Closed,
}

impl Relay {
    /// Makes what the program prints into.
    pub(crate) fn open(output: &Output) -> io::Result<(Self, Ends)> {
        let (near_stdout, stdout) = Stream::to(output, Which::Stdout)?;
        let (near_stderr, stderr) = Stream::to(output, Which::Stderr)?;
        let streams = near_stdout.into_iter().chain(near_stderr).collect();
        Ok((Self { streams }, Ends { stdout, stderr }))
    }

    /// The same for its standard error alone.
    pub(crate) fn open_stderr(output: &Output) -> io::Result<(Self, OwnedFd)> {
        let (near, stderr) = Stream::to(output, Which::Stderr)?;
        Ok((Self { streams: near.into_iter().collect() }, stderr))
    }

    /// What to wait for, at this time.
    pub(crate) fn fds(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let rests = move |stream: &&Stream| stream.rests_until.is_some_and(|until| now < until);
        self.streams.iter().filter(move |stream| !rests(stream)).map(|stream| stream.pipe.as_fd())
    }

    /// When a pipe is to be waited for again that is left alone at this time.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        self.streams
            .iter()
            .filter_map(|stream| stream.rests_until)
            .filter(|until| now < *until)
            .min()
    }

    /// Passes on what there is, of pipes that were left alone for long enough.
    pub(crate) fn pass_on(&mut self, child: &mut Child, pid: u32, now: Instant) {
        self.streams.retain_mut(|stream| {
            if stream.rests_until.is_some_and(|until| now < until) {
                return true;
            }
            stream.rests_until = None;
            stream.pass_on(child, pid, now) == Left::Open
        });
    }

    /// Passes on all that is left, when the program has ended: of others that have the pipe open, what they have printed by
    /// now.
    pub(crate) fn finish(&mut self, child: &mut Child, pid: u32, now: Instant) {
        for mut stream in self.streams.drain(..) {
            // A pipe holds so much, and who goes on printing into it is no reason to stay.
            for _ in 0..=ROOM / AT_ONCE {
                if stream.pass_on(child, pid, now) == Left::Closed || stream.rests_until.is_some() {
                    break;
                }
            }
            stream.end_line(child, pid);
        }
    }
}

impl Stream {
    /// Makes what the program has for one of its streams, and what is read of that, if it is to be.
    fn to(output: &Output, which: Which) -> io::Result<(Option<Self>, OwnedFd)> {
        match (output, which) {
            (Output::Log, _) => Self::open(which).map(|(near, far)| (Some(near), far)),
            (Output::Inherit, Which::Stdout) => {
                Ok((None, rustix::stdio::stdout().try_clone_to_owned()?))
            }
            (Output::Inherit, Which::Stderr) => {
                Ok((None, rustix::stdio::stderr().try_clone_to_owned()?))
            }
            (Output::Discard, _) => {
                let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
                Ok((None, null?.into()))
            }
        }
    }

    fn open(which: Which) -> io::Result<(Self, OwnedFd)> {
        let (pipe, far) = pipe_with(PipeFlags::CLOEXEC)?;
        // The program's end blocks, as programs expect.
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        // Less room is room too.
        let _ = fcntl_setpipe_size(&pipe, ROOM);
        Ok((Self { pipe, which, begun: Vec::new(), rests_until: None }, far))
    }

    /// Reads once, and passes on the lines that are whole by then.
    fn pass_on(&mut self, child: &mut Child, pid: u32, now: Instant) -> Left {
        let mut space = [0; AT_ONCE];
        let count = match read(&self.pipe, &mut space) {
            Ok(0) => {
                self.end_line(child, pid);
                return Left::Closed;
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Left::Open,
            Err(_) => return Left::Closed,
        };
        // What is left of a full pipe is read at once.
        self.rests_until = (count < AT_ONCE).then(|| now + PAUSE);
        for part in space[..count].split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            while self.begun.len() > LONGEST {
                let rest = self.begun.split_off(LONGEST);
                self.end_line(child, pid);
                self.begun = rest;
            }
            if part.ends_with(b"\n") {
                self.end_line(child, pid);
            }
        }
        Left::Open
    }

    /// Writes the line that has begun, if there is one.
    fn end_line(&mut self, child: &mut Child, pid: u32) {
        let line = std::mem::take(&mut self.begun);
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(line);
        if self.which == Which::Stdout && !child.access_log().is_nowhere() {
            // What is lost there is counted and reported by the log itself.
            let _ = child.access_log().line(&line);
        } else {
            child.relay(pid, &line);
        }
    }
}
