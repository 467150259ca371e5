//! Trees of Debian's packages, for machines and containers.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Finished, Lack, Scene, reaper, skip, wait_until};

/// How long a mirror may take for one file.
const MIRROR: Duration = Duration::from_secs(90);

/// Returns a tree of a release with these packages, separated by commas; `None`, with a note, where it cannot be made.
///
/// The first time takes a minute or two, and a Debian mirror. `folder` is kept, and has trees of these packages alone.
///
/// # Panics
///
/// Panics if what should work does not.
pub(crate) fn tree(folder: &Path, suite: &str, packages: &str) -> Option<PathBuf> {
    fs::create_dir_all(folder).expect("the folder can be made");
    // One at a time: each test program may be the first.
    let _lock = lock(folder);
    let tree = folder.join(suite);
    if tree.exists() {
        return Some(tree);
    }
    let unfinished = folder.join("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), suite]);
    debootstrap.arg(&unfinished);
    if !reaper::output(&mut debootstrap, b"").expect("debootstrap runs").status.success() {
        skip(Lack::Missing("debootstrap has failed: a Debian mirror is needed"));
        return None;
    }
    fs::rename(&unfinished, &tree).expect("renamed");
    Some(tree)
}

/// Waits until no other process is making something in a folder; nobody else does as long as this is kept.
pub(crate) fn lock(folder: &Path) -> File {
    let lock = File::create(folder.join("lock")).expect("the lock can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    lock
}

/// A kernel of Debian's, unpacked and not installed.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// What is booted.
    pub(crate) image: PathBuf,
    /// The folder of its modules.
    pub(crate) modules: PathBuf,
}

/// Returns the kernel for clouds of a release; `None`, with a note, where it cannot be had.
///
/// The first time takes some seconds, and a Debian mirror. `folder` is kept, on the file system of the scene, and has kernels
/// alone.
///
/// # Panics
///
/// Panics if what should work does not.
pub(crate) fn kernel(scene: &Scene, folder: &Path, suite: &str) -> Option<Kernel> {
    fs::create_dir_all(folder).expect("the folder can be made");
    let _lock = lock(folder);
    let unpacked = folder.join(suite);
    if !unpacked.exists() {
        if let Err(why) = unpack_kernel(scene, suite) {
            skip(Lack::Missing(&format!("no kernel of {suite} can be had from a mirror: {why}")));
            return None;
        }
        fs::rename(scene.path("apt/unpacked"), &unpacked).expect("renamed");
    }
    let first = |place: &str, prefix: &str| {
        let entries = fs::read_dir(unpacked.join(place)).expect("it can be read").flatten();
        let mut paths = entries.map(|entry| entry.path());
        let is_it = |path: &PathBuf| path.display().to_string().contains(&format!("/{prefix}"));
        paths.find(is_it).expect("the package has one")
    };
    Some(Kernel { image: first("boot", "vmlinuz"), modules: first("lib/modules", "") })
}

/// Fetches and unpacks the package, in a folder of the scene, by an `apt-get` that knows of this release alone.
fn unpack_kernel(scene: &Scene, suite: &str) -> Result<(), String> {
    let folder = scene.path("apt");
    for place in ["lists/partial", "cache/archives/partial", "parts"] {
        fs::create_dir_all(folder.join(place)).expect("made");
    }
    let source = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
         http://deb.debian.org/debian {suite} main\n"
    );
    fs::write(folder.join("sources.list"), source).expect("written");
    let at = folder.display();
    let options = format!(
        "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"{at}/parts\";\n\
         Dir::State::lists \"{at}/lists\";\nDir::Cache \"{at}/cache\";\nAPT::Sandbox::User \"root\";\n"
    );
    fs::write(folder.join("apt.conf"), options).expect("written");
    let run = |program: &str, words: &[&str]| {
        let running =
            scene.tool(program).variable("APT_CONFIG", folder.join("apt.conf")).args(words);
        let running = running.under(["env", "-C", &at.to_string()]).start();
        wait_until(MIRROR, "the mirror has answered", || running.end().is_some());
        let Finished { end, stdout, stderr, .. } = running.finish();
        if end.is_success() { Ok(stdout) } else { Err(format!("{program}: {}", stderr.trim())) }
    };
    run("apt-get", &["--quiet", "update"])?;
    // A package that has no files, and depends on the newest.
    let newest = format!("linux-image-cloud-{}", architecture()?);
    let depends = run("apt-cache", &["depends", &newest])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = name.ok_or_else(|| format!("{newest} depends on nothing"))?;
    run("apt-get", &["--quiet", "download", name])?;
    let packages = fs::read_dir(&folder).expect("it can be read").flatten().map(|it| it.path());
    let package = packages.filter(|it| it.extension().is_some_and(|it| it == "deb")).last();
    let package = package.ok_or("apt-get has downloaded nothing")?.display().to_string();
    run("dpkg-deb", &["--extract", &package, "unpacked"]).map(drop)
}

/// As Debian calls it.
fn architecture() -> Result<&'static str, String> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        other => Err(format!("no virtual machine is set up for {other}")),
    }
}
