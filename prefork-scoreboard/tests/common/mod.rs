//! What tests with several processes share.
#![expect(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod sys;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test fails. Generous: the machine may be loaded.
pub const PATIENCE: Duration = Duration::from_secs(60);

const ROLE: &str = "SCOREBOARD_TEST_ROLE";
const DIRECTORY: &str = "SCOREBOARD_TEST_DIRECTORY";

/// A directory of the test's own, in memory if possible.
pub fn directory() -> TempDir {
    let shm = PathBuf::from("/dev/shm");
    let place = if shm.is_dir() { shm } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("scoreboard-").tempdir_in(place).expect("a directory")
}

/// The command that runs the test `name` of this program alone, in the role of `role`.
pub fn role(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// The role this process was started in; `None` in the test proper.
pub fn own_role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The directory that the test proper passed on.
pub fn given_directory() -> PathBuf {
    PathBuf::from(std::env::var(DIRECTORY).expect("the test passes its directory on"))
}

pub fn give_directory<'a>(command: &'a mut Command, directory: &TempDir) -> &'a mut Command {
    command.env(DIRECTORY, directory.path())
}

/// Runs a role under strace(1), and returns its system calls between those that name `begin` and `end` in its directory;
/// none, and says so, where nothing can be traced.
pub fn calls_between_marks(program: &mut Command) -> Option<Vec<String>> {
    let directory = directory();
    let trace = directory.path().join("trace");
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(&trace).arg(program.get_program()).args(program.get_args());
    strace.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.stdout(Stdio::null());
    let Ok(status) = give_directory(&mut strace, &directory).status() else {
        println!("SKIPPED: there is no strace(1) here");
        return None;
    };
    let trace = fs::read_to_string(&trace).unwrap_or_default();
    if !status.success() && trace.is_empty() {
        println!("SKIPPED: strace(1) may not trace here");
        return None;
    }
    assert!(status.success(), "the traced program ended with {status}");
    let lines: Vec<_> = trace.lines().map(str::to_owned).collect();
    let at = |mark: &str| lines.iter().position(|line| line.contains(mark)).expect("the mark");
    Some(lines[at("/begin\"") + 1..at("/end\"")].to_vec())
}

/// Runs `body` in a process that runs nothing else, so that it may fork.
pub fn alone(name: &str, body: impl FnOnce()) {
    if own_role().as_deref() == Some("alone") {
        return body();
    }
    let output = role(name, "alone").stdin(Stdio::null()).output().expect("this program runs");
    assert!(
        output.status.success(),
        "{name}, run alone, ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// A forked child, killed and reaped when dropped.
#[derive(Debug)]
pub struct Forked {
    pid: Option<Pid>,
}

impl Forked {
    pub fn new(body: impl FnOnce() -> u8) -> Self {
        Self { pid: Some(sys::fork(body)) }
    }

    pub fn pid(&self) -> u32 {
        self.pid.expect("not reaped yet").as_raw().unsigned_abs()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid.expect("not reaped yet"), signal).expect("the child is ours and not reaped");
    }

    /// Waits for the end of the child.
    pub fn wait(mut self) -> WaitStatus {
        let pid = self.pid.take().expect("not reaped yet");
        waitpid(pid, None).expect("the child is ours and not reaped")
    }

    pub fn kill(self) -> WaitStatus {
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// Waits for the child, which must exit with 0.
    pub fn succeed(self) {
        let status = self.wait();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "a child ended with {status:?}");
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

/// A started program, killed and reaped when dropped.
#[derive(Debug)]
pub struct Started(pub Child);

impl Started {
    pub fn new(command: &mut Command) -> Self {
        Self(command.spawn().expect("this program runs"))
    }

    /// Waits for its end, which must be in time and a success.
    pub fn succeed(mut self, what: &str) {
        let mut status = None;
        wait_for(&format!("the end of {what}"), || {
            status = self.0.try_wait().expect("the program is ours");
            status.is_some()
        });
        let status = status.expect("it has ended");
        assert!(status.success(), "{what} ended with {status}; see its messages above");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How long tests that look for rare events go on: 1 s, or what the environment says.
pub fn endurance() -> Duration {
    let seconds = std::env::var("SCOREBOARD_TEST_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(1))
}

/// A small generator of numbers for tests, seeded so that runs differ and can be repeated.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new() -> Self {
        let seed = std::env::var("SCOREBOARD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            u64::from(since.subsec_nanos()) << 20 | u64::from(std::process::id())
        });
        println!("SCOREBOARD_TEST_SEED={seed}");
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = self.0 ^ self.0 >> 33;
        x.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ x >> 29
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}
