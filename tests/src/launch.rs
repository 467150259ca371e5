//! Starting programs.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Daemon, End, PATIENCE, Process, Scene, Terminal, children, reaper, wait_until};

/// A program about to be started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Launch<'a> {
    scene: &'a Scene,
    wrapper: Vec<OsString>,
    program: OsString,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    terminal: Option<&'a Terminal>,
    stdout: Option<Arc<OwnedFd>>,
    stderr: Option<Arc<OwnedFd>>,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(scene: &'a Scene, program: impl Into<OsString>) -> Self {
        let (wrapper, args, variables) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            scene,
            wrapper,
            program: program.into(),
            args,
            variables,
            terminal: None,
            stdout: None,
            stderr: None,
        }
    }

    /// Returns the scene in which it is started.
    pub fn scene(&self) -> &'a Scene {
        self.scene
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds one argument that is a path of the scene: `--name PATH`.
    pub fn path(self, name: &str, file: &str) -> Self {
        let path = self.scene.path(file);
        self.args([OsStr::new(name), path.as_os_str()])
    }

    /// Adds one argument that is the path of a UNIX socket of the scene: `--name PATH`.
    pub fn socket(self, name: &str, file: &str) -> Self {
        let path = self.scene.socket(file);
        self.args([OsStr::new(name), path.as_os_str()])
    }

    /// Adds the documented paths: `pid`, `error.log` and `access.log` in the directory of the test.
    pub fn paths(self) -> Self {
        self.path("--pid-path", "pid")
            .path("--error-log-path", "error.log")
            .path("--access-log-path", "access.log")
    }

    /// Adds a scoreboard: `scoreboard` in the directory of the test. The pool then follows its load.
    pub fn board(self) -> Self {
        self.path("--scoreboard-path", "scoreboard")
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Starts it through another program, whose arguments end with the command to run.
    pub fn under<A: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        let mut words: Vec<_> = wrapper.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        words.append(&mut self.wrapper);
        self.wrapper = words;
        self
    }

    /// Starts it from a shell that first does `prelude`, and then becomes the program.
    pub fn after_shell(self, prelude: &str) -> Self {
        self.under(["/bin/sh", "-c", &format!("{prelude}\nexec \"$@\""), "sh"])
    }

    /// Lets it read from and write to a terminal.
    pub fn on(mut self, terminal: &'a Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// Sends its standard output where `descriptor` leads, by the same open file description.
    pub fn stdout(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.stdout = Some(Arc::new(descriptor.into()));
        self
    }

    /// Sends its standard error where `descriptor` leads, by the same open file description.
    pub fn stderr(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(Arc::new(descriptor.into()));
        self
    }

    /// Starts it, in a process group of its own.
    ///
    /// Its output goes to files and not to pipes, on which a daemon that wrongly kept one could make
    /// the test wait for ever.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    #[track_caller]
    pub fn start(self) -> Running<'a> {
        let mut words = self.wrapper.iter().chain([&self.program]).chain(&self.args);
        let mut command = Command::new(words.next().expect("there is a program"));
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.args(words).envs(variables).envs(self.scene.marks());
        let number = self.scene.note_command(format!("{command:?}"));
        let (stdout, stderr) = (self.output(number, "stdout"), self.output(number, "stderr"));
        let create = |path| File::create(path).expect("a file for the output can be made");
        command
            // A backtrace of every panic asked for would bury what a log has to say.
            .env("RUST_BACKTRACE", "0")
            .current_dir(self.scene.directory())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr));
        if let Some(terminal) = self.terminal {
            command.stdin(terminal.other_end()).stdout(terminal.other_end());
        }
        let copy = |fd: &Arc<OwnedFd>| fd.try_clone().expect("a descriptor can be had");
        if let Some(stdout) = &self.stdout {
            command.stdout(copy(stdout));
        }
        if let Some(stderr) = &self.stderr {
            command.stderr(copy(stderr));
        }
        let pid = reaper::spawn(&mut command)
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Running { scene: self.scene, pid, stdout, stderr }
    }

    fn output(&self, number: usize, name: &str) -> PathBuf {
        self.scene.path(&format!("{number}.{name}"))
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// Panics if it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.start().finish()
    }

    /// Starts it as a daemon, with the documented paths, and waits for its launcher.
    ///
    /// # Panics
    ///
    /// Panics if the launcher fails, or there is no daemon behind the pid file then.
    #[track_caller]
    pub fn daemon(self) -> Daemon<'a> {
        let scene = self.scene;
        let launcher = self.args(["--daemonize"]).paths().finish();
        assert!(launcher.end.is_success(), "the launcher failed: {launcher:?}");
        Daemon::of_pid_file(scene)
    }

    /// Starts it in the foreground, with the documented paths, and waits until it says that it is
    /// ready.
    ///
    /// # Panics
    ///
    /// Panics if it does not become ready within [`PATIENCE`].
    #[track_caller]
    pub fn foreground(self) -> Daemon<'a> {
        self.paths().start().ready()
    }
}

/// A process that has been started.
#[derive(Debug)]
#[must_use]
pub struct Running<'a> {
    scene: &'a Scene,
    pid: u32,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl<'a> Running<'a> {
    /// Waits until its error log says that it is ready, and finds the daemon behind the pid file.
    ///
    /// # Panics
    ///
    /// Panics if it does not become ready within [`PATIENCE`].
    #[track_caller]
    pub fn ready(&self) -> Daemon<'a> {
        wait_until(PATIENCE, "the daemon says that it is ready", || {
            assert_eq!(self.end(), None, "the daemon ended at the start");
            !self.scene.lines_with("error.log", "parent info: ready").is_empty()
        });
        Daemon::of_pid_file(self.scene)
    }

    /// Returns its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.end().is_none() {
            // Our own child, not reaped: nobody else can have its pid. Its environment may still be
            // ours, so that is not asked for.
            reaper::signal_if(self.pid, signal, || true);
        }
    }

    /// Sends a signal to its whole process group, as a terminal does; nothing happens if it has ended.
    pub fn signal_group(&self, signal: Signal) {
        let group = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if self.end().is_none()
            && let Some(group) = group
        {
            // It leads the group and is not reaped: nobody else's group can have that number.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Returns how it has ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        reaper::end_of(self.pid)
    }

    /// Returns the pids of its children that are alive, but not of the process that is asked how many jobs wait.
    #[must_use]
    pub fn living(&self) -> Vec<u32> {
        let is_child = |child: &Process| !child.is_zombie() && !child.is_demand_process();
        let alive = children(self.pid).into_iter().filter(is_child);
        alive.map(|child| child.pid).collect()
    }

    /// Sends it a SIGTERM, and asserts that it ends in order.
    ///
    /// # Panics
    ///
    /// Panics as [`assert_ends_in_order`](Self::assert_ends_in_order) does.
    #[track_caller]
    pub fn stop_in_order(&self) {
        self.signal(Signal::TERM);
        self.assert_ends_in_order();
    }

    /// Asserts that it ends with status 0, and that nothing is left of what its scene has started.
    ///
    /// # Panics
    ///
    /// Panics if that is not so within [`PATIENCE`].
    #[track_caller]
    pub fn assert_ends_in_order(&self) {
        let finished = self.finish();
        assert!(finished.end.is_success(), "{finished:?}");
        self.scene.wait_until_deserted(PATIENCE);
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// Panics if it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn finish(&self) -> Finished {
        let pid = self.pid;
        wait_until(PATIENCE, &format!("process {pid} ends"), || self.end().is_some());
        let end = self.end().expect("it has ended");
        let read = |path: &PathBuf| {
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
        };
        Finished { end, stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

/// What a process has left that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Asserts that it failed, and wrote `text` to its standard error.
    ///
    /// # Panics
    ///
    /// Panics otherwise.
    #[track_caller]
    pub fn assert_refused(&self, text: &str) {
        assert!(!self.end.is_success(), "it should have failed: {self:?}");
        assert!(self.stderr.contains(text), "standard error should say {text:?}: {self:?}");
    }
}
