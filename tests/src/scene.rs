//! One test with its directory, its address and its processes.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, Once, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::Mode,
    process::{Signal, umask},
};
use tempfile::TempDir;

use crate::{Launch, PATIENCE, Process, Program, limit::Limit, proc, reaper, wait_until};

/// The variable that holds the pid of the test program, in every process of every scene.
pub(crate) const MARK: &str = "PREFORK_TESTS";

/// The variable that distinguishes the scenes of one test program.
const SCENE: &str = "PREFORK_TESTS_SCENE";

/// The variable that names another folder for the directories of tests.
const FOLDER: &str = "PREFORK_TESTS_FOLDER";

/// How many scenes this test program has had.
static SCENES: AtomicU32 = AtomicU32::new(0);

/// How many of the last commands, and of the last lines of each file, a failing test prints.
const COMMANDS_SHOWN: usize = 10;
const LINES_SHOWN: usize = 60;

/// The programs under test, and where their files go; cargo gives these to integration tests alone.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// The example.
    pub hello: &'static str,
    /// The daemon that misbehaves on request.
    pub probe: &'static str,
    /// The folder for the directories of tests.
    pub folder: &'static str,
}

/// Makes a [`Scene`] named after the test in which it stands.
#[macro_export]
macro_rules! scene {
    () => {{
        fn here() {}
        let programs = $crate::Programs {
            hello: env!("CARGO_BIN_EXE_hello"),
            probe: env!("CARGO_BIN_EXE_probe"),
            folder: env!("CARGO_TARGET_TMPDIR"),
        };
        $crate::Scene::new(std::any::type_name_of_val(&here), programs)
    }};
}

/// A test: its directory, its address, and all processes that it has started.
///
/// When it is dropped, all of them are killed and reaped, by pid. When it is dropped because the
/// test has failed, what helps to find out why is printed first, and the directory is kept.
#[derive(Debug)]
pub struct Scene {
    programs: Programs,
    directory: PathBuf,
    mark: String,
    address: SocketAddr,
    sockets: OnceLock<TempDir>,
    commands: Mutex<Vec<String>>,
    /// Holds until everything has been cleared away.
    _limit: Limit,
}

impl Scene {
    /// Begins a scene; to be called through [`scene!`](crate::scene).
    ///
    /// # Panics
    ///
    /// Panics if the directory cannot be made.
    #[must_use]
    pub fn new(test: &str, programs: Programs) -> Self {
        // So that others can come where a test is about them, whoever runs it.
        static UMASK: Once = Once::new();
        UMASK.call_once(|| _ = umask(Mode::from_raw_mode(0o022)));
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let name = test.trim_end_matches("::here").replace("::", ".");
        let name = format!("{name}.{}.{number}", process::id());
        let directory = folder(programs).join(&name);
        fs::create_dir_all(&directory).expect("the directory of the test can be made");
        Self {
            programs,
            directory,
            mark: format!("{SCENE}={name}"),
            address: address(process::id(), number),
            sockets: OnceLock::new(),
            commands: Mutex::default(),
            _limit: Limit::start(&name),
        }
    }

    /// Returns the path of a file in the directory of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns what is in a file of the test; nothing if it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Returns the lines of a file of the test that contain `text`.
    #[must_use]
    pub fn lines_with(&self, name: &str, text: &str) -> Vec<String> {
        self.read(name).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Returns how many lines of the daemon's own log contain `text`.
    #[must_use]
    pub fn logged(&self, text: &str) -> usize {
        self.lines_with("error.log", text).len()
    }

    /// Waits for a line of the daemon's own log that contains `text`.
    ///
    /// # Panics
    ///
    /// Panics if there is none in time.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) {
        wait_until(PATIENCE, text, || self.logged(text) > 0);
    }

    /// Returns the path of a UNIX socket of the test, in a directory of its own: a socket's has room for 107
    /// bytes, which the directory of the test may not leave.
    ///
    /// # Panics
    ///
    /// Panics if the directory cannot be made.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        let make = || tempfile::Builder::new().prefix("prefork-").tempdir_in("/tmp");
        self.sockets.get_or_init(|| make().expect("a directory can be made")).path().join(name)
    }

    /// Returns an address of loopback on which nobody else listens, be it another test or a service of the
    /// machine.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a second address like that.
    #[must_use]
    pub fn other_address(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.address.port() + 1)
    }

    /// Returns a third address like that, for the status page.
    #[must_use]
    pub fn page(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.address.port() + 2)
    }

    /// Returns a fourth address like that, for what everybody may ask.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.address.port() + 3)
    }

    /// Prepares to start the example.
    pub fn hello(&self) -> Launch<'_> {
        Launch::new(self, self.programs.hello).args(["--listen", &self.address().to_string()])
    }

    /// Prepares to start the daemon that misbehaves on request.
    pub fn probe(&self) -> Launch<'_> {
        Launch::new(self, self.programs.probe).args(["--listen", &self.address().to_string()])
    }

    /// Makes a program file of the scene's own, the daemon that misbehaves on request.
    #[must_use]
    pub fn program(&self) -> Program<'_> {
        self.program_of(self.programs.probe)
    }

    /// Makes a program file of the scene's own of another program, which is to read arguments at the end of its file.
    #[must_use]
    pub fn program_of(&self, original: &str) -> Program<'_> {
        Program::new(self, original)
    }

    /// Prepares to start any other program.
    pub fn tool(&self, program: &str) -> Launch<'_> {
        Launch::new(self, program)
    }

    /// Returns all processes of this scene that are alive.
    ///
    /// A process that has ended has no environment any more, so no zombie is among them.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        marked(&self.mark)
    }

    /// Waits until no process of this scene is alive, and what they held is given back.
    ///
    /// # Panics
    ///
    /// Panics after `limit`.
    #[track_caller]
    pub fn wait_until_deserted(&self, limit: Duration) {
        crate::wait_until(limit, "no process is left", || self.processes().is_empty());
        // A process that is leaving just now does not show any more whose it is.
        for leaving in proc::all().into_iter().filter(Process::is_leaving) {
            let has_left = || proc::find(leaving.pid).is_none_or(|process| !process.is_leaving());
            crate::wait_until(limit, &format!("process {} has left", leaving.pid), has_left);
        }
    }

    /// Asserts that no process is alive and no file is left that means a daemon.
    ///
    /// # Panics
    ///
    /// Panics otherwise.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        for file in ["pid", "scoreboard"] {
            assert!(!self.path(file).exists(), "{file} is left");
        }
        let left = self.processes();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn marks(&self) -> [(&str, String); 2] {
        let (name, value) = self.mark.split_once('=').expect("it has one");
        [(name, value.to_owned()), (MARK, process::id().to_string())]
    }

    pub(crate) fn note_command(&self, command: String) -> usize {
        let mut commands = self.commands.lock().expect("no holder panics");
        commands.push(command);
        commands.len()
    }

    /// Prints what there is to know about a failure.
    fn report(&self) {
        eprintln!("---- scene {}", self.directory.display());
        let commands = self.commands.lock().expect("no holder panics");
        // More than that is a loop, of which the last rounds matter.
        let shown = &commands[commands.len().saturating_sub(COMMANDS_SHOWN)..];
        shown.iter().for_each(|command| eprintln!("  {command}"));
        self.report_processes();
        self.report_files();
    }

    fn report_processes(&self) {
        eprintln!("---- processes (pid, parent, session, state)");
        let mine = self.processes();
        let zombies = proc::all().into_iter().filter(|process| {
            process.is_zombie() && mine.iter().any(|parent| parent.pid == process.parent)
        });
        for process in mine.iter().cloned().chain(zombies) {
            let Process { pid, parent, session, state, .. } = process;
            eprintln!("  {pid} {parent} {session} {state} {}", process.command_line());
        }
    }

    fn report_files(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.is_file()) {
            let content = fs::read(path).unwrap_or_default();
            if content.contains(&0) {
                eprintln!("---- {} ({} bytes)", path.display(), content.len());
                continue;
            }
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<&str> = content.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            if !shown.is_empty() {
                eprintln!("---- {} ({} lines)", path.display(), lines.len());
                shown.iter().for_each(|line| eprintln!("  {line}"));
            }
        }
    }

    /// Kills and reaps all processes.
    fn clear(&self) {
        kill_marked(&self.mark);
        reaper::collect_all();
    }
}

/// Returns the processes that are alive and have this in their environment.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let mut all = proc::all();
    all.retain(|process| !process.is_zombie() && process.has_in_environment(mark));
    all
}

/// Kills them all, and what they start meanwhile.
pub(crate) fn kill_marked(mark: &str) {
    let begun = Instant::now();
    loop {
        let processes = marked(mark);
        if processes.is_empty() || begun.elapsed() > PATIENCE {
            break;
        }
        for Process { pid, .. } in processes {
            let is_meant =
                || proc::find(pid).is_some_and(|process| process.has_in_environment(mark));
            reaper::signal_if(pid, Signal::KILL, is_meant);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Where the directories of tests go. A daemon of root's makes no files in a folder of somebody else's, as
/// that of the build is when root tests what another user has checked out.
fn folder(programs: Programs) -> PathBuf {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap_or_else(|| programs.folder.into()));
    let is_root = rustix::process::geteuid().is_root();
    if is_root && prefork::reload::trusted_way(folder.join("test"), 0).is_err() {
        std::env::temp_dir()
    } else {
        folder
    }
}

/// Chooses the address of a scene: no two have the same IP address in one test program, nor the same address
/// and port in any two.
///
/// The port and the three after it are below those that the kernel gives to clients, and free.
fn address(process: u32, scene: u32) -> SocketAddr {
    let [_, highest, high, low] = process.to_be_bytes();
    // 127.0.0.1 is for the services of the machine.
    let network = u8::try_from(1 + scene % 254).expect("it is small");
    let ip = Ipv4Addr::new(127, network, high, low);
    // A pid has 22 bits (see `proc_sys_kernel(5)`), of which this is the rest.
    let first = 10_000 + 10 * (u16::from(highest) % 64);
    let is_free = |port: &u16| (*port..port + 4).all(|port| TcpListener::bind((ip, port)).is_ok());
    let port = (first..first + 7).find(is_free).unwrap_or(first);
    SocketAddr::from((ip, port))
}

impl Drop for Scene {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            self.report();
        }
        self.clear();
        if !failed {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
