//! Control groups of a test's own, with limits of processes and of memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{Lack, PATIENCE, Scene, require_root, skip, wait_until};

/// What a group limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// How many processes there are.
    Pids,
    /// How much memory they have, in bytes.
    Memory,
}

/// A control group without a limit at first, of whichever version is there; what is in it when it is dropped must be about
/// to end.
#[derive(Debug)]
pub struct ControlGroup {
    group: PathBuf,
    files: Files,
}

/// The names of its files.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    current: &'static str,
}

impl ControlGroup {
    /// Makes one for the programs of a scene; `None`, with a note, where that cannot be done.
    #[must_use]
    #[track_caller]
    pub fn make(scene: &Scene, controller: Controller) -> Option<Self> {
        if !require_root() {
            return None;
        }
        let Some((hierarchy, files)) = hierarchy(controller) else {
            let why = format!("there is no control group hierarchy that limits {controller:?}");
            skip(Lack::Platform(&why));
            return None;
        };
        let name = format!("prefork-test-{}", scene.address()).replace(':', "-");
        let group = hierarchy.join(name);
        match fs::create_dir(&group) {
            Ok(()) if group.join(files.limit).exists() => Some(Self { group, files }),
            made => {
                let why = made
                    .err()
                    .map_or_else(|| format!("no {}", files.limit), |error| error.to_string());
                let _ = fs::remove_dir(&group);
                skip(Lack::Platform(&format!("no control group can limit {controller:?}: {why}")));
                None
            }
        }
    }

    /// What a shell does to be in it, with all that it starts.
    #[must_use]
    pub fn entrance(&self) -> String {
        format!("echo $$ > {}/cgroup.procs || exit 9", self.group.display())
    }

    /// How its limit is named in logs.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} of control group {}", self.files.limit, self.group.display())
    }

    /// Returns how much of what it limits is used.
    ///
    /// # Panics
    ///
    /// Panics if the kernel does not report it.
    #[must_use]
    #[track_caller]
    pub fn current(&self) -> u64 {
        let text = fs::read_to_string(self.group.join(self.files.current)).expect("it is there");
        text.trim().parse().expect("a number")
    }

    /// Returns how many of its processes the kernel has killed for want of memory.
    ///
    /// # Panics
    ///
    /// Panics if the kernel does not report it.
    #[must_use]
    #[track_caller]
    pub fn kills(&self) -> u64 {
        let files = ["memory.events", "memory.oom_control"].map(|file| self.group.join(file));
        let text =
            files.iter().find_map(|file| fs::read_to_string(file).ok()).expect("one is there");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.expect("it counts").parse().expect("a number")
    }

    /// Returns the names of the groups that were made in it, in order.
    ///
    /// # Panics
    ///
    /// Panics if it is gone.
    #[must_use]
    #[track_caller]
    pub fn groups(&self) -> Vec<String> {
        let entries =
            fs::read_dir(&self.group).expect("it is there").map(|entry| entry.expect("one"));
        let groups = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> =
            groups.map(|group| group.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Returns where it is.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.group
    }

    /// Has the kernel report that memory is short while `act` takes some, and returns whether that takes asking, as in
    /// version 2: in version 1 it reports that from thresholds on.
    ///
    /// # Panics
    ///
    /// Panics if it reports nothing.
    #[track_caller]
    pub fn call_short(&self, act: impl FnOnce()) -> bool {
        let high = self.group.join("memory.high");
        if !high.exists() {
            act();
            return false;
        }
        // The kernel also holds up whoever takes memory meanwhile.
        fs::write(&high, (self.current() / 2).to_string()).expect("it can be set");
        act();
        wait_until(PATIENCE, "the kernel reports that", || {
            let events = fs::read_to_string(self.group.join("memory.events")).expect("it is there");
            events.lines().any(|line| line.starts_with("high ") && line != "high 0")
        });
        fs::write(&high, "max").expect("it can be set");
        true
    }

    /// Whether the kernel reports when what is used passes a threshold; a note where it does not, as in version 2.
    #[must_use]
    #[track_caller]
    pub fn has_thresholds(&self) -> bool {
        let has = self.group.join("cgroup.event_control").exists();
        if !has {
            skip(Lack::Platform("control groups of version 2 have no thresholds"));
        }
        has
    }

    /// Sets how much may be used.
    ///
    /// # Panics
    ///
    /// Panics if that is refused.
    #[track_caller]
    pub fn set(&self, most: u64) {
        fs::write(self.group.join(self.files.limit), most.to_string()).expect("it can be set");
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            match fs::remove_dir(&self.group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Finds where groups are made that limit this, and by which files.
fn hierarchy(controller: Controller) -> Option<(PathBuf, Files)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let name = match controller {
        Controller::Pids => "pids",
        Controller::Memory => "memory",
    };
    mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else { return None };
        let place = Path::new(place);
        let (limits, is_first_version) = match kind {
            "cgroup" => (options.split(',').any(|option| option == name), true),
            "cgroup2" => {
                let enabled = fs::read_to_string(place.join("cgroup.subtree_control"));
                (enabled.is_ok_and(|all| all.split_whitespace().any(|it| it == name)), false)
            }
            _ => (false, false),
        };
        let files = match controller {
            Controller::Pids => Files { limit: "pids.max", current: "pids.current" },
            Controller::Memory if is_first_version => {
                Files { limit: "memory.limit_in_bytes", current: "memory.usage_in_bytes" }
            }
            Controller::Memory => Files { limit: "memory.max", current: "memory.current" },
        };
        limits.then(|| (place.to_owned(), files))
    })
}
