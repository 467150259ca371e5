//! What is short where the kernel refuses a process, a descriptor or memory.
//!
//! `EAGAIN` of `fork(2)` has half a dozen reasons, and none of them is in the error. Where the kernel shows how much of a
//! limit is used up, that is looked at, after the refusal: so what is named is likely, and not certain.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Resource, geteuid, getrlimit},
};

use crate::refused;

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
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let full = groups(&cgroup, &mounts).into_iter().find_map(|group| {
        let limit = number(&group.join("pids.max"))?;
        let current = number(&group.join("pids.current"))?;
        (current >= limit).then(|| {
            let group = prefork_core::one_line(&group).to_string();
            format!("pids.max of control group {group} is {limit}")
        })
    });
    full.or_else(of_user).or_else(of_system).unwrap_or_else(|| {
        "a limit of processes is reached: pids.max of a control group, RLIMIT_NPROC, kernel.pid_max or \
         kernel.threads-max"
            .to_owned()
    })
}

/// The limit that holds for whoever is not root (`getrlimit(2)`). How much of it is used the kernel does not show.
fn of_user() -> Option<String> {
    let limit = getrlimit(Resource::Nproc).current.filter(|_| !geteuid().is_root())?;
    Some(format!("RLIMIT_NPROC, for all processes of this user, is {limit}"))
}

/// The limits of the whole system, of which threads use up one each.
fn of_system() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let threads: u64 = load.split([' ', '/']).nth(4)?.parse().ok()?;
    ["pid_max", "threads-max"].into_iter().find_map(|name| {
        let limit = number(&Path::new("/proc/sys/kernel").join(name))?;
        // The kernel keeps a few for itself, and counts in steps.
        (threads + threads / 50 >= limit).then(|| format!("kernel.{name} is {limit}"))
    })
}

/// `max` is no number, and no limit.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Finds the control groups whose limits of processes hold for this process, its own first (see `cgroups(7)`).
fn groups(cgroup: &str, mounts: &str) -> Vec<PathBuf> {
    let hierarchies = cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_version_2 = controllers.is_empty();
        (is_version_2 || controllers.split(',').any(|it| it == "pids"))
            .then_some((is_version_2, path))
    });
    let of_hierarchy = |(is_version_2, path): (bool, &str)| {
        let (root, place) = mounts.lines().find_map(|line| mount(line, is_version_2))?;
        let own = place.join(Path::new(path).strip_prefix(root).ok()?);
        let up = own.ancestors().take_while(|group| group.starts_with(&place));
        Some(up.map(Path::to_owned).collect::<Vec<_>>())
    };
    hierarchies.filter_map(of_hierarchy).flatten().collect()
}

/// Reads a line of `mountinfo`: which group is mounted and where, if it is that of the hierarchy.
fn mount(line: &str, is_version_2: bool) -> Option<(&str, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, place) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let is_it = match kind.next()? {
        "cgroup2" => is_version_2,
        "cgroup" => !is_version_2 && kind.nth(1)?.split(',').any(|option| option == "pids"),
        _ => false,
    };
    is_it.then(|| (root, PathBuf::from(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 24 0:27 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
39 31 0:35 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct
40 31 0:36 / /sys/fs/cgroup/pids rw,nosuid shared:16 - cgroup cgroup rw,pids
41 31 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
";

    /// Captured on a hybrid host, in a container whose part of the tree is mounted, and under systemd.
    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        let container = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
        let table: [(&str, &str, &[&str]); 6] = [
            (
                "8:pids:/jobs/1\n4:cpu,cpuacct:/x\n0::/\n",
                HYBRID,
                &[
                    "/sys/fs/cgroup/pids/jobs/1",
                    "/sys/fs/cgroup/pids/jobs",
                    "/sys/fs/cgroup/pids",
                    "/sys/fs/cgroup/unified",
                ],
            ),
            (
                "0::/system.slice/hello.service\n",
                unified,
                &[
                    "/sys/fs/cgroup/system.slice/hello.service",
                    "/sys/fs/cgroup/system.slice",
                    "/sys/fs/cgroup",
                ],
            ),
            ("0::/docker/abc\n", container, &["/sys/fs/cgroup"]),
            // Of a group that is not mounted here nothing is to be seen.
            ("0::/other\n", container, &[]),
            ("0::/\n", "", &[]),
            ("nonsense\n", unified, &[]),
        ];
        for (cgroup, mounts, expected) in table {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(groups(cgroup, mounts), expected, "{cgroup}");
        }
    }

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
