//! That no error shows a path as it is, whatever the path.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{DaemonizeError, LogError, Obstacle, Pid, PidFileError, SocketFileError, StopError};

const EVIL: &str = "/tmp/\u{1b}[31m\n\u{202e}evil";

#[track_caller]
fn assert_shown(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(text.contains("/tmp/\\u{1b}[31m\\n\\u{202e}evil"), "{text:?}");
    assert!(!text.contains(|char: char| char.is_control() || char == '\u{202e}'), "{text:?}");
}

fn path() -> PathBuf {
    Path::new(EVIL).to_owned()
}

fn source() -> io::Error {
    io::ErrorKind::Other.into()
}

#[test]
fn of_pid_files() {
    use PidFileError as Error;
    let pid = Some(Pid::current());
    let owner = Pid::current();
    let all = [
        Error::Held { path: path(), pid },
        Error::Held { path: path(), pid: None },
        Error::InTheMaking { path: path(), draft: "/x".into(), pid },
        Error::InTheMaking { path: "/x".into(), draft: path(), pid: None },
        Error::NotAFile { path: path(), kind: "a FIFO".into() },
        Error::HardLinked { path: path(), links: 2 },
        Error::ForeignOwner { path: path(), uid: 1 },
        Error::Contents { path: path() },
        Error::Path { path: path(), source: source() },
        Error::NoDirectory { path: path(), source: source() },
        Error::Mismatch { path: path() },
        Error::Open { path: path(), source: source() },
        Error::Lock { path: path(), source: source() },
        Error::Write { path: path(), source: source() },
        Error::Remove { path: path(), source: source() },
        Error::Unsettled { path: path() },
        Error::NotOwner { path: path(), owner },
    ];
    all.iter().for_each(|error| assert_shown(error));
}

#[test]
fn of_stopping() {
    use StopError as Error;
    let (pid, waited) = (Pid::current(), Duration::ZERO);
    let all = [
        Error::Read { path: path(), source: source() },
        Error::NotAPidFile { path: path(), what: "a FIFO".into() },
        Error::Unproven { path: path() },
        Error::NotTheirs { path: path(), uid: 1, pid },
        Error::OwnProcess { path: path() },
        Error::Refused { path: path(), pid, source: source() },
        Error::Wait { path: path(), pid, source: source() },
        Error::StillAlive { path: path(), pid, waited },
        Error::StillStopping { path: path(), pid, waited },
        Error::LeftBehind { path: path(), pid },
    ];
    all.iter().for_each(|error| assert_shown(error));
}

#[test]
fn of_socket_files() {
    use SocketFileError as Error;
    let all = [
        Error::Occupied { path: path(), obstacle: Obstacle::NoSocket },
        Error::Mode { path: path(), mode: 0o1777 },
        Error::Bind { path: path(), source: source() },
    ];
    all.iter().for_each(|error| assert_shown(error));
}

#[test]
fn of_logs_and_launches() {
    use LogError as Error;
    let all = [
        Error::Path { path: path(), source: source() },
        Error::NoDirectory { path: path(), source: source() },
        Error::NotAFile { path: path(), kind: "a FIFO".into() },
        Error::HardLinked { path: path(), links: 2 },
        Error::ForeignFile { path: path(), uid: 1 },
        Error::ForeignLink { path: path(), uid: 1 },
        Error::DanglingLink { path: path() },
        Error::Open { path: path(), source: source() },
    ];
    all.iter().for_each(|error| assert_shown(error));
    assert_shown(&DaemonizeError::PidFileHeld { path: path() });
    assert_shown(&DaemonizeError::Directory { path: path(), source: source() });
    assert_shown(&DaemonizeError::Failed { reason: format!("cannot open {EVIL}") });
}
