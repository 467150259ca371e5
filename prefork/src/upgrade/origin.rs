//! How this program was started, to start another one in the same way.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use prefork_reload::{Distrust, trusted, trusted_file};
use rustix::fs::{Mode, OFlags, open};

use super::inherited::VARIABLE;
use crate::{activation::VARIABLES, sys};

/// What a program is started with, as it was when this one was.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where the program is, as far as that is known the way that it was called: a symbolic link in it
    /// is followed anew every time.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// The working directory, which need not have a name any more.
    pub(crate) directory: OwnedFd,
}

impl Origin {
    /// Finds it out; `program` is where the program of before was, if there was one in this process.
    pub(crate) fn of_this_process(program: Option<PathBuf>) -> io::Result<Self> {
        if sys::is_privileged_by_file() {
            return Err(io::Error::other(
                "its file gives it privileges (set-user-ID, set-group-ID or capabilities) that who \
                 started it does not have; restart it instead of upgrading",
            ));
        }
        let arguments: Vec<_> = env::args_os().map(|word| c_string(&word)).collect();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            program: match program {
                Some(program) => program,
                None => find_program(arguments.first())?,
            },
            arguments,
            environment: environment()?,
            directory: open(".", flags, Mode::empty())?,
        })
    }
}

impl Origin {
    /// Says if this process is root, and somebody else could change what stands where the program is.
    pub(crate) fn distrust_path(&self) -> Result<(), Distrust> {
        if rustix::process::geteuid().is_root() { trusted(&self.program, 0) } else { Ok(()) }
    }

    /// The same of the program file that has been opened.
    pub(super) fn distrust(&self, program: &File) -> Result<(), Distrust> {
        if rustix::process::geteuid().is_root() {
            trusted_file(program, &self.program, 0)
        } else {
            Ok(())
        }
    }
}

/// Reads the environment as the process was given it: what code has changed since, it will change again.
pub(super) fn environment() -> io::Result<Vec<CString>> {
    let block = fs::read("/proc/self/environ")?;
    // The sockets of the service manager are in the handover, not under the numbers that it speaks of.
    let own = VARIABLES.into_iter().chain([VARIABLE]).map(|name| format!("{name}="));
    let own: Vec<_> = own.collect();
    let is_own = |entry: &[u8]| own.iter().any(|name| entry.starts_with(name.as_bytes()));
    let entries = block.split(|byte| *byte == 0);
    let entries = entries.filter(|entry| !entry.is_empty() && !is_own(entry));
    Ok(entries.filter_map(|entry| CString::new(entry).ok()).collect())
}

/// Returns the path by which the program was called, if that leads to the file that runs; else where
/// the kernel says that it is.
///
/// The kernel's answer has symbolic links resolved, so a deployment that switches one would not be
/// noticed; and it ends in ` (deleted)` once the file has been replaced.
fn find_program(called: Option<&CString>) -> io::Result<PathBuf> {
    let called = called.map(|word| Path::new(OsStr::from_bytes(word.as_bytes())));
    if let (Some(called), Ok(running)) = (called, fs::metadata("/proc/self/exe")) {
        let candidates: Vec<PathBuf> = if called.as_os_str().as_bytes().contains(&b'/') {
            std::path::absolute(called).into_iter().collect()
        } else {
            let folders = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&folders)
                .filter_map(|folder| std::path::absolute(folder.join(called)).ok())
                .collect()
        };
        let is_running = |path: &PathBuf| {
            fs::metadata(path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (running.dev(), running.ino()))
        };
        if let Some(path) = candidates.into_iter().find(is_running) {
            return Ok(path);
        }
    }
    let path = env::current_exe()?;
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").filter(|_| !path.exists()).unwrap_or(bytes);
    Ok(OsStr::from_bytes(bytes).into())
}

/// Words of a command line have no NUL in them: the kernel has handed them over with one at the end.
fn c_string(word: &OsStr) -> CString {
    CString::new(word.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_program_is_found() {
        let origin = Origin::of_this_process(None).expect("found");
        let (found, running) = (fs::metadata(&origin.program), fs::metadata("/proc/self/exe"));
        assert_eq!(found.expect("there").ino(), running.expect("there").ino());
        assert_eq!(origin.arguments.len(), env::args_os().count());
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_believed() {
        for called in ["/bin/sh", "sh", "no-such-program", ""] {
            let called = CString::new(called).expect("no NUL");
            let found = find_program(Some(&called)).expect("found");
            assert_eq!(found, env::current_exe().expect("known"));
        }
    }
}
