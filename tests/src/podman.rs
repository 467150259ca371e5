//! Containers, of images that are built here from Debian's packages alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rustix::process::Signal;

use crate::{
    Lack, Launch, PATIENCE, Running, Scene, debian, reaper, require_root, require_tool, skip,
    wait_until,
};

/// The name in the shipped `Dockerfile`, which a tree of Debian's gets here.
const BASE: &str = "docker.io/library/debian:bookworm-slim";

/// Limits that no machine is below, and a runtime that is content with any cgroups.
const SETTINGS: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"#;

/// A place where images and containers are kept, apart from those of the machine.
#[derive(Debug)]
pub struct Podman {
    folder: PathBuf,
}

impl Podman {
    /// Makes it ready, with the image that the shipped one is built from; `None`, with a note, where that cannot be.
    ///
    /// The first time takes a minute: the image is made from a Debian mirror. `folder` is kept.
    ///
    /// # Panics
    ///
    /// Panics if what should work does not.
    #[must_use]
    pub fn new(folder: &str) -> Option<Self> {
        let is_there = require_root()
            && ["podman", "runc", "debootstrap", "tar"].into_iter().all(require_tool);
        if !is_there {
            return None;
        }
        let folder = Path::new(folder).join("containers");
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join("containers.conf"), SETTINGS).expect("written");
        let podman = Self { folder };
        // One at a time: each test program may be the first.
        let _lock = debian::lock(&podman.folder);
        if !podman.run(["image", "exists", BASE]).status.success() {
            podman.import_base()?;
        }
        let tried = podman.run(["run", "--rm", "--network=host", BASE, "true"]);
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr).into_owned();
            skip(Lack::Platform(&format!("no container runs here: {}", why.trim())));
            return None;
        }
        Some(podman)
    }

    fn import_base(&self) -> Option<()> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        // Programs that are built here run there only if it is the same.
        let Some(suite) = suite.filter(|_| release.contains("\nID=debian")) else {
            skip(Lack::Platform("this is no Debian, of which the image could be a copy"));
            return None;
        };
        let tree = debian::tree(&self.folder.join("base"), suite, "ca-certificates")?;
        let file = self.folder.join("base.tar");
        let mut tar = Command::new("tar");
        let packed = tar.arg("-C").arg(&tree).arg("-cf").arg(&file).arg(".").status();
        assert!(packed.expect("tar runs").success());
        let imported = self.run(["import", "-q", &file.display().to_string(), BASE]);
        assert!(imported.status.success(), "{imported:?}");
        let _ = fs::remove_dir_all(&tree);
        let _ = fs::remove_file(&file);
        Some(())
    }

    /// Builds an image from a folder with a `Dockerfile`.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be built.
    pub fn build(&self, context: &Path, name: &str) {
        let context = context.display().to_string();
        let how = ["--pull=never", "--network=host", "--isolation=chroot", "--layers=false"];
        let built = self.run(["build"].into_iter().chain(how).chain(["-t", name, &context]));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        // The old one has lost its name, and would stay for ever.
        let pruned = self.run(["image", "prune", "--force"]);
        assert!(pruned.status.success(), "{pruned:?}");
    }

    /// Starts a container of the image, with the address of the scene as its own, in the foreground.
    pub fn start<'a>(
        &'a self,
        scene: &'a Scene,
        (image, name): (&str, &str),
        options: &[&str],
        args: &[String],
    ) -> Container<'a> {
        let name = format!("{name}.{}", std::process::id());
        let launch = self.launch(scene).args(["run", "--rm", "--network=host", "--name", &name]);
        let running = launch.args(options).args([image]).args(args).start();
        Container { podman: self, name, running }
    }

    fn launch<'a>(&self, scene: &'a Scene) -> Launch<'a> {
        let launch = scene.tool("podman").args(self.places());
        launch.variable("CONTAINERS_CONF", self.folder.join("containers.conf"))
    }

    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        let mut podman = Command::new("podman");
        podman.args(self.places()).args(args);
        podman.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        reaper::output(&mut podman, b"").expect("podman runs")
    }

    fn places(&self) -> [String; 4] {
        let place = |option: &str| format!("--{option}={}", self.folder.join(option).display());
        let [root, runroot, tmpdir] = ["root", "runroot", "tmpdir"].map(place);
        [root, runroot, tmpdir, "--storage-driver=overlay".into()]
    }
}

/// A container in the foreground. When it is dropped, it is killed and removed.
#[derive(Debug)]
pub struct Container<'a> {
    podman: &'a Podman,
    name: String,
    running: Running<'a>,
}

impl<'a> Container<'a> {
    /// The command that runs it, which has its output and its end.
    pub const fn running(&self) -> &Running<'a> {
        &self.running
    }

    /// Runs a command in it; returns what that has written.
    ///
    /// # Panics
    ///
    /// Panics if it fails.
    #[must_use]
    pub fn execute(&self, command: &[&str]) -> String {
        let executed = self.podman.run(["exec", &self.name].iter().chain(command).copied());
        assert!(executed.status.success(), "{executed:?}");
        String::from_utf8_lossy(&executed.stdout).into_owned()
    }

    /// Sends its process 1 a signal.
    ///
    /// # Panics
    ///
    /// Panics if it is not there.
    pub fn signal(&self, signal: Signal) {
        let number = format!("--signal={}", signal.as_raw());
        let sent = self.podman.run(["kill", &number, &self.name]);
        assert!(sent.status.success(), "{sent:?}");
    }

    /// Stops it as `podman stop` does, with so many seconds of grace.
    ///
    /// # Panics
    ///
    /// Panics if that fails, or it has not ended then.
    pub fn stop(&self, seconds: u32) {
        let stopped = self.podman.run(["stop", "-t", &seconds.to_string(), &self.name]);
        assert!(stopped.status.success(), "{stopped:?}");
        wait_until(PATIENCE, "the container has ended", || self.running.end().is_some());
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.podman.run(["rm", "--force", "--time=0", "--ignore", &self.name]);
    }
}
