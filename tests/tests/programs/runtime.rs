//! What runs each of the programs, and how.

use std::{net::SocketAddr, path::Path, process::Command};

use prefork_tests::{
    Daemon, Lack, Launch, PATIENCE, Running, Scene, output, require_tool, skip, wait_until,
};

/// Where the programs are.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/programs");

/// Python of the system, which has the modules that the system's packages bring.
const PYTHON: &str = "/usr/bin/python3";

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// An event loop of Python: ASGI.
    Uvicorn,
    /// A process manager with one worker that takes one request at a time: WSGI.
    Gunicorn,
    /// An event loop of JavaScript, which knows nothing of `SIGTERM`.
    Node,
    /// A FastCGI program that takes one request at a time, behind nginx.
    Php,
    /// A server that waits in `accept(2)` and knows nothing of `SIGTERM`.
    Perl,
    /// A process manager with one worker, which drops what it has in hand at `SIGTERM`: PSGI.
    Starman,
    /// A server with a thread for each request.
    Go,
    /// A server of Ruby with some threads: Rack.
    Puma,
}

impl Runtime {
    /// Whether it is here; says that the test is skipped if not.
    #[track_caller]
    fn is_there(self) -> bool {
        match self {
            Self::Uvicorn => require_module("uvicorn") && require_module("starlette"),
            Self::Gunicorn => require_tool("gunicorn"),
            Self::Node => require_tool("node"),
            Self::Php => require_tool("php-cgi") && require_tool("nginx"),
            Self::Perl => require_tool("perl") && require_perl("HTTP::Daemon"),
            Self::Starman => require_tool("starman"),
            Self::Go => require_tool("go"),
            Self::Puma => require_tool("puma"),
        }
    }

    /// Whether a program has no more than one request in hand.
    pub(crate) fn takes_one_at_a_time(self) -> bool {
        match self {
            Self::Gunicorn | Self::Php | Self::Perl | Self::Starman => true,
            Self::Uvicorn | Self::Node | Self::Go | Self::Puma => false,
        }
    }

    /// The flags of `prefork run` that it needs, and the command.
    fn words(self, scene: &Scene) -> (Vec<String>, Vec<String>) {
        let file = |name: &str| format!("{PROGRAMS}/{name}");
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let app = ["--app-dir", PROGRAMS, "--log-level", "warning", "asgi:app"];
        let flags: Vec<String> = match self {
            Self::Starman => words(&["--stop-signal", "QUIT"]),
            Self::Php => words(&["--stdin-socket"]),
            _ => Vec::new(),
        };
        let command: Vec<String> = match self {
            Self::Uvicorn => {
                words(&[&[PYTHON, "-m", "uvicorn", "--fd", "{fd}"], &app[..]].concat())
            }
            Self::Gunicorn => {
                words(&["gunicorn", "--workers", "1", "--chdir", PROGRAMS, "wsgi:app"])
            }
            Self::Node => words(&["node", &file("server.mjs")]),
            Self::Php => words(&["php-cgi"]),
            Self::Perl => words(&["perl", &file("daemon.pl")]),
            Self::Starman => words(&["starman", "--workers", "1", &file("app.psgi")]),
            Self::Go => vec![compiled(scene)],
            Self::Puma => words(&["puma", "-q", "-b", "tcp://{path}", &file("config.ru")]),
        };
        (flags, command)
    }

    /// Starts two of them, and what clients reach them through; says that the test is skipped if it is not here.
    #[track_caller]
    pub(crate) fn start<'a>(self, scene: &'a Scene, flags: &[&str]) -> Option<Served<'a>> {
        if !self.is_there() {
            return None;
        }
        let front = (self == Self::Php).then(|| nginx(scene));
        let address = if front.is_some() { scene.other_address() } else { scene.address() };
        let (own, command) = self.words(scene);
        let command_line = prefork(scene, address).args(own).args(flags).args(["--"]).args(command);
        let daemon = command_line.start().ready();
        Some(Served { scene, daemon, front })
    }
}

/// A daemon of programs that serves.
pub(crate) struct Served<'a> {
    scene: &'a Scene,
    pub(crate) daemon: Daemon<'a>,
    /// What is between the clients and the programs.
    front: Option<Running<'a>>,
}

impl Served<'_> {
    /// Where clients ask.
    pub(crate) fn address(&self) -> SocketAddr {
        self.scene.address()
    }

    /// Where the programs listen.
    pub(crate) fn listens(&self) -> SocketAddr {
        if self.front.is_some() { self.scene.other_address() } else { self.scene.address() }
    }

    /// Asserts that the daemon, which is stopping, ends in order; ends what is in front of it.
    #[track_caller]
    pub(crate) fn assert_ends_in_order(self) {
        let end = self.daemon.wait_for_end(PATIENCE);
        assert!(end.is_success(), "the parent {end}");
        if let Some(front) = self.front {
            front.stop_in_order();
        }
        self.scene.assert_nothing_is_left();
    }
}

/// `prefork run` as all these tests start it.
pub(crate) fn prefork(scene: &Scene, address: SocketAddr) -> Launch<'_> {
    let bare = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run"]);
    bare.args(["--listen", &address.to_string(), "--prefork", "2"]).paths().board()
}

/// Compiles the server of Go, and returns where it is.
#[track_caller]
fn compiled(scene: &Scene) -> String {
    let program = scene.path("server").to_string_lossy().into_owned();
    let build =
        scene.tool("go").variable("GOCACHE", scene.path("cache")).variable("GOFLAGS", "-p=1");
    let build = build.args(["build", "-o", &program, &format!("{PROGRAMS}/server.go")]).start();
    wait_until(PATIENCE * 6, "Go has compiled it", || build.end().is_some());
    assert!(
        build.end().is_some_and(prefork_tests::End::is_success),
        "Go: {}",
        scene.read("1.stderr")
    );
    program
}

/// Starts nginx as a single process in front of FastCGI programs.
fn nginx(scene: &Scene) -> Running<'_> {
    let (front, programs) = (scene.address(), scene.other_address());
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths: String = paths.iter().map(|name| format!("{name}_temp_path {name};\n")).collect();
    let settings = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
         events {{}}\n\
         http {{\n\
         access_log off;\n{paths}\
         server {{\n\
         listen {front} backlog=512;\n\
         location / {{\n\
         fastcgi_pass {programs};\n\
         fastcgi_param SCRIPT_FILENAME {PROGRAMS}/index.php;\n\
         fastcgi_param QUERY_STRING $query_string;\n\
         fastcgi_param REQUEST_METHOD $request_method;\n\
         fastcgi_param REDIRECT_STATUS 200;\n\
         }}\n}}\n}}\n"
    );
    std::fs::write(scene.path("nginx.conf"), settings).expect("written");
    let prefix = scene.path("").to_string_lossy().into_owned();
    scene.tool("nginx").args(["-p", &prefix, "-e", "stderr", "-c", "nginx.conf"]).start()
}

/// Whether Python of the system has a module; says that the test is skipped if not.
#[track_caller]
pub(crate) fn require_module(name: &str) -> bool {
    let test =
        |command: &mut Command| output(command, b"").is_ok_and(|output| output.status.success());
    let is_there = Path::new(PYTHON).exists()
        && test(Command::new(PYTHON).args(["-c", &format!("import {name}")]));
    if !is_there {
        skip(Lack::Missing(&format!("{PYTHON} has no module {name}")));
    }
    is_there
}

/// The same for Perl.
#[track_caller]
fn require_perl(name: &str) -> bool {
    let mut command = Command::new("perl");
    let is_there = output(command.args(["-e", &format!("use {name};")]), b"")
        .is_ok_and(|output| output.status.success());
    if !is_there {
        skip(Lack::Missing(&format!("perl has no module {name}")));
    }
    is_there
}
