//! Running the tests, and the processes in them.
//!
//! The program makes itself a "child subreaper" (prctl(2)), so every daemon whose launcher has
//! exited becomes its child: it can be killed by its pid without a doubt, and is reaped.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};

use crate::fixture;

/// No condition in these tests needs longer, on a machine with both cores busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A name and what to do.
pub(crate) type Test = (&'static str, fn(&Scratch));

/// Lists test functions under their own names.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$((stringify!($name), $name)),+];
    };
}
pub(crate) use tests;

pub(crate) fn run_all(tests: &[Test]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let selected = tests.iter().filter(|(name, _)| {
        wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()))
    });
    if args.iter().any(|arg| arg == "--list") {
        selected.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    // Tests that are started in the background or under nohup have signals ignored.
    prefork_daemonize::reset_signals().expect("cannot reset signals");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .expect("cannot become a child subreaper");
    let mut failed = Vec::new();
    let mut passed = 0;
    for (name, test) in selected {
        let begun = Instant::now();
        if run_one(name, *test) {
            passed += 1;
            println!("test {name} ... ok ({} ms)", begun.elapsed().as_millis());
        } else {
            failed.push(*name);
            println!("test {name} ... FAILED");
        }
    }
    println!("\ntest result: {passed} passed; {} failed {failed:?}\n", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_one(name: &str, test: fn(&Scratch)) -> bool {
    let mut scratch = Scratch::new(name);
    let passed = catch_unwind(AssertUnwindSafe(|| test(&scratch))).is_ok();
    end_all_children();
    if !passed {
        scratch.directory.disable_cleanup(true);
        println!("files of {name} are kept in {}", scratch.path("").display());
    }
    passed
}

/// Kills and reaps whatever the test left running. All of them are our own children, adopted
/// or not, and none is reaped before it is killed, so no number can mean anybody else.
fn end_all_children() {
    loop {
        for pid in children() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}

/// The children of this process, adopted daemons among them.
pub(crate) fn children() -> Vec<Pid> {
    children_of(rustix::process::getpid())
}

/// The children of the main thread of a process.
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw).collect()
}

/// A directory for one test, kept when it fails.
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{name}."))
            .tempdir()
            .expect("cannot make a directory for the test");
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// The fixture with these arguments; nobody's standard input.
pub(crate) fn fixture(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env(fixture::MARK, "1").stdin(Stdio::null());
    command
}

/// The fixture started by a shell that first does `prelude` to itself; it is the shell's `"$@"`.
pub(crate) fn fixture_in_shell(prelude: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(prelude).arg("sh").arg(program()).args(args);
    command.env(fixture::MARK, "1").stdin(Stdio::null());
    command
}

pub(crate) fn program() -> PathBuf {
    std::env::current_exe().expect("cannot find the test program")
}

/// A process that this test has started.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    stdout: File,
    stderr: File,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Done {
    start(command).finish()
}

/// Starts a command in a process group of its own. Its output goes to files, not pipes: a daemon
/// that wrongly kept the descriptor could otherwise make the test wait for ever.
pub(crate) fn start(command: &mut Command) -> Started {
    let stdout = tempfile::tempfile().expect("cannot make a file");
    let stderr = tempfile::tempfile().expect("cannot make a file");
    let copy = |file: &File| file.try_clone().expect("cannot copy a descriptor");
    command.process_group(0).stdout(copy(&stdout)).stderr(copy(&stderr));
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Started { child, stdout, stderr }
}

/// Starts a fixture that runs until its standard input ends, and waits for its first word.
pub(crate) fn start_until(word: &str, args: &[&str]) -> Started {
    start_command_until(word, &mut fixture(args))
}

/// The same of any command.
pub(crate) fn start_command_until(word: &str, command: &mut Command) -> Started {
    let started = start(command.stdin(Stdio::piped()));
    until(&format!("{command:?} prints {word:?}"), || started.printed().contains(word));
    started
}

impl Started {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has written so far.
    pub(crate) fn printed(&self) -> String {
        contents(&self.stdout)
    }

    /// Kills it with SIGKILL and reaps it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("cannot kill");
        self.child.wait().expect("cannot wait");
    }

    /// Ends its standard input and waits for it, with a deadline.
    pub(crate) fn finish(mut self) -> Done {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("cannot wait") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let (stdout, stderr) = (contents(&self.stdout), contents(&self.stderr));
                self.kill();
                panic!("process did not end within {PATIENCE:?}: {stdout:?} {stderr:?}");
            }
            sleep(Duration::from_millis(1));
        };
        Done { status, stdout: contents(&self.stdout), stderr: contents(&self.stderr) }
    }
}

/// What a started process has written so far.
fn contents(file: &File) -> String {
    let mut bytes = vec![0; 1 << 20];
    let len = file.read_at(&mut bytes, 0).expect("cannot read the output");
    String::from_utf8_lossy(&bytes[..len]).trim().to_owned()
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: std::process::ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The daemon that the launcher reports; panics when it reports a failure.
    pub(crate) fn daemon(&self) -> Pid {
        assert!(self.status.success(), "the launcher failed: {self:?}");
        let last = self.stdout.lines().last().unwrap_or_default();
        last.parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("no pid: {self:?}"))
    }

    /// Asserts that the launcher failed and that its standard error contains the text.
    #[track_caller]
    pub(crate) fn assert_failed(&self, text: &str) {
        assert!(!self.status.success(), "the launcher should have failed: {self:?}");
        assert!(self.stderr.contains(text), "stderr should contain {text:?}: {self:?}");
    }
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        sleep(Duration::from_millis(1));
    }
}

/// Waits until the process has ended, and reaps it as soon as we have adopted it.
#[track_caller]
pub(crate) fn reap(pid: Pid) {
    until(&format!("process {} ends", pid.as_raw_nonzero()), || {
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(reaped) => reaped.is_some(),
            // Still the child of a watcher that has not ended yet, or reaped by it.
            Err(_) => stat(pid).is_none(),
        }
    });
}

/// Returns whether the process is there and no zombie.
pub(crate) fn lives(pid: Pid) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

/// The fields of proc_pid_stat(5) after the name: state, ppid, pgrp, session, tty, ...
pub(crate) fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Some(stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

/// One line of proc_pid_status(5).
pub(crate) fn status(pid: Pid, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// The open descriptors of a process: number and what they lead to; none when it is gone.
pub(crate) fn descriptors(pid: Pid) -> Vec<(i32, PathBuf)> {
    let directory = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let entries = fs::read_dir(&directory).into_iter().flatten();
    let mut found: Vec<(i32, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, fs::read_link(&path).ok()?))
        })
        .collect();
    found.sort();
    found
}

/// The text form of a path.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Prints why a test proves nothing here.
pub(crate) fn skip(why: &str) {
    println!("    skipped: {why}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
