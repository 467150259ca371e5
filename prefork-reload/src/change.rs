//! What has changed, for code and for a log line.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::one_line::OneLine;
use crate::stamp::Stamps;

/// How a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was not there before.
    Appeared,
    /// It is not as it was: written, replaced, or of another mode, owner or time.
    Changed,
    /// It is there no more. Only files of directories and globs vanish: what was named itself
    /// counts as unchanged until it is there again.
    Vanished,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
            Self::Vanished => "vanished",
        })
    }
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Change {
    /// The path by which the file is watched, absolute, symbolic links not resolved.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", OneLine(&self.path), self.kind)
    }
}

/// The files that have changed since the last verdict: at least one.
///
/// Its text fits a log line: it is one line of bounded length, whatever the files are called, and
/// names the first few.
///
/// ```text
/// /etc/app/app.conf changed, /etc/app/conf.d/new.conf appeared and 12 more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

/// How many changes are named in a text.
const NAMED: usize = 3;

impl Changes {
    /// Compares two looks; `None` if nothing has changed.
    pub(crate) fn between(before: &Stamps, after: &Stamps) -> Option<Self> {
        let (mut before, mut after) = (before.found(), after.found());
        let mut changes = Vec::new();
        let mut add = |path: &Path, kind| changes.push(Change { path: path.to_owned(), kind });
        loop {
            let order = match (before, after) {
                ([], []) => break,
                ([_, ..], []) => Ordering::Less,
                ([], [_, ..]) => Ordering::Greater,
                ([(old, _), ..], [(new, _), ..]) => old.as_os_str().cmp(new.as_os_str()),
            };
            match order {
                Ordering::Less => add(&before[0].0, ChangeKind::Vanished),
                Ordering::Greater => add(&after[0].0, ChangeKind::Appeared),
                Ordering::Equal if before[0].1 != after[0].1 => {
                    add(&after[0].0, ChangeKind::Changed);
                }
                Ordering::Equal => {}
            }
            if order.is_le() {
                before = &before[1..];
            }
            if order.is_ge() {
                after = &after[1..];
            }
        }
        (!changes.is_empty()).then_some(Self(changes))
    }

    /// Returns all changes, in the order of the bytes of their paths.
    #[must_use]
    pub fn as_slice(&self) -> &[Change] {
        &self.0
    }

    /// Iterates over all changes, in the order of the bytes of their paths.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.0.iter()
    }

    /// Returns whether the file watched as `path` is among them.
    #[must_use]
    pub fn concern(&self, path: &Path) -> bool {
        self.iter().any(|change| change.path == path)
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (named, more) = self.0.split_at(self.0.len().min(NAMED));
        for (n, change) in named.iter().enumerate() {
            if n > 0 {
                f.write_str(if more.is_empty() && n + 1 == named.len() { " and " } else { ", " })?;
            }
            write!(f, "{change}")?;
        }
        match more.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(count: usize) -> Changes {
        let name = |n| PathBuf::from(format!("/etc/{n}"));
        Changes((0..count).map(|n| Change { path: name(n), kind: ChangeKind::Changed }).collect())
    }

    #[test]
    fn the_text_names_a_few_and_counts_the_rest() {
        let table = [
            (1, "/etc/0 changed"),
            (2, "/etc/0 changed and /etc/1 changed"),
            (3, "/etc/0 changed, /etc/1 changed and /etc/2 changed"),
            (4, "/etc/0 changed, /etc/1 changed, /etc/2 changed and 1 more"),
            (15, "/etc/0 changed, /etc/1 changed, /etc/2 changed and 12 more"),
        ];
        for (count, expected) in table {
            assert_eq!(changes(count).to_string(), expected);
        }
    }

    #[test]
    fn the_text_is_one_short_line_whatever_the_files_are_called() {
        let path = PathBuf::from(format!("/{}/\n\x1b[31mpanic: \u{85}", "é".repeat(2000)));
        let change = Change { path, kind: ChangeKind::Appeared };
        let text = Changes(vec![change; 1000]).to_string();
        assert!(!text.chars().any(char::is_control), "{text}");
        assert!(text.chars().count() < 1000, "{}", text.chars().count());
        assert!(text.ends_with("\\n\\u{1b}[31mpanic: \\u{85} appeared and 997 more"), "{text}");
    }
}
