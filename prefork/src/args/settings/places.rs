//! The lines of a file of settings on which its keys stand.
//!
//! Parsers say where a *table* is that cannot be read, and a table of settings is read as a whole so that all its faults
//! are found at once. So the line of each key is looked for in the text, in whatever format that is: one that begins with
//! the key. Where no line does, as in a table on one line, or more than one, no line is named rather than a wrong one.

use std::{cell::RefCell, fs, path::PathBuf};

use prefork_core::one_line;

use super::files_read;
use crate::ArgsError;

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) problem: String,
}

thread_local! {
    /// The faults of settings that this thread has found in the file that it reads.
    static FOUND: RefCell<Vec<Fault>> = const { RefCell::new(Vec::new()) };
}

/// Has faults said by their lines, should a file be read; a parser brings nothing through but a text.
#[cfg(feature = "serde")]
pub(super) fn note(faults: &[Fault]) {
    FOUND.with_borrow_mut(|found| found.extend_from_slice(faults));
}

/// Forgets what was found before.
pub(super) fn begin() {
    FOUND.with_borrow_mut(Vec::clear);
}

/// Returns all faults that were found in this text, each with its line, if each has one.
pub(super) fn located(text: &str) -> Option<String> {
    let found = FOUND.with_borrow_mut(std::mem::take);
    let lines = found
        .iter()
        .map(|Fault { key, problem }| Some(format!("line {}: {problem}", line_of(text, key)?)));
    let lines: Vec<_> = lines.collect::<Option<_>>()?;
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Says of arguments that are wrong where they stand in the files that were read.
pub(crate) fn locate(error: &mut ArgsError) {
    let paths: Vec<PathBuf> = files_read().iter().map(|file| file.path.clone()).collect();
    // They were read a moment ago.
    let files = paths.iter().filter_map(|path| Some((path, fs::read_to_string(path).ok()?)));
    for (path, text) in files {
        for fault in error.faults_mut() {
            if let Some(line) = line_of(&text, fault.argument) {
                fault.problem.push_str(&format!(" (in {}, line {line})", one_line(path)));
            }
        }
    }
}

/// Returns the number of the one line that begins with a key.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| begins_with(line, key));
    let (_, line) = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// Returns whether a line begins with a key: `key =`, `"key":`, `table.key =`.
fn begins_with(line: &str, key: &str) -> bool {
    let Some((before, _)) = line.split_once(['=', ':']) else { return false };
    let last = before.rsplit('.').next().unwrap_or(before);
    last.trim_matches([' ', '\t', '"', '\'', '{', ',', '-']) == key
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "# prefork = 1\nlisten = []\n[daemon]\nprefork = \"many\"\n  max-children=3 # prefork = 2\n\
                        \"name\" = 'x'\ndaemon.umask = 22\nuser = \"prefork = 4\"\n[other]\nname = 1\n";

    #[test]
    fn a_key_is_found_in_the_line_that_begins_with_it() {
        for (key, line) in [
            ("prefork", Some(4)),
            ("max-children", Some(5)),
            ("umask", Some(7)),
            ("user", Some(8)),
            // In two tables.
            ("name", None),
            ("group", None),
            ("", None),
        ] {
            assert_eq!(line_of(TOML, key), line, "{key}");
        }
        let json = "{\n  \"prefork\": \"many\",\n  \"name\" : 3}";
        assert_eq!((line_of(json, "prefork"), line_of(json, "name")), (Some(2), Some(3)));
        assert_eq!(line_of("daemon:\n  prefork: many\n", "prefork"), Some(2));
        assert_eq!(line_of("{\"prefork\": -1}", "prefork"), Some(1));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn all_faults_are_said_by_their_lines_or_none_is() {
        let fault = |key: &str| Fault { key: key.to_owned(), problem: format!("{key}: wrong") };
        begin();
        note(&[fault("umask"), fault("prefork")]);
        assert_eq!(located(TOML).as_deref(), Some("line 7: umask: wrong; line 4: prefork: wrong"));
        assert_eq!(located(TOML), None, "they were said");
        note(&[fault("umask"), fault("name")]);
        assert_eq!(located(TOML), None);
    }
}
