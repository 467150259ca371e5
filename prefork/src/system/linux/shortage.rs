//! What is short where the kernel refuses a process, a descriptor or memory.
//!
//! `EAGAIN` of `fork(2)` has half a dozen reasons, and none of them is in the error. Where the kernel shows how much of a
//! limit is used up, that is looked at, after the refusal: so what is named is likely, and not certain.

use std::{error::Error, fmt, fs, io, iter};

use rustix::{
    io::Errno,
    process::{Resource, geteuid, getrlimit},
};

use super::control_groups::{self, Files};
use crate::sys::refused;

/// The limit that is likely to have been reached, to stand behind an error: `; RLIMIT_NOFILE is 64`. Nothing where the
/// error has nothing to do with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage(Option<String>);

impl Shortage {
    /// Nothing is.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// What is behind this error of a call that makes processes or descriptors.
    pub(crate) fn behind(error: &io::Error) -> Self {
        match refused::errno(error) {
            Some(Errno::AGAIN) => Self(Some(processes())),
            Some(Errno::MFILE) => Self::of_descriptors(),
            Some(Errno::NFILE) => {
                Self(Some("fs.file-max, of the whole system, is reached".to_owned()))
            }
            Some(Errno::NOMEM) => Self(Some(
                "memory is short: memory.max of the control group, vm.overcommit_memory, or the machine's own"
                    .to_owned(),
            )),
            Some(Errno::NOSPC) => {
                Self(Some("fs.epoll.max_user_watches of this user is reached".to_owned()))
            }
            Some(_) | None => Self(None),
        }
    }

    /// What is behind an error of any call, where its cause can be nothing else.
    pub(crate) fn of_descriptors_or_memory(error: &(dyn Error + 'static)) -> Self {
        let errors = iter::successors(Some(error), |&error| error.source());
        let of_system = errors.filter_map(|error| error.downcast_ref::<io::Error>());
        let is_sure = |error: &&io::Error| {
            matches!(refused::errno(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
        };
        of_system.filter(is_sure).map(Self::behind).next().unwrap_or(Self::none())
    }

    /// Returns its words alone.
    pub(crate) fn into_words(self) -> Option<String> {
        self.0
    }

    /// That of the descriptors of this process.
    pub(crate) fn of_descriptors() -> Self {
        Self(Some(format!("RLIMIT_NOFILE of this process is {}", allowed_descriptors())))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |words| write!(f, "; {words}"))
    }
}

/// How many descriptors this process may have, and wait for.
pub(crate) fn allowed_descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Names the limit of processes that is reached.
fn processes() -> String {
    let files = &mut Files::default();
    let full = control_groups::of_this_process("pids").into_iter().find_map(|group| {
        let limit = group.number("pids.max", files)?;
        let current = group.number("pids.current", files)?;
        (current >= limit).then(|| format!("{} is {limit}", group.name_of("pids.max")))
    });
    full.or_else(of_user).or_else(of_system).unwrap_or_else(|| {
        "a limit of processes is reached: pids.max of a control group, RLIMIT_NPROC, kernel.pid_max or \
         kernel.threads-max"
            .to_owned()
    })
}

/// The limit for users other than root (`getrlimit(2)`). How much of it is used the kernel does not show.
fn of_user() -> Option<String> {
    let limit = getrlimit(Resource::Nproc).current.filter(|_| !geteuid().is_root())?;
    Some(format!("RLIMIT_NPROC, for all processes of this user, is {limit}"))
}

/// The limits of the whole system, of which threads use up one each.
fn of_system() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let threads: u64 = load.split([' ', '/']).nth(4)?.parse().ok()?;
    ["pid_max", "threads-max"].into_iter().find_map(|name| {
        let limit = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        let limit: u64 = limit.trim().parse().ok()?;
        // The kernel keeps a few for itself, and counts in steps.
        (threads + threads / 50 >= limit).then(|| format!("kernel.{name} is {limit}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_what_it_is_about() {
        let words = |errno: Errno| Shortage::behind(&io::Error::from(errno)).to_string();
        for (errno, name) in [
            (Errno::MFILE, "; RLIMIT_NOFILE of this process is "),
            (Errno::NFILE, "fs.file-max"),
            (Errno::NOMEM, "memory.max"),
            (Errno::NOSPC, "fs.epoll.max_user_watches"),
        ] {
            assert!(words(errno).contains(name), "{errno:?}: {}", words(errno));
        }
        let processes = words(Errno::AGAIN);
        let named = ["pids.max", "RLIMIT_NPROC", "kernel.pid_max"];
        assert!(named.iter().any(|name| processes.contains(name)), "{processes}");
        assert_eq!(words(Errno::PERM), "");
        assert_eq!(Shortage::behind(&io::Error::other("x")).to_string(), "");
    }
}
