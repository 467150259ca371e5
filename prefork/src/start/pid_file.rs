//! The pid file of a daemon that serves: noticed when it goes, and made again.
//!
//! The file itself is watched (`inotify(7)`), and not its directory, where all daemons of the machine come and
//! go: nothing wakes while nothing happens to the file. A directory that is moved with the file in it is noticed
//! at the next reload.

use std::{os::fd::BorrowedFd, time::Duration};

use prefork_core::{Time, one_line};
use prefork_daemonize::{PidFile, Restored};

use crate::{ErrorChain, logs::FileMessage, logs::log::Log, system::os::FileHints};

/// How long hints are left alone after one, so that somebody who touches the file all the time costs little.
const REST: Duration = Duration::from_millis(500);

/// The pause before the next attempt to make the file again: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(600)];

/// A pid file, and what is known of its state.
#[derive(Debug)]
pub(crate) struct KeptPidFile {
    file: PidFile,
    hints: Option<FileHints>,
    /// What is due without a hint.
    next: Option<Next>,
    retry: Duration,
    /// Why it is not there, so that it is logged once and not at every attempt.
    trouble: Option<String>,
}

/// What is done when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Hints count again.
    Listen(Time),
    /// It is looked at the file.
    Look(Time),
}

impl KeptPidFile {
    /// Begins to watch the file.
    pub(crate) fn begin(file: PidFile, log: &Log) -> Self {
        let hints = FileHints::new(&file);
        let hints = hints.inspect_err(|error| {
            let path = file.path();
            log.write(&FileMessage::PidFileNotWatched { path: &one_line(path), error });
        });
        Self { file, hints: hints.ok(), next: None, retry: RETRY[0], trouble: None }
    }

    /// The file itself.
    pub(crate) const fn file(&self) -> &PidFile {
        &self.file
    }

    /// Removes the file, and gives the lock up.
    pub(crate) fn remove(self, log: &Log) {
        // That it cannot be removed is no reason for a failed stop: a stale one is harmless.
        if let Err(error) = self.file.remove() {
            log.write(&FileMessage::PidFileNotRemoved { error: &ErrorChain(&error) });
        }
    }

    /// What to wait for before [`check`](Self::check).
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.hints.as_ref().filter(|_| self.next.is_none()).map(FileHints::fd)
    }

    /// When to [`check`](Self::check) at the latest.
    pub(crate) fn due(&self) -> Option<Time> {
        self.next.map(|(Next::Listen(due) | Next::Look(due))| due)
    }

    /// Makes the next check look, whatever is known.
    pub(crate) const fn doubt(&mut self, now: Time) {
        self.next = Some(Next::Look(now));
    }

    /// Looks whether the file is what it should be, if there is a reason to.
    pub(crate) fn check(&mut self, now: Time, log: &Log) {
        if self.due().is_some_and(|due| now < due) {
            return;
        }
        let has_stirred = self.hints.as_ref().is_some_and(FileHints::take);
        match self.next.take() {
            Some(Next::Look(_)) => self.restore(now, log),
            Some(Next::Listen(_)) | None if has_stirred => self.restore(now, log),
            Some(Next::Listen(_)) | None => {}
        }
    }

    fn restore(&mut self, now: Time, log: &Log) {
        let restored = self.file.restore();
        let path = one_line(self.file.path());
        match restored {
            Ok(Restored::Intact) => {}
            Ok(Restored::Rewritten) => {
                log.write(&FileMessage::PidFileRewritten { path: &path });
            }
            Ok(Restored::MadeAgain) => {
                log.write(&FileMessage::PidFileMadeAgain { path: &path });
                // One that cannot be watched is doubted at the next reload.
                let _ = self.hints.as_mut().map(|hints| hints.follow(&self.file));
            }
            Err(error) => {
                let trouble = ErrorChain(&error).to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    log.write(&FileMessage::PidFileLost { error: &trouble });
                }
                self.trouble = Some(trouble);
                self.next = Some(Next::Look(now + self.retry));
                self.retry = (self.retry * 2).min(RETRY[1]);
                return;
            }
        }
        (self.trouble, self.retry) = (None, RETRY[0]);
        self.next = self.hints.as_ref().map(|_| Next::Listen(now + REST));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::logs::log::Role;

    fn kept(path: &Path) -> (KeptPidFile, Log) {
        let log = Log::new("test", Role::Parent);
        (KeptPidFile::begin(PidFile::create(path).expect("made"), &log), log)
    }

    fn is_there(path: &Path) -> bool {
        fs::read_to_string(path).is_ok_and(|pid| pid == format!("{}\n", std::process::id()))
    }

    /// Whether a parent that waits for it would wake.
    fn has_hint(kept: &KeptPidFile) -> bool {
        let fd = kept.fd().expect("something to wait for");
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&at_once)).expect("polled") > 0
    }

    #[test]
    fn what_happens_to_the_file_is_undone_and_nothing_more_is_due() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("pid");
        let (mut kept, log) = kept(&path);
        let mut now = Time::ZERO;
        assert!(!has_hint(&kept));
        let disturb: [fn(&Path); 5] = [
            |path| fs::remove_file(path).expect("removed"),
            |path| fs::rename(path, path.with_extension("old")).expect("moved"),
            |path| {
                fs::write(path.with_extension("new"), "1\n").expect("written");
                fs::rename(path.with_extension("new"), path).expect("replaced");
            },
            |path| fs::write(path, "1\n").expect("written"),
            |path| fs::write(path, "").expect("written"),
        ];
        for (case, disturb) in disturb.iter().enumerate() {
            disturb(&path);
            assert!(!is_there(&path), "case {case}");
            assert!(has_hint(&kept), "case {case}");
            kept.check(now, &log);
            assert!(is_there(&path), "case {case}");
            // The hints of our own work are taken after a rest.
            while let Some(due) = kept.due() {
                assert!(due.since(now) <= REST, "case {case}");
                now = due;
                kept.check(now, &log);
            }
            assert!(!has_hint(&kept), "case {case}");
        }
    }

    #[test]
    fn hints_are_rationed() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("pid");
        let (mut kept, log) = kept(&path);
        fs::remove_file(&path).expect("removed");
        kept.check(Time::ZERO, &log);
        fs::remove_file(&path).expect("removed again");
        assert!(kept.fd().is_none(), "nobody is woken");
        kept.check(Time::ZERO, &log);
        assert!(!is_there(&path), "it is too early");
        kept.check(Time::ZERO + REST, &log);
        assert!(is_there(&path));
    }

    #[test]
    fn what_cannot_be_undone_is_tried_ever_more_seldom() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("pid");
        let (mut kept, log) = kept(&path);
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        let mut now = Time::ZERO;
        kept.check(now, &log);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let due = kept.due().expect("tried again");
            pauses.push(due.since(now).as_secs());
            now = due;
            kept.check(now, &log);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        fs::remove_dir(&path).expect("removed");
        kept.doubt(now);
        kept.check(now, &log);
        assert!(is_there(&path), "a reload does not wait for the next attempt");
        assert!(kept.trouble.is_none());
    }
}
