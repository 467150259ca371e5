//! Starting, reaping and killing.
//!
//! The test program makes itself a child subreaper (see `prctl(2)`): daemons whose launcher has
//! gone, and orphans, become its children. So it can reap them all and learn how they ended. For
//! that, nothing in the program may wait for children but this module, and [`prefork_testing`], which waits for its own
//! daemons: each reports to the other what it has reaped.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Output, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions, getpid, set_child_subreaper, wait};

pub(crate) use prefork_testing::beside::signal_if;

use crate::{End, PATIENCE, proc};

/// How the processes ended that have been reaped; locked while one is spawned, so that it cannot
/// be reaped before an older end under the same pid has been forgotten.
static ENDS: LazyLock<Mutex<HashMap<u32, End>>> = LazyLock::new(|| {
    set_child_subreaper(Some(getpid())).expect("this process can become a subreaper");
    prefork_testing::beside::report_ends_to(|pid, end| {
        ends().insert(pid, end);
    });
    Mutex::default()
});

fn ends() -> MutexGuard<'static, HashMap<u32, End>> {
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process and returns its pid.
pub(crate) fn spawn(command: &mut Command) -> io::Result<u32> {
    let mut ends = ends();
    // Dropping the handle neither ends the process nor reaps it.
    let pid = command.spawn()?.id();
    ends.remove(&pid);
    Ok(pid)
}

/// Runs a command to its end, with `input` to read, and returns how it ended and what it has printed.
///
/// In place of [`Command::output`], which waits for the process itself, and finds that it was reaped here meanwhile.
///
/// # Errors
///
/// Fails if the command cannot be started.
pub fn output(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = {
        let mut ends = ends();
        let child = command.spawn()?;
        ends.remove(&child.id());
        child
    };
    let (mut stdin, stdout, stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        // One that has ended reads no more.
        scope.spawn(move || stdin.as_mut().is_some_and(|it| it.write_all(input).is_ok()));
        let stderr = scope.spawn(move || read(stderr));
        (read(stdout), stderr.join().expect("it was read"))
    });
    let status = loop {
        match end_of(child.id()) {
            Some(End::Exited(status)) => break status << 8,
            Some(End::Killed(signal)) => break signal,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    Ok(Output { status: ExitStatus::from_raw(status), stdout, stderr })
}

/// Reads to the end, or as far as it can.
fn read(stream: Option<impl Read>) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = stream.expect("it is piped").read_to_end(&mut text);
    text
}

/// Does something while no process is being spawned, which would for a moment hold what is open here: a
/// program file that is open for writing anywhere cannot be executed.
pub(crate) fn between_spawns<T>(work: impl FnOnce() -> T) -> T {
    let _ends = ends();
    work()
}

/// Returns how a child ended, adopted or not; `None` if it has not.
pub(crate) fn end_of(pid: u32) -> Option<End> {
    let mut ends = ends();
    let found = collect(&mut ends);
    let end = ends.get(&pid).copied();
    drop(ends);
    report(&found);
    end
}

/// Reaps every child that has ended.
pub(crate) fn collect_all() {
    let found = collect(&mut ends());
    report(&found);
}

/// Not under the lock, as the other harness has one of its own.
fn report(found: &[(u32, End)]) {
    found.iter().for_each(|(pid, end)| prefork_testing::beside::note_end(*pid, *end));
}

fn collect(ends: &mut HashMap<u32, End>) -> Vec<(u32, End)> {
    let mut found = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let end = match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => End::Exited(status),
            (None, Some(signal)) => End::Killed(signal),
            (None, None) => continue,
        };
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        ends.insert(pid, end);
        found.push((pid, end));
    }
    found
}

/// Sends a signal to a process that this program has started, or that such a one has; returns whether
/// it was there.
#[must_use]
pub fn kill(pid: u32, signal: Signal) -> bool {
    let me = format!("{}={}", crate::scene::MARK, std::process::id());
    signal_if(pid, signal, || {
        let begun = Instant::now();
        loop {
            match proc::find(pid).filter(|process| !process.is_zombie()) {
                Some(process) => match process.is_marked(&me) {
                    Some(is_ours) => return is_ours,
                    None if begun.elapsed() > PATIENCE => return false,
                    // One that is just executing another program shows no environment for a moment.
                    None => thread::sleep(Duration::from_millis(1)),
                },
                None => return false,
            }
        }
    })
}
