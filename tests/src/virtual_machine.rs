//! A machine with a kernel of its own, in which test programs run.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Lack, Scene, debian, machine::PACKAGES, require_root, require_tool, skip, wait_until};

/// What qemu is given: no hardware is needed for it, and none is used that some machines have and others have not.
const HARDWARE: &[&str] = &[
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    "1536",
    "-nodefaults",
    "-no-reboot",
    "-display",
    "none",
];

/// Modules by which sockets are looked at, each after those that it needs.
const MODULES: [&str; 3] = ["inet_diag", "tcp_diag", "unix_diag"];

/// The first process: makes the place ready, as a distribution does, runs the script, and ends the machine.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /nobody
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp
ln -s /proc/self/fd /dev/fd
chown nobody /nobody
ip link set lo up
echo '+memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
for module in /modules/*; do insmod $module; done
sh /script 2>&1
echo "script ended with status $?"
poweroff -f
"#;

/// Runs the script where systemd is the first process, and ends the machine.
const SERVICE: &str = r#"
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'sh /script 2>&1; echo "script ended with status $?"; systemctl poweroff --force --force'
StandardOutput=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
"#;

/// What the kernel is told, and systemd, if there is one.
const BOOT: &str = "console=ttyS0 loglevel=2 panic=-1 systemd.show_status=0 \
                    systemd.unified_cgroup_hierarchy=1 systemd.mask=systemd-udevd.service";

/// Makes an archive of a tree, `$1`, if there is one, without what nobody reads, and of what was installed: the kernel
/// unpacks one over the other.
const PACK: &str = r#"
pack() { busybox cpio -o -H newc 2> /dev/null; }
{
    [ -z "$1" ] || (cd "$1" && find . \( -path './usr/share/[dlmz]*' -o -path './var/*/apt' \) -prune -o -print | pack)
    cd machine && find . | pack
} > archive
"#;

/// One that boots whenever a script is to run in it.
///
/// It has a control group hierarchy of the second version alone, with limits of memory and processes; root and nobody, in
/// whose folder `/nobody` nobody may write; loopback; busybox, and `setpriv`.
#[derive(Debug)]
pub struct VirtualMachine<'a> {
    scene: &'a Scene,
    kernel: debian::Kernel,
    /// What it has beside what is installed.
    tree: Option<PathBuf>,
}

impl<'a> VirtualMachine<'a> {
    /// Makes one ready with the kernel of a release of Debian's; `None`, with a note, where that cannot be.
    ///
    /// The first time takes some seconds: the kernel comes from a Debian mirror. `folder` is kept.
    ///
    /// # Panics
    ///
    /// Panics if what should work does not.
    #[must_use]
    pub fn with_kernel_of(suite: &str, scene: &'a Scene, folder: &str) -> Option<Self> {
        let tools = ["qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb", "ldd", "setpriv"];
        if !require_root() || !tools.into_iter().all(require_tool) {
            return None;
        }
        let kernel = debian::kernel(scene, &Path::new(folder).join("kernels"), suite)?;
        let machine = Self { scene, kernel, tree: None };
        if !machine.libraries(&find("busybox")).is_empty() {
            skip(Lack::Missing("busybox needs libraries: busybox-static is not installed"));
            return None;
        }
        machine.install_base();
        Some(machine)
    }

    /// Makes one ready in which a release's systemd is the first process, and scripts are run by a service of it. It has no
    /// busybox, and the libraries of that release.
    ///
    /// # Panics
    ///
    /// Panics if what should work does not.
    #[must_use]
    pub fn with_systemd_of(
        release: &str,
        suite: &str,
        scene: &'a Scene,
        folder: &str,
    ) -> Option<Self> {
        let tools = ["qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb", "debootstrap"];
        if !require_root() || !tools.into_iter().all(require_tool) {
            return None;
        }
        let folder = Path::new(folder);
        let kernel = debian::kernel(scene, &folder.join("kernels"), suite)?;
        let tree = debian::tree(&folder.join("systemd"), release, PACKAGES)?;
        let machine = Self { scene, kernel, tree: Some(tree) };
        let wants = Path::new("/etc/systemd/system/multi-user.target.wants");
        machine.make_folder(wants);
        machine.write("/etc/systemd/system/script.service", SERVICE);
        symlink("../script.service", machine.place(wants.join("script.service"))).expect("made");
        symlink("lib/systemd/systemd", machine.place("/init")).expect("made");
        machine.write("/etc/machine-id", "");
        Some(machine)
    }

    /// Writes a file.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        self.make_folder(Path::new(path).parent().expect("it has one"));
        fs::write(self.place(path), text).expect("written");
    }

    /// Copies a program alone to a path in it.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be copied.
    pub fn install_at(&self, path: &str, program: &Path) {
        self.make_folder(Path::new(path).parent().expect("it has one"));
        fs::copy(program, self.place(path)).expect("copied");
    }

    /// What every script has.
    fn install_base(&self) {
        for folder in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp"] {
            self.make_folder(&Path::new("/").join(folder));
        }
        fs::copy(find("busybox"), self.place("/bin/busybox")).expect("copied");
        symlink("busybox", self.place("/bin/sh")).expect("made");
        self.install(&find("setpriv"));
        for (number, name) in MODULES.into_iter().enumerate() {
            let file = below(&self.kernel.modules, &format!("{name}.ko")).expect("Debian has it");
            fs::copy(file, self.place(format!("/modules/{number}-{name}.ko"))).expect("copied");
        }
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n";
        fs::write(self.place("/etc/passwd"), users).expect("written");
        fs::write(self.place("/etc/group"), "root:x:0:\nnogroup:x:65534:\n").expect("written");
        fs::write(self.place("/init"), INIT).expect("written");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.place("/init"), executable).expect("its mode is set");
    }

    /// Where a file of it is here.
    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref().strip_prefix("/").expect("it is absolute").to_owned();
        self.scene.path("machine").join(path)
    }

    /// Copies a program to the path that it has here, with its libraries.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be copied.
    pub fn install(&self, program: &Path) {
        for file in self.libraries(program).iter().map(PathBuf::as_path).chain([program]) {
            self.make_folder(file.parent().expect("it has one"));
            fs::copy(file, self.place(file)).expect("copied");
        }
    }

    /// Makes a folder at this path.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be made.
    pub fn make_folder(&self, path: &Path) {
        fs::create_dir_all(self.place(path)).expect("made");
    }

    /// Boots it and has root's shell run a script; returns what came over the console, with the script's status in the
    /// last line but that of the kernel.
    ///
    /// # Panics
    ///
    /// Panics if the machine has not ended within `limit`.
    #[must_use]
    #[track_caller]
    pub fn run(&self, script: &str, limit: Duration) -> String {
        fs::write(self.place("/script"), script).expect("written");
        let (archive, console) = (self.scene.path("archive"), self.scene.path("console"));
        let packed = self.scene.tool("sh").args(["-c", PACK, "sh"]).args(&self.tree).finish();
        assert!(packed.end.is_success(), "the files cannot be packed: {packed:?}");
        let qemu = self.scene.tool("qemu-system-x86_64").args(HARDWARE);
        let qemu = qemu.args([OsStr::new("-kernel"), self.kernel.image.as_os_str()]);
        let qemu = qemu.args([OsStr::new("-initrd"), archive.as_os_str()]);
        let serial = format!("file:{}", console.display());
        let qemu = qemu.args(["-append", BOOT, "-serial", &serial]);
        let running = qemu.start();
        wait_until(limit, "the script has ended", || running.end().is_some());
        let finished = running.finish();
        assert!(finished.end.is_success(), "qemu has failed: {finished:?}");
        self.scene.read("console")
    }

    /// The files without which a program does not start, by the paths at which it looks for them.
    fn libraries(&self, program: &Path) -> BTreeSet<PathBuf> {
        let listed = self.scene.tool("ldd").args([program]).finish().stdout;
        listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
    }
}

/// Finds a program that is there.
fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|file| file.exists()).expect("it was asked for before")
}

fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { below(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}
