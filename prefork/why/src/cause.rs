//! What a thread waits for.

use std::{fmt, time::Duration};

use crate::{Descriptor, Futex, Hidden, Lock, Other};

/// What a thread is found doing, or waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It uses most of a CPU.
    Spins {
        /// The descriptor of the system call in which it is at the moment, if it is in one.
        on: Option<Descriptor>,
    },
    /// It could run, and there is no CPU for it.
    WantsCpu,
    /// It runs, for less than half of the time, and is in no system call at the moment.
    Runs,
    /// It was stopped by a signal, such as `SIGSTOP`, or by a debugger.
    Stopped {
        /// The process that traces it.
        tracer: Option<Other>,
    },
    /// It has ended.
    Ended,
    /// One of these descriptors.
    Descriptors {
        /// Which; of many the first.
        all: Vec<Descriptor>,
        /// How many more there are.
        more: usize,
        /// For how long at the most, in a call with a time limit that the kernel shows.
        limit: Option<Duration>,
    },
    /// The end of a `connect(2)` to an address that is not on the socket yet.
    Connect {
        /// The socket.
        socket: Descriptor,
        /// The address, safe to be shown.
        to: String,
    },
    /// A lock of a file.
    Lock {
        /// The file.
        file: Descriptor,
        /// Who has it.
        lock: Lock,
    },
    /// A lock, a condition or another thread, in memory.
    Futex(Futex),
    /// A file by its path.
    Path(String),
    /// The end of a child.
    Child(Vec<Other>),
    /// Time.
    Sleep(Option<Duration>),
    /// A signal.
    Signal,
    /// Something that its system call does not name.
    Unnamed,
    /// It is not shown.
    Hidden(Hidden),
}

impl Cause {
    /// Returns one word for it, for programs.
    ///
    /// `cpu` (it spins), `no cpu`, `runs`, `stopped`, `ended`, `connections` (it waits at a listening socket, as one that is
    /// idle), what [`Target::word`](crate::Target::word) returns, `several`, `lock`, `futex`, `path`, `child`, `time`, `signal`,
    /// `unnamed` or `hidden`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Spins { .. } => "cpu",
            Self::WantsCpu => "no cpu",
            Self::Runs => "runs",
            Self::Stopped { .. } => "stopped",
            Self::Ended => "ended",
            Self::Descriptors { all, .. } => one_word(all),
            Self::Connect { to, .. } if is_dns(to) => "name resolution",
            Self::Connect { socket, .. } => socket.target.word(),
            Self::Lock { .. } => "lock",
            Self::Futex(_) => "futex",
            Self::Path(_) => "path",
            Self::Child(_) => "child",
            Self::Sleep(_) => "time",
            Self::Signal => "signal",
            Self::Unnamed => "unnamed",
            Self::Hidden(_) => "hidden",
        }
    }
}

/// Port 53 at the end of an address, which the path of a UNIX socket may have there too.
fn is_dns(address: &str) -> bool {
    address.ends_with(":53") && !address.starts_with("unix ")
}

/// The word of those that all have it. What may wake any thread at any time does not count beside others: first those of the
/// kernel, then listening sockets.
fn one_word(all: &[Descriptor]) -> &'static str {
    let word = |it: &Descriptor| if it.target.listens() { "connections" } else { it.target.word() };
    let mut words: Vec<_> = all.iter().map(word).collect();
    for lesser in ["kernel", "connections"] {
        if words.iter().any(|word| *word != lesser) {
            words.retain(|word| *word != lesser);
        }
    }
    words.dedup();
    match words[..] {
        [word] => word,
        _ => "several",
    }
}

/// Shows what follows `in recvfrom`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spins { on: None } | Self::Runs | Self::Unnamed => Ok(()),
            Self::Spins { on: Some(descriptor) } => write!(f, " on {descriptor}"),
            Self::WantsCpu => f.write_str(" and finds no CPU free"),
            Self::Stopped { tracer: None } => f.write_str(" by a signal (SIGCONT lets it go on)"),
            Self::Stopped { tracer: Some(tracer) } => write!(f, " by a debugger: {tracer}"),
            Self::Ended => f.write_str(", and its parent has not reaped it"),
            Self::Descriptors { all, more, limit } => {
                let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
                match &shown[..] {
                    [] => f.write_str(" on no descriptor")?,
                    [one] => write!(f, " on {one}")?,
                    several => write!(f, " on any of {}", several.join("; "))?,
                }
                if *more > 0 {
                    write!(f, "; and {more} more")?;
                }
                limit.map_or(Ok(()), |limit| write!(f, ", for up to {}", seconds(limit)))
            }
            Self::Connect { socket, to } => {
                let number = socket.number;
                write!(f, " on {number} to {to}, which does not answer")?;
                if is_dns(to) { f.write_str(" (DNS: name resolution)") } else { Ok(()) }
            }
            Self::Lock { file, lock } => write!(f, " for a lock of {file}, {lock}"),
            Self::Futex(futex) => write!(f, " {futex}"),
            Self::Path(path) => write!(f, " of {path}"),
            Self::Child(children) if children.is_empty() => {
                f.write_str(" for the end of a child, of which it has none that is shown")
            }
            Self::Child(children) => {
                let shown: Vec<_> = children.iter().map(ToString::to_string).collect();
                write!(f, " for the end of {}", shown.join(" or "))
            }
            Self::Sleep(Some(time)) => write!(f, " for {}", seconds(*time)),
            Self::Sleep(None) => f.write_str(" until some time"),
            Self::Signal => f.write_str(" for a signal"),
            Self::Hidden(hidden) => write!(f, ": {hidden}"),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn a_port_is_no_part_of_a_path() {
        for (to, is_dns) in [
            ("tcp 10.0.0.1:53", true),
            ("tcp [::1]:53", true),
            ("tcp 10.0.0.1:5353", false),
            ("unix /run/cache:53", false),
        ] {
            let socket = Descriptor { number: 3, target: Target::Closed };
            let cause = Cause::Connect { socket, to: to.to_owned() };
            assert_eq!(cause.word() == "name resolution", is_dns, "{to}");
            assert_eq!(cause.to_string().contains("DNS"), is_dns, "{to}");
        }
    }
}
