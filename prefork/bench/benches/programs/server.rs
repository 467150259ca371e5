//! Something that serves, ended with all that it has started when dropped.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::{children, schedstat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    case::{Case, Manager, Pool},
    clients::Door,
};

/// The longest that a start, a reload or a stop may take.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) case: Case,
    pub(crate) door: Door,
    pool: Pool,
    processes: Vec<Child>,
    dir: TempDir,
}

static SERVERS: AtomicU8 = AtomicU8::new(1);

impl Server {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// Why there is no figure of it.
    pub(crate) fn start(case: Case, pool: Pool) -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("prefork-programs-").tempdir().expect("made");
        let address = free_address();
        let log = File::create(dir.path().join("log")).expect("made");
        let (count, socket) = match case.manager {
            Manager::Alone => {
                let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
                (pool.least, Some(OwnedFd::from(listener)))
            }
            _ => (1, None),
        };
        let start = |_| {
            let stdin = socket.as_ref().map_or_else(Stdio::null, |socket| {
                Stdio::from(socket.try_clone().expect("duplicated"))
            });
            let mut command = case.command(dir.path(), address, pool);
            command.stdin(stdin);
            command.stdout(log.try_clone().expect("duplicated"));
            command.stderr(log.try_clone().expect("duplicated"));
            command.spawn().map_err(|error| format!("not started: {error}"))
        };
        let processes = (0..count).map(start).collect::<Result<_, _>>()?;
        let door = Door { address, runtime: case.runtime };
        let server = Self { case, door, pool, processes, dir };
        let began = Instant::now();
        while server.door.ask("/").is_err() {
            if began.elapsed() > LIMIT {
                eprintln!("{}: {}", case.name(), server.log());
                return Err("it does not serve".to_owned());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Until the others do, too.
        thread::sleep(Duration::from_millis(1500));
        Ok(server)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The pids of what was started, which manage the others.
    pub(crate) fn parents(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    /// The pids of the children of these.
    pub(crate) fn children(&self) -> Vec<u32> {
        self.parents().into_iter().flat_map(children).collect()
    }

    /// CPU time of all its processes, in nanoseconds.
    pub(crate) fn cpu(&self) -> u64 {
        tree(&self.parents()).into_iter().map(|pid| schedstat(pid).0).sum()
    }

    /// Reloads once, and waits until that is done.
    ///
    /// # Errors
    ///
    /// What has not come about.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let mut commands = self.case.reload(self.dir.path(), self.pool);
        for command in &mut commands {
            let output = command.output().map_err(|error| error.to_string())?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                return Err(String::from_utf8_lossy(&said).into_owned());
            }
        }
        if !commands.is_empty() {
            return Ok(());
        }
        let old = self.children();
        self.parents().into_iter().for_each(|pid| signal(pid, Signal::HUP));
        let began = Instant::now();
        let least = if self.case.manager == Manager::Run { self.pool.least } else { 1 };
        loop {
            let now = self.children();
            if now.len() >= least && !now.iter().any(|pid| old.contains(pid)) {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                return Err(format!("old ones remain after {} s", LIMIT.as_secs()));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let everything = tree(&self.parents());
        self.parents().into_iter().for_each(|pid| signal(pid, Signal::TERM));
        let began = Instant::now();
        for process in &mut self.processes {
            while matches!(process.try_wait(), Ok(None)) && began.elapsed() < LIMIT / 3 {
                thread::sleep(Duration::from_millis(5));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        // What has outlived its manager, and is still where it was started: not another with that pid.
        let dir = self.dir.path().to_string_lossy().into_owned();
        for pid in everything {
            let is_of_it = [("environ", dir.as_str()), ("cmdline", "fixtures/programs")];
            let holds = |(file, text): &(&str, &str)| {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains(text)
            };
            if is_of_it.iter().any(holds) {
                signal(pid, Signal::KILL);
            }
        }
    }
}

/// An address whose port nobody has, whatever an earlier run has left behind: pm2 takes it for all addresses.
fn free_address() -> SocketAddr {
    loop {
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let port = 18090 + u16::from(number);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return SocketAddr::from((Ipv4Addr::new(127, 0, 21, number), port));
        }
    }
}

/// These processes and all their descendants.
pub(crate) fn tree(pids: &[u32]) -> Vec<u32> {
    let mut all = pids.to_vec();
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let more: Vec<u32> = lists
            .flat_map(|it| it.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
            .collect();
        all.extend(more);
        at += 1;
    }
    all
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
