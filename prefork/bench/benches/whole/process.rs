//! Processes that are started to be measured.

use std::{
    env,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::{children, tree_cpu};

/// `hello`, the example.
pub(crate) const HELLO: &str = env!("CARGO_BIN_EXE_bench-hello");

/// A process that was started in one of the roles, ended when dropped.
pub(crate) struct Started {
    pub(crate) process: Child,
    /// Where a server listens: an address of its own, as its predecessor may not be gone yet.
    pub(crate) address: String,
}

static SERVERS: AtomicU8 = AtomicU8::new(1);

impl Started {
    pub(crate) fn new(role: &str, args: &[&str]) -> Self {
        Self::program(&program_of(role), role, args)
    }

    pub(crate) fn program(program: &Path, role: &str, args: &[&str]) -> Self {
        let process = Command::new(program)
            .args(args)
            .env("PREFORK_BENCH_ROLE", role)
            .stdout(Stdio::null())
            .stderr(if role == "load" { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .expect("started");
        Self { process, address: String::new() }
    }

    /// Starts a server and waits until it has its children and answers.
    pub(crate) fn server(role: &str, children: usize) -> Self {
        Self::server_with(role, children, &[])
    }

    /// The same, with further arguments.
    pub(crate) fn server_with(role: &str, children: usize, more: &[&str]) -> Self {
        Self::server_of(&program_of(role), role, children, more)
    }

    /// The same, of a copy of the program.
    pub(crate) fn server_of(program: &Path, role: &str, children: usize, more: &[&str]) -> Self {
        let address = format!("127.0.18.{}:18080", SERVERS.fetch_add(1, Ordering::Relaxed));
        let address = address.as_str();
        let count = children.to_string();
        // The default, unless those who are being replaced need more.
        let most = (2 * children).max(150).to_string();
        let mut args = match role {
            "hello" => vec!["--listen", address, "--prefork", &count, "--max-children", &most],
            _ => vec![address, &count],
        };
        args.extend(more);
        let mut started = Self::program(program, role, &args);
        started.address = address.to_owned();
        started.until("serving", |server| {
            server.children().len() == children && TcpStream::connect(address).is_ok()
        });
        started
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// CPU time of the process and its living children, in nanoseconds.
    pub(crate) fn cpu(&self) -> u64 {
        tree_cpu(self.pid())
    }

    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(Instant::now() < deadline, "not {what} after 20 s");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn program_of(role: &str) -> PathBuf {
    match role {
        "hello" => HELLO.into(),
        _ => env::current_exe().expect("the path of this program"),
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Its children die with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
