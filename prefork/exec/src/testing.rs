//! Small programs under test, which are ended with it.

use std::{
    fmt::Debug,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::look::{Listeners, Tree};

/// A program that listens at its standard input.
#[derive(Debug)]
pub(crate) struct Fixture {
    child: Child,
    pidfd: OwnedFd,
    pub(crate) listener: OwnedFd,
    pub(crate) listeners: Listeners,
}

impl Fixture {
    /// Starts a Python program at a TCP socket.
    pub(crate) fn python(script: &str) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").expect("bound"), &["python3", "-Sc", script])
    }

    /// Starts a program at a listening socket.
    pub(crate) fn at(listener: impl Into<OwnedFd>, command: &[&str]) -> Self {
        let listener = listener.into();
        let stdin = Stdio::from(listener.try_clone().expect("a descriptor"));
        let mut child = Command::new(command[0]);
        child.args(&command[1..]).stdin(stdin).stderr(Stdio::null());
        let child = child.spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", command[0]));
        let listeners = Listeners::of([listener.as_fd()]).expect("a socket");
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("it runs");
        Self { child, pidfd, listener, listeners }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::of(self.pid()).expect("it runs")
    }

    /// Waits until it waits at its socket.
    pub(crate) fn serving(self) -> Self {
        let mut tree = self.tree();
        wait_until("it serves", || {
            tree.refresh();
            !tree.waits_at(&self.listeners).expect("allowed").is_empty()
        });
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let listener = TcpListener::from(self.listener.try_clone().expect("a descriptor"));
        listener.local_addr().expect("bound")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        stream
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("it ends", || {
            status = self.try_wait();
            status.is_some()
        });
        status.expect("ended")
    }

    /// Returns its status if it has ended. While it is traced, waiting for it would return its stops as well.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        let ended = poll(&mut fds, Some(&Timespec::default())).expect("waited");
        (ended > 0).then(|| self.child.wait().expect("a child"))
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Those that it has started first, as nobody finds them afterwards.
        if let Ok(mut tree) = Tree::of(self.pid()) {
            tree.refresh();
            for process in tree.processes().iter().skip(1) {
                let signal = rustix::process::Signal::KILL;
                let _ = rustix::process::pidfd_send_signal(process.pidfd(), signal);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a program is installed, and prints that a test is skipped if it is not.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("PREFORK_NO_SKIP").is_none(), "{program} is not installed");
    if !found {
        println!("SKIPPED: {program} is not installed");
    }
    found
}

/// Waits until something holds, for at most 20 s.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a request, and reads an answer of as many bytes as `answer` has.
pub(crate) fn ask(stream: &mut TcpStream, request: &[u8], answer: &[u8]) {
    stream.write_all(request).expect("sent");
    let mut bytes = vec![0; answer.len()];
    stream.read_exact(&mut bytes).expect("answered");
    assert_eq!(bytes, answer);
}

/// Python that accepts a connection at a time, and answers each byte by itself: `s` after a second, `q` never.
pub(crate) const ECHO: &str = "
import socket, time
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    while byte := connection.recv(1):
        if byte == b's': time.sleep(1)
        if byte != b'q': connection.sendall(byte)
    connection.close()
";
