//! Programs that are started for a client, with the connection as their standard input and output.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use prefork_tests::{
    Lack, Launch, PATIENCE, Scene, find_process, require_tool, scene, skip, wait_until,
};
use rustix::process::Signal;

use super::wait_until_gone;

/// Prepares to run what a shell makes of this, a word for each client.
fn run<'a>(scene: &'a Scene, script: &str, settings: &str) -> Launch<'a> {
    let file = format!(
        "command = [\"sh\", \"-c\", {script:?}]\ninetd = true\nprefork = 2\nlisten = {:?}\n{settings}",
        scene.address().to_string()
    );
    fs::write(scene.path("app.toml"), file).expect("written");
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run", "--name", "app"]);
    launch.args([scene.path("app.toml")]).board()
}

/// A client that has said a line.
struct Client(BufReader<TcpStream>);

impl Client {
    fn says(to: SocketAddr, line: &str) -> Self {
        let mut stream = TcpStream::connect(to).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        writeln!(stream, "{line}").expect("written");
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("answered");
        line.trim_end().to_owned()
    }

    /// All until the end.
    fn answer(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("answered");
        text.trim_end().to_owned()
    }
}

fn ask(scene: &Scene, line: &str) -> String {
    Client::says(scene.address(), line).answer()
}

#[test]
fn a_program_has_its_client_as_standard_input_and_output_and_no_socket_besides() {
    let scene = scene!();
    let script = "read line; echo \"$line of $REMOTE_ADDR:$REMOTE_PORT\"; \
                  for fd in /proc/self/fd/*; do [ -S $fd ] && echo ${fd##*/}; done; exit 0";
    let daemon = run(&scene, script, "").daemon();
    let mut client = Client::says(scene.address(), "hello");
    let own = client.0.get_ref().local_addr().expect("it is connected");
    assert_eq!(client.line(), format!("hello of {own}"));
    assert_eq!(client.answer(), "0\n1");
    daemon.stop_in_order();
}

/// R1, and how a program that crashes is reported: what one does, costs one request.
#[test]
fn a_program_that_crashes_costs_its_own_client_and_is_named_with_him() {
    let scene = scene!();
    let script = "read line; echo $$; [ $line = crash ] && kill -SEGV $$; [ $line = fail ] && exit 3; exit 0";
    let daemon = run(&scene, script, "").daemon();
    let children = daemon.living();
    let client = Client::says(scene.address(), "crash");
    let own = client.0.get_ref().local_addr().expect("it is connected");
    let pid = client.answer();
    scene.wait_for_line(&format!("sh (pid {pid}) was ended by SIGSEGV (a crash), serving {own}"));
    let pid = ask(&scene, "fail");
    scene.wait_for_line(&format!("info: sh (pid {pid}) exited with status 3, serving"));
    ask(&scene, "go on");
    assert_eq!(daemon.living(), children, "no child has ended for it");
    daemon.stop_in_order();
}

/// Each client has a process that was there before it came, and nobody else's.
#[test]
fn with_one_shot_every_client_has_a_child_of_its_own() {
    let scene = scene!();
    let script = "read line; echo $PPID; sleep 1000 <&- >&- 2>&- & echo $!";
    let daemon = run(&scene, script, "one_shot = true\nmax_children = 8\n").daemon();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let answer = ask(&scene, "hello");
        let (child, left) = answer.split_once('\n').expect("two lines");
        assert!(!seen.contains(&child.to_owned()), "{child} serves again");
        seen.push(child.to_owned());
        for pid in [child, left] {
            wait_until_gone(pid.parse().expect("a pid"));
        }
    }
    daemon.stop_in_order();
}

#[test]
fn a_stop_leaves_a_program_the_time_it_has_and_a_reload_loses_nobody() {
    let scene = scene!();
    let daemon = run(&scene, "read line; sleep $line; echo done", "").daemon();
    let slow = Client::says(scene.address(), "1.5");
    let (load, old) = (clients(scene.address()), daemon.living());
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "all children are new", || {
        let living = daemon.living();
        living.len() >= 2 && old.iter().all(|pid| !living.contains(pid))
    });
    assert_eq!(load.join().expect("nobody was lost"), 50);
    assert_eq!(slow.answer(), "done");
    let slow = Client::says(scene.address(), "1");
    wait_until(PATIENCE, "it is served", || {
        daemon.living().iter().any(|child| !children_of(*child).is_empty())
    });
    daemon.signal(Signal::TERM);
    assert_eq!(slow.answer(), "done");
    let end = daemon.wait_for_end(PATIENCE);
    assert!(end.is_success(), "{end}");
}

/// As many as come one after the other; returns how many were answered.
fn clients(address: SocketAddr) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        (0..50).filter(|_| Client::says(address, "0.01").answer() == "done").count()
    })
}

fn children_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
}

#[test]
fn a_program_that_takes_too_long_is_ended_with_its_child() {
    let scene = scene!();
    let script = "read line; echo $$; [ $line = hang ] && sleep 1000; exit 0";
    let daemon = run(&scene, script, "request_timeout = \"1s\"\n").daemon();
    let mut client = Client::says(scene.address(), "hang");
    let pid: u32 = client.line().parse().expect("a pid");
    assert!(find_process(pid).is_some());
    assert_eq!(client.answer(), "");
    wait_until_gone(pid);
    ask(&scene, "go on");
    daemon.stop_in_order();
}

/// What one program does to another that serves somebody else, who is still there: each word is its status, 0 where it
/// succeeds.
fn attack(scene: &Scene) -> (String, u32, Client) {
    let mut victim = Client::says(scene.address(), "wait");
    let pid: u32 = victim.line().parse().expect("a pid");
    (ask(scene, &pid.to_string()), pid, victim)
}

/// The programs know nothing of it: what holds their children apart holds them apart. Root has rights besides.
#[test]
fn a_program_that_is_isolated_does_nothing_to_another() {
    let script = "read line; case $line in wait) echo $$; read line; exit;; esac; \
                  try() { \"$@\" > /dev/null 2>&1; echo \"$1 $?\"; }; \
                  try cat /proc/$line/environ; try renice -n 5 -p $line; kill -KILL $line 2> /dev/null; echo kill $?";
    let scene = scene!();
    if !require_tool("renice") {
        return;
    }
    let user = if rustix::process::geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
    let daemon = run(&scene, script, user).daemon();
    let (outcome, pid, _) = attack(&scene);
    assert_eq!(outcome, "cat 0\nrenice 0\nkill 0", "without it, all of it succeeds");
    wait_until_gone(pid);
    daemon.stop_in_order();

    let scene = scene!();
    let daemon = run(&scene, script, &format!("{user}isolate = [\"siblings\"]\n")).daemon();
    let line = scene.lines_with("error.log", "isolation: ").remove(0);
    if line.contains("not possible here") {
        return skip(Lack::Platform(&line));
    }
    let (outcome, pid, victim) = attack(&scene);
    assert_eq!(outcome, "cat 1\nrenice 1\nkill 1");
    assert!(find_process(pid).is_some(), "{pid} is gone");
    // Without its client it ends.
    drop(victim);
    daemon.stop_in_order();
}

/// Reads until the end or a reset; returns how much came, and whether it was reset.
fn drain(client: &mut Client) -> (u64, bool) {
    let (mut buffer, mut count) = (vec![0; 64 << 10], 0);
    loop {
        match client.0.read(&mut buffer) {
            Ok(0) => return (count, false),
            Ok(read) => count += read as u64,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                return (count, true);
            }
        }
    }
}

/// What comes between two looks is beyond the limit.
#[test]
fn a_program_that_writes_more_than_it_may_is_ended_and_its_client_is_cut_off() {
    let scene = scene!();
    let script = "read line; case $line in flood) echo $$; sleep 1000 & echo $!; exec yes;; \
                  short) head -c 3000000 /dev/zero;; much) head -c 900000 /dev/zero;; esac";
    let daemon = run(&scene, script, "max_output = \"1M\"\n").daemon();
    let children = daemon.living();

    let mut client = Client::says(scene.address(), "flood");
    let own = client.0.get_ref().local_addr().expect("it is connected");
    let pids = [(); 2].map(|()| client.line().parse().expect("a pid"));
    let (count, was_reset) = drain(&mut client);
    println!("of a flood, {count} bytes came");
    assert!(was_reset && count < 500 << 20, "{count} bytes came, reset: {was_reset}");
    pids.into_iter().for_each(wait_until_gone);
    let text = "was ended: it has written more than max_output, 1048576 bytes, serving";
    scene.wait_for_line(&format!("sh (pid {}) {text} {own}", pids[0]));

    // One that has ended by the time of the first look.
    let (_, was_reset) = drain(&mut Client::says(scene.address(), "short"));
    assert!(was_reset);
    wait_until(PATIENCE, "it is logged", || scene.logged(text) == 2);
    assert_eq!(drain(&mut Client::says(scene.address(), "much")), (900_000, false));
    assert_eq!(drain(&mut Client::says(scene.address(), "nothing")), (0, false));
    assert_eq!(scene.logged(text), 2);
    assert_eq!(daemon.living(), children, "no child has ended for it");
    daemon.stop_in_order();
}

#[test]
fn what_is_written_to_a_unix_socket_is_not_counted_and_the_limit_is_refused() {
    let scene = scene!();
    let settings = "max_output = \"1M\"\n";
    let file = "command = [\"cat\"]\ninetd = true\nlisten = \"./app.sock\"\n";
    fs::write(scene.path("app.toml"), format!("{file}{settings}")).expect("written");
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run", "--name", "app"]);
    let finished = launch.args([scene.path("app.toml")]).finish();
    finished.assert_refused("max_output: is counted on TCP connections alone, and ");
}

#[test]
fn what_means_nothing_of_such_a_program_is_refused() {
    for (settings, expected) in [
        ("max_output = 0\n", "max_output: must be at least 1; leave it out for any amount"),
        (
            "max_output = \"much\"\n",
            "max_output: must be a number of bytes such as 64K, not \"much\"",
        ),
        ("ready = \"notify\"\n", "ready: has no effect with inetd"),
        ("stop_signal = \"INT\"\n", "stop_signal: has no effect with inetd"),
        ("stop_command = [\"true\"]\n", "stop_command: has no effect with inetd"),
        ("max_memory = \"1M\"\n", "max_memory: has no effect with inetd"),
        ("concurrency = 2\n", "concurrency: must be 1 with inetd"),
        ("stdin_socket = true\n", "is one too many"),
    ] {
        let scene = scene!();
        run(&scene, "cat", settings).finish().assert_refused(expected);
    }
}
