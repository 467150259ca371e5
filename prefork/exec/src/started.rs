//! A program that a child has started: waiting for what comes of it, and taking that in.

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use prefork::{Child, EndAs, Exit, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, WaitOptions, waitpid},
};

use crate::{
    Program, Sockets,
    lifeline::Lifeline,
    look::Tree,
    output::Relay,
    spawn::{Handed, Running, SpawnError, name_of},
};

/// A program that runs, and what it prints.
pub(crate) struct Started {
    pub(crate) name: String,
    pub(crate) process: Running,
    pub(crate) pid: u32,
    relay: Relay,
}

/// What has come while it was waited for.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// The end of the program.
    end: bool,
    /// That of the daemon.
    cut: bool,
    /// What the program prints.
    output: bool,
    /// For each of the other descriptors, whether it is readable.
    pub(crate) others: Vec<bool>,
}

impl Started {
    /// Starts it; what it prints comes by `relay`.
    pub(crate) fn start(
        program: &Program,
        sockets: &Sockets,
        handed: &Handed<'_>,
        relay: Relay,
    ) -> Result<Self, SpawnError> {
        let process = Running::start(program, sockets, handed)?;
        let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
        Ok(Self { name: name_of(program), process, pid, relay })
    }

    /// Waits for its end and that of the daemon, what it prints, other descriptors, or until then.
    pub(crate) fn wait(
        &self,
        lifeline: &Lifeline,
        due: Option<Instant>,
        others: &[BorrowedFd<'_>],
    ) -> io::Result<Came> {
        let now = Instant::now();
        let own = [self.process.fd(), lifeline.fd()];
        let printed: Vec<_> = self.relay.fds(now).collect();
        let fds = own.iter().chain(others).chain(&printed);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let due = due.into_iter().chain(self.relay.due(now)).min();
        let timeout = due.map(|due| round_up(due.saturating_duration_since(now)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => {
                return Ok(Came { others: vec![false; others.len()], ..Came::default() });
            }
            Err(errno) => return Err(errno.into()),
        }
        let mut has_come = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Came {
            end: has_come.next().unwrap_or(false),
            cut: has_come.next().unwrap_or(false),
            others: has_come.by_ref().take(others.len()).collect(),
            output: has_come.any(|has_come| has_come),
        })
    }

    /// Takes in what has come, and returns how the program has ended, if it has. Asks nothing of what is known to be as it was,
    /// as a child wakes for little else.
    ///
    /// # Errors
    ///
    /// Fails once the daemon has ended, and all of the program with it.
    pub(crate) fn take_in(
        &mut self,
        child: &mut Child,
        lifeline: &Lifeline,
        came: &Came,
    ) -> Result<Option<Exit>> {
        if came.cut && lifeline.is_cut() {
            self.kill_all()?;
            let killed = Exit::Signal { number: Signal::KILL.as_raw(), core_dumped: false };
            return Err(self.ended(killed).when(" with the daemon, which has ended").into());
        }
        let now = Instant::now();
        if came.output {
            self.relay.pass_on(child, self.pid, now);
        }
        // One that is traced is waited for by others too.
        if !came.end {
            return Ok(None);
        }
        let ended = waitpid(Some(self.process.pid), WaitOptions::NOHANG)?;
        let Some((_, status)) = ended else { return Ok(None) };
        self.relay.finish(child, self.pid, now);
        Ok(Some(match status.terminating_signal() {
            Some(number) => Exit::Signal { number, core_dumped: false },
            None => Exit::Code(status.exit_status().unwrap_or(1)),
        }))
    }

    /// Kills it with all that it has started, as far as that is known.
    ///
    /// # Errors
    ///
    /// Fails if it has ended, and nobody is left to ask what it had started.
    pub(crate) fn kill_all(&self) -> io::Result<()> {
        let mut tree = Tree::of(self.process.pid)?;
        tree.refresh();
        tree.signal(Signal::KILL)
    }

    /// Returns how its child ends with it.
    pub(crate) fn ended(&self, exit: Exit) -> EndAs {
        EndAs::new(exit, self.to_string())
    }
}

/// As messages name it.
impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// As a timeout, which is not to end before the time has come.
fn round_up(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
}
