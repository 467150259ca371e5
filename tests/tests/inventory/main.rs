//! What each process of a daemon holds, and may do: just what the tables of ARCHITECTURE.md say.

mod holding;
mod pools;
mod table;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode as FileMode, unistd::mkfifo};
use prefork_tests::{
    Daemon, Launch, PATIENCE, Process, Program, Scene, all_processes, find_process, kill,
    require_open_to_others, require_root, require_tool, scene, wait_until,
};
use rustix::process::{Signal, geteuid};

use table::{Kind, ONE_POOL, Section, Tables};

/// How long a difference may last: a copy that is about to be closed, a process that is coming up.
const PATIENCE_WITH_EACH: Duration = PATIENCE;

/// As what children run, where the parent is root.
const UNPRIVILEGED: &str =
    "--user 54321 --group 54322 --supplementary-groups 54323,7 --umask 027 --no-new-privs";

/// How root becomes somebody with no rights at all.
const SETPRIV: [&str; 7] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--",
];

/// The users of a daemon and of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Its children are [`UNPRIVILEGED`].
    Root,
    /// The user of the test, which is not root.
    User,
    /// Made of root by [`SETPRIV`].
    Nobody,
}

impl Owner {
    fn of_this_test() -> Self {
        if geteuid().is_root() { Self::Root } else { Self::User }
    }

    fn apply<'a>(self, launch: Launch<'a>) -> Launch<'a> {
        match self {
            Self::Root => launch.args(UNPRIVILEGED.split(' ')),
            Self::User => launch,
            Self::Nobody => launch.under(SETPRIV),
        }
    }

    /// What a process of its has from the start; `None` for what the test has.
    fn has(self, property: &str) -> Option<String> {
        let value = match (self, property) {
            (Self::Nobody, "user ids" | "group ids") => "65534 65534 65534 65534",
            (Self::Nobody, "supplementary groups") => "",
            (Self::Nobody, property) if property.ends_with("capabilities") => "",
            (Self::Root | Self::User | Self::Nobody, _) => return None,
        };
        Some(value.to_owned())
    }

    /// What children have; `None` for what the test has.
    fn children_have(self, property: &str) -> Option<String> {
        let value = match (self, property) {
            (Self::Root, "user ids") => "54321 54321 54321 54321",
            (Self::Root, "group ids") => "54322 54322 54322 54322",
            (Self::Root, "supplementary groups") => "7 54323",
            (Self::Root, "effective capabilities" | "permitted capabilities") => "",
            (Self::Root, "no_new_privs") => "1",
            (Self::Root, "umask") => "0027",
            (Self::Root | Self::User | Self::Nobody, _) => return self.has(property),
        };
        Some(value.to_owned())
    }
}

/// What is true of a daemon, on which rows of the tables depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Background,
    Foreground,
    Activated,
    Upgraded,
    Probing,
    Reading,
    Calling,
}

impl Mode {
    /// Reads the cell that says when a row counts; `None` for always.
    fn of_cell(cell: &str) -> Option<Self> {
        match cell {
            "always" => None,
            "in the background" => Some(Self::Background),
            "in the foreground" => Some(Self::Foreground),
            "socket activation" => Some(Self::Activated),
            "after an upgrade" => Some(Self::Upgraded),
            "while it has a probe" => Some(Self::Probing),
            "while it reads settings" => Some(Self::Reading),
            "while it calls a hook" => Some(Self::Calling),
            other => panic!("{other:?} is no mode"),
        }
    }
}

/// A daemon whose processes are looked at.
#[derive(Debug)]
pub(crate) struct Daemonlike<'a> {
    scene: &'a Scene,
    program: PathBuf,
    /// The process that the test has started.
    started: u32,
    owner: Owner,
    status_port: u16,
    modes: BTreeSet<Mode>,
    tables: Tables,
    differences: Vec<String>,
}

impl<'a> Daemonlike<'a> {
    fn new(
        owner: Owner,
        program: &Program<'_>,
        scene: &'a Scene,
        started: u32,
        modes: &[Mode],
    ) -> Self {
        Self::of(ONE_POOL, (owner, program.path()), scene, started, modes)
    }

    fn of(
        section: Section,
        (owner, program): (Owner, &Path),
        scene: &'a Scene,
        started: u32,
        modes: &[Mode],
    ) -> Self {
        Self {
            scene,
            program: program.to_owned(),
            started,
            owner,
            status_port: status(scene).port(),
            modes: modes.iter().copied().collect(),
            tables: Tables::read(section),
            differences: Vec::new(),
        }
    }

    fn program(&self) -> &Path {
        &self.program
    }

    /// Notes how a process differs from what the tables say, having waited for what is there for a moment only.
    fn compare(&mut self, kind: Kind, pid: u32) {
        let begun = Instant::now();
        let faults = loop {
            let faults = self.faults_at_once(kind, pid);
            if faults.is_empty() || begun.elapsed() > PATIENCE_WITH_EACH {
                break faults;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let place = format!("{} {pid} {:?}", kind.name(), self.modes);
        self.differences.extend(faults.iter().map(|fault| format!("{place}: {fault}")));
    }

    /// Asserts that there was no difference.
    #[track_caller]
    fn assert_as_listed(&self) {
        let differences = self.differences.join("\n");
        assert!(differences.is_empty(), "not as ARCHITECTURE.md lists it:\n{differences}");
    }

    /// Looks at a parent while it stands still: what it opens and closes in passing would be another thing at each
    /// look, where the machine is busy and looks take long.
    fn faults_at_once(&self, kind: Kind, pid: u32) -> Vec<String> {
        let stands = kind.is_parent() && kill(pid, Signal::STOP);
        let has_stopped = || find_process(pid).is_none_or(|process| process.state == 'T');
        if stands {
            wait_until(PATIENCE, "the parent stands still", has_stopped);
        }
        let faults = self.faults(kind, pid);
        if stands {
            assert!(kill(pid, Signal::CONT), "it goes on");
        }
        faults
    }

    fn faults(&self, kind: Kind, pid: u32) -> Vec<String> {
        let Some(things) = holding::things(pid, self) else {
            return vec!["it has gone".to_owned()];
        };
        let tables = &self.tables;
        let listed = tables.things.iter().map(|row| row.what.clone());
        let all: BTreeSet<String> = listed.chain(things.keys().cloned()).collect();
        let mut faults = Vec::new();
        for what in all {
            let there = things.get(&what).map_or(&[][..], Vec::as_slice);
            let (fewest, most) = tables.count(&what, kind, &self.modes);
            let kind_of_fault = if there.len() > most {
                "unexpected"
            } else if there.len() < fewest {
                "missing"
            } else {
                continue;
            };
            let count = there.len();
            faults.push(format!(
                "{kind_of_fault}: {what}: {count}, expected {fewest} to {most}: {there:?}"
            ));
        }
        for row in &tables.properties {
            if let Some(cell) = row.cell(kind, &self.modes)
                && let Err(fault) = holding::check(pid, &row.what, cell, self)
            {
                faults.push(format!("{}: {fault}", row.what));
            }
        }
        faults
    }
}

fn status(scene: &Scene) -> SocketAddr {
    SocketAddr::new(scene.address().ip(), 9000)
}

/// With everything that has a descriptor, a mapping or a process of its own.
fn everything<'a>(launch: Launch<'a>, scene: &Scene) -> Launch<'a> {
    let launch = launch.board().args(["--status-listen", &status(scene).to_string()]);
    let launch = launch.args(["--prefork", "2", "--max-children", "5"]);
    fs::write(scene.path("settings"), "").expect("written");
    let launch = launch.path("--settings", "settings").args(["--jobs", "0", "--figures"]);
    launch.args(["--on-client-disconnect", "slow", "--netwatch-interval", "50"])
}

/// Finds a process of the daemon by what `ps` shows.
#[track_caller]
fn find(parent: u32, title: &str) -> u32 {
    let mut found = None;
    wait_until(PATIENCE, &format!("there is a process {title}"), || {
        let children = all_processes().into_iter().filter(|process| process.parent == parent);
        found = children
            .map(|child: Process| (child.pid, child.command_line()))
            .find_map(|(pid, line)| line.contains(title).then_some(pid));
        found.is_some()
    });
    found.expect("it was found")
}

/// Looks at all kinds of processes that a daemon with children has, and stops it.
#[track_caller]
fn assert_all(mut of: Daemonlike<'_>, program: &Program<'_>, daemon: &Daemon<'_>) {
    let parent = daemon.pid();
    daemon.get("/").expect("it serves");
    of.compare(Kind::Parent, parent);
    of.compare(Kind::Child, find(parent, "[child]"));
    of.compare(Kind::Status, find(parent, "[status]"));
    of.compare(Kind::Demand, find(parent, "[demand]"));

    let mut client = TcpStream::connect(of.scene.address()).expect("connected");
    client.write_all(b"GET /sleep/60000 HTTP/1.1\r\n\r\n").expect("sent");
    let has_it = |child: &u32| {
        let things = holding::things(*child, &of).unwrap_or_default();
        things.keys().any(|what| what.starts_with("TCP connection"))
    };
    wait_until(PATIENCE, "a child has it in hand", || daemon.living().iter().any(has_it));
    drop(client);
    of.compare(Kind::Hook, find(parent, "[hook]"));
    of.modes.insert(Mode::Calling);
    of.compare(Kind::Parent, parent);

    let settings = of.scene.path("settings");
    fs::remove_file(&settings).expect("removed");
    mkfifo(&settings, FileMode::from_bits_truncate(0o644)).expect("made");
    daemon.signal(Signal::HUP);
    // Nobody writes to it, so it is being opened for ever.
    of.compare(Kind::Settings, find(parent, &settings.display().to_string()));
    of.modes.insert(Mode::Reading);
    of.compare(Kind::Parent, parent);
    of.modes.remove(&Mode::Reading);
    // What is no text is refused, and nobody is replaced.
    let mut pipe = File::options().write(true).open(&settings).expect("opened for who reads it");
    pipe.write_all(b"\xff").expect("it is being read");
    drop(pipe);
    fs::remove_file(&settings).expect("removed");
    fs::write(&settings, "").expect("written");

    program.install("--init-delay 60000");
    daemon.signal(Signal::USR2);
    // As it is to be a parent, it is called so.
    of.compare(Kind::Probe, find(parent, "[parent]"));
    of.modes.insert(Mode::Probing);
    of.compare(Kind::Parent, parent);
    of.assert_as_listed();
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

#[test]
fn a_daemon_in_the_background_holds_what_is_listed() {
    let scene = scene!();
    let (program, owner) = (scene.program(), Owner::of_this_test());
    let daemon = owner.apply(everything(program.launch(), &scene)).daemon();
    let modes = [Mode::Background];
    assert_all(Daemonlike::new(owner, &program, &scene, daemon.pid(), &modes), &program, &daemon);
}

#[test]
fn a_daemon_in_the_foreground_holds_what_is_listed() {
    let scene = scene!();
    let (program, owner) = (scene.program(), Owner::of_this_test());
    let daemon = owner.apply(everything(program.launch(), &scene)).foreground();
    let modes = [Mode::Foreground];
    assert_all(Daemonlike::new(owner, &program, &scene, daemon.pid(), &modes), &program, &daemon);
}

#[test]
fn a_daemon_of_nobody_holds_what_is_listed() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let (program, owner) = (scene.program(), Owner::Nobody);
    if !require_open_to_others(program.path()) {
        return;
    }
    chown(scene.path(""), Some(65534), Some(65534)).expect("root may");
    let daemon = owner.apply(everything(program.launch(), &scene)).foreground();
    let modes = [Mode::Foreground];
    assert_all(Daemonlike::new(owner, &program, &scene, daemon.pid(), &modes), &program, &daemon);
}

#[test]
fn a_daemon_with_sockets_of_a_service_manager_holds_what_is_listed() {
    let scene = scene!();
    let (program, owner) = (scene.program(), Owner::of_this_test());
    let socket = format!("web={}", scene.address());
    let launch = owner.apply(everything(program.launch(), &scene));
    let launch = launch.under([env!("CARGO_BIN_EXE_activator"), &socket, "--"]);
    let (daemon, modes) = (launch.foreground(), [Mode::Foreground, Mode::Activated]);
    assert_all(Daemonlike::new(owner, &program, &scene, daemon.pid(), &modes), &program, &daemon);
}

#[test]
fn a_daemon_that_has_become_another_program_holds_what_is_listed() {
    let scene = scene!();
    let (program, owner) = (scene.program(), Owner::of_this_test());
    let daemon = owner.apply(everything(program.launch(), &scene)).daemon();
    let before = daemon.living();
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "the new program serves, and nobody else", || {
        let renewed = daemon.living().iter().all(|child| !before.contains(child));
        renewed && daemon.get("/version").is_ok_and(|reply| reply.body == "2")
    });
    let modes = [Mode::Background, Mode::Upgraded];
    assert_all(Daemonlike::new(owner, &program, &scene, daemon.pid(), &modes), &program, &daemon);
}

#[test]
fn a_daemon_without_children_holds_what_is_listed() {
    for mode in [Mode::Background, Mode::Foreground] {
        let scene = scene!();
        let (program, owner) = (scene.program(), Owner::of_this_test());
        let launch = owner.apply(program.launch().args(["--prefork", "0", "--figures"]));
        let daemon = if mode == Mode::Background { launch.daemon() } else { launch.foreground() };
        daemon.get("/").expect("it serves");
        let mut of = Daemonlike::new(owner, &program, &scene, daemon.pid(), &[mode]);
        of.compare(Kind::Alone, daemon.pid());
        of.assert_as_listed();
        // Its pid file stays: it has changed its user, and the directory is root's.
        daemon.signal(Signal::TERM);
        assert!(daemon.wait_for_end(PATIENCE).is_success());
    }
}
