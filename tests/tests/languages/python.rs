//! A WSGI application in an embedded Python.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use prefork_tests::{
    Load, PATIENCE, Reply, Running, Scene, Sent, children, get, scene, status_of, wait_until,
};
use rustix::process::Signal;

use crate::{require, said, wait_for_ready};

/// The example's own application, and its module.
const EXAMPLE: (&str, &str) =
    (concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/examples/python"), "app:application");

/// How many children the example has.
const CHILDREN: usize = 4;

/// An application whose requests wait until all children have one: so each has come to another child.
const TOGETHER: &str = r#"
import gc, os, random, time

LOADED_BY = os.getpid()
FOLDER = os.environ["FOLDER"]
# 60 MB of objects at which the collector of garbage looks.
NUMBERS = [[number] for number in range(600_000)]

def application(environ, start_response):
    own = random.random()
    open(os.path.join(FOLDER, f"{os.getpid()}"), "w").close()
    while len(os.listdir(FOLDER)) < 4:
        time.sleep(0.01)
    # It looks at all objects that are not frozen, and writes to each.
    gc.collect()
    assert NUMBERS[599_999] == [599_999]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {LOADED_BY} {gc.isenabled()} {own}".encode()]
"#;

/// An application that says when it has begun.
const SLEEPS: &str = r#"
import os, time

def application(environ, start_response):
    open(os.path.join(os.environ["FOLDER"], "begun"), "w").close()
    time.sleep(1)
    start_response("200 OK", [])
    return [b"slept"]
"#;

/// One that starts a thread while it is loaded.
const THREADED: &str = r#"
import threading, time

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def application(environ, start_response):
    raise AssertionError("never called")
"#;

fn start<'a>(scene: &'a Scene, program: &str, application: (&str, &str)) -> Running<'a> {
    let address = scene.address().to_string();
    let python = scene.tool(program).args([application.1, &address]);
    fs::create_dir_all(scene.path("begun")).expect("a directory can be made");
    python
        .variable("PYTHONPATH", application.0)
        .variable("FOLDER", scene.path("begun"))
        // Nothing is written beside the sources.
        .variable("PYTHONDONTWRITEBYTECODE", "1")
        .start()
}

/// The same with an application that is written for the test.
fn start_with<'a>(scene: &'a Scene, program: &str, application: &str) -> Running<'a> {
    fs::write(scene.path("under_test.py"), application).expect("written");
    let folder = scene.path("");
    start(scene, program, (folder.to_str().expect("a text"), "under_test:application"))
}

fn ask(scene: &Scene, path: &str) -> Reply {
    get(scene.address(), path).expect("an answer")
}

#[test]
fn an_application_is_served_as_wsgi_has_it() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start(&scene, &program, EXAMPLE);
    wait_for_ready(&scene);
    assert_eq!((ask(&scene, "/").status, &*ask(&scene, "/").body), (200, "15129"));
    assert_eq!(ask(&scene, "/nowhere?a=b").status, 404);
    assert_eq!(ask(&scene, "/error").status, 500);
    assert_eq!(said(&scene, "RuntimeError: as asked").len(), 1);
    assert_eq!(ask(&scene, "/exit").status, 500, "no request ends its child");
    let mut client = TcpStream::connect(scene.address()).expect("it listens");
    let request = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    client.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"),
        "{answer}"
    );
    assert_eq!(said(&scene, "opened before the fork"), [""; 0]);
    daemon.stop_in_order();
}

#[test]
fn what_is_loaded_before_the_fork_is_shared_and_random_numbers_are_not() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start_with(&scene, &program, TOGETHER);
    wait_for_ready(&scene);
    let sent: Vec<_> =
        (0..CHILDREN).map(|_| Sent::to(scene.address(), "/").expect("it listens")).collect();
    let answers: Vec<_> =
        sent.into_iter().map(|sent| sent.answer().expect("an answer").body).collect();
    let words: Vec<Vec<&str>> = answers.iter().map(|answer| answer.split(' ').collect()).collect();
    let different = |field: usize| words.iter().map(|it| it[field]).collect::<BTreeSet<_>>();
    assert_eq!(different(0).len(), CHILDREN, "each came to another child: {answers:?}");
    assert_eq!(different(1), BTreeSet::from([&*daemon.pid().to_string()]), "loaded once");
    assert_eq!(different(2), BTreeSet::from(["True"]), "garbage is collected in children");
    assert_eq!(different(3).len(), CHILDREN, "random numbers: {answers:?}");
    for pid in different(0) {
        let own = own_memory(pid);
        assert!(own < 20 << 20, "child {pid} has {own} bytes of its own");
    }
    daemon.stop_in_order();
}

/// How much memory a process shares with no other, in bytes.
fn own_memory(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it is there");
    let amounts = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes = amounts.map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<Option<u64>>().expect("numbers") << 10
}

#[test]
fn a_fault_in_an_extension_costs_one_request() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start(&scene, &program, EXAMPLE);
    wait_for_ready(&scene);
    let load = Load::start(2, scene.address(), "/");
    for round in 1..=3 {
        get(scene.address(), "/crash").expect_err("the child has died");
        let line = "was ended by SIGSEGV (a crash)";
        wait_until(PATIENCE, "the log names it", || said(&scene, line).len() == round);
    }
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    let lines = said(&scene, "was ended by SIGSEGV (a crash)");
    assert!(lines.iter().all(|line| line.contains(": GET /crash")), "{lines:?}");
    daemon.stop_in_order();
}

#[test]
fn a_stop_waits_for_the_request_in_hand_and_for_nothing_else() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start_with(&scene, &program, SLEEPS);
    wait_for_ready(&scene);
    let sent = Sent::to(scene.address(), "/").expect("it listens");
    wait_until(PATIENCE, "it is in hand", || scene.path("begun/begun").exists());
    daemon.signal(Signal::TERM);
    assert_eq!(sent.answer().expect("an answer").body, "slept");
    let finished = daemon.finish();
    assert!(finished.end.is_success(), "{finished:?}");
    assert_eq!(said(&scene, "not gone yet"), [""; 0]);
    scene.wait_until_deserted(PATIENCE);
}

/// Children are forked from what was loaded once.
#[test]
fn code_that_has_changed_takes_an_upgrade() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start_with(&scene, &program, &answering("old"));
    wait_for_ready(&scene);
    fs::write(scene.path("under_test.py"), answering("new")).expect("written");
    daemon.signal(Signal::HUP);
    let of_generation = |number: u32| {
        let line = format!("all children are of generation {number} now");
        wait_until(PATIENCE, &line, || said(&scene, &line).len() == 1);
        ask(&scene, "/").body
    };
    assert_eq!(of_generation(2), "old");
    daemon.signal(Signal::USR2);
    assert_eq!(of_generation(3), "new");
    daemon.stop_in_order();
}

/// An application with one answer.
fn answering(text: &str) -> String {
    format!(
        "def application(environ, start_response):\n    \
         start_response('200 OK', [])\n    return [b'{text}']\n"
    )
}

/// Signals are the daemon's: with a handler of Python's, Ctrl-C would be an exception in the parent.
#[test]
fn python_handles_no_signal() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let daemon = start(&scene, &program, EXAMPLE);
    wait_for_ready(&scene);
    let pids = children(daemon.pid()).into_iter().map(|child| child.pid).chain([daemon.pid()]);
    for pid in pids {
        let handled = status_of(pid, "SigCgt").expect("it is there");
        let handled = u64::from_str_radix(&handled, 16).expect("a mask");
        assert_eq!(handled & (1 << (Signal::INT.as_raw() - 1)), 0, "{pid}: {handled:x}");
    }
    daemon.stop_in_order();
}

#[test]
fn an_application_that_starts_a_thread_while_it_is_loaded_is_refused() {
    let Some(program) = require("python") else { return };
    let scene = scene!();
    let finished = start_with(&scene, &program, THREADED).finish();
    let line =
        "threads are left running besides the main one (python), which children would not have";
    assert!(said(&scene, line).len() == 1, "{finished:?}");
    assert!(!finished.end.is_success());
}
