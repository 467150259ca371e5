//! Writing lines without ever waiting for their reader.
//!
//! The problem: flags belong to the open file description (see `open(2)`), which a daemon shares with its
//! children and with the shell that has started it. A write through it sleeps on a full pipe that nobody
//! reads, or on a terminal that somebody has stopped, and any child can set or clear `O_NONBLOCK`,
//! `O_APPEND` or `O_DIRECT` for all.
//!
//! So each process opens a description of its own, by `/proc/self/fd`. A socket cannot be opened in this way,
//! and need not be: `send(2)` takes `MSG_DONTWAIT`. But a socket can be shut down for all its holders; it is
//! then connected again, if its other end has an address, as that of the journal has.
//!
//! A file that was opened again for a process that may not open it itself comes as a description that others have
//! too. There, each write says by itself that it appends (`RWF_APPEND`, see `pwritev2(2)`).
//!
//! What remains: a regular file is written to at once, whatever the flags. A disk that is full or at its limit
//! returns an error; a file server that does not answer makes its writers wait. Logs belong on local file
//! systems.
//!
//! What a line needs to arrive whole, beside others who write: `medium.rs`.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::{
    fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, ftruncate, open, tell},
    io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, pwritev2, retry_on_intr, write},
    net::{SendFlags, send},
};

use super::{
    medium::{Medium, Room, end_turn, take_turn},
    patience::{Limit, is_writable},
    reconnect::{Peer, is_journal},
};

/// The destination of lines, and the way there without a wait.
#[derive(Debug)]
pub(crate) struct LineWriter {
    way: Way,
    medium: Medium,
    format: Format,
    /// Whether the last line did not get through: then nobody waits for the next one.
    is_stuck: bool,
}

/// What lines have to say besides what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Time and name.
    Plain,
    /// A priority, as `<3>`: the journal adds the others by itself (see `sd-daemon(3)`).
    Journal,
}

impl Format {
    /// Returns that of lines to what `fd` refers to.
    pub(super) fn of(fd: BorrowedFd<'_>) -> Self {
        if is_journal(fd) { Self::Journal } else { Self::Plain }
    }
}

#[derive(Debug)]
enum Way {
    /// By an open file description that no other process has.
    Own(OwnedFd),
    Socket {
        socket: OwnedFd,
        peer: Option<Peer>,
    },
    /// By the description that others have too, as this process could not open another: the terminal of another
    /// user, a pipe without a reader. What it refers to is looked at before each write.
    Shared(OwnedFd),
    /// A regular file by a description that others have too, as this process may not open it.
    SharedFile(OwnedFd),
}

impl LineWriter {
    /// Makes one that writes to what `fd` refers to.
    ///
    /// # Errors
    ///
    /// Fails if this process can have no further descriptor.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let medium = Medium::of(fd)?;
        let way = match medium {
            Medium::Stream | Medium::Messages => {
                Way::Socket { socket: fcntl_dupfd_cloexec(fd, FIRST)?, peer: Peer::of(fd) }
            }
            Medium::File | Medium::Pipe | Medium::Device => {
                if medium == Medium::File {
                    append_always(fd)?;
                }
                match open_again(fd) {
                    Ok(own) => Way::Own(own),
                    Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                        return Err(error.into());
                    }
                    Err(Errno::ACCESS | Errno::PERM) if medium == Medium::File => {
                        Way::SharedFile(fcntl_dupfd_cloexec(fd, FIRST)?)
                    }
                    Err(_) => Way::Shared(fcntl_dupfd_cloexec(fd, FIRST)?),
                }
            }
        };
        Ok(Self { way, medium, format: Format::of(fd), is_stuck: false })
    }

    /// What it writes through.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        let (Way::Own(fd) | Way::Shared(fd) | Way::SharedFile(fd) | Way::Socket { socket: fd, .. }) =
            &self.way;
        fd.as_fd()
    }

    /// How lines are to begin that it writes.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Whether it writes to the same file as `fd` does.
    pub(crate) fn leads_to(&self, fd: BorrowedFd<'_>) -> bool {
        let identity = |fd| fstat(fd).map(|found| (found.st_dev, found.st_ino)).ok();
        identity(self.fd()).is_some_and(|own| identity(fd) == Some(own))
    }

    /// Writes a line in one go, with its line feed in it, or not at all.
    ///
    /// Where only a part of it fits, that is taken back; where it cannot be, `torn` is raised, and the next writer
    /// with the same `torn` begins on a line of its own. A reader that is behind has `patience` to catch up, ten times
    /// as long while more and more of a line gets through, but only once: after a line that was lost nobody waits until
    /// one gets through.
    ///
    /// # Errors
    ///
    /// Fails if the line was not written whole; [`io::ErrorKind::WouldBlock`] if that would have taken longer.
    pub(crate) fn write(
        &mut self,
        line: &mut Vec<u8>,
        torn: &AtomicU32,
        patience: Duration,
    ) -> io::Result<()> {
        let mends = torn.swap(0, Ordering::Relaxed) != 0;
        if mends {
            line.insert(0, b'\n');
        }
        let patience = if self.is_stuck { Duration::ZERO } else { patience };
        let result = match self.write_within(line, Limit::begin(patience)) {
            Ok(count) if count == line.len() => Ok(()),
            Ok(count) => {
                let is_torn = mends || !take_back(self.fd(), count);
                torn.store(u32::from(is_torn), Ordering::Relaxed);
                Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut short"))
            }
            Err(errno) => {
                if mends {
                    torn.store(1, Ordering::Relaxed);
                }
                Err(errno.into())
            }
        };
        self.is_stuck = result.is_err();
        result
    }

    /// Writes a line when it is this process's turn; returns how much of it, if not nothing.
    fn write_within(&mut self, line: &[u8], mut limit: Limit) -> Result<usize, Errno> {
        if !self.medium.has_turns() {
            return self.write_out(line, &mut limit);
        }
        let takes_whole = self.medium.takes_whole(self.fd(), line.len());
        let has_turn = loop {
            if take_turn(self.fd()) {
                break true;
            }
            match limit.nap() {
                Ok(()) => {}
                // Between the parts of somebody else's line, if that is a long one that only just gets through.
                Err(_) if takes_whole => break false,
                Err(error) => return Err(error),
            }
        };
        let fits = if takes_whole { Ok(()) } else { self.wait_for_room(line.len(), &limit) };
        let written = fits.and_then(|()| self.write_out(line, &mut limit));
        if has_turn {
            end_turn(self.fd());
        }
        written
    }

    fn wait_for_room(&self, length: usize, limit: &Limit) -> Result<(), Errno> {
        loop {
            match self.medium.room(self.fd(), length)? {
                Room::Enough => return Ok(()),
                Room::Never => return Err(Errno::MSGSIZE),
                Room::Later => limit.nap()?,
            }
        }
    }

    fn write_out(&mut self, line: &[u8], limit: &mut Limit) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            match retry_on_intr(|| self.attempt(&line[done..])) {
                Ok(count) => {
                    done += count;
                    // Of a file nobody reads anything away: the disk is full.
                    if done == line.len() || self.medium == Medium::File {
                        return Ok(done);
                    }
                    limit.progress();
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
            match limit.wait(self.fd()) {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn attempt(&mut self, line: &[u8]) -> Result<usize, Errno> {
        match &mut self.way {
            Way::Own(fd) => write(fd, line),
            Way::Socket { socket, peer } => match send_at_once(socket, line) {
                Err(error @ (Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN)) => {
                    let fresh = peer.as_ref().ok_or(error)?.connect()?;
                    *socket = fresh;
                    send_at_once(socket, line)
                }
                result => result,
            },
            Way::Shared(fd) => {
                // A pipe that has got a reader again, a terminal that was handed over.
                if let Ok(own) = open_again(fd.as_fd()) {
                    self.way = Way::Own(own);
                    return self.attempt(line);
                }
                write_shared(fd, line)
            }
            Way::SharedFile(fd) => append(fd, line),
        }
    }
}

/// Takes back what a full disk has cut short, if nobody has written behind it: then no process has to know of it.
/// Returns whether it is gone.
fn take_back(fd: BorrowedFd<'_>, count: usize) -> bool {
    let is_last = || {
        // After a write that appends, the description's offset is where that has ended.
        let end = tell(fd).ok()?;
        let found = fstat(fd).ok()?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        (is_file && found.st_size.unsigned_abs() == end).then_some(end)
    };
    is_last().is_some_and(|end| ftruncate(fd, end.saturating_sub(count as u64)).is_ok())
}

/// Descriptors of ours leave 0 to 2 alone.
pub(super) const FIRST: i32 = 3;

/// Opens what a descriptor refers to once more, for writing at the end and without waiting.
fn open_again(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    if fcntl_getfl(fd)?.intersection(OFlags::RWMODE) == OFlags::RDONLY {
        // It was passed without the right to write there.
        return Err(Errno::BADF);
    }
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())
}

/// Makes every process that shares a description write at the end of its file too: two descriptions have two offsets,
/// and one that does not append would write over the lines of the other.
pub(crate) fn append_always(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    if !flags.contains(OFlags::APPEND) {
        fcntl_setfl(fd, flags | OFlags::APPEND)?;
    }
    Ok(())
}

fn send_at_once(socket: &OwnedFd, line: &[u8]) -> Result<usize, Errno> {
    send(socket, line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

/// Where the file is, as `write(2)` has it.
const HERE: u64 = u64::MAX;

/// Writes at the end of a file, whatever others have made of the description.
fn append(fd: &OwnedFd, line: &[u8]) -> Result<usize, Errno> {
    let append = || pwritev2(fd, &[IoSlice::new(line)], HERE, ReadWriteFlags::APPEND);
    match append() {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(fd, line),
        // Lines are of any length and begin anywhere in memory: not for a description that somebody has made direct.
        Err(Errno::INVAL) => {
            fcntl_setfl(fd, fcntl_getfl(fd)? - OFlags::DIRECT)?;
            append()
        }
        result => result,
    }
}

/// Writes through a description whose flags are others' too.
///
/// Pipes know `RWF_NOWAIT` (see `pwritev2(2)`). Of terminals, which do not, it is known only that they had room a
/// moment ago.
fn write_shared(fd: &OwnedFd, line: &[u8]) -> Result<usize, Errno> {
    if !is_writable(fd.as_fd(), Duration::ZERO) {
        return Err(Errno::AGAIN);
    }
    match pwritev2(fd, &[IoSlice::new(line)], HERE, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::SPIPE | Errno::INVAL) => write(fd, line),
        result => result,
    }
}

#[cfg(test)]
mod tests;
