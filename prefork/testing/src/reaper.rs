//! Starting, ending and reaping processes in a program that may have other children.
//!
//! The test program makes itself a child subreaper (see `prctl(2)`): what a daemon leaves behind becomes its child, so that
//! it can be waited for. The test program may start processes by itself, and wait for them; so nothing here waits for
//! "any child". Reaped is what was started here, and of the others that have ended what is certainly not
//! the program's own: it was in the process group of a daemon, or has the mark that children of daemons have, a value of
//! `RLIMIT_LOCKS` that the test program does not have.
//!
//! All daemons are started by one thread, which lives as long as the test program, so that the kernel ends them with that
//! (`PR_SET_PDEATHSIG` means the thread that has forked), whatever becomes of the thread of the test.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    process::{self, Command},
    sync::{
        LazyLock, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
    time::Instant,
};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitpid,
};

use crate::{End, PATIENCE, proc, sys, wait::holds_within};

/// What was started here.
#[derive(Debug, Default)]
struct Family {
    /// How those have ended that have.
    ends: HashMap<u32, Option<End>>,
    /// The process groups that they lead.
    groups: HashSet<u32>,
}

/// Locked while a process is started, so that its end cannot be taken for that of another with the same pid.
static FAMILY: LazyLock<Mutex<Family>> = LazyLock::new(|| {
    set_child_subreaper(Some(getpid())).expect("this process can become a subreaper");
    Mutex::default()
});

/// The thread that starts.
static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, waiting) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for Order { mut command, reply } in waiting {
            // Who has ordered it may have gone: then it is found by its mark.
            let _ = reply.send(start(&mut command));
        }
    });
    orders
});

/// Who else in this program is to be told of the ends that are taken here.
static OTHER: OnceLock<fn(u32, End)> = OnceLock::new();

/// Has another reaper of this program, that waits for any child, learn of the ends that are taken here.
pub fn report_ends_to(other: fn(u32, End)) {
    let _ = OTHER.set(other);
}

/// Notes an end that another reaper of this program has taken.
pub fn note_end(pid: u32, end: End) {
    if let Some(noted) = family().ends.get_mut(&pid) {
        *noted = Some(end);
    }
}

struct Order {
    command: Command,
    reply: Sender<io::Result<u32>>,
}

fn family() -> MutexGuard<'static, Family> {
    FAMILY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(command: &mut Command) -> io::Result<u32> {
    sys::tie(command);
    let mut family = family();
    // Dropping the handle neither ends the process nor reaps it.
    let pid = command.spawn()?.id();
    family.ends.insert(pid, None);
    family.groups.insert(pid);
    Ok(pid)
}

/// Starts a process that leads a process group and ends with this program, and returns its pid.
pub(crate) fn spawn(command: Command) -> io::Result<u32> {
    let (reply, answer) = mpsc::channel();
    STARTER.send(Order { command, reply }).expect("the starter lives as long as the program");
    answer.recv().expect("the starter answers")
}

/// Takes in a process that was left to this program by one that it has started: a daemon whose launcher has ended.
pub(crate) fn adopt(pid: u32) {
    let group = proc::find(pid).map(|process| process.group);
    let mut family = family();
    family.ends.entry(pid).or_default();
    family.groups.extend(group);
}

/// Forgets a process that has ended, whose number may be another's soon.
pub(crate) fn forget(pid: u32) {
    let mut family = family();
    family.ends.remove(&pid);
    family.groups.remove(&pid);
}

/// Returns how a process ended that was started or taken in here; `None` if it has not.
pub(crate) fn end_of(pid: u32) -> Option<End> {
    let mut family = family();
    let end = family.ends.get_mut(&pid)?;
    if end.is_none() {
        *end = reap(pid);
    }
    *end
}

/// Reaps a child if it has ended.
fn reap(pid: u32) -> Option<End> {
    let (_, status) = waitpid(pid_of(pid), WaitOptions::NOHANG).ok()??;
    end(status)
}

fn end(status: WaitStatus) -> Option<End> {
    let killed = || status.terminating_signal().map(End::Killed);
    status.exit_status().map(End::Exited).or_else(killed)
}

/// Reaps what daemons have left to this program and has ended; returns whether none is left that is about to.
fn reap_orphans() -> bool {
    let family = family();
    let own = file_locks("self");
    let (mut all_ended, mut ends) = (true, Vec::new());
    for orphan in proc::children(process::id()) {
        let is_ending = orphan.is_zombie() || orphan.is_leaving();
        let is_known = family.ends.contains_key(&orphan.pid);
        // Whatever a process has started has its limits and, unless it says otherwise, its group.
        let has_mark = || file_locks(orphan.pid).is_some_and(|limit| Some(limit) != own);
        if is_ending && !is_known && (family.groups.contains(&orphan.group) || has_mark()) {
            all_ended &= orphan.is_zombie();
            ends.extend(reap(orphan.pid).map(|end| (orphan.pid, end)));
        }
    }
    // The other one has a lock of its own.
    drop(family);
    if let Some(report) = OTHER.get() {
        ends.into_iter().for_each(|(pid, end)| report(pid, end));
    }
    all_ended
}

/// Returns what `/proc/PID/limits` shows of `RLIMIT_LOCKS`, which limits nothing.
fn file_locks(pid: impl std::fmt::Display) -> Option<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    limits.lines().find_map(|line| Some(line.strip_prefix("Max file locks")?.trim().to_owned()))
}

/// Sends a signal to a process if it is there and, once that is certain, `is_meant`.
///
/// Through a pidfd, which goes on meaning the same process when the number has been given to another.
pub fn signal_if(pid: u32, signal: Signal, is_meant: impl FnOnce() -> bool) -> bool {
    let Some(pid) = pid_of(pid) else { return false };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    is_meant() && pidfd_send_signal(&process, signal).is_ok()
}

/// Returns the processes that are alive and have this in their environment.
pub(crate) fn marked(mark: &str) -> Vec<proc::Process> {
    let mut all = proc::all();
    all.retain(|process| !process.is_zombie() && process.has_in_environment(mark));
    all
}

/// Kills all processes that have this in their environment, with what they start meanwhile and what they leave behind,
/// and waits until they have ended, as has what was started or taken in here, `own`; returns whether they have.
pub(crate) fn end_all(mark: &str, own: &[u32]) -> bool {
    let begun = Instant::now();
    let mut killed = HashSet::new();
    let all_ended = holds_within(PATIENCE, || {
        let left = marked(mark);
        for process in &left {
            let is_meant = || proc::find(process.pid).is_some_and(|it| it.has_in_environment(mark));
            if signal_if(process.pid, Signal::KILL, is_meant) {
                killed.insert(process.pid);
            }
        }
        left.is_empty()
    });
    // One that is on its way out shows no environment any more. Once its parent has ended it comes here.
    let rest = || PATIENCE.saturating_sub(begun.elapsed());
    let is_gone = |pid: &u32| proc::find(*pid).is_none_or(|process| process.is_zombie());
    let all_ended = all_ended && holds_within(rest(), || killed.iter().all(is_gone));
    // The daemon itself is not an orphan: who has started it waits for it.
    let all_ended =
        all_ended && holds_within(rest(), || own.iter().all(|pid| end_of(*pid).is_some()));
    all_ended && holds_within(rest(), reap_orphans)
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
