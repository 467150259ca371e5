//! The processes of a program: the first one, and all that it has started.

use std::io;

use rustix::{
    io::Errno,
    process::{Pid, Signal, pidfd_send_signal},
};

use super::Process;

/// All processes of a program, as they were when that was read last.
///
/// What it has started and left to others, as daemons are, is not among them.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The first one is the program's, those after it what it has started.
    processes: Vec<Process>,
}

/// Beyond so many, processes are not looked at.
const MOST: usize = 512;

impl Tree {
    /// Begins with the process of the program.
    ///
    /// # Errors
    ///
    /// If it is no more, or too few descriptors are left.
    pub(crate) fn of(program: Pid) -> io::Result<Self> {
        Ok(Self { processes: vec![Process::open(program)?] })
    }

    /// Reads which processes there are now.
    pub(crate) fn refresh(&mut self) {
        let mut old = std::mem::take(&mut self.processes);
        let first = old.remove(0);
        self.processes.push(first);
        let mut at = 0;
        while let Some(process) = self.processes.get(at)
            && self.processes.len() < MOST
        {
            for pid in process.children().unwrap_or_default() {
                let known = old.iter().position(|process| process.pid() == pid && process.exists());
                let found = match known {
                    Some(known) => Ok(old.swap_remove(known)),
                    None => Process::open(pid),
                };
                // One that has ended meanwhile is left out.
                if let Ok(found) = found
                    && !self.processes.iter().any(|other| other.pid() == pid)
                {
                    self.processes.push(found);
                }
            }
            at += 1;
        }
    }

    /// Returns the processes, the program's own first.
    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Returns the process of the program.
    pub(crate) fn first(&self) -> &Process {
        &self.processes[0]
    }

    /// Returns whether any of them has run since this was asked last: one call each.
    pub(crate) fn ran(&mut self) -> bool {
        // All are asked, as each notes how long it has run.
        let mut ran = false;
        for process in &mut self.processes {
            ran |= process.ran();
        }
        ran
    }

    /// Returns whether no thread of them runs, or is about to, or waits for a disk.
    pub(crate) fn is_asleep(&self) -> bool {
        self.all(b"STtZXI")
    }

    /// Returns whether every thread of them was stopped, by a signal or a tracer.
    pub(crate) fn stands(&self) -> bool {
        self.all(b"TtZX")
    }

    fn all(&self, states: &[u8]) -> bool {
        self.processes.iter().all(|process| {
            let mut all = true;
            let read = process.states(|state| all &= states.contains(&state));
            all && (read.is_ok() || process.is_ending())
        })
    }

    /// Sends a signal to all of them.
    ///
    /// # Errors
    ///
    /// If that is forbidden.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        for process in &self.processes {
            match pidfd_send_signal(process.pidfd(), signal) {
                // It has ended.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns the memory that is resident, of all together, in bytes. What they share counts for each.
    pub(crate) fn memory(&self) -> u64 {
        self.processes.iter().filter_map(Process::resident).sum()
    }
}
