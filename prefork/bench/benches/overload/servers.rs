//! The servers, each with four workers that take 100 ms for a request.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tempfile::TempDir;

use crate::WORKERS;

/// As long as a start may take, and a stop.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// `hello` with a limit of the queue.
    Limited,
    /// The same without.
    Unlimited,
    Gunicorn,
    Uwsgi,
    Apache,
}

/// One that runs, with a directory of its own. It ends with all its workers when it is dropped.
pub(crate) struct Running {
    address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Server {
    pub(crate) const ALL: [Self; 5] =
        [Self::Limited, Self::Unlimited, Self::Gunicorn, Self::Uwsgi, Self::Apache];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Unlimited => "unlimited",
            Self::Gunicorn => "gunicorn",
            Self::Uwsgi => "uwsgi",
            Self::Apache => "apache",
        }
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(self) -> Option<Running> {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("set");
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 24, 1), 18081));
        let mut command = self.command(directory.path(), address);
        command.current_dir(directory.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().ok()?;
        let mut running = Running { address, process, _directory: directory };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > LIMIT || running.has_ended() {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Until all workers are there, and that connection is nobody's any more.
        thread::sleep(Duration::from_secs(2));
        Some(running)
    }

    fn command(self, directory: &Path, address: SocketAddr) -> Command {
        let (at, workers) = (address.to_string(), WORKERS.to_string());
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).expect("written");
            path
        };
        match self {
            Self::Limited | Self::Unlimited => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_bench-hello"));
                command.args(["--listen", &at, "--prefork", &workers, "--max-children", &workers]);
                if matches!(self, Self::Limited) {
                    command.args(["--queue-limit", "500ms"]);
                }
                command
            }
            Self::Gunicorn => {
                write("hello.py", PYTHON);
                let mut command = Command::new("gunicorn");
                command.args(["--bind", &at, "--workers", &workers, "hello:application"]);
                command
            }
            Self::Uwsgi => {
                let app = write("hello.py", PYTHON);
                let mut command = Command::new("uwsgi");
                command.args(["--master", "--need-app", "--die-on-term", "--disable-logging"]);
                command.args(["--http-socket", &at, "--processes", &workers, "--listen", "511"]);
                command.arg("--wsgi-file").arg(app);
                command
            }
            Self::Apache => {
                write("hello.lua", LUA);
                let conf = write("apache.conf", &apache_conf(directory, address));
                let mut command = Command::new("apache2");
                command.args(["-D", "FOREGROUND", "-f"]).arg(conf);
                command
            }
        }
    }
}

impl Running {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| {
            if let Some(group) = group {
                let _ = kill_process_group(group, signal);
            }
        };
        signal(Signal::TERM);
        let begun = Instant::now();
        while !self.has_ended() && begun.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(20));
        }
        // Who has not ended is ended, with what it has left.
        signal(Signal::KILL);
        let _ = self.process.wait();
    }
}

const PYTHON: &str = "\
import time


def application(environ, start_response):
    time.sleep(0.1)
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '6')])
    return [b'hello\\n']
";

const LUA: &str = "\
function handle(r)
    r.usleep(100000)
    r.content_type = 'text/plain'
    r:puts('hello\\n')
    return apache2.OK
end
";

fn apache_conf(directory: &Path, address: SocketAddr) -> String {
    let load = ["mpm_prefork", "authz_core", "mime", "lua"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let user = if geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
    let dir = directory.display();
    format!(
        "{}{user}ServerName localhost\nListen {address}\nPidFile {dir}/pid\nErrorLog {dir}/errors\n\
         DefaultRuntimeDir {dir}\nDocumentRoot {dir}\nKeepAlive Off\nTypesConfig /dev/null\n\
         LuaMapHandler ^/sleep$ {dir}/hello.lua handle\nStartServers {WORKERS}\nServerLimit {WORKERS}\n\
         MaxRequestWorkers {WORKERS}\nMinSpareServers {WORKERS}\nMaxSpareServers 5\n\
         MaxConnectionsPerChild 0\n",
        load.concat()
    )
}
