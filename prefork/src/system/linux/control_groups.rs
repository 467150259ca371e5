//! The control groups of this process, of both versions: see `cgroups(7)`.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::leaves;

/// A group whose limits hold for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControlGroup {
    version: Version,
    path: PathBuf,
}

/// Of the hierarchy. One system may have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// One for each controller, or a few.
    One,
    /// One for all controllers.
    Two,
}

impl ControlGroup {
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of one number. `max` is no number, and no limit.
    pub(super) fn number(&self, file: &str, files: &mut Files) -> Option<u64> {
        files.read(&self.path, file)?.trim().parse().ok()
    }

    /// Reads the number behind a key in a file of such lines.
    pub(super) fn number_of(&self, file: &str, key: &str, files: &mut Files) -> Option<u64> {
        let text = files.read(&self.path, file)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(found, _)| *found == key).and_then(|(_, number)| u64::from_str(number).ok())
    }

    /// Reads the numbers behind some keys in a file of such lines, and returns their sum; a key that is not there counts as 0.
    pub(super) fn sum_of(&self, file: &str, keys: &[&str], files: &mut Files) -> Option<u64> {
        let text = files.read(&self.path, file)?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let numbers = lines.filter(|(key, _)| keys.contains(key));
        Some(numbers.filter_map(|(_, number)| u64::from_str(number).ok()).sum())
    }

    /// How a file of it is named in the log.
    pub(super) fn name_of(&self, file: &str) -> String {
        format!("{file} of control group {}", prefork_core::one_line(&self.path))
    }
}

/// Reads files one after another into the same memory: what the parent allocates, each child that it forks afterwards has
/// copied.
#[derive(Debug, Default)]
pub(super) struct Files {
    path: PathBuf,
    text: String,
}

impl Files {
    fn read(&mut self, group: &Path, file: &str) -> Option<&str> {
        self.path.as_mut_os_string().clear();
        self.path.push(group);
        self.path.push(file);
        self.text.clear();
        File::open(&self.path).ok()?.read_to_string(&mut self.text).ok()?;
        Some(&self.text)
    }
}

/// Finds the groups that limit this process by a controller and its children too, the innermost first. Of those that are not
/// mounted here nothing is to be seen.
pub(super) fn of_this_process(controller: &str) -> Vec<ControlGroup> {
    let mut groups = of_this_process_with_own(controller);
    let own = leaves::own_name();
    groups.retain(|group| group.path.file_name().is_none_or(|name| name != &*own));
    groups
}

/// The same, with the one that this process has made for itself alone.
pub(super) fn of_this_process_with_own(controller: &str) -> Vec<ControlGroup> {
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    groups(&cgroup, &mounts, controller)
}

fn groups(cgroup: &str, mounts: &str, controller: &str) -> Vec<ControlGroup> {
    let hierarchies = cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            return Some((Version::Two, path));
        }
        controllers.split(',').any(|it| it == controller).then_some((Version::One, path))
    });
    let of_hierarchy = |(version, path): (Version, &str)| {
        let (root, place) = mounts.lines().find_map(|line| mount(line, version, controller))?;
        // Without the slash at the end that an empty path would add.
        let own: PathBuf =
            place.join(Path::new(path).strip_prefix(root).ok()?).components().collect();
        let up = own.ancestors().take_while(|group| group.starts_with(&place));
        Some(up.map(|path| ControlGroup { version, path: path.to_owned() }).collect::<Vec<_>>())
    };
    hierarchies.filter_map(of_hierarchy).flatten().collect()
}

/// Reads a line of `mountinfo`: which group is mounted and where, if it is that of the hierarchy.
fn mount<'a>(line: &'a str, version: Version, controller: &str) -> Option<(&'a str, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, place) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let is_it = match (kind.next()?, version) {
        ("cgroup2", Version::Two) => true,
        ("cgroup", Version::One) => kind.nth(1)?.split(',').any(|option| option == controller),
        _ => false,
    };
    is_it.then(|| (root, PathBuf::from(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(cgroup: &str, mounts: &str, controller: &str) -> Vec<PathBuf> {
        groups(cgroup, mounts, controller).into_iter().map(|group| group.path).collect()
    }

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
            // As they are logged: two paths are the same, whatever slash is at the end of one.
            let found = paths(cgroup, mounts, "pids");
            let found: Vec<_> = found.iter().map(|path| path.to_str().expect("text")).collect();
            assert_eq!(found, expected, "{cgroup}");
        }
    }

    #[test]
    fn files_that_are_read_one_after_another_are_not_mixed_up() {
        let folder = tempfile::tempdir().expect("a directory");
        let group = ControlGroup { version: Version::Two, path: folder.path().to_owned() };
        let files =
            [("long", "123\n"), ("short", "4\n"), ("max", "max\n"), ("events", "low 1\noom 2\n")];
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let files = &mut Files::default();
        let numbers = ["long", "short", "max", "none"].map(|file| group.number(file, files));
        assert_eq!(numbers, [Some(123), Some(4), None, None]);
        assert_eq!(group.number_of("events", "oom", files), Some(2));
        assert_eq!(group.sum_of("events", &["oom", "low", "high"], files), Some(3));
        assert_eq!(group.sum_of("none", &["oom"], files), None);
    }

    #[test]
    fn each_controller_has_its_own_groups() {
        let cgroup = "8:pids:/jobs/1\n4:cpu,cpuacct:/x\n0::/\n";
        let expected = ["/sys/fs/cgroup/cpu,cpuacct/x", "/sys/fs/cgroup/cpu,cpuacct"];
        let found = groups(cgroup, HYBRID, "cpuacct");
        let of_version_1 = found.iter().filter(|group| group.version == Version::One);
        let paths: Vec<_> = of_version_1.map(|group| group.path.clone()).collect();
        assert_eq!(paths, expected.map(PathBuf::from));
        assert_eq!(found.len(), 3);
    }
}
