//! A limit of processes, by a control group.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use crate::{Lack, Scene, require_root, skip};

/// A control group of the test's own with a limit of processes; what is in it when it is dropped must be about to end.
#[derive(Debug)]
pub struct PidsLimit {
    group: PathBuf,
}

impl PidsLimit {
    /// Makes a group without a limit for the programs of a scene; `None`, and that is said, where that cannot be done.
    #[must_use]
    #[track_caller]
    pub fn make(scene: &Scene) -> Option<Self> {
        if !require_root() {
            return None;
        }
        let Some(hierarchy) = hierarchy() else {
            skip(Lack::Platform("there is no control group hierarchy that limits processes"));
            return None;
        };
        let name = format!("prefork-test-{}-{}", process::id(), scene.address().port());
        let group = hierarchy.join(name);
        match fs::create_dir(&group) {
            Ok(()) if group.join("pids.max").exists() => Some(Self { group }),
            made => {
                let why = made.err().map_or("no pids.max".to_owned(), |error| error.to_string());
                let _ = fs::remove_dir(&group);
                skip(Lack::Platform(&format!("no control group can limit processes: {why}")));
                None
            }
        }
    }

    /// What a shell does to be in it, with all that it starts.
    #[must_use]
    pub fn entrance(&self) -> String {
        format!("echo $$ > {}/cgroup.procs || exit 9", self.group.display())
    }

    /// Returns how many processes are in it.
    ///
    /// # Panics
    ///
    /// Panics if the kernel does not tell.
    #[must_use]
    #[track_caller]
    pub fn current(&self) -> u32 {
        let text = fs::read_to_string(self.group.join("pids.current")).expect("it is there");
        text.trim().parse().expect("a number")
    }

    /// Sets how many may be in it.
    ///
    /// # Panics
    ///
    /// Panics if that is refused.
    #[track_caller]
    pub fn set(&self, most: u32) {
        fs::write(self.group.join("pids.max"), most.to_string()).expect("it can be set");
    }
}

impl Drop for PidsLimit {
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

/// Finds where groups that limit processes are made.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else { return None };
        let place = Path::new(place);
        let limits = match kind {
            "cgroup" => options.split(',').any(|option| option == "pids"),
            "cgroup2" => fs::read_to_string(place.join("cgroup.subtree_control"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|it| it == "pids")),
            _ => false,
        };
        limits.then(|| place.to_owned())
    })
}
