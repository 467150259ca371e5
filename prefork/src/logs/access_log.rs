//! The access log: whole lines, from any number of processes.

use std::{
    fmt::{self, Display},
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prefork_core::one_line;
use prefork_daemonize::{LogError, open_log};
use prefork_log::{Format, LineWriter, Lost};

use crate::{ErrorChain, channels::WhichLog, logs::FileMessage, logs::follow, logs::log::Log};

/// How long a child waits for the reader of the log of requests at a pipe or a terminal, when that is behind:
/// long enough for a burst, and once, until it has caught up.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// Writes lines to the access log.
///
/// Every line is one `write(2)`; with the file opened for appending, the kernel puts it at the end,
/// so lines of several children never mix, and a file truncated by somebody else is simply
/// continued. Control characters in a line are escaped: a client cannot forge a line.
///
/// Each child writes through an open file description of its own, so that none can change how the others write. A line
/// that is longer than what a pipe, a socket or a terminal takes at once is whole all the same, as children take turns: see
/// [logs](crate::docs::logs).
/// No child stands still for a log: a reader of a pipe that is behind is waited for once, for 100 ms;
/// then lines are lost until a line gets through, and the error log says how many, and why.
pub struct AccessLog {
    destination: Destination,
    line: Vec<u8>,
    /// What was lost, and where that is reported.
    lost: Lost,
    log: Option<Log>,
    /// A flag by which another thread asks to open the file again.
    asked: Option<Arc<AtomicBool>>,
}

enum Destination {
    Nowhere,
    /// A file as the parent has opened it, to be handed to children.
    File(PathBuf, OwnedFd),
    /// A file as one process writes to it.
    Own(PathBuf, LineWriter),
    Handle(Box<dyn Write>),
}

impl AccessLog {
    pub(crate) fn nowhere() -> Self {
        Self::to(Destination::Nowhere)
    }

    pub(crate) fn file(path: &Path) -> Result<Self, LogError> {
        Ok(Self::of(open_log(path)?.into(), path))
    }

    /// Goes on writing to a file that is open already, as where the previous program had it open and this one may
    /// not open it.
    pub(crate) fn of(file: OwnedFd, path: &Path) -> Self {
        Self::to(Destination::File(path.to_owned(), file))
    }

    /// Makes it this process's own, while that may still open the file: from here on nobody else's flags matter.
    /// What is lost is reported to `log`.
    ///
    /// # Errors
    ///
    /// Fails if this process can have no further descriptor.
    pub(crate) fn make_own(&mut self, log: &Log) -> io::Result<()> {
        self.log = Some(log.clone());
        let before = std::mem::replace(&mut self.destination, Destination::Nowhere);
        self.destination = match before {
            Destination::File(path, file) => Destination::Own(path, LineWriter::new(file)?),
            other @ (Destination::Nowhere | Destination::Own(..) | Destination::Handle(_)) => other,
        };
        Ok(())
    }

    /// Returns whether lines go nowhere, as the daemon has no access log.
    #[must_use]
    pub const fn is_nowhere(&self) -> bool {
        matches!(self.destination, Destination::Nowhere)
    }

    /// Where the file is, and the file, if it is one that has a path.
    pub(crate) fn open_file(&self) -> Option<(&Path, BorrowedFd<'_>)> {
        match &self.destination {
            Destination::File(path, file) => Some((path, file.as_fd())),
            Destination::Own(path, writer) => Some((path, writer.as_fd())),
            Destination::Nowhere | Destination::Handle(_) => None,
        }
    }

    /// Returns a flag by which another thread has the file opened again with the next line.
    pub(crate) fn reopen_on_request(&mut self) -> Arc<AtomicBool> {
        self.asked.insert(Arc::default()).clone()
    }

    /// Goes over to a file that the parent has opened again, if there is one: a child that waits has no old one open.
    pub(crate) fn follow(&mut self) {
        follow::follow();
        self.go_over();
    }

    fn go_over(&mut self) {
        let Destination::Own(_, writer) = &mut self.destination else { return };
        let Some(file) = follow::take_access_log() else { return };
        if writer.leads_to(&file) {
            return;
        }
        match LineWriter::new(file) {
            Ok(new) => *writer = new,
            Err(error) => {
                if let Some(log) = &self.log {
                    log.write(&FileMessage::LogNotReopened { log: "access log", error: &error });
                }
            }
        }
    }

    /// Opens the file again if another thread has asked for that. Where it cannot be, the old one goes on:
    /// nobody could ask again before the next rotation.
    fn reopen_if_asked(&mut self) {
        let flag = self.asked.as_ref();
        if !flag.is_some_and(|flag| flag.swap(false, Ordering::Acquire)) {
            return;
        }
        if let (Err(error), Some(log)) = (self.reopen(), &self.log) {
            error.log(log);
        }
    }

    /// Opens the file again, if there is one, after it was renamed for example.
    pub(crate) fn reopen(&mut self) -> Result<(), NotReopened> {
        match &mut self.destination {
            Destination::File(path, file) => *file = open_log(&*path)?.into(),
            Destination::Own(path, writer) => {
                *writer = LineWriter::new(open_log(&*path)?)?.after(writer);
            }
            Destination::Nowhere | Destination::Handle(_) => {}
        }
        Ok(())
    }

    pub(crate) fn handle(handle: Box<dyn Write>) -> Self {
        Self::to(Destination::Handle(handle))
    }

    fn to(destination: Destination) -> Self {
        Self { destination, line: Vec::new(), lost: Lost::none(), log: None, asked: None }
    }

    /// Writes one line; the line feed is added.
    ///
    /// Without `access_log_path` and `access_log_handle`, the line goes nowhere.
    ///
    /// # Errors
    ///
    /// Fails if the line could not be written whole, as on a full disk, or where its reader is behind by
    /// more than 100 ms. What was written of it is taken back where that is possible, so that the next line, of
    /// whatever child, begins on a line of its own. Most servers go on
    /// serving when that happens: what was lost is counted, and reported in the error log once a line can be
    /// written again.
    pub fn line(&mut self, line: impl Display) -> io::Result<()> {
        if let Destination::Nowhere = self.destination {
            return Ok(());
        }
        self.reopen_if_asked();
        // The parent knows by this which children still write to an old file.
        let _writing = follow::writing(WhichLog::Access);
        self.go_over();
        self.line.clear();
        let text = line.to_string();
        if self.is_journal() {
            // First, so that no text of a client is taken for a priority.
            self.line.extend_from_slice(b"<6>");
        }
        writeln!(self.line, "{}", one_line(&text))?;
        self.write()
    }

    fn is_journal(&self) -> bool {
        match &self.destination {
            Destination::Own(_, writer) => writer.format() == Format::Journal,
            Destination::Nowhere | Destination::File(..) | Destination::Handle(_) => false,
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let writer = match &mut self.destination {
            Destination::Nowhere => return Ok(()),
            Destination::Handle(handle) => {
                handle.write_all(&self.line)?;
                return handle.flush();
            }
            Destination::Own(_, writer) => writer,
            // The parent has no requests to write lines about.
            Destination::File(..) => return Err(io::ErrorKind::Unsupported.into()),
        };
        match writer.write(&self.line, PATIENCE) {
            Ok(()) => {
                if !self.lost.is_none()
                    && let Some(log) = &self.log
                {
                    log.write(&FileMessage::LinesLost { log: "access log", lost: &self.lost });
                    self.lost = Lost::none();
                    follow::report_lost();
                }
                Ok(())
            }
            Err(error) => {
                let (kind, errno) = (error.kind(), error.raw_os_error());
                let is_first = self.lost.is_none();
                self.lost.add(error);
                follow::count_lost();
                if is_first {
                    follow::report_lost();
                }
                Err(errno.map_or_else(|| kind.into(), io::Error::from_raw_os_error))
            }
        }
    }
}

/// Why the old file goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReopened {
    #[error(transparent)]
    Open(#[from] LogError),
    #[error("cannot open it once more")]
    Again(#[from] io::Error),
}

impl NotReopened {
    pub(crate) fn log(&self, log: &Log) {
        log.write(&FileMessage::LogNotReopened { log: "access log", error: &ErrorChain(self) });
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::logs::log::Role;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_cannot_hold_another() {
        let shared = Shared::default();
        let mut log = AccessLog::handle(Box::new(shared.clone()));
        log.line(format_args!("GET {}", "/\n127.0.0.1 forged")).expect("written");
        assert_eq!(*shared.0.borrow(), b"GET /\\n127.0.0.1 forged\n");
    }

    /// With `prefork` 0, after the change of user: the new file may not be made, and nobody asks twice.
    #[test]
    fn a_file_that_cannot_be_opened_anew_goes_on() {
        let folder = tempfile::tempdir().expect("made");
        let (path, rotated) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut log = AccessLog::file(&path).expect("opened");
        log.make_own(&Log::new("test", Role::Parent)).expect("opened");
        let flag = log.reopen_on_request();
        std::fs::rename(&path, &rotated).expect("renamed");
        std::fs::create_dir(&path).expect("in the way");
        flag.store(true, Ordering::Release);
        for line in ["one", "two"] {
            log.line(line).expect("written");
        }
        assert_eq!(std::fs::read(&rotated).expect("read"), b"one\ntwo\n");
        std::fs::remove_dir(&path).expect("out of the way");
        flag.store(true, Ordering::Release);
        log.line("three").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"three\n");
    }
}
