//! A machine with a systemd of its own, in namespaces of the machine that runs the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crate::{Lack, PATIENCE, debian, reaper, require_root, require_tool, skip, wait_until};

/// Packages without which systemd does not come up, and what tests use.
pub(crate) const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,iproute2,curl,logrotate";

/// Goes over to the machine: `$1` is a tree of Debian's, which stays as it is, `$2` an empty folder for what changes.
const BOOT: &str = r#"
set -e
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/changes" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
ip link set lo up
mkdir -p .old
pivot_root . .old
umount -l .old
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
"#;

/// One that runs until it is dropped.
#[derive(Debug)]
pub struct Machine {
    unshare: Child,
    /// Its process 1.
    leader: u32,
    cgroup: PathBuf,
    _changes: tempfile::TempDir,
}

impl Machine {
    /// Boots one with the systemd of a release of Debian's; `None`, with a note, where that cannot be.
    ///
    /// The first time takes a minute or two: the tree comes from a Debian mirror. `folder` is kept.
    ///
    /// # Panics
    ///
    /// Panics if what should work does not.
    #[must_use]
    pub fn boot(folder: &str, suite: &str) -> Option<Self> {
        let tools = ["debootstrap", "setpriv", "unshare", "nsenter", "mount", "pivot_root", "ip"];
        if !require_root() || !tools.into_iter().all(require_tool) {
            return None;
        }
        let Some(cgroups) = cgroups() else {
            skip(Lack::Platform("no cgroup2 is mounted, which systemd needs"));
            return None;
        };
        let tree = debian::tree(&Path::new(folder).join("systemd"), suite, PACKAGES)?;
        let changes = tempfile::tempdir().expect("a folder can be made");
        let name = changes.path().file_name().expect("it has a name");
        let cgroup = cgroups.join(format!("prefork-tests{}", name.display()));
        if let Err(error) = fs::create_dir(&cgroup) {
            skip(Lack::Platform(&format!("no cgroup can be made: {error}")));
            return None;
        }
        let mut shell = Command::new("sh");
        // A test program that is killed leaves nothing of it.
        let enter = r#"echo $$ > "$3/cgroup.procs" && exec setpriv --pdeathsig KILL \
            unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup \
            --propagation private sh -c "$0" boot "$1" "$2""#;
        shell.args(["-c", enter, BOOT]).arg(&tree).arg(changes.path()).arg(&cgroup);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut unshare = shell.spawn().expect("sh runs");
        let mut leader = None;
        let pid = unshare.id();
        let has_booted = || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            leader = children.ok().and_then(|pids| pids.split(' ').next()?.parse::<u32>().ok());
            let name = leader.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            name.as_deref() == Some("systemd\n") || !matches!(unshare.try_wait(), Ok(None))
        };
        wait_until(PATIENCE, "the machine begins to boot, or cannot", has_booted);
        let Some(leader) = leader else {
            skip(Lack::Platform("no systemd runs here: namespaces or mounts are refused"));
            let _ = fs::remove_dir(&cgroup);
            return None;
        };
        let machine = Self { unshare, leader, cgroup, _changes: changes };
        // Some units have nothing to do here, and fail: that does not matter.
        wait_until(PATIENCE, "the machine has booted", || {
            let state = machine.run("systemctl is-system-running").1;
            ["running\n", "degraded\n"].contains(&&*state)
        });
        Some(machine)
    }

    /// Copies a program or another file into it.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be copied.
    pub fn install(&self, from: impl AsRef<Path>, to: &str) {
        let text = fs::read(&from).expect("it can be read");
        let mode = if text.starts_with(b"\x7fELF") { "0755" } else { "0644" };
        // By another name first: it may be running.
        let script = format!(
            "mkdir -p $(dirname {to}) && cat > {to}.new && chmod {mode} {to}.new && mv {to}.new {to}"
        );
        let output = reaper::output(&mut self.shell(&script), &text).expect("nsenter runs");
        assert!(output.status.success(), "{to} was not written: {output:?}");
    }

    /// Runs a script by a shell in it; returns the exit status and what it has printed, errors among it.
    ///
    /// # Panics
    ///
    /// Panics if it was ended by a signal.
    #[must_use]
    pub fn run(&self, script: &str) -> (i32, String) {
        let Output { status, stdout, .. } =
            reaper::output(&mut self.shell(&format!("exec 2>&1\n{script}")), b"")
                .expect("nsenter runs");
        (status.code().expect("it exits"), String::from_utf8_lossy(&stdout).into_owned())
    }

    /// The same for one that has to succeed; returns what it has printed.
    ///
    /// # Panics
    ///
    /// Panics if it fails.
    #[track_caller]
    pub fn must(&self, script: &str) -> String {
        let (status, text) = self.run(script);
        let journal = || self.run("journalctl --no-pager -n 40 -o short").1;
        assert_eq!(status, 0, "{script}\n{text}\n{}", journal());
        text
    }

    /// Starts a shell in it.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args([
            "-t",
            &self.leader.to_string(),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-C",
            "-r",
            "-w",
        ]);
        nsenter.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-c", script]);
        nsenter
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its child dies with it (`--kill-child`), and all processes there with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        remove_cgroups(&self.cgroup);
    }
}

/// Where cgroups of the second version are, on a hybrid system too.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let path = words.next()?;
        (words.next() == Some("cgroup2")).then(|| PathBuf::from(path))
    })
}

/// Those of everything that has run there; they are empty when all processes are gone, which may take a moment.
fn remove_cgroups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    for _ in 0..100 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Ok(()) | Err(_) => return,
        }
    }
}
