//! What the program has opened before its first child, and a warning of what does harm there.
//!
//! Children are to share listening sockets and files that are only read. A connection, an epoll descriptor or a database
//! is another matter: it works in tests with one child, and mixes up answers, loses events or damages data with several.
//! Libraries open such things without a word. So the parent looks once, when `after_init` has returned.
//!
//! Which descriptors are the program's is known by when they came: those that were open before the daemon opened
//! anything, and those that came while `after_init` ran. Of the former a process was started with some, which are not
//! close-on-exec. In the background these are closed; in the foreground the program may want them, but nobody else:
//! what children execute does not get them ([`LeftOpen`]).

use std::{
    fmt::{self, Display},
    io,
    os::fd::RawFd,
};

use super::harm;
use crate::{
    logs::{ForkMessage, log::Log},
    system::os::{LeftOpen, OpenFile, open_files},
};

/// How many warnings there are at most.
const MOST: usize = 16;

/// How many descriptors are named in one.
const NAMED: usize = 8;

/// What is open before `after_init` runs, and what of it is the program's.
#[derive(Debug)]
pub(crate) struct Opened(io::Result<Before>);

#[derive(Debug)]
struct Before {
    of_program: Vec<OpenFile>,
    /// What the process was started with.
    of_starter: Vec<OpenFile>,
    all: Vec<OpenFile>,
}

impl Opened {
    /// Looks before the daemon opens anything. What an old program has handed over is not this one's.
    pub(crate) fn before_daemon(is_handed_over: impl Fn(RawFd) -> bool) -> Self {
        Self(open_files().map(|mut open| {
            open.retain(|file| !is_handed_over(file.number));
            let (of_program, of_starter) = open.into_iter().partition(OpenFile::closes_on_exec);
            Before { of_program, of_starter, all: Vec::new() }
        }))
    }

    /// Looks before `after_init` opens anything.
    pub(crate) fn before_after_init(self) -> Self {
        Self(self.0.and_then(|before| Ok(Before { all: open_files()?, ..before })))
    }

    /// Returns what the process was started with and still has, for nobody else.
    pub(crate) fn left_open(&self) -> LeftOpen {
        let of_starter = self.0.as_ref().map_or(&[][..], |before| &before.of_starter);
        LeftOpen::of(of_starter)
    }

    /// Warns, before there is a child, of what all of them would share and should not: once each. `on_purpose` is shared and
    /// does no harm.
    pub(crate) fn warn(self, on_purpose: &[(u64, u64)], log: &Log) {
        let found = self.0.and_then(|before| {
            let now = open_files()?;
            let standard = now.iter().filter(|file| file.number <= 2).map(|file| file.identity);
            let harmless: Vec<_> = standard.chain(on_purpose.iter().copied()).collect();
            Ok(harm::find(&before.of_program(&now), &harmless))
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => return log.write(&ForkMessage::CannotLook { error: &error }),
        };
        for (harm, numbers) in found.iter().take(MOST) {
            let (descriptors, consequence) = (&Descriptors(numbers), harm.consequence());
            log.write(&ForkMessage::Shared { descriptors, what: harm, consequence });
        }
        if let more @ 1.. = found.len().saturating_sub(MOST) {
            log.write(&ForkMessage::MoreShared { more });
        }
    }
}

impl Before {
    /// Returns the program's of those that are open now. A number may be another file's by now.
    fn of_program<'a>(&self, now: &'a [OpenFile]) -> Vec<&'a OpenFile> {
        let is_of_program = |file: &&OpenFile| has(&self.of_program, file) || !has(&self.all, file);
        now.iter().filter(is_of_program).collect()
    }
}

/// Whether one is among these, which are in the order of their numbers: there may be tens of thousands.
fn has(files: &[OpenFile], file: &OpenFile) -> bool {
    let at = files.binary_search_by_key(&file.number, |it| it.number);
    at.is_ok_and(|at| files[at] == *file)
}

/// `descriptor 7`, or `descriptors 7, 8`.
struct Descriptors<'a>(&'a [RawFd]);

impl Display for Descriptors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "descriptor " } else { "descriptors " })?;
        let named = self.0.iter().take(NAMED).map(RawFd::to_string).collect::<Vec<_>>();
        f.write_str(&named.join(", "))?;
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_few_descriptors() {
        assert_eq!(Descriptors(&[7]).to_string(), "descriptor 7");
        assert_eq!(Descriptors(&[7, 9]).to_string(), "descriptors 7, 9");
        let many: Vec<RawFd> = (3..13).collect();
        assert_eq!(
            Descriptors(&many).to_string(),
            "descriptors 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"
        );
    }

    #[test]
    fn what_the_daemon_has_opened_is_not_the_programs() {
        let file = |number, target: &str| OpenFile {
            number,
            target: target.into(),
            identity: (1, number.unsigned_abs().into()),
            is_regular: false,
        };
        let (mine, gone, log) = (file(3, "mine"), file(4, "gone"), file(4, "log"));
        let (of_program, of_starter) = (vec![mine.clone(), gone], Vec::new());
        let before = Before { of_program, of_starter, all: vec![mine.clone(), log.clone()] };
        let listener = file(5, "listener");
        let now = [mine.clone(), log, listener.clone()];
        assert_eq!(before.of_program(&now), [&mine, &listener]);
    }
}
