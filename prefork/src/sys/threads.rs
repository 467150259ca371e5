//! The threads of this process: how many there are, and signals for one of them.

use std::{fmt, fs, io, os::unix::fs::MetadataExt, process, thread, time::Duration};

use nix::{libc, sys::signal::Signal};
use prefork_core::one_line;

/// How long a thread may take to name itself, or to be gone.
const MOMENT: Duration = Duration::from_millis(50);

/// How many threads are named in a message.
const NAMED: usize = 8;

/// The threads of this process but the main one.
#[derive(Debug)]
pub(crate) struct Others {
    names: Vec<String>,
}

impl Others {
    /// Looks for them.
    ///
    /// A fork copies only the thread that calls it; a lock that another one holds at that moment stays
    /// locked in the child for ever (see `fork(2)`).
    pub(crate) fn look() -> io::Result<Self> {
        // As it is numbered there, which may be another pid namespace's; a sandbox may refuse that.
        let main = fs::read_link("/proc/self");
        let main = main.unwrap_or_else(|_| process::id().to_string().into());
        let tasks = fs::read_dir("/proc/self/task")?.flatten();
        let others = tasks.filter(|task| task.file_name() != main.as_os_str());
        // One that has ended meanwhile has no name any more, and one whose name cannot be read counts all the same.
        let name = |task: fs::DirEntry| match fs::read_to_string(task.path().join("comm")) {
            Ok(name) => Some(one_line(name.trim_end()).to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some("?".to_owned()),
        };
        Ok(Self { names: others.filter_map(name).collect() })
    }

    /// Looks for them before the daemon runs, where they keep it from starting.
    ///
    /// A thread gives itself its name, and one that was joined is still listed for a moment. So where there are any, it
    /// looks once more, a little later.
    pub(crate) fn at_start() -> io::Result<Self> {
        let others = Self::look()?;
        if others.count() == 0 {
            return Ok(others);
        }
        thread::sleep(MOMENT);
        Self::look()
    }

    pub(crate) const fn count(&self) -> usize {
        self.names.len()
    }
}

/// Their names, as they have them from `pthread_setname_np(3)` or `std::thread::Builder::name`; a thread without one of
/// its own has that of the thread which has started it.
impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
        f.write_str(&named.join(", "))?;
        match self.names.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Fails if this process has another thread than the one that calls.
///
/// Cheaper than [`Others::look`]: a directory has a link for itself, one in its parent, and one for each directory
/// in it.
pub(crate) fn require_one() -> io::Result<()> {
    match fs::metadata("/proc/self/task")?.nlink() {
        3 => Ok(()),
        links => Err(io::Error::other(format!(
            "{} threads are running where only the main one may; hooks must leave none{}",
            links.saturating_sub(2),
            Others::look().map(|others| format!(": {others}")).unwrap_or_default()
        ))),
    }
}

/// Sends a signal to one thread of this process, by the name that it has in `/proc/self/task`; nothing happens if it has ended.
pub(crate) fn signal(thread: i32, signal: Signal) {
    let process = std::process::id();
    // SAFETY: the call takes three numbers (see `tgkill(2)`), and reaches threads of this process alone.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal as libc::c_int) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_few_threads() {
        let others = |count: usize| Others { names: (0..count).map(|it| it.to_string()).collect() };
        assert_eq!(others(1).to_string(), "0");
        assert_eq!(others(8).to_string(), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(others(10).to_string(), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
