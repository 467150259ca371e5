//! What is measured: a program of a runtime, under a manager of processes.

use std::{env, fs, net::SocketAddr, path::Path, process::Command, sync::LazyLock};

/// Where the programs are; without `..`, which PHP refuses.
pub(crate) static PROGRAMS: LazyLock<String> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is below");
    root.join("tests/fixtures/programs").to_string_lossy().into_owned()
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Uvicorn,
    Gunicorn,
    Node,
    Php,
    Perl,
    Starman,
    Go,
    Puma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Run,
    /// Processes that somebody started by hand, at one socket.
    Alone,
    Pm2,
    Supervisor,
    Circus,
    ServerStarter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) manager: Manager,
    pub(crate) runtime: Runtime,
}

/// How many programs there are, and may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// Hands what is its standard input over as descriptor 3, as systemd does.
const HAND_OVER: &str = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 3<&0 </dev/null";

impl Runtime {
    pub(crate) const ALL: [Self; 8] = [
        Self::Uvicorn,
        Self::Gunicorn,
        Self::Node,
        Self::Php,
        Self::Perl,
        Self::Starman,
        Self::Go,
        Self::Puma,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uvicorn => "uvicorn",
            Self::Gunicorn => "gunicorn",
            Self::Node => "node",
            Self::Php => "php-cgi",
            Self::Perl => "perl",
            Self::Starman => "starman",
            Self::Go => "go",
            Self::Puma => "puma",
        }
    }

    /// The command, where the program finds its socket as descriptor `fd`.
    fn command(self, dir: &Path, address: SocketAddr, fd: u32) -> Vec<String> {
        let place = format!("tcp://{address}");
        let built = dir.join("server").to_string_lossy().into_owned();
        let fd = fd.to_string();
        let words: &[&str] = match self {
            Self::Uvicorn => &["uvicorn", "asgi:app", "--fd", &fd, "--log-level", "warning"],
            Self::Gunicorn => &["gunicorn", "--workers", "1", "wsgi:app"],
            Self::Node => &["node", "server.mjs"],
            Self::Php => &["php-cgi"],
            Self::Perl => &["perl", "daemon.pl"],
            Self::Starman => &["starman", "--workers", "1", "--disable-keepalive", "app.psgi"],
            Self::Go => &[&built],
            Self::Puma => &["puma", "-q", "-t", "1:5", "-b", &place],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The signal at which it finishes what it has in hand.
    fn stop_signal(self) -> &'static str {
        if self == Self::Starman { "QUIT" } else { "TERM" }
    }
}

impl Case {
    pub(crate) fn name(self) -> String {
        let manager = match self.manager {
            Manager::Run => "prefork run",
            Manager::Alone => "alone",
            Manager::Pm2 => "pm2, cluster",
            Manager::Supervisor => "Supervisor, fcgi-program",
            Manager::Circus => "circus",
            Manager::ServerStarter => "Server::Starter",
        };
        format!("{}, {manager}", self.runtime.name())
    }

    /// What it needs that is not installed.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        let program = match self.runtime {
            Runtime::Uvicorn => "uvicorn",
            Runtime::Php => "php-cgi",
            runtime => runtime.name(),
        };
        let manager = match self.manager {
            Manager::Run | Manager::Alone => "sh",
            Manager::Pm2 => "pm2-runtime",
            Manager::Supervisor => "supervisord",
            Manager::Circus => "circusd",
            Manager::ServerStarter => "start_server",
        };
        let path = env::var_os("PATH").unwrap_or_default();
        let is_there = |name: &str| env::split_paths(&path).any(|dir| dir.join(name).exists());
        [program, manager].into_iter().find(|name| !is_there(name))
    }

    /// Returns the command that starts it, in a session of its own, after writing the files that it needs.
    pub(crate) fn command(self, dir: &Path, address: SocketAddr, pool: Pool) -> Command {
        if self.runtime == Runtime::Go {
            let mut build = Command::new("go");
            build.args(["build", "-o"]).arg(dir.join("server")).arg("server.go");
            let built = build.current_dir(&*PROGRAMS).env("GOCACHE", dir.join("cache")).status();
            assert!(built.is_ok_and(|status| status.success()), "cannot compile server.go");
        }
        let words = |fd| self.runtime.command(dir, address, fd);
        let mut command = Command::new("setsid");
        match self.manager {
            Manager::Run => {
                command.arg(env!("CARGO_BIN_EXE_bench-prefork")).args(["run", "--listen"]);
                command.args([&address.to_string(), "--directory", &PROGRAMS]);
                command.args(["--prefork", &pool.least.to_string()]);
                command.args(["--max-children", &pool.most.to_string()]);
                command.arg("--scoreboard-path").arg(dir.join("board"));
                command.arg("--pid-path").arg(dir.join("pid"));
                command.args(["--stop-signal", self.runtime.stop_signal()]);
                if self.runtime == Runtime::Php {
                    command.arg("--stdin-socket").args(["--env", "PHP_FCGI_MAX_REQUESTS=0"]);
                }
                command.arg("--").args(words(3));
            }
            Manager::Alone if self.runtime == Runtime::Php => {
                command.args(words(0)).env("PHP_FCGI_MAX_REQUESTS", "0");
            }
            Manager::Alone => {
                command.args(["sh", "-c", HAND_OVER, "sh"]).args(words(3));
                command.env("SERVER_STARTER_PORT", format!("{address}=3"));
            }
            Manager::Pm2 => {
                command.args(["pm2-runtime", "start", "server.mjs", "--name", "app", "-i"]);
                command.arg(pool.least.to_string()).env("PM2_HOME", dir);
                command.env("PORT", address.port().to_string());
            }
            Manager::Supervisor => {
                let file = dir.join("supervisor.conf");
                fs::write(&file, supervisor(dir, address, pool, &words(0))).expect("written");
                command.args(["supervisord", "-n", "-c"]).arg(file);
                command.env("PHP_FCGI_MAX_REQUESTS", "0");
            }
            Manager::Circus => {
                let file = dir.join("circus.ini");
                fs::write(&file, circus(dir, address, pool)).expect("written");
                command.arg("circusd").arg(file);
            }
            Manager::ServerStarter => {
                command.args(["start_server", &format!("--port={address}"), "--"]);
                command.args(["starman", "--workers", &pool.least.to_string()]);
                command.args(["--disable-keepalive", "app.psgi"]);
            }
        }
        command.current_dir(&*PROGRAMS);
        command
    }

    /// The commands of one reload, where that is not a `SIGHUP`.
    pub(crate) fn reload(self, dir: &Path, pool: Pool) -> Vec<Command> {
        match self.manager {
            Manager::Run | Manager::Alone | Manager::ServerStarter => Vec::new(),
            Manager::Pm2 => {
                let mut command = Command::new("pm2");
                command.args(["reload", "app"]).env("PM2_HOME", dir);
                vec![command]
            }
            // One after the other: `restart app:*` stops all of them first.
            Manager::Supervisor => {
                let restart = |number| {
                    let mut command = Command::new("supervisorctl");
                    command.arg("-c").arg(dir.join("supervisor.conf"));
                    command.args(["restart", &format!("app:app_{number}")]);
                    command
                };
                (0..pool.least).map(restart).collect()
            }
            Manager::Circus => {
                let mut command = Command::new("circusctl");
                command.args(["--endpoint", &endpoint(dir, "main"), "--timeout", "30"]);
                command.args(["reload", "app", "--waiting"]);
                vec![command]
            }
        }
    }
}

fn supervisor(dir: &Path, address: SocketAddr, pool: Pool, words: &[String]) -> String {
    let (dir, command, count) = (dir.display(), words.join(" "), pool.least);
    let programs = &*PROGRAMS;
    format!(
        "[supervisord]\nnodaemon=true\nlogfile={dir}/supervisor.log\npidfile={dir}/pid\n\
         [unix_http_server]\nfile={dir}/socket\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{dir}/socket\n\
         [fcgi-program:app]\nsocket=tcp://{address}\ncommand={command}\nnumprocs={count}\n\
         process_name=%(program_name)s_%(process_num)d\ndirectory={programs}\n"
    )
}

fn circus(dir: &Path, address: SocketAddr, pool: Pool) -> String {
    let (ip, port, count) = (address.ip(), address.port(), pool.least);
    let programs = &*PROGRAMS;
    let [main, publish, stats] = ["main", "publish", "stats"].map(|name| endpoint(dir, name));
    format!(
        "[circus]\nendpoint = {main}\npubsub_endpoint = {publish}\nstats_endpoint = {stats}\n\
         [watcher:app]\nuse_sockets = True\nnumprocesses = {count}\nworking_dir = {programs}\ncopy_env = True\n\
         cmd = uvicorn asgi:app --fd $(circus.sockets.web) --log-level warning\n\
         [socket:web]\nhost = {ip}\nport = {port}\nbacklog = 512\n"
    )
}

fn endpoint(dir: &Path, name: &str) -> String {
    format!("ipc://{}/{name}", dir.display())
}
