//! What runs each of the programs, and how: by the file of settings that the page of recipes shows.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use prefork_tests::{
    Daemon, Lack, Launch, PATIENCE, Running, Scene, output, require_tool, skip, wait_until,
};

/// What is tested.
const PAGE: &str = include_str!("../../../prefork/docs/recipes.md");

/// Where the programs are.
pub(crate) const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/programs");

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
            Self::Uvicorn => require_tool("uvicorn") && require_module("starlette"),
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

    /// The heading of its section in the page.
    fn heading(self) -> &'static str {
        match self {
            Self::Uvicorn => "uvicorn",
            Self::Gunicorn => "gunicorn",
            Self::Node => "Node",
            Self::Php => "PHP",
            Self::Perl => "Perl",
            Self::Starman => "Starman",
            Self::Go => "Go",
            Self::Puma => "Ruby",
        }
    }

    /// Starts two of them, and what clients reach them through; says that the test is skipped if it is not here.
    #[track_caller]
    pub(crate) fn start<'a>(self, scene: &'a Scene, flags: &[&str]) -> Option<Served<'a>> {
        if !self.is_there() {
            return None;
        }
        let front = (self == Self::Php).then(|| nginx(scene));
        let address = if front.is_some() { scene.other_address() } else { scene.address() };
        let folder = if self == Self::Go { compiled(scene) } else { PROGRAMS.to_owned() };
        write_recipe(scene, self.heading(), &folder);
        let prefork = prefork(scene).args(["--listen", &address.to_string()]).args(flags);
        let daemon = prefork.args(["app.toml"]).start().ready();
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

/// `prefork run` as all these tests start it, which goes on with flags and the file.
pub(crate) fn prefork(scene: &Scene) -> Launch<'_> {
    scene
        .tool(env!("CARGO_BIN_EXE_prefork-command"))
        .args(["run", "--prefork", "2"])
        .paths()
        .board()
}

/// Writes the file of settings that a section of the page shows into `app.toml`, for programs in `folder`.
#[track_caller]
pub(crate) fn write_recipe(scene: &Scene, heading: &str, folder: &str) {
    let (_, section) = PAGE.split_once(&format!("\n# {heading}\n")).expect("a section");
    let (_, block) = section.split_once("```toml\n").expect("it shows a file of settings");
    let (file, _) = block.split_once("```").expect("the block has an end");
    fs::write(scene.path("app.toml"), file.replace("/srv/app", folder)).expect("written");
}

/// Compiles the server of Go, and returns the folder in which it is.
#[track_caller]
fn compiled(scene: &Scene) -> String {
    let folder = scene.path("").to_string_lossy().into_owned();
    let go = scene.tool("go").variable("GOCACHE", scene.path("cache")).variable("GOFLAGS", "-p=1");
    let build = go.args(["build", "-o", "server", &format!("{PROGRAMS}/server.go")]).start();
    wait_until(PATIENCE * 6, "Go has compiled it", || build.end().is_some());
    let end = build.end().expect("it has ended");
    assert!(end.is_success(), "Go {end}");
    folder
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
    fs::write(scene.path("nginx.conf"), settings).expect("written");
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
