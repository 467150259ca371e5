//! A complete small daemon: answers every connection with its pid.
//!
//! ```text
//! cargo run --example tinyd -- start /tmp     prints the pid once it serves, or why it does not
//! cargo run --example tinyd -- status /tmp
//! cargo run --example tinyd -- stop /tmp
//! ```

use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use prefork_daemonize::{
    Daemonize, Holder, Outcome, PidFile, Readiness, StopOptions, Stopped, open_log, running, stop,
};
use rustix::event::{PollFd, PollFlags, poll};

const ADDRESS: &str = "127.0.0.1:7878";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["start", directory] => start(Path::new(directory)),
        ["stop", directory] => stop_daemon(Path::new(directory)),
        ["status", directory] => status(Path::new(directory)),
        _ => Err("usage: tinyd start|stop|status DIRECTORY".into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tinyd: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn start(directory: &Path) -> Result<ExitCode, Box<dyn Error>> {
    // Paths are made absolute here, because the daemon runs in "/". The log is opened here
    // too: the launcher can still show the user what is wrong with it.
    let pid_file = std::path::absolute(directory.join("tinyd.pid"))?;
    let log = open_log(directory.join("tinyd.log"))?;
    match Daemonize::new().output(log).start()? {
        Outcome::Launcher(launched) => {
            println!("tinyd: serving on {ADDRESS} as process {}", launched.pid);
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Daemon(readiness) => run(&pid_file, readiness),
    }
}

/// The daemon: everything that can fail comes before it says that it is ready.
fn run(path: &Path, readiness: Readiness) -> Result<ExitCode, Box<dyn Error>> {
    let (service, pid_file) = match prepare(path) {
        Ok(prepared) => prepared,
        Err(error) => {
            // The launcher prints this and exits with an error.
            readiness.failed(&*error);
            return Ok(ExitCode::FAILURE);
        }
    };
    // An error means that the launcher was killed meanwhile: nobody wants this daemon any more.
    readiness.ready()?;
    service.serve()?;
    // Last, because from here on another tinyd may start.
    pid_file.remove()?;
    Ok(ExitCode::SUCCESS)
}

/// The pid file first: a second tinyd then says "already running", not "address in use".
fn prepare(path: &Path) -> Result<(Service, PidFile), Box<dyn Error>> {
    let pid_file = PidFile::create(path)?;
    Ok((Service::new()?, pid_file))
}

struct Service {
    listener: TcpListener,
    terminated: SignalFd,
}

impl Service {
    fn new() -> Result<Self, Box<dyn Error>> {
        // Blocked before ready: from then on SIGTERM means an orderly end.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.thread_block()?;
        let listener = TcpListener::bind(ADDRESS)?;
        // A client may be gone between poll and accept; accept must not wait then.
        listener.set_nonblocking(true)?;
        Ok(Self { listener, terminated: SignalFd::new(&signals)? })
    }

    /// Serves until SIGTERM.
    fn serve(&self) -> Result<(), Box<dyn Error>> {
        loop {
            let mut ready = [
                PollFd::from_borrowed_fd(self.terminated.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
            ];
            poll(&mut ready, None)?;
            if !ready[0].revents().is_empty() {
                return Ok(());
            }
            if let Ok((mut client, from)) = self.listener.accept() {
                // One client's trouble is not the daemon's.
                if let Err(error) = writeln!(client, "tinyd {}", std::process::id()) {
                    eprintln!("tinyd: {from}: {error}");
                }
            }
        }
    }
}

fn stop_daemon(directory: &Path) -> Result<ExitCode, Box<dyn Error>> {
    match stop(pid_file(directory), &StopOptions::new())? {
        Stopped::NotRunning => println!("tinyd: not running"),
        Stopped::Terminated { pid } => println!("tinyd: stopped process {pid}"),
        Stopped::Killed { pid } => println!("tinyd: had to kill process {pid}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The exit status is what init scripts expect: 0 for running, 3 for not.
fn status(directory: &Path) -> Result<ExitCode, Box<dyn Error>> {
    Ok(match running(pid_file(directory))? {
        Holder::Owner { pid } => {
            println!("tinyd: running as process {pid}");
            ExitCode::SUCCESS
        }
        Holder::Nobody => {
            println!("tinyd: not running");
            ExitCode::from(3)
        }
        Holder::Unproven => {
            println!("tinyd: died, but something that it started lives on");
            ExitCode::from(4)
        }
    })
}

fn pid_file(directory: &Path) -> PathBuf {
    directory.join("tinyd.pid")
}

/// Errors of this crate never print their cause themselves.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
