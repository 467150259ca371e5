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
use crate::{Fault, args::fingerprint};

/// Far more than settings have to say: a wrong path may lead to anything, and all of it would be in memory.
const LONGEST: u64 = 1 << 20;

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
    /// It is longer than 1 MiB, which settings are not; the rest was not read.
    #[error("settings {} are longer than {LONGEST} bytes; is that the right file?", one_line(path))]
    #[non_exhaustive]
    TooLong {
        /// The file.
        path: PathBuf,
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
    /// What stands there is wrong, so that the parser does not come to an end: what is no TOML, or what is wrong with the
    /// program's own settings.
    #[error("settings {}: {}{}", one_line(path), text(problem), lines(faults))]
    #[non_exhaustive]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        problem: String,
        /// What is wrong with the library's settings besides.
        faults: Vec<Fault>,
    },
}

prefork_core::debug_as_chain!(SettingsError);

/// Does what [`read_settings`](crate::read_settings) does, and reports what is wrong to the process that started this one.
pub(crate) fn read<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, SettingsError> {
    let text = text_of(path)?;
    #[cfg(feature = "serde")]
    let own = places::own_part(&text, crate::Settings::KEYS);
    // Without serde, none of it is the daemon's.
    #[cfg(not(feature = "serde"))]
    let own = &text;
    files_read().push(ReadFile { path: path.to_owned(), own: fingerprint(&own) });
    let (parsed, faults) = places::within(path, &text, parse);
    match parsed {
        Ok(parsed) => {
            faults_read().extend(faults);
            Ok(parsed)
        }
        Err(error) => {
            let problem = error.to_string().trim_end().to_owned();
            #[cfg(feature = "serde")]
            let problem = match places::advice(&problem, &text, crate::Settings::KEYS) {
                Some(advice) => format!("{problem}\n{advice}"),
                None => problem,
            };
            Err(SettingsError::Wrong { path: path.to_owned(), problem, faults })
        }
    }
}

/// Returns what stands there; to root, only if nobody else can change it.
fn text_of(path: &Path) -> Result<String, SettingsError> {
    let read = |source| SettingsError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    if rustix::process::geteuid().is_root() {
        trusted_file(&file, path, 0)
            .map_err(|source| SettingsError::Untrusted { path: path.to_owned(), source })?;
    }
    let mut text = String::new();
    (&file).take(LONGEST + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > LONGEST {
        return Err(SettingsError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

/// A file of settings that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadFile {
    pub(crate) path: PathBuf,
    /// What stands for all of it that is the program's own, and not the daemon's.
    pub(crate) own: u64,
}

/// Returns the files of settings that this process has read.
///
/// In a global, as settings are read before there is anything of the daemon's that could hold it.
pub(crate) fn files_read() -> MutexGuard<'static, Vec<ReadFile>> {
    static FILES: Mutex<Vec<ReadFile>> = Mutex::new(Vec::new());
    // Nothing panics while it is held.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what is wrong with settings in the files that this process has read to their end.
///
/// Beside those that go with the settings, so that they are reported too where a program picks single values out of these.
pub(crate) fn faults_read() -> MutexGuard<'static, Vec<Fault>> {
    static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());
    // Nothing panics while it is held.
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a parser says may show the file, which may hold anything: its lines, each without control characters.
fn text(problem: &str) -> String {
    let lines = problem.lines().map(|line| one_line(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// Each fault in a line of its own.
fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n{fault}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nor is memory taken for what has no end.
    #[test]
    fn what_is_too_long_is_not_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.toml");
        let length = usize::try_from(LONGEST).expect("a length");
        std::fs::write(&path, "#".repeat(length)).expect("written");
        assert_eq!(text_of(&path).expect("read").len(), length);
        let file = File::options().write(true).open(&path).expect("opened");
        for length in [LONGEST + 1, 1 << 40] {
            file.set_len(length).expect("sparse");
            let refused = text_of(&path).expect_err("too long");
            assert!(matches!(refused, SettingsError::TooLong { .. }), "{refused}");
        }
    }

    #[test]
    fn what_a_parser_shows_of_a_file_commands_no_terminal() {
        let path = PathBuf::from("/etc/x\u{1b}.toml");
        let wrong = SettingsError::Wrong {
            path,
            problem: "line 1\n| a\u{1b}[31m".to_owned(),
            faults: Vec::new(),
        };
        let expected = "settings /etc/x\\u{1b}.toml: line 1\n| a\\u{1b}[31m";
        assert_eq!(wrong.to_string(), expected);
    }
}
