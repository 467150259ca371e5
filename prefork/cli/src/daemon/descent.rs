//! Waiting until a daemon without a scoreboard has replaced its children: until none of those is left that it had before.
//!
//! The kernel shows whose child a process is. Which ones finish what they have in hand, and why nothing happens, it does
//! not.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prefork_daemonize::Pid;
use prefork_view::plural;

use super::{lateness, still_runs};
use crate::failure::Failure;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The children that a daemon had.
#[derive(Debug)]
pub(super) struct Descent<'a> {
    pid_file: &'a Path,
    pid: Pid,
    before: Vec<u32>,
}

impl<'a> Descent<'a> {
    /// Looks at what there is, before the signal is sent.
    pub(super) fn begin(pid_file: &'a Path, pid: Pid) -> Self {
        let before = children(pid).into_iter().filter(|pid| serves(*pid)).collect();
        Self { pid_file, pid, before }
    }

    /// Waits until none of them is left; returns what there is then, in words.
    pub(super) fn wait(&self, timeout: Duration) -> Result<String, Failure> {
        let begun = Instant::now();
        loop {
            let now = children(self.pid);
            let old = self.before.iter().filter(|pid| now.contains(pid)).count();
            if old == 0 && !now.is_empty() {
                let before = plural(self.before.len(), "child is", "children are");
                return Ok(format!("none of the {before} left that there were"));
            }
            still_runs(self.pid_file, self.pid)?;
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let all = now.len();
                return Err(Failure::NotReplaced {
                    old,
                    all,
                    waited: timeout,
                    why: lateness::why_unseen(self.pid, all),
                });
            }
            thread::sleep(PAUSE.min(left));
        }
    }
}

/// Returns the children of a process: see `proc_pid_stat(5)`.
fn children(parent: Pid) -> Vec<u32> {
    let parent = parent.as_raw().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid).as_ref() == Some(&parent)).collect()
}

/// The name of the program stands in parentheses and may contain anything.
fn parent_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next().filter(|_| state != "Z").map(str::to_owned)
}

/// Whether a child is none of the helpers of the parent, by their titles.
fn serves(pid: u32) -> bool {
    let title = super::title(pid);
    !["[status]", "[hook]", "[parent]"].iter().any(|role| title.ends_with(role))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_children_of_a_process_are_found() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        assert!(children(Pid::current()).contains(&child.id()));
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert!(!children(Pid::current()).contains(&child.id()));
    }
}
