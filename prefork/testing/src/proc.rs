//! What `/proc` reports of processes.

use std::{
    fs::{self, File},
    io::Read,
    time::Duration,
};

/// More than programs have as a rule.
const LONGEST_ENVIRONMENT: usize = 1 << 17;

/// `PF_EXITING` of the kernel's flags of a process: set before anything of it is given back.
const EXITING: u64 = 4;

/// A process as `/proc/PID/stat` shows it (see `proc_pid_stat(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// The state letter: `R`, `S`, `D`, `T` (stopped), `Z` (zombie) ...
    pub state: char,
    /// The pid of its parent.
    pub parent: u32,
    /// The pid of the leader of its process group.
    pub group: u32,
    /// The pid of the leader of its session.
    pub session: u32,
    /// The number of its terminal, 0 for none.
    pub terminal: i64,
    /// The CPU time that it has used.
    pub cpu: Duration,
    /// Whether it is ending, or has ended.
    is_ending: bool,
}

impl Process {
    /// Returns whether it is the process of a daemon that is asked how many jobs wait.
    #[must_use]
    pub fn is_demand_process(&self) -> bool {
        self.command_line().ends_with("[demand]")
    }

    /// Returns whether it has ended and waits to be reaped.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Returns whether it is on its way out: it may still hold files and their locks, but shows no environment
    /// any more.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.is_ending && !self.is_zombie()
    }

    /// Returns the command line, as `ps` shows it.
    #[must_use]
    pub fn command_line(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ")
    }

    /// Returns whether this line is in its environment.
    #[must_use]
    pub fn has_in_environment(&self, entry: &str) -> bool {
        self.is_marked(entry) == Some(true)
    }

    /// The same; `None` if it shows no environment.
    #[must_use]
    pub fn is_marked(&self, entry: &str) -> Option<bool> {
        self.has_entry(|found| found == entry.as_bytes())
    }

    /// Returns whether the daemon has executed its program once more in this process, to read its settings.
    #[must_use]
    pub fn reads_settings(&self) -> bool {
        let marks = |entry: &[u8]| entry.starts_with(b"PREFORK_HANDOVER=settings:");
        self.has_entry(marks) == Some(true)
    }

    /// Returns whether there is such an entry in its environment; `None` if it shows none.
    fn has_entry(&self, is_meant: impl Fn(&[u8]) -> bool) -> Option<bool> {
        // By one read: between two, a program that is executed takes the place of the old one, and
        // what was read is cut short.
        let mut environment = vec![0; LONGEST_ENVIRONMENT];
        let file = File::open(format!("/proc/{}/environ", self.pid));
        let length = file.and_then(|mut file| file.read(&mut environment)).unwrap_or(0);
        let mut entries = environment[..length].split(|byte| *byte == 0);
        (length > 0).then(|| entries.any(is_meant))
    }
}

/// Returns how long `ticks` of `times(2)` are; Linux has counted 100 a second to programs for ever.
#[must_use]
pub const fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Returns how often a process has been given a processor (see `/proc/PID/schedstat`): while it sleeps
/// that does not change.
///
/// # Panics
///
/// Panics if it is gone.
#[must_use]
#[track_caller]
pub fn turns(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("the process lives");
    let count = stat.split_whitespace().nth(2).and_then(|count| count.parse().ok());
    count.expect("the kernel counts")
}

/// Returns what `/proc/PID/status` shows under a name, with single spaces; `None` if the process has gone.
#[must_use]
pub fn status(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns the process with this pid, a zombie too.
#[must_use]
pub fn find(pid: u32) -> Option<Process> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Returns every process that there is.
#[must_use]
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc can be read");
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).filter_map(find).collect()
}

/// Returns the children of a process, zombies too.
#[must_use]
pub fn children(pid: u32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == pid).collect()
}

fn parse(pid: u32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first field here is the third there.
    let field = |number: usize| fields.get(number - 3).copied();
    let used = field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?;
    Some(Process {
        pid,
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        terminal: field(7)?.parse().ok()?,
        cpu: ticks(used),
        is_ending: field(9)?.parse::<u64>().ok()? & EXITING != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_behind_any_name() {
        let line = "7 (a) b) S 3 7 5 0 -1 4194304 1 0 0 0 12 30 0 0 20 0 1 0 99 1 1";
        let process = parse(7, line).expect("parsed");
        assert_eq!((process.state, process.parent, process.session), ('S', 3, 5));
        assert_eq!(process.group, 7);
        assert_eq!((process.terminal, process.cpu), (0, Duration::from_millis(420)));
        assert!(!process.is_leaving());
    }

    #[test]
    fn one_that_leaves_is_no_zombie_yet() {
        let line =
            |state| format!("7 (a) {state} 3 7 5 0 -1 4194308 1 0 0 0 12 30 0 0 20 0 1 0 99 1 1");
        let is_leaving = |state| parse(7, &line(state)).expect("parsed").is_leaving();
        assert!(is_leaving('R') && !is_leaving('Z'));
    }

    #[test]
    fn this_process_is_found() {
        let me = find(std::process::id()).expect("there");
        assert!(!me.is_zombie() && all().iter().any(|process| process.pid == me.pid));
    }
}
