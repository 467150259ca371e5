//! The table of `README.md` and the doc lines of the tests say the same.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
const TABLE: &str = include_str!("../README.md");

/// A fault and the file of a test that is about it.
type Mention = (String, String);

/// The letters of subjects.
const SUBJECTS: &str = "DPSFRHLNGXAIKV";

fn is_fault(word: &str) -> bool {
    let mut letters = word.chars();
    let is_subject = letters.next().is_some_and(|letter| SUBJECTS.contains(letter));
    let number = letters.as_str();
    is_subject && number.len() <= 2 && number.parse::<u32>().is_ok()
}

/// The rows `| D1 | what | where |`.
fn of_table() -> BTreeSet<Mention> {
    let rows = TABLE.lines().map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = rows.filter(|cells| cells.len() == 5 && is_fault(cells[1]));
    let mentions = rows.flat_map(|cells| {
        let files = cells[3].split(", ").map(|file| file.trim_matches('`').to_owned());
        files.map(|file| (cells[1].to_owned(), file)).collect::<Vec<_>>()
    });
    mentions.collect()
}

/// The doc lines that begin with one or more of them: `/// L1, L5: any number ...`.
fn of_tests() -> BTreeSet<Mention> {
    let mut mentions = BTreeSet::new();
    for path in sources(Path::new(TESTS)) {
        let text = fs::read_to_string(&path).expect("it can be read");
        let file = path.strip_prefix(TESTS).expect("it is below").display().to_string();
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("/// ")) {
            let Some((faults, _)) = line.split_once(": ") else { continue };
            if faults.split(", ").all(is_fault) {
                mentions.extend(faults.split(", ").map(|it| (it.to_owned(), file.clone())));
            }
        }
    }
    mentions
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it can be read").flatten();
    let paths = entries.map(|entry| entry.path());
    let found = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn the_table_and_the_tests_say_the_same() {
    let (table, tests) = (of_table(), of_tests());
    assert!(table.len() > 50, "{table:?}");
    let missing: Vec<_> = tests.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let untested: Vec<_> = table.difference(&tests).collect();
    assert!(untested.is_empty(), "in the table, and in no doc line: {untested:?}");
}
