//! Running a program for what it prints, and not for longer than is good.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Runs it to its end, without input; kills it when `limit` is over.
///
/// What it prints goes to memory, so that it never waits for a reader.
pub(super) fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (memory()?, memory()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let ended = wait(&child, limit);
    if !matches!(ended, Ok(true)) {
        // It is not reaped, so the pid is its own.
        let _ = child.kill();
    }
    let status = child.wait()?;
    if !ended? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(Output { status, stdout: contents(&mut stdout)?, stderr: contents(&mut stderr)? })
}

/// Waits for the end; returns whether it has come in time.
fn wait(child: &Child, limit: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.ok_or(io::ErrorKind::InvalidData)?, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&rest)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn memory() -> io::Result<File> {
    // As a system may demand (`vm.memfd_noexec`, see memfd_create(2)), from Linux 6.3 on.
    let sealed = memfd_create("prefork-output", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL);
    match sealed {
        Err(Errno::INVAL) => Ok(memfd_create("prefork-output", MemfdFlags::CLOEXEC)?.into()),
        made => Ok(made?.into()),
    }
}

fn contents(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Both ends of a copy have one position.
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_come_whole() {
        let printed =
            output(&mut shell("seq 100000; echo no good >&2; exit 3"), Duration::from_secs(60));
        let Output { status, stdout, stderr } = printed.expect("run");
        assert_eq!(status.code(), Some(3));
        assert!(stdout.starts_with(b"1\n2\n") && stdout.ends_with(b"100000\n"));
        assert_eq!(stderr, b"no good\n");
    }

    #[test]
    fn whoever_takes_too_long_is_killed() {
        let begun = Instant::now();
        let error = output(&mut shell("exec sleep 60"), Duration::from_millis(50));
        assert_eq!(error.expect_err("killed").kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
