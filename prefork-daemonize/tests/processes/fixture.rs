//! The daemon under test, and the commands around it.
//!
//! `daemon KEY=VALUE...` launches a daemon; the other commands call one function of the crate
//! and print what it returned. What a daemon reports is appended to the file `events=`.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Number};
use prefork_daemonize::{
    Daemonize, Descriptors, InheritedSignals, Outcome, PidFile, Readiness, Signal, StopOptions,
    open_log, running, signal, stop,
};

/// Present in the environment of a fixture, and only there.
pub(crate) const MARK: &str = "PREFORK_DAEMONIZE_FIXTURE";

type Failure = Box<dyn Error>;

pub(crate) fn run() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                text.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["daemon", settings @ ..] => daemon(&Settings(settings)),
        ["hold", path] => hold(path),
        ["lock", path] => lock_like_an_owner(path),
        ["read-lock", path] => lock_for_reading(path),
        ["grab", path] => grab(path),
        ["own", path] => own(path),
        ["sleep"] => loop {
            sleep(Duration::from_secs(1));
        },
        ["running", path] => say(&running(path)?),
        ["hup", path] => say(&signal(path, Signal::Hup)?),
        ["stop", path, grace] => {
            let grace = Duration::from_millis(grace.parse()?);
            say(&stop(path, &StopOptions::new().grace(grace))?)
        }
        other => Err(format!("unknown fixture command {other:?}").into()),
    }
}

fn say(outcome: &dyn std::fmt::Debug) -> Result<(), Failure> {
    println!("{outcome:?}");
    Ok(())
}

/// `key=value` arguments.
struct Settings<'a>(&'a [&'a str]);

impl Settings<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn event(&self, text: &str) {
        if let Some(path) = self.get("events") {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| writeln!(file, "{text}")).expect("cannot write an event");
        }
    }
}

fn daemon(settings: &Settings<'_>) -> Result<(), Failure> {
    let mut daemonize = Daemonize::new();
    if let Some(limit) = settings.get("timeout") {
        daemonize = daemonize.ready_timeout(Duration::from_millis(limit.parse()?));
    }
    if let Some(directory) = settings.get("directory") {
        daemonize = daemonize.directory(directory);
    }
    if let Some(mask) = settings.get("umask") {
        daemonize = daemonize.umask(u32::from_str_radix(mask, 8)?);
    }
    if let Some(path) = settings.get("log") {
        daemonize = daemonize.output(open_log(path)?);
    }
    if settings.get("output") == Some("stdout") {
        daemonize = daemonize.output(std::io::stdout().as_fd().try_clone_to_owned()?);
    }
    if settings.get("signals") == Some("keep") {
        daemonize = daemonize.signals(InheritedSignals::Keep);
    }
    if settings.get("descriptors") == Some("all") {
        daemonize = daemonize.descriptors(Descriptors::KeepAll);
    }
    if settings.get("keep") == Some("stdio-copy") {
        let copy = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 20)?;
        rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty())?;
        daemonize = daemonize.keep(&copy);
        let _open_for_ever = std::os::fd::IntoRawFd::into_raw_fd(copy);
    }
    if settings.get("thread").is_some() {
        std::thread::spawn(|| sleep(Duration::from_secs(60)));
    }
    let held = settings.get("hold-first").map(PidFile::create).transpose()?;
    // Not a whole line, so it stays in the buffer until somebody flushes it.
    print!("{}", settings.get("print").unwrap_or_default());
    let outcome = daemonize.start();
    drop(held);
    match outcome? {
        Outcome::Launcher(launched) => {
            if settings.get("print").is_none() {
                println!("{}", launched.pid);
            }
            if settings.get("list-children").is_some() {
                let me = std::process::id();
                let left = fs::read_to_string(format!("/proc/self/task/{me}/children"))?;
                eprintln!("children: {}", left.trim());
            }
            Ok(())
        }
        Outcome::Daemon(readiness) => live(settings, readiness),
    }
}

/// The daemon's life, after the setting `life=`.
fn live(settings: &Settings<'_>, readiness: Readiness) -> Result<(), Failure> {
    if settings.get("life") == Some("polite") {
        SigSet::all().thread_block()?;
    }
    settings.event(&format!("daemon {}", std::process::id()));
    match settings.get("life").unwrap_or("serve") {
        "serve" => serve(settings, readiness, &[Number::SIGTERM, Number::SIGHUP]),
        "deaf" => serve(settings, readiness, &[Number::SIGHUP]),
        "fail" => {
            let cause = fs::File::open("/nonexistent/settings").expect_err("it does not exist");
            readiness.failed(&*Box::<dyn Error>::from(format!("cannot read settings: {cause}")));
            Err("failed".into())
        }
        "fail-loud" => {
            readiness.failed(&std::io::Error::other("x".repeat(1 << 20)));
            Ok(())
        }
        "return" => Err("the error of main".into()),
        "exit" => std::process::exit(7),
        "panic" => panic!("a panic before ready"),
        "killed" => {
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
            Ok(())
        }
        "abandon" => {
            drop(readiness);
            sleep(Duration::from_secs(60));
            Ok(())
        }
        // Notes every SIGTERM, and is never ready.
        "polite" => {
            let mut term = SigSet::empty();
            term.add(Number::SIGTERM);
            loop {
                term.wait()?;
                settings.event("term");
            }
        }
        "hang" => {
            sleep(Duration::from_secs(60));
            drop(readiness);
            Ok(())
        }
        // Does not notice SIGTERM and reports only when asked to: "go" in the events file.
        "stubborn" => {
            SigSet::all().thread_block()?;
            let events = settings.get("events").ok_or("stubborn needs events=")?;
            while !fs::read_to_string(events)?.contains("go") {
                sleep(Duration::from_millis(1));
            }
            settings.event("speaking");
            match readiness.ready() {
                Ok(()) => settings.event("believed"),
                Err(error) => settings.event(&error.to_string()),
            }
            Ok(())
        }
        other => Err(format!("unknown life {other:?}").into()),
    }
}

/// Makes what a daemon makes, is ready, and serves until SIGTERM.
fn serve(settings: &Settings<'_>, ready: Readiness, answered: &[Number]) -> Result<(), Failure> {
    // TERM is blocked even where it is not answered, so that it does not kill either.
    let mut blocked = SigSet::empty();
    blocked.add(Number::SIGTERM);
    answered.iter().for_each(|signal| blocked.add(*signal));
    blocked.thread_block()?;
    let pid_file = match settings.get("pidfile").map(PidFile::create).transpose() {
        Ok(pid_file) => pid_file,
        Err(error) => {
            ready.failed(&error);
            return Ok(());
        }
    };
    let witness = settings.get("witness");
    if let Some(path) = witness
        && OpenOptions::new().write(true).create_new(true).open(path).is_err()
    {
        settings.event("overlap");
    }
    let listener =
        settings.get("listen").map(std::os::unix::net::UnixListener::bind).transpose()?;
    if let (Some(_), Some(pid_file)) = (settings.get("child"), &pid_file) {
        // A child that keeps the descriptor, as a forked one may.
        rustix::io::fcntl_setfd(pid_file, rustix::io::FdFlags::empty())?;
        let child =
            Command::new(std::env::current_exe()?).arg("sleep").stdin(Stdio::null()).spawn()?;
        rustix::io::fcntl_setfd(pid_file, rustix::io::FdFlags::CLOEXEC)?;
        settings.event(&format!("child {}", child.id()));
    }
    ready.ready()?;
    println!("serving");
    let mut awaited = SigSet::empty();
    answered.iter().for_each(|signal| awaited.add(*signal));
    while awaited.wait()? != Number::SIGTERM {
        settings.event("hup");
    }
    drop(listener);
    if let Some(path) = witness {
        fs::remove_file(path)?;
    }
    if let Some(pid_file) = pid_file {
        pid_file.remove()?;
    }
    Ok(())
}

/// Holds a pid file in the foreground until standard input ends.
fn hold(path: &str) -> Result<(), Failure> {
    let pid_file = PidFile::create(path)?;
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(pid_file.remove()?)
}

/// Takes the record lock of an owner on a file of anybody, until standard input ends.
fn lock_like_an_owner(path: &str) -> Result<(), Failure> {
    record_lock(path, nix::libc::F_WRLCK)
}

fn lock_for_reading(path: &str) -> Result<(), Failure> {
    record_lock(path, nix::libc::F_RDLCK)
}

fn record_lock(path: &str, kind: i32) -> Result<(), Failure> {
    let file = OpenOptions::new().read(true).write(kind == nix::libc::F_WRLCK).open(path)?;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETLK(&whole_file(kind)?))?;
    println!("locked");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

pub(crate) fn whole_file(kind: i32) -> Result<nix::libc::flock, Failure> {
    let l_type = i16::try_from(kind)?;
    Ok(nix::libc::flock { l_type, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 })
}

/// Takes every lock that a reader can have on the file, and releases every lock that it can, until
/// standard input ends; says which of it was granted.
fn grab(path: &str) -> Result<(), Failure> {
    use nix::fcntl::{FcntlArg, fcntl};
    use rustix::fs::FlockOperation;
    let file = fs::File::open(path)?;
    let unlock = whole_file(nix::libc::F_UNLCK)?;
    let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
    let _ = fcntl(&file, FcntlArg::F_SETLK(&unlock));
    let _ = fcntl(&file, FcntlArg::F_OFD_SETLK(&unlock));
    let flock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let (read, write) = (whole_file(nix::libc::F_RDLCK)?, whole_file(nix::libc::F_WRLCK)?);
    let read = fcntl(&file, FcntlArg::F_OFD_SETLK(&read)).is_ok();
    let write = fcntl(&file, FcntlArg::F_SETLK(&write)).is_ok();
    println!("grabbed flock {flock} read {read} write {write}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Owns a pid file and looks at it from inside in every way; says what others see meanwhile.
fn own(path: &str) -> Result<(), Failure> {
    let seen_from_outside = || -> Result<String, Failure> {
        let output = Command::new(std::env::current_exe()?).args(["running", path]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let me = format!("Owner {{ pid: {:?} }}", prefork_daemonize::Pid::current());
    let mut pid_file = PidFile::create(path)?;
    println!("second create: {}", PidFile::create(path).expect_err("two pid files in one process"));
    println!("inside: {}", format!("{:?}", running(path)?) == me);
    println!("stop: {}", stop(path, &StopOptions::new()).expect_err("stopped itself"));
    println!("outside: {}", seen_from_outside()? == me);
    drop(fs::read(path)?);
    println!("after a careless read: {}", seen_from_outside()?);
    let second = Command::new(std::env::current_exe()?).args(["hold", path]).output()?;
    println!("second daemon then: {}", String::from_utf8_lossy(&second.stderr).trim());
    pid_file.restore()?;
    println!("restored: {}", seen_from_outside()? == me);
    Ok(())
}
