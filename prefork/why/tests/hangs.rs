//! Hangs as they happen, each staged in a process of its own: what they wait for is named within a second.
//!
//! The processes are this program again, with the name of a scene in its environment.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    os::unix::{net::UnixListener, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::{
        signal::{Signal, kill, killpg},
        stat::Mode,
    },
    unistd::{Pid, Uid, mkfifo},
};
use prefork_why::{Cause, FutexKind, Hidden, Inquiry, Lock, Owner, State, Thread, WhyError};

#[path = "hangs/scenes.rs"]
mod scenes;

/// A process that hangs, ended with this, and with all that it has started.
struct Hung(Child);

impl Drop for Hung {
    fn drop(&mut self) {
        // Its own group, which it leads until it is reaped.
        killpg(Pid::from_raw(self.pid().cast_signed()), Signal::SIGKILL).expect("its own");
        self.0.wait().expect("reaped");
    }
}

impl Hung {
    /// Starts a scene, and waits until it says that it is about to hang.
    fn stage(scene: &str, argument: impl AsRef<Path>) -> Self {
        let mut command = Command::new(env::current_exe().expect("it is there"));
        command
            .process_group(0)
            .env("SCENE", scene)
            .env("ARGUMENT", argument.as_ref())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut hung = Self(command.spawn().expect("started"));
        let stdout = BufReader::new(hung.0.stdout.as_mut().expect("a pipe"));
        let ready =
            stdout.lines().map_while(Result::ok).any(|line| line.ends_with("about to hang"));
        assert!(ready, "the scene {scene} ended");
        hung
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Looks until it hangs; that takes a moment, and more on a busy machine. The look itself is in time.
    fn look(&self, is_it: impl Fn(&Thread) -> bool) -> Inquiry {
        look(self.pid(), is_it)
    }
}

fn look(pid: u32, is_it: impl Fn(&Thread) -> bool) -> Inquiry {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let begun = Instant::now();
        let inquiry = Inquiry::of(pid).expect("it is there");
        let took = begun.elapsed();
        if is_it(decisive(&inquiry)) {
            eprintln!("{took:?}: {inquiry}");
            // A second, and what a machine takes that does not let it run.
            assert!(took < Duration::from_millis(1500), "{took:?}");
            return inquiry;
        }
        assert!(Instant::now() < deadline, "not named rightly: {inquiry}");
    }
}

/// Returns the thread that is most likely what the process waits for.
///
/// One that spins, or waits for a disk; else the main thread, unless that waits for its other threads only, and another one for
/// something that can be named.
fn decisive(inquiry: &Inquiry) -> &Thread {
    let is_hard = |thread: &&Thread| {
        matches!(thread.cause, Cause::Spins { .. }) || thread.state == State::Disk
    };
    let first = inquiry.threads.first().expect("it has one");
    let waits_inside = matches!(first.cause, Cause::Futex(_));
    let is_named = |thread: &&Thread| {
        matches!(
            thread.cause,
            Cause::Descriptors { .. }
                | Cause::Connect { .. }
                | Cause::Lock { .. }
                | Cause::Path(_)
                | Cause::Child(_)
        )
    };
    let hard = inquiry.threads.iter().find(is_hard);
    let named = || inquiry.threads.iter().find(is_named).filter(|_| waits_inside);
    hard.or_else(named).unwrap_or(first)
}

fn is(word: &'static str) -> impl Fn(&Thread) -> bool {
    move |thread| thread.cause.word() == word
}

fn me() -> String {
    format!("process {} (", std::process::id())
}

fn assert_says(inquiry: &Inquiry, parts: &[&str]) {
    let text = inquiry.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn the_peer_of_a_tcp_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound").to_string();
    let hung = Hung::stage("tcp", &address);
    let (_server, _) = listener.accept().expect("accepted");
    let inquiry = hung.look(is("tcp"));
    assert_says(&inquiry, &["sleeps in recvfrom on ", &format!("tcp {address}"), "held by", &me()]);
}

#[test]
fn the_server_behind_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("database");
    let listener = UnixListener::bind(&path).expect("bound");
    let hung = Hung::stage("unix", &path);
    let inquiry = hung.look(is("unix"));
    assert_says(&inquiry, &[path.to_str().expect("text"), "which has not accepted the connection"]);
    let (_server, _) = listener.accept().expect("accepted");
    assert_says(&hung.look(is("unix")), &[path.to_str().expect("text"), "other end: ", &me()]);
}

#[test]
fn a_name_server_that_does_not_answer() {
    let hung = Hung::stage("dns", "");
    assert_says(&hung.look(is("name resolution")), &["poll", "udp 127.0.0.1:53", "(DNS)"]);
}

#[test]
fn the_process_that_has_a_lock_of_a_file() {
    let file = tempfile::NamedTempFile::new().expect("made");
    let lock = Flock::lock(file.reopen().expect("opened"), FlockArg::LockExclusive);
    let _lock = lock.expect("locked");
    for (scene, call) in [("flock", "in flock"), ("fcntl", "in fcntl")] {
        if scene == "fcntl" {
            scenes::lock_by_fcntl(file.as_file()).expect("locked");
        }
        let hung = Hung::stage(scene, file.path());
        let inquiry = hung.look(is("lock"));
        assert_says(
            &inquiry,
            &[call, file.path().to_str().expect("text"), &format!("which {}", me())],
        );
        let Cause::Lock { lock: Lock::HeldBy(other), .. } = &inquiry.threads[0].cause else {
            panic!("{inquiry}");
        };
        assert_eq!(other.pid, std::process::id());
    }
}

#[test]
fn a_lock_in_memory_and_its_owner() {
    let hung = Hung::stage("mutex", "");
    let inquiry = hung.look(is("futex"));
    assert_says(&inquiry, &["in futex for a lock that names no owner"]);
    for (scene, expected) in [
        ("pthread itself", "which this thread has itself"),
        ("pthread thread", "(the-owner) has"),
        ("join", "for the end of its thread"),
        ("condition", "for another thread to wake it"),
    ] {
        let hung = Hung::stage(scene, "");
        assert_says(&hung.look(is("futex")), &[expected]);
    }
}

/// A lock that another thread has at the fork stays locked in the child for ever.
#[test]
fn a_lock_that_was_held_at_the_fork() {
    let hung = Hung::stage("pthread fork", "");
    let child = children_of(hung.pid());
    let inquiry = look(child, is("futex"));
    let Cause::Futex(futex) = &inquiry.threads[0].cause else { panic!("{inquiry}") };
    assert!(matches!(futex.kind, FutexKind::Owned(Owner::NoThread(_))), "{inquiry}");
    assert_says(&inquiry, &["it was locked when the process was forked"]);
}

#[test]
fn a_pipe_and_who_has_its_other_end() {
    let hung = Hung::stage("pipe", "");
    assert_says(&hung.look(is("pipe")), &["in read on 0 = a pipe, other end: ", &me()]);
}

#[test]
fn a_path_that_cannot_be_opened() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("fifo\nforged");
    mkfifo(&path, Mode::S_IRWXU).expect("made");
    let hung = Hung::stage("open", &path);
    let inquiry = hung.look(is("path"));
    assert_says(&inquiry, &["in openat of /", "fifo\\nforged"]);
    assert_eq!(inquiry.lines().len(), 1);
}

#[test]
fn a_disk_that_does_not_take_a_write() {
    if !Uid::effective().is_root() {
        println!("SKIPPED: only root can freeze a file system");
        return;
    }
    let Some(frozen) = scenes::Frozen::mount() else {
        println!(
            "SKIPPED: no file system can be mounted from a file here, as that takes mkfs.ext4 and loop devices"
        );
        return;
    };
    let hung = Hung::stage("disk", frozen.path().join("data"));
    let inquiry = hung.look(|thread| thread.state == State::Disk);
    assert_says(&inquiry, &["waits for a disk", "in openat of ", "/data"]);
    frozen.thaw();
}

#[test]
fn a_loop_that_never_ends() {
    let hung = Hung::stage("cpu", "");
    let inquiry = hung.look(is("cpu"));
    assert!(inquiry.threads[0].cpu.is_some_and(|share| share >= 0.1), "{inquiry}");
    assert_says(&inquiry, &["spins", "% of a CPU"]);
}

#[test]
fn other_things_for_which_a_process_waits() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = udp.local_addr().expect("bound").to_string();
    for (scene, argument, word, parts) in [
        ("sleep", "", "time", &["nanosleep"][..]),
        ("child", "", "child", &["for the end of process", "(sleep)"]),
        ("any child", "", "child", &["for the end of process", "(sleep)"]),
        ("listen", "", "connections", &["accept", "listening at tcp 127.0.0.1:"]),
        ("epoll", &port, "udp", &["epoll", "udp 127.0.0.1:"]),
        ("select", &port, "udp", &["select", "udp 127.0.0.1:"]),
        ("backlog", "", "unix", &["connect", "full"]),
    ] {
        let hung = Hung::stage(scene, argument);
        assert_says(&hung.look(is(word)), parts);
    }
}

#[test]
fn a_process_that_was_stopped() {
    let hung = Hung::stage("sleep", "");
    kill(Pid::from_raw(hung.pid().cast_signed()), Signal::SIGSTOP).expect("its own");
    assert_says(&hung.look(is("stopped")), &["is stopped", "SIGCONT"]);
}

#[test]
fn many_threads_that_do_the_same_are_one_line() {
    let hung = Hung::stage("threads", "");
    let inquiry = hung.look(|_| true);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Inquiry::of(hung.pid()).expect("it is there").lines().len() > 3 {
        assert!(Instant::now() < deadline, "{inquiry}");
    }
    let inquiry = Inquiry::of(hung.pid()).expect("it is there");
    assert!(inquiry.threads.len() == 64 && inquiry.more_threads > 0, "{inquiry}");
    assert_says(&inquiry, &["more threads do the same", "more threads were not looked at"]);
}

/// Nothing is guessed in its place.
#[test]
fn what_is_hidden_is_said_to_be() {
    if Uid::effective().is_root() {
        println!("SKIPPED: nothing is hidden from root");
        return;
    }
    let inquiry = Inquiry::of(1).expect("it is there");
    let cause = &inquiry.threads[0].cause;
    assert_eq!(cause, &Cause::Hidden(Hidden::Forbidden), "{inquiry}");
    assert_says(&inquiry, &["the kernel does not show it", "try as root"]);
}

/// Who reads memory waits for it, and so must nobody who has to answer.
#[test]
fn a_page_that_never_comes_is_not_waited_for() {
    if !Uid::effective().is_root() {
        println!("SKIPPED: only root may have the kernel wait for a page");
        return;
    }
    let hung = Hung::stage("page", "");
    let inquiry = hung.look(|thread| thread.call.is_some_and(|call| call.starts_with("open")));
    assert!(matches!(inquiry.threads[0].cause, Cause::Hidden(_)), "{inquiry}");
}

#[test]
fn a_process_that_is_not_there() {
    let mut child = Command::new("true").spawn().expect("started");
    let pid = child.id();
    thread::sleep(Duration::from_millis(50));
    // Not reaped: it has ended, and is there.
    let deadline = Instant::now() + Duration::from_secs(60);
    while Inquiry::of(pid).expect("a zombie").threads[0].cause != Cause::Ended {
        assert!(Instant::now() < deadline);
    }
    child.wait().expect("reaped");
    let error = Inquiry::of(u32::MAX).expect_err("no such pid");
    assert!(matches!(error, WhyError::NoProcess { .. }), "{error}");
}

/// Returns the only child of a process, once it has one.
fn children_of(pid: u32) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut text = String::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
            // A thread may have ended.
            let file = File::open(task.path().join("children"));
            let _ = file.and_then(|mut file| file.read_to_string(&mut text));
        }
        if let Some(child) = text.split_ascii_whitespace().next() {
            return child.parse().expect("a pid");
        }
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
}
