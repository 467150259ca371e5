//! The lines of a file of settings on which its keys stand.
//!
//! Parsers say where a *table* is that cannot be read, and a table of settings is read as a whole so that all its faults
//! are found at once. So the line of each key is looked for in the text, in whatever format that is: one that begins with
//! the key. Where no line does, as in a table on one line, or more than one, no place is named rather than a wrong one.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use crate::Fault;
#[cfg(feature = "serde")]
use crate::error::Origin;

/// A file that is being read.
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "settings are read by serde"))]
struct Reading {
    path: PathBuf,
    text: String,
    /// What was found wrong with settings in it, should the parser not come to an end.
    faults: Vec<Fault>,
}

thread_local! {
    /// The file that this thread reads: a parser brings nothing through but a text.
    static READING: RefCell<Option<Reading>> = const { RefCell::new(None) };
}

/// Has `parse` read the text of a file, so that it is known where each key stands; returns what was found wrong too.
pub(super) fn within<T>(path: &Path, text: &str, parse: impl FnOnce(&str) -> T) -> (T, Vec<Fault>) {
    let reading = Reading { path: path.to_owned(), text: text.to_owned(), faults: Vec::new() };
    READING.set(Some(reading));
    let parsed = parse(text);
    (parsed, READING.take().map(|reading| reading.faults).unwrap_or_default())
}

/// Returns where a key stands in the file that is being read, if one is.
#[cfg(feature = "serde")]
pub(super) fn origin(key: &str) -> Option<Origin> {
    READING.with_borrow(|reading| {
        let Reading { path, text, .. } = reading.as_ref()?;
        Some(Origin::File { path: path.clone(), place: place_of(text, key) })
    })
}

/// Notes what is wrong in the file that is being read; returns whether one is.
#[cfg(feature = "serde")]
pub(super) fn note(faults: &[Fault]) -> bool {
    READING.with_borrow_mut(|reading| {
        reading.as_mut().map(|reading| reading.faults.extend_from_slice(faults)).is_some()
    })
}

/// Returns what a file has that is not the daemon's: all lines but comments and those that begin with one of the keys.
#[cfg(any(test, feature = "serde"))]
pub(super) fn own_part(text: &str, keys: &[&str]) -> String {
    let is_own = |line: &&str| {
        !line.is_empty() && !line.starts_with('#') && !keys.iter().any(|key| begins_with(line, key))
    };
    text.lines().map(str::trim).filter(is_own).collect::<Vec<_>>().join("\n")
}

/// Returns line and column of the one line that begins with a key.
#[cfg(any(test, feature = "serde"))]
fn place_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| begins_with(line, key));
    let (line, number) = lines.next()?;
    let column = line.find(key)? + 1;
    lines.next().is_none().then_some((number, column))
}

/// Returns the heading of the table in which a key stands in the file that is being read, as `[daemon]`, if there is one.
#[cfg(feature = "serde")]
pub(super) fn table(key: &str) -> Option<String> {
    READING.with_borrow(|reading| {
        let text = &reading.as_ref()?.text;
        let (line, _) = place_of(text, key)?;
        heading_above(text, line).map(str::to_owned)
    })
}

/// Returns where a key is to stand instead that a parser does not know outside the table of the daemon's settings.
#[cfg(feature = "serde")]
pub(super) fn advice(problem: &str, text: &str, keys: &[&str]) -> Option<String> {
    let (_, rest) = problem.split_once("unknown field `")?;
    let (key, _) = rest.split_once('`')?;
    keys.contains(&key).then_some(())?;
    let mut places = keys.iter().filter_map(|other| place_of(text, other));
    let heading = places.find_map(|(line, _)| heading_above(text, line));
    Some(match heading {
        Some(heading) => {
            format!("`{key}` is one of the daemon's settings: move it below {heading}")
        }
        None => format!(
            "`{key}` is one of the daemon's settings, which have a table of their own: move it there"
        ),
    })
}

/// Returns the last line before this one that is the heading of a table.
#[cfg(any(test, feature = "serde"))]
fn heading_above(text: &str, line: usize) -> Option<&str> {
    let headings = text.lines().take(line.saturating_sub(1)).map(str::trim);
    headings.filter(|line| line.starts_with('[') && line.ends_with(']')).last()
}

/// Returns whether a line begins with a key: `key =`, `"key":`, `table.key =`.
#[cfg(any(test, feature = "serde"))]
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
        for (key, place) in [
            ("prefork", Some((4, 1))),
            ("max-children", Some((5, 3))),
            ("umask", Some((7, 8))),
            ("user", Some((8, 1))),
            // In two tables.
            ("name", None),
            ("group", None),
            ("", None),
        ] {
            assert_eq!(place_of(TOML, key), place, "{key}");
        }
        for (line, heading) in [(1, None), (3, None), (4, Some("[daemon]")), (10, Some("[other]"))]
        {
            assert_eq!(heading_above(TOML, line), heading, "{line}");
        }
        let json = "{\n  \"prefork\": \"many\",\n  \"name\" : 3}";
        assert_eq!(
            (place_of(json, "prefork"), place_of(json, "name")),
            (Some((2, 4)), Some((3, 4)))
        );
        let own = own_part(TOML, &["prefork", "max-children", "umask", "name"]);
        assert_eq!(own, "listen = []\n[daemon]\nuser = \"prefork = 4\"\n[other]");
        #[cfg(feature = "serde")]
        for (problem, text, expected) in [
            (
                "unknown field `user`, expected",
                TOML,
                Some("`user` is one of the daemon's settings: move it below [daemon]"),
            ),
            (
                "unknown field `user`, expected",
                "user = 1\n",
                Some(
                    "`user` is one of the daemon's settings, which have a table of their own: move it there",
                ),
            ),
            ("unknown field `other`, expected", TOML, None),
            ("invalid type", TOML, None),
        ] {
            assert_eq!(advice(problem, text, &["user", "name"]).as_deref(), expected, "{problem}");
        }
        assert_eq!(place_of("daemon:\n  prefork: many\n", "prefork"), Some((2, 3)));
        assert_eq!(place_of("{\"prefork\": -1}", "prefork"), Some((1, 3)));
    }
}
