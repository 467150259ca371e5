//! The access log: whole lines, from any number of processes.

use std::{
    fmt::{self, Display},
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use prefork_daemonize::{LogError, open_log};

use crate::{Report, RunError, log::Log, sanitize::Sanitized, sys::SharedWords};

/// Writes lines to the access log.
///
/// Every line is one `write(2)`; with the file opened for appending, the kernel puts it at the end,
/// so lines of several children never mix, and a file truncated by somebody else is simply
/// continued. Control characters in a line are escaped: a client cannot forge a line.
pub struct AccessLog {
    destination: Destination,
    line: Vec<u8>,
    asked: Option<Asked>,
}

/// How another thread asks for the file to be opened anew, and who says that it could not be.
struct Asked {
    flag: Arc<AtomicBool>,
    log: Log,
}

enum Destination {
    Nowhere,
    /// Where the file is, and a word that is not zero while it ends in a torn line, whichever process
    /// tore it.
    File(File, PathBuf, SharedWords),
    Handle(Box<dyn Write>),
}

impl AccessLog {
    pub(crate) fn nowhere() -> Self {
        Self::to(Destination::Nowhere)
    }

    pub(crate) fn file(path: &Path) -> Result<Self, RunError> {
        let file = open_log(path).map_err(RunError::Log)?;
        let torn = SharedWords::new(1).map_err(RunError::system("share memory with children"))?;
        Ok(Self::to(Destination::File(file, path.to_owned(), torn)))
    }

    /// Goes on writing to a file that the program of before had open and this one may not open.
    pub(crate) fn inherited(file: OwnedFd, path: &Path) -> Result<Self, RunError> {
        let torn = SharedWords::new(1).map_err(RunError::system("share memory with children"))?;
        Ok(Self::to(Destination::File(file.into(), path.to_owned(), torn)))
    }

    /// Where the file is, and the file, if it is one that has a path.
    pub(crate) fn open_file(&self) -> Option<(&Path, BorrowedFd<'_>)> {
        match &self.destination {
            Destination::File(file, path, _) => Some((path, file.as_fd())),
            Destination::Nowhere | Destination::Handle(_) => None,
        }
    }

    /// Returns a flag by which another thread has the file opened anew with the next line.
    pub(crate) fn reopen_on_request(&mut self, log: Log) -> Arc<AtomicBool> {
        let flag = Arc::<AtomicBool>::default();
        self.asked = Some(Asked { flag: flag.clone(), log });
        flag
    }

    /// Opens the file anew if another thread has asked for that. Where it cannot be, the old one goes on:
    /// nobody could ask again before the next rotation.
    fn reopen_if_asked(&mut self) {
        let flag = self.asked.as_ref().map(|asked| &asked.flag);
        if !flag.is_some_and(|flag| flag.swap(false, Ordering::Acquire)) {
            return;
        }
        if let (Err(error), Some(Asked { log, .. })) = (self.reopen(), &self.asked) {
            log.error(NotReopened(&error));
        }
    }

    /// Opens the file anew, if there is one, after it was renamed for example.
    pub(crate) fn reopen(&mut self) -> Result<(), LogError> {
        if let Destination::File(file, path, _) = &mut self.destination {
            *file = open_log(path)?;
        }
        Ok(())
    }

    pub(crate) fn handle(handle: Box<dyn Write>) -> Self {
        Self::to(Destination::Handle(handle))
    }

    fn to(destination: Destination) -> Self {
        Self { destination, line: Vec::new(), asked: None }
    }

    /// Writes one line; the line feed is added.
    ///
    /// Without `access_log_path` and `access_log_handle`, the line goes nowhere.
    ///
    /// # Errors
    ///
    /// Fails if the line could not be written whole, as on a full disk. The next line, of whatever
    /// child, then begins on a line of its own. Most servers go on serving when that happens.
    pub fn line(&mut self, line: impl Display) -> io::Result<()> {
        if let Destination::Nowhere = self.destination {
            return Ok(());
        }
        self.reopen_if_asked();
        self.line.clear();
        let text = line.to_string();
        writeln!(self.line, "{}", Sanitized(&text))?;
        self.destination.write(&mut self.line)
    }
}

/// Says that the old file goes on.
pub(crate) struct NotReopened<'a>(pub(crate) &'a LogError);

impl Display for NotReopened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the access log stays as it was: {}", Report(self.0))
    }
}

impl Destination {
    fn write(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::File(file, _, torn) => append(file, torn.get(0), line),
            Self::Handle(handle) => {
                handle.write_all(line)?;
                handle.flush()
            }
        }
    }
}

/// Writes in one go. What a full disk has cut short is ended by the next line that is written.
fn append(file: &mut File, torn: &AtomicU32, line: &mut Vec<u8>) -> io::Result<()> {
    let mends = torn.swap(0, Ordering::Relaxed) != 0;
    if mends {
        line.insert(0, b'\n');
    }
    let written = loop {
        match file.write(line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    let still_torn = match written {
        Ok(count) => count < line.len(),
        Err(_) => mends,
    };
    if still_torn {
        torn.store(1, Ordering::Relaxed);
    }
    match written? {
        count if count < line.len() => {
            Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut short"))
        }
        _ => Ok(()),
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
    use crate::log::Role;

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
        let flag = log.reopen_on_request(Log::new("test", Role::Parent));
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

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let path = std::env::temp_dir().join(format!("prefork-torn-{}", std::process::id()));
        let open = || File::options().create(true).append(true).open(&path).expect("opened");
        let torn = AtomicU32::new(1);
        append(&mut open(), &torn, &mut b"whole\n".to_vec()).expect("written");
        append(&mut open(), &torn, &mut b"next\n".to_vec()).expect("written");
        let content = std::fs::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(content, b"\nwhole\nnext\n");
    }
}
