//! The status page: what it says, and that it never harms the daemon.

mod application;
mod counting;
mod hostile;
mod metrics;
mod page;
mod probes;
mod process;
mod public;
mod queued;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
};

use prefork_tests::{Daemon, PATIENCE, Process, Scene, find_process, wait_until};
use serde_json::Value;

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Where the page of a scene is: where nobody else listens.
fn address(scene: &Scene) -> SocketAddr {
    scene.page()
}

/// Sends a request as it is, and reads the whole answer.
fn exchange(mut connection: impl Read + Write, request: &str) -> io::Result<Answer> {
    connection.write_all(request.as_bytes())?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    parse(&text).ok_or_else(|| io::Error::other(format!("no whole answer: {text:?}")))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

fn connect(scene: &Scene) -> TcpStream {
    let connection = TcpStream::connect(address(scene)).expect("it listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    connection
}

#[track_caller]
fn ask(scene: &Scene, request: &str) -> Answer {
    exchange(connect(scene), request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

#[track_caller]
fn get(scene: &Scene, path: &str) -> Answer {
    let answer = ask(scene, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let length = format!("\r\nContent-Length: {}\r\n", answer.body.len());
    assert!(answer.head.contains(&length), "cut short: {answer:?}");
    answer
}

fn get_unix(scene: &Scene, path: &str) -> io::Result<Answer> {
    let connection = UnixStream::connect(scene.socket("status"))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    exchange(connection, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

#[track_caller]
fn json(scene: &Scene) -> Value {
    let answer = get(scene, "/status.json");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

#[track_caller]
fn count(scene: &Scene, counter: &str) -> u64 {
    let found = json(scene)["daemon"]["counters"][counter].clone();
    found.as_u64().unwrap_or_else(|| panic!("{counter} is {found}"))
}

#[track_caller]
fn wait_for_count(scene: &Scene, counter: &str, wanted: u64) {
    wait_until(PATIENCE, &format!("{counter} is {wanted}"), || count(scene, counter) == wanted);
}

/// The process that serves the page: waits until there is one.
#[track_caller]
fn status_process(daemon: &Daemon<'_>) -> Process {
    let mut found = None;
    wait_until(PATIENCE, "there is a status process", || {
        found = status_processes(daemon).pop();
        found.is_some()
    });
    found.expect("just found")
}

fn status_processes(daemon: &Daemon<'_>) -> Vec<Process> {
    let children = daemon.children().into_iter();
    children.filter(|child| child.command_line().ends_with("[status]")).collect()
}

/// The pids of children that are not the status process.
fn workers(daemon: &Daemon<'_>) -> Vec<u32> {
    let mut pids = daemon.living();
    pids.retain(|pid| {
        find_process(*pid).is_some_and(|child| child.command_line().ends_with("[child]"))
    });
    pids
}

/// Waits until so many children serve, none of which is one of `others`.
#[track_caller]
fn wait_for_workers(daemon: &Daemon<'_>, count: usize, others: &[u32]) {
    wait_until(PATIENCE, &format!("{count} new children serve"), || {
        let workers = workers(daemon);
        workers.len() == count && workers.iter().all(|pid| !others.contains(pid))
    });
}
