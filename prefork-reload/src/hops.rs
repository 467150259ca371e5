//! The way that a path takes through the file system, symbolic links followed one by one.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links the kernel follows, see `path_resolution(7)`.
const MOST_LINKS: usize = 40;

/// One step of the way: an entry of a directory.
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    /// The directory, free of links.
    pub(crate) directory: &'a Path,
    /// The name in it.
    pub(crate) name: &'a OsStr,
    /// Both together.
    pub(crate) entry: &'a Path,
    /// What stands there, links not followed.
    pub(crate) metadata: &'a io::Result<Metadata>,
}

/// Whether the way is followed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    On,
    /// It ends at the directory of this hop.
    Stop,
}

/// Follows an absolute path, calling `visit` at each hop; returns where it ends, free of links.
///
/// Hops upwards, `..`, are not visited: they lead back to directories that were.
///
/// # Errors
///
/// The path of the hop that leads nowhere, and why; or what `visit` returned.
pub(crate) fn follow<E>(
    path: &Path,
    mut visit: impl FnMut(&Hop<'_>) -> Result<Step, E>,
    failed: impl Fn(PathBuf, io::Error) -> E,
) -> Result<PathBuf, E> {
    let mut real = PathBuf::from("/");
    let mut ahead = VecDeque::new();
    push_front(&mut ahead, path);
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            real.pop();
            continue;
        }
        let entry = real.join(&name);
        let metadata = fs::symlink_metadata(&entry);
        match visit(&Hop { directory: &real, name: &name, entry: &entry, metadata: &metadata })? {
            Step::On => {}
            Step::Stop => return Ok(real),
        }
        let metadata = metadata.map_err(|error| failed(entry.clone(), error))?;
        if !metadata.is_symlink() {
            if !metadata.is_dir() && !ahead.is_empty() {
                return Err(failed(entry, rustix::io::Errno::NOTDIR.into()));
            }
            real = entry;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(failed(entry, rustix::io::Errno::LOOP.into()));
        }
        let target = fs::read_link(&entry).map_err(|error| failed(entry.clone(), error))?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        push_front(&mut ahead, &target);
    }
    Ok(real)
}

fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(_) | Component::ParentDir => {
                ahead.push_front(component.as_os_str().to_owned());
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
}
