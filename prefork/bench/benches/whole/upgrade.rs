//! Upgrades: what they cost clients that ask meanwhile, how soon they come, and what they leave behind.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::private_kb;
use rustix::process::Signal;

use crate::{
    measure::{report, scratch, signal},
    process::{HELLO, Started},
};

const UNDER_LOAD: usize = 100;
const IN_ALL: usize = 200;
const CHANGES: usize = 9;

/// A copy of `hello`, to be replaced by others.
struct Program(PathBuf);

impl Program {
    fn new() -> Self {
        let program = Self(scratch("program").into());
        program.install(0);
        program
    }

    /// Puts another file in its place, which differs by its last byte.
    fn install(&self, version: usize) {
        let mut content = fs::read(HELLO).expect("read");
        content.extend(version.to_le_bytes());
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, content).expect("written");
        let mode = fs::metadata(HELLO).expect("there").permissions();
        fs::set_permissions(&fresh, mode).expect("set");
        fs::rename(&fresh, &self.0).expect("renamed");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn measure() {
    under_load();
    after_a_change();
}

/// Upgrades with eight clients asking all the time, then more without.
fn under_load() {
    let program = Program::new();
    let server = Started::server_of(&program.0, "hello", 4, &[]);
    let before = footprint(&server);
    let load = || Started::new("load", &[&server.address, "8", "2000", "/"]);
    let (mut clients, mut requests) = (load(), 16_000);
    let mut times = Vec::new();
    for version in 1..=IN_ALL {
        program.install(version);
        let children = server.children();
        let began = Instant::now();
        signal(server.pid(), Signal::USR2);
        server.until("upgraded", |server| {
            let now = server.children();
            now.len() == 4 && !now.iter().any(|pid| children.contains(pid))
        });
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        if version == UNDER_LOAD {
            assert!(clients.process.wait().expect("waited").success(), "requests failed");
        } else if version < UNDER_LOAD
            && let Some(end) = clients.process.try_wait().expect("asked")
        {
            assert!(end.success(), "requests failed");
            (clients, requests) = (load(), requests + 16_000);
        }
    }
    let after = footprint(&server);
    println!("{UNDER_LOAD} upgrades under 8 clients: none of {requests} requests failed");
    report("upgrade of 4 children, by signal", &mut times);
    println!(
        "parent before and after {IN_ALL} upgrades: {} and {} descriptors, {} and {} kB private, \
         {} and {} bytes of environment",
        before.0, after.0, before.1, after.1, before.2, after.2
    );
}

/// Descriptors, private memory in kB, and bytes of environment of the parent.
fn footprint(server: &Started) -> (usize, u64, usize) {
    let pid = server.pid();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count();
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("it lives").len();
    (descriptors, private_kb(pid), environment)
}

/// From the change of the file to the first answer by a child of the new program.
fn after_a_change() {
    let program = Program::new();
    let server = Started::server_of(&program.0, "hello", 4, &["--auto-reload-check-every", "1"]);
    let mut times = Vec::new();
    for version in 1..=CHANGES {
        // At another moment of the interval each time.
        thread::sleep(Duration::from_millis(700 + 130 * version as u64));
        let old = server.children();
        program.install(version);
        let began = Instant::now();
        while old.contains(&answering(&server.address)) {
            thread::sleep(Duration::from_millis(1));
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    report("change of the program file to the first new answer (settling 200 ms)", &mut times);
}

/// Asks which child answers.
fn answering(address: &str) -> u32 {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.write_all(b"GET /pid HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    answer.lines().last().and_then(|pid| pid.parse().ok()).expect("a pid")
}
