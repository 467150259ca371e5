//! What is found by which list: patterns against another walker, and the limits.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use prefork_reload::{MAX_ENTRIES, Unknown, WatchError, WatchList};
use proptest::prelude::*;
use tempfile::TempDir;

fn tree(files: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for file in files {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().expect("in the directory")).expect("created");
        fs::write(path, "").expect("written");
    }
    directory
}

fn found(root: &Path, list: &WatchList) -> Vec<String> {
    let relative = |path: &Path| path.strip_prefix(root).map(|path| path.display().to_string());
    list.scan().iter().map(|(path, _)| relative(path).expect("below the root")).collect()
}

fn found_by(root: &Path, pattern: &str) -> Vec<String> {
    let mut list = WatchList::new();
    list.glob(&format!("{}/{pattern}", root.display())).expect("well formed");
    found(root, &list)
}

#[test]
fn patterns_as_a_table() {
    let directory = tree(&[
        "app.conf",
        "b.conf",
        "B.conf",
        ".hidden.conf",
        "x*y",
        "d/a.conf",
        "d/e/a.conf",
        "d/e/f/a.conf",
        "d/.git/a.conf",
        "other/a.txt",
    ]);
    symlink("d", directory.path().join("link")).expect("linked");
    let table: &[(&str, &[&str])] = &[
        ("*.conf", &["B.conf", "app.conf", "b.conf"]),
        ("?.conf", &["B.conf", "b.conf"]),
        ("[ab]*.conf", &["app.conf", "b.conf"]),
        ("[!a]*.conf", &["B.conf", "b.conf"]),
        (".*.conf", &[".hidden.conf"]),
        ("x[*]y", &["x*y"]),
        ("app.conf", &["app.conf"]),
        ("*", &["B.conf", "app.conf", "b.conf", "link", "x*y"]),
        ("*/a.conf", &["d/a.conf", "link/a.conf"]),
        ("*/", &["B.conf", "app.conf", "b.conf", "link", "x*y"]),
        ("d/*/a.conf", &["d/e/a.conf"]),
        ("d/./*.conf", &["d/a.conf"]),
        ("d/../*p.conf", &["d/../app.conf"]),
        ("d/*/../*.conf", &["d/e/../a.conf"]),
        ("**/a.conf", &["d/a.conf", "d/e/a.conf", "d/e/f/a.conf"]),
        ("d/**", &["d/a.conf", "d/e/a.conf", "d/e/f/a.conf"]),
        ("d/**/**/f/*", &["d/e/f/a.conf"]),
        ("**/e/**/*.conf", &["d/e/a.conf", "d/e/f/a.conf"]),
        ("nothing/*", &[]),
        ("app.conf/*", &[]),
    ];
    for (pattern, expected) in table {
        assert_eq!(found_by(directory.path(), pattern), *expected, "{pattern}");
    }
}

#[test]
fn a_directory_is_a_glob_of_all_that_is_below() {
    let directory = tree(&["a", ".b", "c/d", "c/.e/f", "c/g/h"]);
    let mut list = WatchList::new();
    list.directory(directory.path()).expect("absolute");
    assert_eq!(found(directory.path(), &list), ["a", "c/d", "c/g/h"]);
    assert_eq!(found_by(directory.path(), "**/*"), ["a", "c/d", "c/g/h"]);
}

#[test]
fn what_is_listed_twice_is_seen_once() {
    let directory = tree(&["a", "b"]);
    let mut list = WatchList::new();
    for _ in 0..2 {
        list.file(directory.path().join("a")).expect("absolute");
        list.directory(directory.path()).expect("absolute");
    }
    assert_eq!(found(directory.path(), &list), ["a", "b"]);
}

#[test]
fn relative_paths_are_made_absolute_when_they_are_added() {
    let mut list = WatchList::new();
    list.file("Cargo.toml").expect("there is a directory");
    list.glob("src/lib.*").expect("there is a directory");
    list.glob("README.md").expect("there is a directory");
    let here = std::env::current_dir().expect("there is one");
    let seen = list.scan();
    let paths: Vec<_> = seen.iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(paths, ["Cargo.toml", "README.md", "src/lib.rs"].map(|path| here.join(path)));
    assert_eq!(seen.unknown().count(), 0);
}

#[test]
fn wrong_paths_and_patterns_are_refused_when_they_are_added() {
    let mut list = WatchList::new();
    for error in [list.file("").err(), list.directory("").err(), list.glob("").err()] {
        let error = error.expect("there is nothing to watch");
        assert!(matches!(error, WatchError::Path { .. }), "{error:?}");
        assert_eq!(error.to_string(), "cannot make the path \"\" absolute");
    }
    let error = list.glob("/etc/[").expect_err("it is not closed");
    assert!(error.to_string().starts_with("glob \"/etc/[\" is wrong at character 0: "), "{error}");
    assert!(list.glob("/etc/a**").is_err(), "it would not be what it looks like");
    assert!(list.is_empty(), "nothing was added");
}

#[test]
fn a_tree_with_too_many_files_is_not_watched_and_others_are() {
    let directory = tree(&["many/0", "few/0"]);
    for n in 1..MAX_ENTRIES {
        fs::hard_link(directory.path().join("few/0"), directory.path().join(format!("many/{n}")))
            .expect("linked");
    }
    let mut list = WatchList::new();
    list.directory(directory.path().join("many")).expect("absolute");
    list.directory(directory.path().join("few")).expect("absolute");
    let seen = list.scan();
    assert_eq!((seen.len(), seen.unknown().count()), (MAX_ENTRIES + 1, 0));
    fs::write(directory.path().join("many/one too many"), "").expect("written");
    let seen = list.scan();
    assert_eq!(seen.len(), 1);
    let many = directory.path().join("many");
    assert_eq!(seen.unknown().collect::<Vec<_>>(), [(many.as_path(), Unknown::TooMany)]);
}

#[test]
fn a_tree_without_end_is_left_at_some_depth() {
    let directory = tree(&["a"]);
    let mut path = PathBuf::from(directory.path());
    for _ in 0..200 {
        path.push("deep");
        fs::create_dir(&path).expect("created");
        fs::write(path.join("file"), "").expect("written");
    }
    let mut list = WatchList::new();
    list.directory(directory.path()).expect("absolute");
    assert_eq!(list.scan().len(), 41);
}

/// A pattern of the few characters that are interesting.
fn arb_pattern() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("*".to_owned()),
        Just("**".to_owned()),
        "[ab]{1,2}",
        "[ab]?[*?][ab]?",
        Just("[!a]*".to_owned()),
    ];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    /// Where both mean the same, the walk finds what the one of the `glob` crate finds.
    #[test]
    fn the_walk_finds_what_another_walker_finds(
        pattern in arb_pattern(),
        files in prop::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,3}", 1..12),
    ) {
        // Without a wildcard it is the name of a file, of whatever kind.
        prop_assume!(pattern.contains(['*', '?', '[']));
        let directory = tempfile::tempdir().expect("a temporary directory");
        for file in &files {
            let path = directory.path().join(file);
            // A file of one name may stand where another needs a directory.
            if fs::create_dir_all(path.parent().expect("it has one")).is_ok() && !path.is_dir() {
                let _ = fs::write(path, "");
            }
        }
        let below = format!("{}/{pattern}", directory.path().display());
        // There, `**` at the end means directories only.
        let theirs = if pattern.ends_with("**") { format!("{below}/*") } else { below };
        let mut expected: Vec<_> = glob::glob(&theirs)
            .expect("well formed")
            .map(|path| path.expect("readable"))
            .filter(|path| path.is_file())
            .map(|path| path.strip_prefix(directory.path()).expect("below").display().to_string())
            .collect();
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(found_by(directory.path(), &pattern), expected);
    }
}
