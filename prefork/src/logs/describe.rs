//! Ends, times, amounts and numbers in words.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_core::{Exit, KillReason, MemoryGroup, Refusal, Rung};

use crate::system::os::SendingProcess;

/// The end of what was sent that signal.
pub(crate) const SIGKILL: Exit = Exit::Signal { number: nix::libc::SIGKILL, core_dumped: false };

/// How a child ended: `exited with status 1`, `was ended by SIGKILL`, with a hint where one helps.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Exit);

impl Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exit::Code(101) => f.write_str("exited with status 101 (a panic)"),
            Exit::Code(code) => write!(f, "exited with status {code}"),
            Exit::Signal { number, core_dumped } => {
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "was ended by {signal}{}", hint(signal))?,
                    Err(_) => write!(f, "was ended by signal {number}")?,
                }
                f.write_str(if core_dumped { " (core dumped)" } else { "" })
            }
        }
    }
}

/// How a child ended, where what is likely behind a `SIGKILL` is known, and logged at the end of the line.
#[derive(Debug)]
pub(crate) struct WithoutHint(pub(crate) Exit);

impl Display for WithoutHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SIGKILL => f.write_str("was ended by SIGKILL"),
            exit @ (Exit::Code(_) | Exit::Signal { .. }) => Ended(exit).fmt(f),
        }
    }
}

fn hint(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGKILL => " (out of memory? see the kernel log)",
        Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE => " (a crash)",
        Signal::SIGABRT => " (an abort)",
        Signal::SIGSYS => " (a forbidden system call)",
        Signal::SIGXCPU => " (the limit of CPU time)",
        Signal::SIGXFSZ => " (the limit of file size)",
        _ => "",
    }
}

/// A process that has sent a signal: `pid 42 (bash, uid 1000)`. One outside the pid namespace has pid 0, as what stops a
/// container.
#[derive(Debug)]
pub(crate) struct SentBy {
    pub(crate) process: SendingProcess,
    pub(crate) name: Option<String>,
}

impl SentBy {
    /// Finds out what it is called.
    pub(crate) fn find(process: SendingProcess) -> Self {
        Self { process, name: process.name() }
    }
}

impl Display for SentBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendingProcess { pid, uid } = self.process;
        match (pid, &self.name) {
            (0, _) => write!(f, "outside this pid namespace (uid {uid})"),
            (pid, Some(name)) => write!(f, "pid {pid} ({name}, uid {uid})"),
            (pid, None) => write!(f, "pid {pid} (uid {uid})"),
        }
    }
}

/// A duration as people say it: `250 ms`, `1.5 s`, `30 s`.
#[derive(Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0..1000 => write!(f, "{ms} ms"),
            1000..10_000 if !ms.is_multiple_of(1000) => {
                write!(f, "{}.{} s", ms / 1000, ms / 100 % 10)
            }
            _ => write!(f, "{} s", ms / 1000),
        }
    }
}

/// Why something was refused, where what was reported of it is only for [`Refusal::Reported`].
pub(crate) fn why_refused(by: Refusal, reported: impl FnOnce() -> String) -> String {
    match by {
        Refusal::Reported => reported(),
        Refusal::TimedOut { limit } => format!("it was not ready in {}", Span(limit)),
        Refusal::Busy { tried } => format!("the file has been written to for {}", Span(tried)),
    }
}

/// How long a daemon has run: `3h 2m 1s`.
#[derive(Debug)]
pub(crate) struct Uptime(pub(crate) Duration);

impl Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(Duration::from_secs(self.0.as_secs())).fmt(f)
    }
}

/// A text of several lines on one, as in the log.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines() {
        line.push_str(match &line {
            line if line.is_empty() => "",
            line if line.ends_with(':') => " ",
            _ => "; ",
        });
        line.push_str(part);
    }
    line
}

/// The measures that a stop has taken.
#[derive(Debug)]
pub(crate) struct Measures(pub(crate) Option<(Rung, usize)>);

impl Display for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((rung, children)) = self.0 else {
            return f.write_str("every child has left by itself");
        };
        write!(f, "{} {}", Children(children), taken(rung))
    }
}

/// What was done to those against whom a measure was taken.
pub(crate) const fn taken(rung: Rung) -> &'static str {
    match rung {
        Rung::Retire => "asked to leave",
        Rung::Interrupt => "interrupted (SIGINT)",
        Rung::Abort => "aborted (SIGABRT)",
        Rung::Kill => "killed (SIGKILL)",
    }
}

/// An amount of memory: `512 MiB`, `1.5 MiB`, and `1000 bytes` where it is less than one.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{} MiB", bytes / MIB),
            bytes if bytes < MIB => write!(f, "{bytes} bytes"),
            bytes => write!(f, "{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
        }
    }
}

/// Why a child was likely sent `SIGKILL`, to stand behind the line about its end.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) KillReason);

impl Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            KillReason::Unknown => f.write_str("; out of memory? see the kernel log"),
            KillReason::NotMemory => Ok(()),
            KillReason::Group(MemoryGroup { name, limit, .. }) => {
                write!(f, "; likely out of memory: {name}")?;
                limit.map_or(Ok(()), |limit| write!(f, " is {}", Bytes(limit)))
            }
            KillReason::Elsewhere => f.write_str(
                "; likely out of memory: the machine, or a control group that cannot be seen from here",
            ),
        }
    }
}

/// A number of children: `no child`, `1 child`, `3 children`.
#[derive(Debug)]
pub(crate) struct Children(pub(crate) usize);

impl Display for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no child"),
            1 => f.write_str("1 child"),
            many => write!(f, "{many} children"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_have_a_hint() {
        let text = |exit| Ended(exit).to_string();
        assert_eq!(text(Exit::Code(3)), "exited with status 3");
        assert_eq!(text(Exit::Code(101)), "exited with status 101 (a panic)");
        assert_eq!(
            text(Exit::Signal { number: 9, core_dumped: false }),
            "was ended by SIGKILL (out of memory? see the kernel log)"
        );
        assert_eq!(
            text(Exit::Signal { number: 11, core_dumped: true }),
            "was ended by SIGSEGV (a crash) (core dumped)"
        );
        assert_eq!(text(Exit::Signal { number: 40, core_dumped: false }), "was ended by signal 40");
    }

    #[test]
    fn what_is_behind_a_kill_is_named() {
        let group = |limit| MemoryGroup {
            name: "memory.max of control group /pool".to_owned(),
            limit: Some(limit),
            refusals: 1,
        };
        let table = [
            (KillReason::Unknown, "; out of memory? see the kernel log"),
            (KillReason::NotMemory, ""),
            (
                KillReason::Group(group(64 << 20)),
                "; likely out of memory: memory.max of control group /pool is 64 MiB",
            ),
            (
                KillReason::Group(group(4096)),
                "; likely out of memory: memory.max of control group /pool is 4096 bytes",
            ),
            (
                KillReason::Elsewhere,
                "; likely out of memory: the machine, or a control group that cannot be seen from here",
            ),
        ];
        for (reason, words) in table {
            assert_eq!(Killed(reason).to_string(), words);
        }
    }

    #[test]
    fn senders_have_their_user() {
        let text = |pid, name: Option<&str>| {
            let process = SendingProcess { pid, uid: 1000 };
            SentBy { process, name: name.map(str::to_owned) }.to_string()
        };
        assert_eq!(text(42, Some("bash")), "pid 42 (bash, uid 1000)");
        assert_eq!(text(42, None), "pid 42 (uid 1000)", "it has ended");
        assert_eq!(text(0, None), "outside this pid namespace (uid 1000)");
    }

    #[test]
    fn amounts_are_short() {
        let text = |bytes| Bytes(bytes).to_string();
        assert_eq!(
            [text(4096), text(512 << 20), text((200 << 20) + (600 << 10))],
            ["4096 bytes", "512 MiB", "200.5 MiB"]
        );
    }

    #[test]
    fn lines_become_one() {
        assert_eq!(on_one_line("wrong:\na: b\nc"), "wrong: a: b; c");
        assert_eq!(on_one_line("wrong"), "wrong");
    }

    #[test]
    fn spans_are_short() {
        let text = |ms| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(
            [text(0), text(640), text(1000), text(1280), text(10_240)],
            ["0 ms", "640 ms", "1 s", "1.2 s", "10 s"]
        );
    }
}
