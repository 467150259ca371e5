//! Starting the program: a process of its own, with what it is handed and nothing else.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::Command,
};

use nix::sys::resource::setrlimit;
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{
        Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal,
        set_parent_process_death_signal, setpgid,
    },
};
use thiserror::Error;

use crate::{
    Program, Stdin,
    environment::{REMOVED, variables},
    sockets::{FIRST, Sockets},
    sys,
    template::Values,
};

/// The program that a child runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: Pid,
    /// Becomes readable when its first process ends.
    pub(crate) pidfd: OwnedFd,
}

/// What the program prints into, and where it reports.
#[derive(Debug)]
pub(crate) struct Handed<'a> {
    /// Its standard input, where that is none of [`Stdin`].
    pub(crate) stdin: Option<BorrowedFd<'a>>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    pub(crate) notify_socket: Option<&'a str>,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// Whose connection it has, where it has one and that has an address.
    pub(crate) client: Option<SocketAddr>,
}

/// Why a program could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The system has no process or no descriptor for it.
    #[error("cannot make a process for the program")]
    Process(#[source] io::Error),
    /// It could not be executed.
    #[error("cannot execute {program:?}")]
    Execute {
        /// The program, as it was looked for.
        program: OsString,
        /// What the system says.
        source: io::Error,
    },
    /// Something that was asked for it was refused.
    #[error("cannot {what} of the program")]
    Prepare {
        /// What that is.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Running {
    /// Starts it.
    pub(crate) fn start(
        program: &Program,
        sockets: &Sockets,
        handed: &Handed<'_>,
    ) -> Result<Self, SpawnError> {
        let (mut report, far) = pipe_with(PipeFlags::CLOEXEC)
            .map(|(near, far)| (File::from(near), far))
            .map_err(|errno| SpawnError::Process(errno.into()))?;
        let parent = getpid();
        let pid = match sys::fork().map_err(SpawnError::Process)? {
            sys::Forked::Parent { child } => child,
            sys::Forked::Child => become_program(program, sockets, handed, parent, far),
        };
        drop(far);
        let mut problem = Vec::new();
        // It ends with the exec, or with the process.
        let _ = report.read_to_end(&mut problem);
        let pidfd = pidfd_open(pid, PidfdFlags::empty());
        match Failure::read(&problem, program) {
            None => {
                let pidfd = pidfd.map_err(|errno| SpawnError::Process(errno.into()))?;
                Ok(Self { pid, pidfd })
            }
            Some(error) => {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(error)
            }
        }
    }

    /// Sends it a signal, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// What has gone wrong between fork and exec, as it crosses the pipe: the error number, and what was done.
struct Failure;

impl Failure {
    fn write(mut report: File, what: &str, error: &io::Error) -> ! {
        let number = error.raw_os_error().unwrap_or(nix::libc::EINVAL);
        let text = [&number.to_ne_bytes()[..], what.as_bytes()].concat();
        // Nobody else could be told.
        let _ = report.write_all(&text);
        sys::exit_now(127)
    }

    fn read(text: &[u8], program: &Program) -> Option<SpawnError> {
        let (number, what) = text.split_first_chunk()?;
        let source = io::Error::from_raw_os_error(i32::from_ne_bytes(*number));
        let what = String::from_utf8_lossy(what).into_owned();
        Some(if what.is_empty() {
            let program = program.command.first().cloned().unwrap_or_default();
            SpawnError::Execute { program, source }
        } else {
            SpawnError::Prepare { what, source }
        })
    }
}

/// Goes on as the program, in a process just forked.
fn become_program(
    program: &Program,
    sockets: &Sockets,
    handed: &Handed<'_>,
    parent: Pid,
    report: OwnedFd,
) -> ! {
    // Beyond what the program is handed.
    let beyond = i32::try_from(FIRST + sockets.0.len()).unwrap_or(i32::MAX);
    let report = match rustix::io::fcntl_dupfd_cloexec(&report, beyond) {
        Ok(report) => File::from(report),
        Err(errno) => {
            Failure::write(File::from(report), "make a descriptor", &io::Error::from(errno))
        }
    };
    match prepare(program, sockets, handed, parent) {
        Ok(mut command) => {
            let error = command.exec();
            Failure::write(report, "", &error)
        }
        Err((what, error)) => Failure::write(report, &what, &error),
    }
}

type Refused = (String, io::Error);

/// Makes this process what the program is to find itself in.
fn prepare(
    program: &Program,
    sockets: &Sockets,
    handed: &Handed<'_>,
    parent: Pid,
) -> Result<Command, Refused> {
    let refused = |what: &str| {
        let what = what.to_owned();
        move |errno: rustix::io::Errno| (what, io::Error::from(errno))
    };
    // It may send signals to its own group, and the child is not to be in that.
    setpgid(None, None).map_err(refused("make a process group"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(refused("tie the end"))?;
    if getppid() != Some(parent) {
        sys::exit_now(127);
    }
    for (resource, limit) in &program.limits {
        setrlimit(*resource, *limit, *limit).map_err(|errno| {
            (format!("set the limit {resource:?} to {limit}"), io::Error::from(errno))
        })?;
    }
    let null = File::open("/dev/null").map_err(|error| ("open /dev/null".to_owned(), error))?;
    let stdin = match (handed.stdin, program.stdin, sockets.0.first()) {
        (Some(stdin), ..) => stdin,
        (None, Stdin::Socket, Some(socket)) => socket.listener.as_fd(),
        (None, Stdin::Socket | Stdin::Null | Stdin::Connection, _) => null.as_fd(),
    };
    let standard = [stdin, handed.stdout, handed.stderr];
    let listeners = sockets.0.iter().map(|socket| socket.listener.as_fd());
    let wanted: Vec<BorrowedFd<'_>> = standard.into_iter().chain(listeners).collect();
    sys::keep_for_program(&wanted)
        .map_err(|error| ("hand over the descriptors".to_owned(), error))?;
    let pid = std::process::id();
    let values = Values { pid, slot: handed.slot, sockets };
    let mut words = program.command.iter().map(|word| values.fill_in(word));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    for name in REMOVED {
        command.env_remove(name);
    }
    command.envs(variables(sockets, pid, handed));
    command.envs(program.env.iter().map(|(name, value)| (name, values.fill_in(value))));
    if let Some(directory) = &program.directory {
        let directory = PathBuf::from(values.fill_in(directory.as_os_str()));
        env::set_current_dir(&directory)
            .map_err(|error| (format!("enter the directory {directory:?}"), error))?;
    }
    Ok(command)
}

/// The name of a program for messages: the last part of its path.
pub(crate) fn name_of(program: &Program) -> String {
    let path = program.command.first().map_or(OsStr::new("program"), OsString::as_os_str);
    let path = std::path::Path::new(path);
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
