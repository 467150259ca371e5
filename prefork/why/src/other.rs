//! Another process that has to do with it, and finding those that hold something.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::proc::{Access, Proc, pids};

/// Another process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Other {
    /// Its pid.
    pub pid: u32,
    /// The name of its program, safe to be shown; empty if it has ended.
    pub name: String,
}

/// Which processes hold something, as far as they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Others {
    /// These do, and so many more.
    These(Vec<Other>, usize),
    /// Only the process itself does.
    OnlyItself,
    /// Nobody does.
    Nobody,
    /// None of those that are shown does; what others hold is not shown to this user.
    NoneShown,
    /// There was no time to look at all processes.
    NotInTime,
}

impl Other {
    pub(crate) fn of(pid: u32) -> Self {
        let name = Proc::open(pid).map(|process| process.name("comm")).unwrap_or_default();
        Self { pid, name }
    }
}

/// Shows `process 4711 (postgres)`.
impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return write!(f, "process {}, which has ended", self.pid);
        }
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(all, more) => {
                let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
                f.write_str(&shown.join(", "))?;
                if *more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Self::OnlyItself => f.write_str("nobody but this process itself"),
            Self::Nobody => f.write_str("nobody"),
            Self::NoneShown => {
                f.write_str("none of the processes that are shown to this user (try as root)")
            }
            Self::NotInTime => f.write_str("not found in time"),
        }
    }
}

/// How many holders are named.
const NAMED: usize = 4;

/// No more processes, and descriptors of each, are looked at.
const MOST_PROCESSES: usize = 100_000;
const MOST_DESCRIPTORS: usize = 4096;

/// How long one search may take.
const LIMIT: Duration = Duration::from_millis(250);

/// Finds the processes of which a descriptor leads to `target`, as the kernel writes it, and was opened as `counts` wants.
pub(crate) fn holders(
    itself: u32,
    target: &str,
    until: Instant,
    counts: impl Fn(Access) -> bool,
) -> Others {
    let until = until.min(Instant::now() + LIMIT);
    let (mut found, mut more) = (Vec::new(), 0);
    let (mut holds_itself, mut is_hidden) = (false, false);
    let mut pids = pids(MOST_PROCESSES);
    // Those it has to do with are near it as a rule.
    pids.sort_unstable_by_key(|pid| pid.abs_diff(itself));
    for pid in pids {
        if Instant::now() >= until {
            if found.is_empty() && !holds_itself {
                return Others::NotInTime;
            }
            break;
        }
        match holds(pid, target.as_bytes(), &counts) {
            None => is_hidden = true,
            Some(false) => {}
            Some(true) if pid == itself => holds_itself = true,
            Some(true) if found.len() < NAMED => found.push(Other::of(pid)),
            Some(true) => more += 1,
        }
    }
    match (found.is_empty(), holds_itself, is_hidden) {
        (false, _, _) => Others::These(found, more),
        (true, _, true) => Others::NoneShown,
        (true, true, false) => Others::OnlyItself,
        (true, false, false) => Others::Nobody,
    }
}

/// Returns whether a process holds it; `None` if that is not shown.
fn holds(pid: u32, target: &[u8], counts: impl Fn(Access) -> bool) -> Option<bool> {
    let Ok(process) = Proc::open(pid) else { return Some(false) };
    let descriptors = match process.numbers("fd", MOST_DESCRIPTORS) {
        Ok(descriptors) => descriptors,
        // One that has ended holds nothing; so it is with those of the kernel.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => return Some(false),
        Err(_) => return None,
    };
    Some(descriptors.into_iter().filter_map(|fd| i32::try_from(fd).ok()).any(|fd| {
        process.link(fd).is_ok_and(|link| link == target) && process.access(fd).is_ok_and(&counts)
    }))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use super::*;

    #[test]
    fn the_holder_of_an_end_of_a_pipe_is_found() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let me = Proc::open(std::process::id()).expect("it is there");
        let link = me.link(reader.as_raw_fd()).expect("open");
        let target = String::from_utf8(link).expect("pipe:[N]");
        let until = || Instant::now() + Duration::from_secs(60);
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .stdout(OwnedFd::from(writer))
            .spawn()
            .expect("started");
        // Between the fork and the exec it holds both ends still.
        let other = |counts: fn(Access) -> bool| holders(me.pid, &target, until(), counts);
        let expected = |others: &Others| matches!(others, Others::These(all, 0) if all.len() == 1 && all[0].pid == child.id());
        let writers = other(|it| it.writes);
        assert!(expected(&writers), "{writers}");
        let readers = other(|it| it.reads);
        assert!(matches!(readers, Others::OnlyItself | Others::NoneShown), "{readers}");
        assert_eq!(holders(me.pid, &target, Instant::now(), |_| true), Others::NotInTime);
        child.kill().expect("its own");
        child.wait().expect("reaped");
    }
}
