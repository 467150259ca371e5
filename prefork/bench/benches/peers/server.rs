//! A peer that runs, ended with all its workers when dropped.

use std::{
    fs::{self, File, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::{children, tree_cpu};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use tempfile::TempDir;

use crate::{
    clients,
    launch::{self, Pool},
    peer::Peer,
};

/// The pause between two looks: spinning instead would keep a processor from the others.
const GLANCE: Duration = Duration::from_micros(100);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
    dir: TempDir,
}

static SERVERS: AtomicU8 = AtomicU8::new(1);

/// Whether somebody wants the measuring to end.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).expect("registered");
    }
    flag
});

/// Unwinds after an interrupt, so that what runs is ended.
pub(crate) fn check_interrupt() {
    assert!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
}

impl Server {
    /// Starts it and waits until it has its workers and answers.
    ///
    /// # Errors
    ///
    /// Why there is no figure of it.
    pub(crate) fn start(peer: Peer, pool: Pool) -> Result<Self, String> {
        check_interrupt();
        let dir = tempfile::Builder::new().prefix("prefork-peers-").tempdir().expect("a directory");
        // Apache's workers are another user.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("set");
        let ip = Ipv4Addr::new(127, 0, 19, SERVERS.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from((ip, 18080));
        let log = File::create(dir.path().join("log")).expect("created");
        let process = launch::command(peer, dir.path(), address, pool)
            // Apache, to stop, ends its whole process group: not ours.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("duplicated"))
            .stderr(log)
            .spawn()
            .map_err(|error| format!("not started: {error}"))?;
        let mut server = Self { address, process, dir };
        let mut serves = |server: &Self| {
            server.children().len() >= pool.least && clients::ask(address, "/").is_ok()
        };
        if server.within(Duration::from_secs(60), &mut serves).is_none() {
            let ended = server.process.try_wait().expect("asked").is_some();
            let log = fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            eprintln!("{}: {log}", peer.name());
            return Err(
                if ended { "it ended at once" } else { "not serving after 60 s" }.to_owned()
            );
        }
        Ok(server)
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

    /// Returns how long it took until this held, if it did in time.
    pub(crate) fn within(
        &self,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let began = Instant::now();
        while !holds(self) {
            check_interrupt();
            if began.elapsed() > limit {
                return None;
            }
            thread::sleep(GLANCE);
        }
        Some(began.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            // A stopped parent neither forks nor reaps: its children's pids stay theirs.
            signal(self.pid(), Signal::STOP);
            for child in self.children() {
                signal(child, Signal::KILL);
            }
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
