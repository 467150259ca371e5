//! Writing lines without ever waiting for whoever reads them.
//!
//! The problem: flags belong to the open file description (see `open(2)`), which a daemon shares with its
//! children and with the shell that has started it. A write through it sleeps on a full pipe that nobody
//! reads, or on a terminal that somebody has stopped, and any child can set or clear `O_NONBLOCK`,
//! `O_APPEND` or `O_DIRECT` for all.
//!
//! So each process opens a description of its own, by `/proc/self/fd`. A socket cannot be opened in this way,
//! and need not be: `send(2)` takes `MSG_DONTWAIT`. But a socket can be shut down for all who hold it; it is
//! then connected again, if its other end has an address, as that of the journal has.
//!
//! What remains: a regular file is written to at once, whatever the flags. A disk that is full or at its limit
//! returns an error; a file server that does not answer makes its writers wait. Logs belong on local file
//! systems.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, ftruncate, open, tell},
    io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, pwritev2, retry_on_intr, write},
    net::{SendFlags, send},
};

use super::reconnect::Peer;
use crate::clock;

/// Where lines go, and how they get there without a wait.
#[derive(Debug)]
pub(crate) struct LineWriter {
    way: Way,
    /// Whether the last line did not get through: then nobody waits for the next one.
    is_stuck: bool,
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
}

impl LineWriter {
    /// Makes one that writes to what `fd` refers to.
    ///
    /// # Errors
    ///
    /// Fails if this process can have no further descriptor.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
        let way = if kind == FileType::Socket {
            Way::Socket { socket: fcntl_dupfd_cloexec(fd, FIRST)?, peer: Peer::of(fd) }
        } else {
            if kind == FileType::RegularFile {
                append_always(fd)?;
            }
            match open_again(fd) {
                Ok(own) => Way::Own(own),
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                    return Err(error.into());
                }
                Err(_) => Way::Shared(fcntl_dupfd_cloexec(fd, FIRST)?),
            }
        };
        Ok(Self { way, is_stuck: false })
    }

    /// What it writes through.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        let (Way::Own(fd) | Way::Shared(fd) | Way::Socket { socket: fd, .. }) = &self.way;
        fd.as_fd()
    }

    /// Writes a line in one go, with its line feed in it, or not at all.
    ///
    /// Where only a part of it fits, that is taken back; where it cannot be, `torn` is raised, and whoever writes next
    /// with the same `torn` begins on a line of its own. A reader that is behind has `patience` to catch up, but only once: after a line that was lost
    /// nobody waits until one gets through.
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
        let written =
            self.write_within(line, if self.is_stuck { Duration::ZERO } else { patience });
        let result = match written {
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

    fn write_within(&mut self, line: &[u8], patience: Duration) -> Result<usize, Errno> {
        let begun = clock::now();
        loop {
            match retry_on_intr(|| self.attempt(line)) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
            let left = patience.saturating_sub(clock::now().since(begun));
            if left.is_zero() || !is_writable(self.fd(), left) {
                return Err(Errno::AGAIN);
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
        }
    }
}

/// Takes back what a full disk has cut short, if nobody has written behind it: then no process has to know of it.
/// Tells whether it is gone.
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
        // Whoever has passed it has not allowed to write there.
        return Err(Errno::BADF);
    }
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())
}

/// Has everybody who shares a description write at the end of its file too: two descriptions have two offsets,
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

/// Writes through a description whose flags are others' too.
///
/// Pipes know `RWF_NOWAIT` (see `pwritev2(2)`). Of terminals, which do not, it is known only that they had room a
/// moment ago.
fn write_shared(fd: &OwnedFd, line: &[u8]) -> Result<usize, Errno> {
    /// Where the file is, as `write(2)` has it.
    const HERE: u64 = u64::MAX;
    if !is_writable(fd.as_fd(), Duration::ZERO) {
        return Err(Errno::AGAIN);
    }
    match pwritev2(fd, &[IoSlice::new(line)], HERE, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::SPIPE | Errno::INVAL) => write(fd, line),
        result => result,
    }
}

/// Waits until there is room, or something is wrong that a write will report.
fn is_writable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let Ok(limit) = Timespec::try_from(limit) else { return false };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&limit)) != Ok(0)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::unix::net::UnixStream};

    use rustix::pipe::{PipeFlags, pipe, pipe_with};

    use super::*;

    fn write(writer: &mut LineWriter, torn: &AtomicU32, text: &str) -> io::Result<()> {
        writer.write(&mut format!("{text}\n").into_bytes(), torn, Duration::ZERO)
    }

    /// Writes until there is no room, not for a byte; returns how many long lines had.
    fn fill(writer: &mut LineWriter) -> usize {
        let torn = AtomicU32::new(0);
        let mut write = |line: &str| {
            let most = 1 << 20;
            (0..most).take_while(|_| write(writer, &torn, line).is_ok()).count()
        };
        let long = write(&"x".repeat(1000));
        write("");
        long
    }

    #[test]
    fn a_pipe_that_nobody_reads_takes_what_fits() {
        let (reader, shared) = pipe().expect("made");
        let mut writer = LineWriter::of(shared.as_fd()).expect("opened");
        assert!(fill(&mut writer) > 10);
        let error = write(&mut writer, &AtomicU32::new(0), "lost").expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let flags = fcntl_getfl(&shared).expect("open");
        assert!(!flags.contains(OFlags::NONBLOCK), "the others' description is left alone");
        let mut reader = File::from(reader);
        reader.read_exact(&mut [0; 10_000]).expect("read");
        write(&mut writer, &AtomicU32::new(0), "there is room again").expect("written");
    }

    /// What another holder of the description does to it.
    #[test]
    fn nobody_else_decides_about_waiting() {
        let (_reader, shared) = pipe_with(PipeFlags::NONBLOCK).expect("made");
        let mut writer = LineWriter::of(shared.as_fd()).expect("opened");
        fcntl_setfl(&shared, OFlags::empty()).expect("set");
        assert!(fill(&mut writer) > 10);
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_is_not_waited_for_either() {
        let (_reader, shared) = pipe().expect("made");
        while write_shared(&shared, &[b'x'; 4096]).is_ok() {}
        assert_eq!(write_shared(&shared, b"lost\n"), Err(Errno::AGAIN));
    }

    #[test]
    fn a_pipe_whose_reader_left_is_an_error() {
        let (reader, shared) = pipe().expect("made");
        drop(reader);
        let mut writer = LineWriter::of(shared.as_fd()).expect("held");
        let error = write(&mut writer, &AtomicU32::new(0), "lost").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_socket_is_not_waited_for() {
        let (_reader, shared) = UnixStream::pair().expect("made");
        let mut writer = LineWriter::of(shared.as_fd()).expect("held");
        assert!(fill(&mut writer) > 10);
    }

    #[test]
    fn a_reader_that_is_behind_is_waited_for_once() {
        let (_reader, shared) = pipe().expect("made");
        let mut writer = LineWriter::of(shared.as_fd()).expect("opened");
        fill(&mut writer);
        writer.is_stuck = false;
        let patience = Duration::from_millis(50);
        let mut took = || {
            let begun = clock::now();
            let lost = writer.write(&mut b"x\n".to_vec(), &AtomicU32::new(0), patience);
            assert!(lost.is_err());
            clock::now().since(begun)
        };
        assert!(took() >= patience);
        let rest: Duration = (0..100).map(|_| took()).sum();
        assert!(rest < 100 * patience / 2, "{rest:?} for a hundred lines");
    }

    #[test]
    fn lines_are_appended_whoever_else_writes_to_the_file() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("log");
        // As a shell opens it for `>`.
        let mut shared = File::create(&path).expect("made");
        let mut writer = LineWriter::of(shared.as_fd()).expect("opened");
        let torn = AtomicU32::new(0);
        write(&mut writer, &torn, "one").expect("written");
        io::Write::write_all(&mut shared, b"two\n").expect("written");
        write(&mut writer, &torn, "three").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"one\ntwo\nthree\n");
    }

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("log");
        let file = File::create(&path).expect("made");
        let mut writer = LineWriter::of(file.as_fd()).expect("opened");
        let torn = AtomicU32::new(1);
        write(&mut writer, &torn, "whole").expect("written");
        write(&mut writer, &torn, "next").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"\nwhole\nnext\n");
    }

    /// By whichever process, so that no other has to know.
    #[test]
    fn what_was_cut_short_is_taken_back_unless_somebody_has_written_behind_it() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("log");
        let file = File::create(&path).expect("made");
        let content = || std::fs::read_to_string(&path).expect("read");
        let mut writer = LineWriter::of(file.as_fd()).expect("opened");
        write(&mut writer, &AtomicU32::new(0), "whole").expect("written");
        rustix::io::write(writer.fd(), b"cut sh").expect("written");
        assert!(take_back(writer.fd(), 6));
        assert_eq!(content(), "whole\n");
        rustix::io::write(writer.fd(), b"cut sh").expect("written");
        io::Write::write_all(&mut &file, b"other\n").expect("written");
        assert!(!take_back(writer.fd(), 6), "it would take the other's line");
        assert_eq!(content(), "whole\ncut shother\n");
    }

    #[test]
    fn what_is_open_for_reading_alone_is_not_written_to() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("input");
        std::fs::write(&path, "kept\n").expect("made");
        let input = File::open(&path).expect("opened");
        let mut writer = LineWriter::of(input.as_fd()).expect("held");
        write(&mut writer, &AtomicU32::new(0), "lost").expect_err("not allowed");
        assert_eq!(std::fs::read(&path).expect("read"), b"kept\n");
    }
}
