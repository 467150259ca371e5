//! A daemon of several pools: one process above them, and a board for each pool that has a process.

use std::{fs, time::Duration};

use prefork_scoreboard::Standing;
use serde::Serialize;

use crate::{Condition, DaemonState, Shown, Slots, View, duration, plural};

/// A daemon of several pools at about one moment. Texts are safe for a terminal.
#[derive(Debug, Clone)]
pub struct PoolsView {
    /// What it is called.
    pub name: String,
    /// Its own process, if that runs.
    pub pid: Option<u32>,
    /// Its pid file.
    pub pid_file: String,
    /// What the kernel says that its own process is doing.
    pub standing: Option<Standing>,
    /// How long ago it was started.
    pub up: Option<Duration>,
    /// Its pools, in their order.
    pub pools: Vec<PoolView>,
}

/// One of its pools.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Its name, without that of the daemon.
    pub name: String,
    /// What it is: `pool`, `on-demand`, `role`.
    pub kind: &'static str,
    /// Whether it has a process: `awake`, `asleep`, `down`.
    pub presence: &'static str,
    /// The parent of its children, if there is one.
    pub pid: Option<u32>,
    /// Where it listens, as far as that was said before it was started.
    pub addresses: Vec<String>,
    /// Its board, if it has one that can be read.
    pub view: Option<View>,
}

impl PoolsView {
    /// Returns how the daemon's own process is.
    #[must_use]
    pub fn state(&self) -> DaemonState {
        DaemonState::new(self.condition(), None)
    }

    fn condition(&self) -> Condition {
        match self.pid {
            Some(_) => Condition::of_process(self.standing),
            None => Condition::Gone,
        }
    }

    /// Returns how many pools have a process.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.pools.iter().filter(|pool| pool.pid.is_some()).count()
    }

    /// Returns what is wrong with its own process and what to do, if anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.pid.and_then(|pid| self.condition().trouble(pid))
    }

    /// Returns all of it in one line: `app, pid 4711, up 3h05m: 3 pools, 2 awake; 5 children, 1 busy`; of a daemon that does
    /// not run, or does nothing, that first.
    #[must_use]
    pub fn summary(&self) -> String {
        let mark = self.condition().mark().map(|mark| format!("{mark}: ")).unwrap_or_default();
        let pid = self.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        let up = self.up.map(|up| format!(", up {}", duration(up))).unwrap_or_default();
        let views = || self.pools.iter().filter_map(|pool| pool.view.as_ref());
        let children = views().map(|view| view.tally.taken()).sum();
        let busy: usize = views().map(|view| view.tally.busy).sum();
        format!(
            "{mark}{}{pid}{up}: {}, {} awake; {}, {busy} busy",
            self.name,
            plural(self.pools.len(), "pool", "pools"),
            self.awake(),
            plural(children, "child", "children")
        )
    }
}

/// Returns how long ago a process was started, to a hundredth of a second; `None` if it is gone.
#[must_use]
pub fn up_of_process(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may contain anything: see proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')')?;
    let started: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let started = Duration::from_millis(started * 1000 / rustix::param::clock_ticks_per_second());
    Some(Duration::try_from_secs_f64(uptime).ok()?.saturating_sub(started))
}

/// Raised when something is removed or changes its meaning; what is added does not raise it.
const SCHEMA: u32 = 1;

/// A daemon of several pools as JSON has it. The shape is a promise: `docs/command.md` describes it.
#[derive(Debug, Serialize)]
pub struct ShownPools<'a> {
    schema: u32,
    name: &'a str,
    pid: Option<u32>,
    pid_file: &'a str,
    state: &'static str,
    trouble: Option<String>,
    up_seconds: Option<f64>,
    pools: Vec<ShownPool<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownPool<'a> {
    name: &'a str,
    kind: &'static str,
    presence: &'static str,
    pid: Option<u32>,
    addresses: &'a [String],
    board: Option<Shown<'a>>,
}

impl<'a> ShownPools<'a> {
    /// Takes from a view what is shown of it.
    #[must_use]
    pub fn new(view: &'a PoolsView, slots: Slots) -> Self {
        let pool = |pool: &'a PoolView| ShownPool {
            name: &pool.name,
            kind: pool.kind,
            presence: pool.presence,
            pid: pool.pid,
            addresses: &pool.addresses,
            board: pool.view.as_ref().map(|view| Shown::new(view, slots)),
        };
        Self {
            schema: SCHEMA,
            name: &view.name,
            pid: view.pid,
            pid_file: &view.pid_file,
            state: view.state().word(),
            trouble: view.trouble(),
            up_seconds: view.up.map(|up| up.as_secs_f64()),
            pools: view.pools.iter().map(pool).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_been_there_since_it_was_started() {
        let up = up_of_process(std::process::id()).expect("this one is there");
        assert!(up < Duration::from_secs(3600), "{up:?}");
        let first = up_of_process(1).expect("there is always one");
        assert!(first >= up, "{first:?} {up:?}");
        assert_eq!(up_of_process(u32::MAX), None);
    }

    #[test]
    fn a_daemon_of_pools_that_does_not_run_says_so_first() {
        let mut view = PoolsView {
            name: "app".to_owned(),
            pid: Some(7),
            pid_file: "/run/app.pid".to_owned(),
            standing: None,
            up: Some(Duration::from_secs(61)),
            pools: Vec::new(),
        };
        assert_eq!(view.summary(), "app, pid 7, up 1m01s: 0 pools, 0 awake; 0 children, 0 busy");
        (view.pid, view.up) = (None, None);
        assert_eq!(view.summary(), "NOT RUNNING: app: 0 pools, 0 awake; 0 children, 0 busy");
        assert_eq!(view.state(), DaemonState::Dead);
    }
}
