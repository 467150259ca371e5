//! Reading a file of settings.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prefork_core::one_line;
use prefork_reload::{Distrust, trusted_file};
use serde::{Deserialize, Serialize};

use super::places;
use crate::args::fingerprint;

/// Why settings cannot be had from a file.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It cannot be opened or read.
    #[error("cannot read settings {}", one_line(path))]
    #[non_exhaustive]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// It decides what root runs, and others can change it.
    #[error("settings {} are not root's alone", one_line(path))]
    #[non_exhaustive]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// The users who can.
        source: Distrust,
    },
    /// What stands there is wrong.
    #[error("settings {}: {}", one_line(path), text(problem))]
    #[non_exhaustive]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line: of each key of [`Settings`](crate::Settings) its own, of the rest what the
        /// parser says.
        problem: String,
    },
}

prefork_core::debug_as_report!(SettingsError);

/// Does what [`read_settings`](crate::read_settings) does, and reports what is wrong to the process that started this one.
pub(crate) fn read<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, SettingsError> {
    let read = |source| SettingsError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    if rustix::process::geteuid().is_root() {
        trusted_file(&file, path, 0)
            .map_err(|source| SettingsError::Untrusted { path: path.to_owned(), source })?;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(read)?;
    files_read().push(ReadFile { path: path.to_owned(), content: fingerprint(&text) });
    places::begin();
    parse(&text).map_err(|error| {
        // A parser knows only where the table stands that has them.
        let problem = places::located(&text);
        let problem = problem.unwrap_or_else(|| error.to_string().trim_end().to_owned());
        SettingsError::Wrong { path: path.to_owned(), problem }
    })
}

/// A file of settings that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadFile {
    pub(crate) path: PathBuf,
    pub(crate) content: u64,
}

/// Returns the files of settings that this process has read.
///
/// In a global, as settings are read before there is anything of the daemon's that could hold it.
pub(crate) fn files_read() -> MutexGuard<'static, Vec<ReadFile>> {
    static FILES: Mutex<Vec<ReadFile>> = Mutex::new(Vec::new());
    // Nothing panics while it is held.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a parser says may show the file, which may hold anything: its lines, each without control characters.
fn text(problem: &str) -> String {
    let lines = problem.lines().map(|line| one_line(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_shows_of_a_file_commands_no_terminal() {
        let path = PathBuf::from("/etc/x\u{1b}.toml");
        let wrong = SettingsError::Wrong { path, problem: "line 1\n| a\u{1b}[31m".to_owned() };
        let expected = "settings /etc/x\\u{1b}.toml: line 1\n| a\\u{1b}[31m";
        assert_eq!(wrong.to_string(), expected);
    }
}
