//! How each peer is started: in the foreground, with what it needs in a directory of its own.

use std::{
    env,
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::peer::Peer;

/// The bounds of a pool. Where they are equal, the pool is fixed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// Whether the application is loaded before the fork: 150 interpreters start sooner so.
    pub(crate) preload: bool,
}

impl Pool {
    pub(crate) const fn fixed(workers: usize) -> Self {
        Self { least: workers, most: workers, preload: false }
    }
}

/// Returns the command, after writing the files that it needs.
pub(crate) fn command(peer: Peer, dir: &Path, address: SocketAddr, pool: Pool) -> Command {
    let app = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set");
        path
    };
    let mut command = match peer {
        Peer::Bare => bare(address, pool),
        Peer::Hello => hello(dir, address, pool),
        Peer::Uwsgi => uwsgi(&app("hello.py", include_str!("apps/hello.py")), address, pool),
        Peer::Apache => {
            app("hello.lua", include_str!("apps/hello.lua"));
            app("index.txt", "hello\n");
            apache(&app("apache.conf", &apache_conf(dir, address, pool)))
        }
        Peer::Unicorn => {
            let conf = app("unicorn.rb", &unicorn_conf(address, pool));
            let mut command = Command::new("unicorn");
            command.args(["--env", "none", "--config-file"]).arg(conf);
            command.arg(app("hello.ru", include_str!("apps/hello.ru")));
            command
        }
        Peer::NetServer => {
            net_server(&app("hello.pl", include_str!("apps/hello.pl")), address, pool)
        }
        Peer::Starman => {
            starman(&app("hello.psgi", include_str!("apps/hello.psgi")), address, pool)
        }
        Peer::Gunicorn => {
            app("hello.py", include_str!("apps/hello.py"));
            gunicorn(address, pool)
        }
    };
    command.current_dir(dir);
    command
}

fn bare(address: SocketAddr, pool: Pool) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.env("PREFORK_BENCH_ROLE", "bare");
    command.args([address.to_string(), pool.least.to_string()]);
    command
}

fn hello(dir: &Path, address: SocketAddr, pool: Pool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-hello"));
    command.args(["--listen", &address.to_string(), "--prefork", &pool.least.to_string()]);
    command.args(["--max-children", &pool.most.to_string()]);
    command.arg("--scoreboard-path").arg(dir.join("board"));
    command.arg("--pid-path").arg(dir.join("pid"));
    command
}

fn uwsgi(app: &Path, address: SocketAddr, pool: Pool) -> Command {
    let mut command = Command::new("uwsgi");
    // Debian's has its Python in a plug-in, PyPI's is built with it.
    if Peer::Uwsgi.version().is_some_and(|version| version.contains("debian")) {
        command.args(["--plugin", "python3"]);
    }
    command.args(["--master", "--need-app", "--die-on-term", "--disable-logging"]);
    command.args(["--http-socket", &address.to_string(), "--wsgi-file"]).arg(app);
    command.args(["--processes", &pool.most.to_string(), "--listen", "511"]);
    if pool.least < pool.most {
        let least = pool.least.to_string();
        command.args(["--cheaper", &least, "--cheaper-initial", &least]);
    }
    command
}

fn apache(conf: &Path) -> Command {
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(conf);
    command
}

fn apache_conf(dir: &Path, address: SocketAddr, Pool { least, most, .. }: Pool) -> String {
    let modules = PathBuf::from("/usr/lib/apache2/modules");
    let load = ["mpm_prefork", "authz_core", "mime", "dir", "lua"]
        .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()));
    // A fixed pool replaces a worker only where it lacks a spare one. Elsewhere its defaults.
    let (min_spare, max_spare) = if least == most { (most, most + 1) } else { (5, 10) };
    let user =
        if rustix::process::geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
    let dir = dir.display();
    format!(
        "{}{user}ServerName localhost\nListen {address}\nPidFile {dir}/pid\nErrorLog {dir}/errors\n\
         DefaultRuntimeDir {dir}\nDocumentRoot {dir}\nDirectoryIndex index.txt\nKeepAlive Off\n\
         TypesConfig /dev/null\nAddType text/plain .txt\n\
         LuaMapHandler ^/sleep$ {dir}/hello.lua handle\n\
         StartServers {least}\nServerLimit {most}\nMaxRequestWorkers {most}\n\
         MinSpareServers {min_spare}\nMaxSpareServers {max_spare}\nMaxConnectionsPerChild 0\n",
        load.concat()
    )
}

fn unicorn_conf(address: SocketAddr, pool: Pool) -> String {
    format!(
        "listen '{address}'\nworker_processes {}\npreload_app {}\ntimeout 60\n",
        pool.least, pool.preload
    )
}

fn net_server(app: &Path, address: SocketAddr, Pool { least, most, .. }: Pool) -> Command {
    let mut command = Command::new(app);
    command.args([format!("--host={}", address.ip()), format!("--port={}", address.port())]);
    command.args([format!("--min_servers={least}"), format!("--max_servers={most}")]);
    // Its defaults, for a pool that grows.
    let (min_spare, max_spare) = if least == most { (1, most - 1) } else { (2, 10) };
    command.args([
        format!("--min_spare_servers={min_spare}"),
        format!("--max_spare_servers={max_spare}"),
    ]);
    command.args(["--max_requests=1000000", "--no_client_stdout=1", "--log_level=0"]);
    command
}

fn starman(app: &Path, address: SocketAddr, pool: Pool) -> Command {
    let mut command = Command::new("starman");
    command.args(["--listen", &address.to_string(), "--workers", &pool.least.to_string()]);
    command.args(["--env", "deployment", "--disable-keepalive", "--max-requests", "1000000"]);
    if pool.preload {
        command.arg("--preload-app");
    }
    command.arg(app);
    command
}

fn gunicorn(address: SocketAddr, pool: Pool) -> Command {
    let mut command = Command::new("gunicorn");
    command.args(["--bind", &address.to_string(), "--workers", &pool.least.to_string()]);
    if pool.preload {
        command.arg("--preload");
    }
    command.args(["--log-level", "error", "hello:application"]);
    command
}
