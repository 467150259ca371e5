//! Collecting what is wrong with arguments.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use prefork_core::one_line;

use prefork_reload::{Distrust, trusted_way};

use crate::{ErrorChain, Fault, error::Origin};

/// The faults found so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, argument: &'static str, problem: impl Into<String>) {
        let problem = one_line(&problem.into()).to_string();
        self.0.push(Fault { argument: argument.to_owned(), problem, origin: Origin::Program });
    }

    /// Says of each where the argument comes from.
    pub(super) fn with_origins(self, origins: &BTreeMap<&'static str, Origin>) -> Vec<Fault> {
        let place = |mut fault: Fault| {
            if let (Origin::Program, Some(origin)) = (&fault.origin, origins.get(&*fault.argument))
            {
                fault.origin = origin.clone();
            }
            fault
        };
        self.0.into_iter().map(place).collect()
    }

    /// Makes a path absolute, as the daemon will leave the current directory.
    pub(super) fn path(&mut self, argument: &'static str, path: &Path) -> Option<PathBuf> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            self.add(argument, "is empty; give the path of a file");
        } else if bytes.contains(&0) {
            self.add(argument, "holds a NUL byte, which no path can");
        } else if bytes.ends_with(b"/") || path.file_name().is_none() {
            self.add(argument, format!("{} is a directory; give a file", one_line(path)));
        } else {
            match std::path::absolute(path) {
                Ok(path) => return Some(path),
                Err(error) => self.add(argument, format!("cannot be made absolute: {error}")),
            }
        }
        None
    }

    /// Refuses a path that others could lead elsewhere, where this process is root: what it writes there, and
    /// who reads it, would be theirs to choose. Anybody else has no more rights than such a path could lend.
    pub(super) fn way(&mut self, argument: &'static str, path: &Path) {
        if rustix::process::geteuid().is_root()
            && let Err(distrust) = trusted_way(path, 0)
        {
            self.distrust(argument, &distrust);
        }
    }

    pub(super) fn distrust(&mut self, argument: &'static str, distrust: &Distrust) {
        let problem = format!(
            "others could put a file of theirs there: {}, or choose another path",
            ErrorChain(distrust)
        );
        self.add(argument, problem);
    }

    /// Refuses one file for two things, except for the two logs, which may be one.
    pub(super) fn distinct(&mut self, files: &[(&'static str, Option<&Path>)]) {
        for (index, (name, path)) in files.iter().enumerate() {
            let Some(path) = path else { continue };
            let same = files[..index].iter().find(|(first, other)| {
                !(is_log(first) && is_log(name))
                    && other.is_some_and(|other| real(other) == real(path))
            });
            if let Some((first, _)) = same {
                self.add(name, format!("is the same file as {first}: {}", one_line(path)));
            }
        }
    }

    pub(super) fn one_of<T>(
        &mut self,
        names: [&'static str; 2],
        a: Option<T>,
        b: Option<T>,
    ) -> Option<T> {
        if a.is_some() && b.is_some() {
            self.add(names[1], format!("cannot be given together with {}", names[0]));
        }
        a.or(b)
    }

    /// Demands an argument, unless it was given and found wrong.
    pub(super) fn required(&mut self, argument: &'static str, when: &str) {
        if !self.0.iter().any(|fault| fault.argument == argument) {
            self.add(argument, format!("is required{when}"));
        }
    }
}

fn is_log(argument: &str) -> bool {
    ["error_log_path", "access_log_path"].contains(&argument)
}

/// Follows links on the way to a file: `/var/run` is `/run` on most systems.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
