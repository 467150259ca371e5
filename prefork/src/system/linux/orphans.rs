//! Processes that have lost their parent and were given to this one.
//!
//! They are this process's own children from then on, though it has not forked them: their pids are theirs until
//! this process reaps them.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::fd::AsFd,
};

use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getpid, pidfd_open,
        pidfd_send_signal, set_child_subreaper, setrlimit, waitid,
    },
};

use crate::{sys, sys::refused::Refusable};

/// The limit by whose value the processes of a child are known: Linux has stopped enforcing it with 2.4.25 (see
/// `RLIMIT_LOCKS` in `getrlimit(2)`), and inherits it like any other.
const TAG: Resource = Resource::Locks;

/// What `/proc/PID/limits` calls it.
const TAG_NAME: &str = "Max file locks";

/// Whether this process is given the orphans of those that descend from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaper {
    /// Yes, before any other process (see `PR_SET_CHILD_SUBREAPER` in `prctl(2)`). It lasts over an exec.
    OfAll,
    /// Only if it is process 1.
    OfNone,
}

impl Reaper {
    pub(crate) fn apply(self) -> io::Result<()> {
        let this = match self {
            Self::OfAll => Some(getpid()),
            Self::OfNone => None,
        };
        set_child_subreaper(this).of_call("prctl(2)")
    }
}

/// Returns the tag that this process has itself; `None` if it has none.
pub(crate) fn own_tag() -> Option<u64> {
    sys::limit_of_locks(getpid()).ok().flatten()
}

/// Marks this process, and all that it will start, for good: without privileges it can only lower it.
pub(crate) fn set_tag(tag: u64) -> io::Result<()> {
    setrlimit(TAG, Rlimit { current: Some(tag), maximum: Some(tag) }).of_call("prlimit64(2)")
}

/// Returns the tag of a child of this process, if it has one; `None` if the child is not to be seen.
pub(crate) fn tag_of(pid: Pid) -> Option<Option<u64>> {
    // The first needs rights that root does not have in most containers (see `prlimit(2)`), the second a file that
    // everybody may read, and fifteen times as long.
    sys::limit_of_locks(pid).ok().or_else(|| tag_by_proc(pid))
}

fn tag_by_proc(pid: Pid) -> Option<Option<u64>> {
    tag(&fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?)
}

/// Finds the tag in the text of `/proc/PID/limits` (see `proc_pid_limits(5)`): the hard limit.
fn tag(limits: &str) -> Option<Option<u64>> {
    let values = limits.lines().find_map(|line| line.strip_prefix(TAG_NAME))?;
    match values.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(None),
        value => value.parse().ok().map(Some),
    }
}

/// What came of ending a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is ending.
    Killed,
    /// It has ended already, and is to be reaped.
    WasOver,
    /// It is no child of this process.
    NotOurs,
}

/// Kills a child of this process, and no other process that has that number.
pub(crate) fn kill(pid: Pid) -> io::Result<End> {
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(End::NotOurs),
        Err(error) => return Err(error.into()),
    };
    // Where /proc shows the processes of another pid namespace, the number is not the child's.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::PidFd(process.as_fd()), options) {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(End::WasOver),
        Err(Errno::CHILD) => return Ok(End::NotOurs),
        Err(error) => return Err(error.into()),
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(End::Killed),
        Err(error) => Err(error.into()),
    }
}

/// Kills the whole group of a child that has ended and was not reaped: processes that it has started, and that
/// have not gone to a group of their own. At once, however fast they start others.
///
/// Before Linux 6.9 nothing happens: they are ended one by one.
pub(crate) fn kill_group_of(ended: Pid) {
    if let Ok(process) = pidfd_open(ended, PidfdFlags::empty()) {
        let _ = sys::signal_group_of(process.as_fd(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// The pids of all children of this process, which has one thread, as a text that is read into memory that is kept.
#[derive(Debug, Default)]
pub(crate) struct Children(String);

impl Children {
    /// Reads them again.
    pub(crate) fn read(&mut self) -> io::Result<()> {
        self.0.clear();
        match File::open("/proc/thread-self/children") {
            Ok(mut list) => list.read_to_string(&mut self.0).map(drop),
            // A kernel without CONFIG_PROC_CHILDREN.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.0 = children_by_stat()?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Pid> {
        self.0.split_ascii_whitespace().filter_map(pid)
    }
}

/// The same, by asking each process there is for its parent.
fn children_by_stat() -> io::Result<String> {
    let this = getpid().as_raw_nonzero().to_string();
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter(|name| pid(name).is_some());
    let ours = pids.filter(|pid| {
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name stands in parentheses, with anything in it; then come the state and the parent.
        let rest = stat.iter().rposition(|byte| *byte == b')').map(|end| &stat[end + 1..]);
        let rest = rest.and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default();
        rest.split_ascii_whitespace().nth(1) == Some(&this)
    });
    Ok(ours.collect::<Vec<_>>().join(" "))
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// Whether `/proc` shows the processes of this process's own pid namespace, under their own numbers.
pub(crate) fn has_own_proc() -> bool {
    let this = fs::read_link("/proc/self").ok();
    this.is_some_and(|this| this.as_os_str() == getpid().as_raw_nonzero().to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_hard_limit() {
        let text = |values| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max locked memory         8388608              8388608              bytes     \n\
                 Max file locks            {values}                locks     \n\
                 Max pending signals       96365                96365                signals   \n"
            )
        };
        assert_eq!(tag(&text("unlimited            unlimited")), Some(None));
        assert_eq!(tag(&text("7                    4294967296")), Some(Some(1 << 32)));
        assert_eq!(tag(&text("7                    unlimited")), Some(None));
        for broken in ["", "7", "7 x", "-1 -1", "1 99999999999999999999999"] {
            assert_eq!(tag(&text(broken)).flatten(), None, "{broken:?}");
        }
        assert_eq!(tag("Max locked memory 1 2 bytes\n"), None);
    }

    #[test]
    fn children_that_are_read_again_are_those_of_now() {
        let mut children = Children("1 2 3".to_owned());
        children.read().expect("/proc can be read");
        assert!(children.iter().all(|pid| pid.as_raw_nonzero().get() > 3));
    }

    #[test]
    fn a_child_is_seen_and_ended_and_nobody_else_is() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("started");
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        let children = Children(children_by_stat().expect("/proc can be read"));
        assert!(children.iter().any(|pid| pid == id));
        assert_eq!((tag_of(id), tag_by_proc(id)), (Some(own_tag()), Some(own_tag())));
        assert_eq!(kill(getpid()).expect("looked at"), End::NotOurs);
        assert_eq!(kill(id).expect("killed"), End::Killed);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(id), ended).expect("it ends");
        assert_eq!(kill(id).expect("it is not reaped"), End::WasOver);
        assert!(!child.wait().expect("reaped").success());
        assert_eq!(kill(id).expect("looked at"), End::NotOurs);
        assert_eq!(tag_of(id), None);
        assert!(has_own_proc());
    }
}
