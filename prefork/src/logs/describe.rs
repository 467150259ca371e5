//! Ends, times, amounts and numbers in words.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_core::{Exit, KillReason, MemoryGroup};

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

/// An amount of memory: `512 MiB`, and `1000 bytes` where it is no whole number of them.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{} MiB", bytes / MIB),
            bytes => write!(f, "{bytes} bytes"),
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
    fn spans_are_short() {
        let text = |ms| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(
            [text(0), text(640), text(1000), text(1280), text(10_240)],
            ["0 ms", "640 ms", "1 s", "1.2 s", "10 s"]
        );
    }
}
