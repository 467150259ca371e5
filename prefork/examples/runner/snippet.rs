//! Runs a program, and no longer than it may.

use std::{
    ffi::OsStr,
    io::{self, PipeReader, Read},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// What a program is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    Shell,
    Python,
}

/// What is not limited by the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    /// In bytes.
    pub(crate) output: usize,
}

/// What has become of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) output: Vec<u8>,
    /// Its exit status, or the signal that has ended it.
    pub(crate) status: String,
    /// Which limit it has hit.
    pub(crate) limit: Option<&'static str>,
}

/// Runs it, until it ends or has used up what it may.
pub(crate) fn run(language: Language, code: &[u8], limits: Limits) -> io::Result<Ended> {
    let (mut output, end) = io::pipe()?;
    let mut command = match language {
        Language::Shell => Command::new("sh"),
        Language::Python => {
            let mut python = Command::new("python3");
            // Without modules of the directory or of the user.
            python.arg("-I");
            python
        }
    };
    command.arg("-c").arg(OsStr::from_bytes(code)).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/tmp").current_dir("/tmp");
    command.stdin(Stdio::null()).stdout(end.try_clone()?).stderr(end).process_group(0);
    let mut program = command.spawn()?;
    // It has the other end.
    drop(command);
    let until = Instant::now() + limits.time;
    let (text, mut limit) = watch(&mut program, &mut output, until, limits.output)?;
    if let Some(group) = i32::try_from(program.id()).ok().and_then(Pid::from_raw) {
        // It has not been waited for, so the number is still its own. What has left the group ends with this child.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = program.wait()?;
    if limit.is_none() {
        limit = match status.signal() {
            Some(number) if number == Signal::XCPU.as_raw() => Some("cpu time"),
            Some(number) if number == Signal::XFSZ.as_raw() => Some("file size"),
            _ => None,
        };
    }
    Ok(Ended { output: text, status: shown(status), limit })
}

/// Collects what it prints until it has ended, or hits a limit, which is returned.
fn watch(
    program: &mut Child,
    output: &mut PipeReader,
    until: Instant,
    most: usize,
) -> io::Result<(Vec<u8>, Option<&'static str>)> {
    let pid = i32::try_from(program.id()).ok().and_then(Pid::from_raw);
    let end = pidfd_open(pid.ok_or(io::ErrorKind::InvalidData)?, PidfdFlags::empty())?;
    let mut text = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((text, Some("time")));
        }
        let (output_fd, end_fd) = (output.as_fd(), end.as_fd());
        let mut fds = [PollFd::new(&output_fd, PollFlags::IN), PollFd::new(&end_fd, PollFlags::IN)];
        let timeout = Timespec::try_from(left).unwrap_or_default();
        poll(&mut fds, Some(&timeout))?;
        let [prints, has_ended] = fds.map(|fd| !fd.revents().is_empty());
        if prints {
            let mut more = [0; 4096];
            match output.read(&mut more)? {
                // It has closed it, and may run on.
                0 if has_ended => return Ok((text, None)),
                0 => return wait(&end, until).map(|limit| (text, limit)),
                count => text.extend_from_slice(&more[..count]),
            }
            if text.len() >= most {
                text.truncate(most);
                return Ok((text, Some("output")));
            }
        } else if has_ended {
            return Ok((text, None));
        }
    }
}

/// Waits for the end alone.
fn wait(end: &impl AsFd, until: Instant) -> io::Result<Option<&'static str>> {
    let left = Timespec::try_from(until.saturating_duration_since(Instant::now()));
    let ended = poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&left.unwrap_or_default()))?;
    Ok((ended == 0).then_some("time"))
}

fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(number)) => format!("signal {number}"),
        (None, None) => "unknown".to_owned(),
    }
}
