//! Starting a daemon.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, OpenOptions},
    io,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Daemon, End, PATIENCE, notices::Notices, places::Places, reaper, wait::holds_within};

/// The variable by which all that a daemon has started is known.
pub(crate) const MARK: &str = "PREFORK_TESTING";

/// What a service manager may have left in the environment of the test, and is for nobody else.
const OF_OTHERS: [&str; 8] = [
    "FDSTORE",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// A daemon that is about to be started.
///
/// Arguments and the values of variables may have placeholders:
///
/// | placeholder | what it becomes |
/// | --- | --- |
/// | `{address}` | an address of loopback, `127.0.0.1:PORT`, that is free and stays reserved: [`Daemon::address`] |
/// | `{port}` | its port |
/// | `{address:NAME}`, `{port:NAME}` | the same of further addresses: [`Daemon::address_of`] |
/// | `{pid_file}`, `{access_log}` | paths in the daemon's directory |
/// | `{board}` | the same; [`Daemon::children`] knows what each child does then |
/// | `{error_log}` | the same; [`Daemon::logs`] reads it, and standard error where it is not used |
/// | `{path:NAME}`, `{directory}` | a path in the daemon's directory, and that: [`Daemon::path`] |
///
/// A program that reads its settings by `Settings::from_environment("app")` needs no arguments for that:
/// `.variable("APP_PID_PATH", "{pid_file}")`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    files: Vec<(String, String)>,
    ready_within: Duration,
}

/// Why a daemon has not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program cannot be run at all.
    #[error("cannot run {}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has ended.
    #[error("{} {end} before it was ready; it has printed:\n{log}", program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// How it has ended.
        end: End,
        /// The last lines of what it has printed and logged.
        log: String,
    },
    /// It has not said in time that it is ready, as a daemon does by `READY=1` to the service manager.
    #[error("{} was not ready within {limit:?}; it has printed:\n{log}", program.display())]
    NotReady {
        /// The program.
        program: PathBuf,
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of what it has printed and logged.
        log: String,
    },
}

impl Launch {
    /// Prepares to start a program; a path without a directory is one of the working directory.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            variables: Vec::new(),
            files: Vec::new(),
            ready_within: PATIENCE,
        }
    }

    /// Prepares to start an example of the package under test, which `cargo test` builds before its tests.
    ///
    /// With `--test NAME`, cargo builds no examples: then `--examples` has to be given as well.
    ///
    /// # Panics
    ///
    /// Panics if it is not there.
    #[track_caller]
    pub fn example(name: &str) -> Self {
        let test = env::current_exe().expect("the path of the test program is known");
        let program = example_beside(&test, name);
        assert!(
            program.exists(),
            "there is no example {}; `cargo build --example {name}` makes it",
            program.display()
        );
        Self::new(program)
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Writes a file to the daemon's directory first, a file of settings say, whose text may have placeholders; its path is
    /// `{path:NAME}`.
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// Waits no longer than this until it is ready; 20 s by default.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started, ends, or is not ready in time.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Daemon {
        match self.try_start() {
            Ok(daemon) => daemon,
            Err(StartError::NotRun { program, source }) => {
                panic!("cannot run {}: {source}", program.display())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, for a start that may fail.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it cannot be started, ends, or is not ready in time.
    ///
    /// # Panics
    ///
    /// Panics where the system refuses what the test itself needs: a directory, a socket.
    pub fn try_start(self) -> Result<Daemon, StartError> {
        let places = Places::make().expect("a directory for the daemon can be made");
        let notices = Notices::open(places.name()).expect("a socket for its notices can be made");
        let not_run = |source| StartError::NotRun { program: self.program.clone(), source };
        let command = self.command(&places, notices.name()).map_err(|error| {
            let _ = fs::remove_dir_all(places.directory());
            not_run(error)
        })?;
        let shown = format!("{command:?}");
        let mark = format!("{MARK}={}", places.name());
        let spawned = reaper::spawn(command);
        // From here on it is the daemon's to clear up.
        let mut daemon = Daemon::new(places, notices, mark, shown);
        let pid = spawned.map_err(not_run)?;
        daemon.set_pid(pid);
        self.wait_until_ready(daemon, pid)
    }

    fn wait_until_ready(self, mut daemon: Daemon, started: u32) -> Result<Daemon, StartError> {
        let Self { program, ready_within: limit, .. } = self;
        let mut found = None;
        holds_within(limit, || {
            found = begun(&daemon, started);
            found.is_some()
        });
        match found {
            Some(Begun::Foreground) => Ok(daemon),
            Some(Begun::Background { pid }) => {
                daemon.adopt(pid);
                Ok(daemon)
            }
            Some(Begun::Ended(end)) => {
                Err(StartError::Ended { program, end, log: daemon.last_lines() })
            }
            None => Err(StartError::NotReady { program, limit, log: daemon.last_lines() }),
        }
    }

    /// Makes the files of a daemon, and the command that starts it.
    fn command(&self, places: &Places, notify: &str) -> io::Result<Command> {
        for (name, text) in &self.files {
            fs::write(places.path(name), places.fill(OsStr::new(text)).as_encoded_bytes())?;
        }
        let mut command = Command::new(link(&self.program, places)?);
        for name in OF_OTHERS {
            command.env_remove(name);
        }
        let variables = self.variables.iter().map(|(name, value)| (name, places.fill(value)));
        let create = |name| {
            let path = places.path(name);
            OpenOptions::new().create(true).append(true).open(path)
        };
        command
            .args(self.args.iter().map(|arg| places.fill(arg)))
            // A backtrace of every panic asked for would bury what a log has to say.
            .env("RUST_BACKTRACE", "0")
            .envs(variables)
            .env("NOTIFY_SOCKET", notify)
            .env(MARK, places.name())
            .current_dir(places.directory())
            .process_group(0)
            .stdin(Stdio::null())
            // Files, and not pipes: whoever kept one open could make the test wait for ever.
            .stdout(create("stdout")?)
            .stderr(create("stderr")?);
        Ok(command)
    }
}

/// Returns where cargo has put an example, seen from a test program: that is in `deps/` beside `examples/`.
fn example_beside(test: &Path, name: &str) -> PathBuf {
    let folder = test.ancestors().nth(2).unwrap_or(Path::new("."));
    folder.join("examples").join(name)
}

/// What has become of a start.
#[derive(Clone, Copy, Debug)]
enum Begun {
    /// The process that was started is the daemon.
    Foreground,
    /// It has left one.
    Background {
        /// The daemon.
        pid: u32,
    },
    /// It has left none.
    Ended(End),
}

fn begun(daemon: &Daemon, started: u32) -> Option<Begun> {
    match (reaper::end_of(started), daemon.notices().ready()) {
        (None, Some(pid)) if pid == started => Some(Begun::Foreground),
        // The launcher still runs, or the daemon is not ready.
        (None, _) => None,
        (Some(end), _) if !end.is_success() => Some(Begun::Ended(end)),
        (Some(_), Some(pid)) if pid != started => Some(Begun::Background { pid }),
        (Some(end), _) => daemon.is_deserted().then_some(Begun::Ended(end)),
    }
}

/// The link by which a program is started, so that another can take its place.
pub(crate) fn link(program: &Path, places: &Places) -> io::Result<PathBuf> {
    let target = env::current_dir()?.join(program);
    // One that is not there is to be named by its own path.
    fs::metadata(&target)?;
    let link = places.path("program");
    let new = places.path("program.new");
    symlink(&target, &new)?;
    fs::rename(&new, &link)?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_beside_the_tests() {
        let test = Path::new("/a/target/debug/deps/deploy-0123");
        assert_eq!(example_beside(test, "axum"), Path::new("/a/target/debug/examples/axum"));
    }

    #[test]
    #[should_panic(expected = "`cargo build --example none-of-that-name` makes it")]
    fn an_example_that_is_not_there_is_named() {
        let _ = Launch::example("none-of-that-name");
    }
}
