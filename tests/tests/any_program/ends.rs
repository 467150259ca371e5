//! How a program ends, and what ends with it.

use std::{fs, io::Write, net::TcpStream, time::Duration};

use prefork_tests::{PATIENCE, Scene, get, kill, scene, wait_for_in_hand, wait_until};
use rustix::process::Signal;

use super::{run, wait_until_gone};

fn number(scene: &Scene, path: &str) -> u32 {
    get(scene.address(), path).expect("answered").number()
}

#[test]
fn a_program_that_crashes_is_replaced_and_named() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").daemon();
    let before = daemon.living();
    get(scene.address(), "/crash").expect_err("the answer is cut short");
    wait_until(PATIENCE, "its end is in the log", || scene.logged("was ended by SIGABRT") == 2);
    assert_eq!(scene.logged("child error: plain (pid "), 1, "the program");
    assert_eq!(scene.logged("parent error: child "), 1, "its child");
    wait_until(PATIENCE, "it is replaced", || {
        let now = daemon.living();
        now.len() == 2 && now != before
    });
    get(scene.address(), "/leave").expect_err("the answer is cut short");
    wait_until(PATIENCE, "its status is in the log", || {
        scene.logged(" exited with status 7 after ") == 1
    });
    daemon.stop_in_order();
}

/// No program outlives its child or the daemon, however they end, and nothing that the program has started does.
#[test]
fn a_program_ends_with_its_child() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").daemon();
    let (program, started) = (number(&scene, "/pid"), number(&scene, "/start"));
    let children = daemon.living();
    for child in &children {
        assert!(kill(*child, Signal::KILL));
    }
    wait_until_gone(program);
    wait_until_gone(started);
    daemon.wait_for_children(PATIENCE, 2, &children);
    let (program, started) = (number(&scene, "/pid"), number(&scene, "/start"));
    daemon.signal(Signal::KILL);
    wait_until_gone(program);
    wait_until_gone(started);
    scene.wait_until_deserted(PATIENCE);
}

#[test]
fn what_a_program_has_started_ends_with_it() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").daemon();
    let started = number(&scene, "/start");
    // Whoever has started it ends.
    let stat = fs::read_to_string(format!("/proc/{started}/stat")).expect("it lives");
    let parent = stat.rsplit_once(") ").expect("a name").1.split(' ').nth(1).expect("a parent");
    assert!(kill(parent.parse().expect("a number"), Signal::KILL));
    wait_until_gone(started);
    daemon.stop_in_order();
}

/// With programs that end at once a start fails soon, with the reason, and leaves nothing.
#[test]
fn a_program_that_ends_at_once_makes_the_start_fail() {
    let scene = scene!();
    let launch = run(&scene, &["--end-after", "0", "--status", "3", "--print", "why"], "");
    let finished = launch.args(["--daemonize"]).paths().finish();
    finished.assert_refused("children ended before the daemon was ready");
    assert!(scene.logged("exited with status 3 before it was ready") >= 1);
    assert!(scene.logged("why (error)") >= 1);
    scene.assert_nothing_is_left();
}

#[test]
fn a_program_that_never_serves_makes_the_start_fail() {
    let scene = scene!();
    let launch = run(&scene, &["--waits", "never"], "start_timeout = \"7s\"\n");
    let finished = launch.args(["--daemonize"]).paths().finish();
    finished.assert_refused("only 0 of 2 children were ready within 7 s");
    assert!(
        scene.logged("is not ready after 5 s: it has not waited at its socket (descriptor 3) yet")
            >= 1,
        "{}",
        scene.read("error.log")
    );
    scene.assert_nothing_is_left();
}

#[test]
fn a_command_has_it_end_in_the_place_of_a_signal() {
    let scene = scene!();
    let settings = format!(
        "stop_command = [\"sh\", \"-c\", \"echo {{pid}} >> {}; kill -QUIT {{pid}}\"]\n",
        scene.path("asked").display()
    );
    let daemon = run(&scene, &["--fd", "{fd}", "--on-term", "ignore"], &settings).daemon();
    let program = number(&scene, "/pid");
    daemon.stop_in_order();
    let asked = scene.read("asked");
    assert_eq!(asked.lines().count(), 2, "once for each: {asked}");
    assert!(asked.lines().any(|pid| pid == program.to_string()), "{program} among {asked}");
}

/// What was cut off is named with its client. A program that answers ten seconds after it was asked is longer in it than it may.
#[test]
fn a_program_that_cuts_a_request_off_is_named_with_the_client() {
    let scene = scene!();
    let settings = "graceful_timeout = \"2s\"\n";
    let arguments = ["--fd", "{fd}", "--waits", "epoll", "--on-term", "exit"];
    let daemon = run(&scene, &arguments, settings).daemon();
    let mut client = TcpStream::connect(scene.address()).expect("connected");
    client.write_all(b"GET /late?ms=20000 HTTP/1.0\r\n\r\n").expect("sent");
    wait_for_in_hand(&scene, 1);
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE);
    let address = client.local_addr().expect("it is bound");
    let line = format!("has ended on SIGTERM with 1 request in hand, of {address}");
    assert_eq!(scene.logged(&line), 1, "{}", scene.read("error.log"));
}

/// Whether anything keeps a program in hand that is asked to leave and does not.
#[test]
fn a_program_that_ignores_the_signal_is_ended_and_named() {
    let scene = scene!();
    let settings = "graceful_timeout = \"1s\"\n";
    let daemon = run(&scene, &["--fd", "{fd}", "--on-term", "ignore"], settings).daemon();
    let program = number(&scene, "/pid");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE + Duration::from_secs(10));
    wait_until_gone(program);
    assert_eq!(scene.logged(" s ago (graceful_timeout), and is interrupted"), 2);
}
