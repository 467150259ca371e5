//! Writing lines.
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
//! too. There, each write appends by itself (`RWF_APPEND`, see `pwritev2(2)`).
//!
//! What remains: a regular file is written to at once, whatever the flags. A disk that is full or at its limit
//! returns an error; a file server that does not answer makes its writers wait. Logs belong on local file
//! systems.
//!
//! What a line needs to arrive whole, beside others who write: `medium.rs`.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    fs::{
        FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, fstatvfs, ftruncate, open, tell,
    },
    io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, pwritev2, retry_on_intr, write},
    net::{SendFlags, send},
    process::{Resource, getrlimit},
};

use crate::{
    medium::{Medium, Room, end_turn, take_turn},
    patience::{Limit, is_writable},
    reconnect::{Peer, is_journal},
};

/// Writes lines to a log, without waiting for its reader.
///
/// Each process, or part of one, that writes to a log has one of its own. Whatever the others do to the log meanwhile, a line
/// arrives whole, at the end, or not at all, and nobody is kept longer than is stated here.
///
/// # Fork
///
/// A copy in a forked process shares the open file description, and with it what others can do to that: have each process
/// make its own, of the same descriptor.
///
/// # Examples
///
/// ```
/// use prefork_log::LineWriter;
/// use std::{io::{self, Read}, time::Duration};
///
/// let (mut reader, pipe) = io::pipe()?;
/// let mut log = LineWriter::new(&pipe)?;
/// // Nobody reads, so at some point there is no room.
/// let mut written = 0;
/// let error = loop {
///     match log.write(b"a line\n", Duration::ZERO) {
///         Ok(()) => written += 1,
///         Err(error) => break error,
///     }
/// };
/// assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
/// drop((log, pipe));
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "a line\n".repeat(written));
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug)]
pub struct LineWriter {
    way: Way,
    medium: Medium,
    format: Format,
    /// Whether the last line did not get through: then nobody waits for the next one.
    is_stuck: bool,
    /// Whether the log ends in a part of a line of this writer's.
    is_torn: bool,
}

/// What lines have to begin with, besides what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Time and name, or whatever the program has.
    Plain,
    /// A priority, as `<3>`: the journal adds the others by itself (see `sd-daemon(3)`).
    Journal,
}

impl Format {
    /// Returns that of lines to what `fd` refers to: the journal's where the service manager has connected it to that
    /// (`$JOURNAL_STREAM`, see `systemd.exec(5)`).
    #[must_use]
    pub fn of(fd: impl AsFd) -> Self {
        if is_journal(fd.as_fd()) { Self::Journal } else { Self::Plain }
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

/// A line of which a part was written, or nothing.
struct Unwritten {
    count: usize,
    why: Errno,
}

impl LineWriter {
    /// Makes one that writes to what `fd` refers to, by an open file description of its own if that can be had.
    ///
    /// A regular file is written at its end from now on, by everybody who shares the description of `fd`: one that has
    /// another offset would write over the others' lines.
    ///
    /// # Errors
    ///
    /// Fails if this process can have no further descriptor.
    pub fn new(fd: impl AsFd) -> io::Result<Self> {
        let fd = fd.as_fd();
        let medium = Medium::of(fd)?;
        let way = match medium {
            Medium::Stream | Medium::Messages => {
                Way::Socket { socket: fcntl_dupfd_cloexec(fd, FIRST)?, peer: Peer::of(fd) }
            }
            Medium::File | Medium::Pipe | Medium::Device => {
                append_always(fd)?;
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
        Ok(Self { way, medium, format: Format::of(fd), is_stuck: false, is_torn: false })
    }

    /// Takes the place of another writer: where both lead to the same file, and a line was cut short there, that is ended
    /// before the next one.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.is_torn |= before.is_torn && self.leads_to(before);
        self
    }

    fn fd(&self) -> BorrowedFd<'_> {
        let (Way::Own(fd) | Way::Shared(fd) | Way::SharedFile(fd) | Way::Socket { socket: fd, .. }) =
            &self.way;
        fd.as_fd()
    }

    /// Returns how lines are to begin that it writes.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns whether it writes to the same file as `fd` does.
    #[must_use]
    pub fn leads_to(&self, fd: impl AsFd) -> bool {
        let identity =
            |fd: BorrowedFd<'_>| fstat(fd).map(|found| (found.st_dev, found.st_ino)).ok();
        identity(self.fd()).is_some_and(|own| identity(fd.as_fd()) == Some(own))
    }

    /// Writes a line in one go, with its line feed in it, or not at all.
    ///
    /// Where only a part of it fits, that is taken back; where it cannot be, the next line begins on a line of its own. A
    /// reader that is behind has `patience` to catch up, ten times as long while more and more of a line gets through, but
    /// only once: after a line that was lost nobody waits until one gets through. With [`Duration::ZERO`] nobody waits at all.
    ///
    /// # Errors
    ///
    /// Fails if the line was not written whole; [`io::ErrorKind::WouldBlock`] if that would have taken longer.
    pub fn write(&mut self, line: &[u8], patience: Duration) -> io::Result<()> {
        let patience = if self.is_stuck { Duration::ZERO } else { patience };
        let result = if self.is_torn {
            self.write_whole(&[b"\n", line].concat(), patience)
        } else {
            self.write_whole(line, patience)
        };
        self.is_stuck = result.is_err();
        result
    }

    fn write_whole(&mut self, line: &[u8], patience: Duration) -> io::Result<()> {
        match self.write_within(line, Limit::begin(patience)) {
            Ok(()) => {
                self.is_torn = false;
                Ok(())
            }
            Err(Unwritten { count, why }) => {
                self.is_torn |= count > 0 && !take_back(self.fd(), count);
                Err(why.into())
            }
        }
    }

    /// Writes a line when it is this process's turn.
    fn write_within(&mut self, line: &[u8], mut limit: Limit) -> Result<(), Unwritten> {
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
                Err(why) => return Err(Unwritten { count: 0, why }),
            }
        };
        let fits = if takes_whole { Ok(()) } else { self.wait_for_room(line.len(), &limit) };
        let fits = fits.map_err(|why| Unwritten { count: 0, why });
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

    fn write_out(&mut self, line: &[u8], limit: &mut Limit) -> Result<(), Unwritten> {
        let mut count = 0;
        loop {
            match retry_on_intr(|| self.attempt(&line[count..])) {
                Ok(more) => {
                    count += more;
                    if count == line.len() {
                        return Ok(());
                    }
                    // Of a file nobody reads anything away.
                    if self.medium == Medium::File {
                        return Err(Unwritten { count, why: why_full(self.fd()) });
                    }
                    limit.progress();
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(why) => return Err(Unwritten { count, why }),
            }
            limit.wait(self.fd()).map_err(|why| Unwritten { count, why })?;
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

/// Returns why only a part of a line had room in a file: the kernel reports that with the next write, and if somebody has
/// made room by then, that write would leave a part of a line behind somebody else's.
fn why_full(fd: BorrowedFd<'_>) -> Errno {
    let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
    if fstat(fd).is_ok_and(|found| found.st_size.unsigned_abs() >= limit) {
        return Errno::FBIG;
    }
    let has_room = fstatvfs(fd).is_ok_and(|found| found.f_bavail > 0);
    if has_room { Errno::DQUOT } else { Errno::NOSPC }
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
const FIRST: i32 = 3;

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

/// Makes every process that shares the description of a regular file write at its end: two descriptions have two offsets,
/// and one that does not append would write over the lines of the other. What is no regular file is left alone.
///
/// [`LineWriter::new`] does so for what it writes to. For further descriptors that may lead to the same file, as standard
/// output does beside a log at standard error.
///
/// # Errors
///
/// Those of `fstat(2)` and `fcntl(2)`.
pub fn append_always(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    if FileType::from_raw_mode(fstat(fd)?.st_mode) != FileType::RegularFile {
        return Ok(());
    }
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

impl AsFd for LineWriter {
    /// What it writes through.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

#[cfg(test)]
mod tests;
