//! A `/tmp` and a `/var/tmp` of one's own.

use std::{ffi::CString, fs, io};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

const PLACES: [&str; 2] = ["/tmp", "/var/tmp"];

/// Gives this thread, and what it starts, its own in memory, of at most so many bytes each. Takes `CAP_SYS_ADMIN`.
pub(crate) fn enter(bytes: u64) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted and unmounted elsewhere is still seen here, and nothing from here is seen elsewhere.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let options = CString::new(format!("mode=1777,size={bytes}"))?;
    let mut done = Vec::new();
    for place in PLACES {
        // One may be a link to the other, or not be there.
        let Ok(real) = fs::canonicalize(place) else { continue };
        if !done.contains(&real) {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", &real, "tmpfs", flags, options.as_c_str())?;
            done.push(real);
        }
    }
    Ok(())
}
