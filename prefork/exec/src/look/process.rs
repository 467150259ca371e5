//! A process of the program, whose directory in `/proc` is open: what is read there is of this process and no other.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{
    time::{ClockId, clock_gettime},
    unistd,
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, statat},
    io::{Errno, read},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// A process, for as long as it lives and a zombie after.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    directory: OwnedFd,
    /// Says how long it has run.
    clock: Option<ClockId>,
    /// How long it has run, when that was read last.
    cpu: Option<Duration>,
}

impl Process {
    /// Opens what is known of a process.
    ///
    /// # Errors
    ///
    /// If there is none with this pid any more, or too few descriptors are left.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        let path = format!("/proc/{}", pid.as_raw_nonzero());
        let directory =
            openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        // Both are of one process if the directory, opened first, is still of a living one.
        statat(&directory, "stat", AtFlags::empty())?;
        let clock = ClockId::pid_cpu_clock_id(unistd::Pid::from_raw(pid.as_raw_nonzero().get()));
        Ok(Self { pid, pidfd, directory, clock: clock.ok(), cpu: None })
    }

    /// Returns its pid.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns its pidfd.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns whether it is ending, or has: its memory is given back before its descriptors are closed.
    ///
    /// What is in its directory belongs to root from then on, so that to read it is forbidden to others.
    pub(crate) fn is_ending(&self) -> bool {
        self.resident().is_none_or(|bytes| bytes == 0)
    }

    /// Returns whether one of its threads is ending, or has.
    pub(super) fn ends(&self, thread: Pid) -> bool {
        let name = format!("task/{}/statm", thread.as_raw_nonzero());
        self.pages(&name).is_none_or(|pages| pages == 0)
    }

    /// Returns whether it was not reaped yet.
    pub(crate) fn exists(&self) -> bool {
        statat(&self.directory, "stat", AtFlags::empty()).is_ok()
    }

    /// Returns whether it has run, however shortly, since this was asked last; the first time, it has.
    pub(crate) fn ran(&mut self) -> bool {
        let now = self.cpu();
        let ran = now.is_none() || now != self.cpu;
        self.cpu = now;
        ran
    }

    /// Returns for how long all its threads have run, in ns.
    fn cpu(&self) -> Option<Duration> {
        clock_gettime(self.clock?).ok().map(Duration::from)
    }

    /// Hands out the state of each of its threads, by its letter in `proc_pid_stat(5)`; those that have ended meanwhile have none.
    pub(crate) fn states(&self, mut each: impl FnMut(u8)) -> io::Result<()> {
        let mut buffer = [0; 512];
        for thread in self.threads()? {
            let name = format!("task/{}/stat", thread.as_raw_nonzero());
            // The name before it may have anything in it, but for what comes last.
            if let Ok(text) = self.read(&name, &mut buffer)
                && let Some(at) = text.iter().rposition(|&byte| byte == b')')
                && let Some(&state) = text.get(at + 2)
            {
                each(state);
            }
        }
        Ok(())
    }

    /// Returns the memory that is resident, in bytes.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.pages("statm").map(|pages| pages * rustix::param::page_size() as u64)
    }

    /// Returns how many pages are resident, see `proc_pid_statm(5)`.
    fn pages(&self, name: &str) -> Option<u64> {
        let mut buffer = [0; 128];
        let text = self.read(name, &mut buffer).ok()?;
        std::str::from_utf8(text).ok()?.split(' ').nth(1)?.parse().ok()
    }

    /// Reads a file of its directory into `buffer`, as much of it as there is room.
    pub(crate) fn read<'b>(&self, name: &str, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let file = openat(&self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        read_into(&file, buffer)
    }

    /// Reads a file of its directory to its end, for which `buffer` grows.
    pub(super) fn read_all<'b>(&self, name: &str, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let file = self.open_at(name, OFlags::RDONLY)?;
        let mut length = 0;
        loop {
            length += read_into(&file, &mut buffer[length..])?.len();
            if length < buffer.len() {
                return Ok(&buffer[..length]);
            }
            buffer.resize(length * 2, 0);
        }
    }

    /// Opens a file or directory of its directory.
    pub(crate) fn open_at(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(openat(&self.directory, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Returns the ids of its threads.
    pub(crate) fn threads(&self) -> io::Result<Vec<Pid>> {
        let mut threads = Vec::with_capacity(1);
        numbers(&self.open_at("task", OFlags::RDONLY | OFlags::DIRECTORY)?, |number| {
            threads.extend(i32::try_from(number).ok().and_then(Pid::from_raw));
        })?;
        Ok(threads)
    }

    /// Returns the processes that its threads have started and that live.
    pub(crate) fn children(&self) -> io::Result<Vec<Pid>> {
        let mut children = Vec::new();
        let mut buffer = [0; 16 * 1024];
        for thread in self.threads()? {
            let name = format!("task/{}/children", thread.as_raw_nonzero());
            // One that has ended meanwhile has none.
            let Ok(text) = self.read(&name, &mut buffer) else { continue };
            let numbers = text.split(|&byte| byte == b' ');
            let numbers = numbers.filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok());
            children.extend(numbers.filter_map(Pid::from_raw));
        }
        Ok(children)
    }
}

/// Reads a file from its beginning, until its end or until `buffer` is full.
pub(super) fn read_into(file: impl AsFd, buffer: &mut [u8]) -> io::Result<&[u8]> {
    let mut length = 0;
    while length < buffer.len() {
        match read(&file, &mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(&buffer[..length])
}

/// Hands out the names in a directory that are numbers.
pub(super) fn numbers(directory: impl AsFd, mut each: impl FnMut(u32)) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let name = entry?;
        if let Some(number) = name.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            each(number);
        }
    }
    Ok(())
}
