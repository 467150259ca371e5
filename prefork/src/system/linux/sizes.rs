//! How much memory a process has, with all that it has started.

use std::{
    fmt::Write,
    fs::File,
    io::{self, Read},
    str::from_utf8,
};

use rustix::process::Pid;

use crate::system::statm;

/// So many processes of one child are looked at, at the most: what a child starts without end is not to hold up its parent.
const MOST: usize = 64;

/// Reads what is resident of processes, one after another into the same memory.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    path: String,
    text: Vec<u8>,
    pids: Vec<u32>,
}

impl Sizes {
    /// Returns how many bytes of memory a process and all that it has started have resident together; `None` if it cannot be
    /// seen. What two of them share counts twice.
    ///
    /// Descendants are found by `/proc/PID/task/TID/children` of the first thread of each: see `proc_pid_task(5)`. The
    /// numbers are read without the lock of anybody's memory: see `proc_pid_statm(5)`.
    pub(crate) fn of_tree(&mut self, pid: Pid) -> Option<u64> {
        self.pids.clear();
        self.pids.push(pid.as_raw_nonzero().get().unsigned_abs());
        let mut bytes = 0_u64;
        let mut next = 0;
        while let Some(&pid) = self.pids.get(next) {
            let resident = self.resident(pid);
            if next == 0 && resident.is_none() {
                return None;
            }
            bytes = bytes.saturating_add(resident.unwrap_or(0));
            self.add_children(pid);
            next += 1;
        }
        Some(bytes)
    }

    /// Returns how many bytes one process has resident.
    pub(crate) fn resident(&mut self, pid: u32) -> Option<u64> {
        self.read(format_args!("/proc/{pid}/statm")).ok()?;
        statm::resident(from_utf8(&self.text).ok()?)
    }

    /// Returns how many bytes one process has resident that are no file's and no shared memory's: those that its children have
    /// with it until one of them writes there.
    pub(crate) fn own(&mut self, pid: u32) -> Option<u64> {
        self.read(format_args!("/proc/{pid}/statm")).ok()?;
        statm::own(from_utf8(&self.text).ok()?)
    }

    fn add_children(&mut self, pid: u32) {
        let read = self.read(format_args!("/proc/{pid}/task/{pid}/children"));
        let Some(text) = read.ok().and_then(|()| from_utf8(&self.text).ok()) else { return };
        let children = text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
        self.pids.extend(children.take(MOST.saturating_sub(self.pids.len())));
    }

    fn read(&mut self, path: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.path.clear();
        self.text.clear();
        self.path.write_fmt(path).map_err(io::Error::other)?;
        // A tree of so many processes has a list that is no longer.
        let most = MOST as u64 * 16;
        File::open(&self.path)?.take(most).read_to_end(&mut self.text).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(child.id().cast_signed()).expect("a pid")
    }

    #[test]
    fn what_a_process_has_started_counts_with_it() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & sleep 1000 & echo; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        // It has started both by then.
        let mut line = [0; 1];
        shell.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("a line");
        let mut sizes = Sizes::default();
        let (own, all) = (sizes.resident(shell.id()), sizes.of_tree(pid(&shell)));
        let count = sizes.pids.len();
        for pid in sizes.pids.drain(1..).collect::<Vec<_>>() {
            let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ended");
        }
        shell.wait().expect("reaped");
        assert_eq!(count, 3);
        assert!(own.expect("read") > 0);
        assert!(all > own, "{all:?} of all, {own:?} of the shell");
    }

    #[test]
    fn one_that_is_not_there_has_no_size() {
        let mut child = Command::new("true").spawn().expect("started");
        let pid = pid(&child);
        child.wait().expect("reaped");
        assert_eq!(Sizes::default().of_tree(pid), None);
    }
}
