//! The directories in which boards are looked for.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use prefork_core::{one_line, pools::Roster};

use super::pools::pid_file_beside;
use crate::look;

/// The variable that names other directories, with colons between them.
pub(super) const VARIABLE: &str = "PREFORK_PATH";

/// Where to look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// In these alone.
    Named(Vec<PathBuf>),
    /// Where daemons usually have their files, and at what processes hold.
    Usual(Vec<PathBuf>),
}

impl Places {
    /// Takes them from the environment.
    pub(super) fn of_environment() -> Self {
        Self::of(env::var_os(VARIABLE).as_deref(), env::var_os("XDG_RUNTIME_DIR").as_deref())
    }

    fn of(named: Option<&OsStr>, of_user: Option<&OsStr>) -> Self {
        match named.filter(|named| !named.is_empty()) {
            Some(named) => Self::Named(env::split_paths(named).collect()),
            None => {
                let of_user = of_user.map(PathBuf::from).filter(|path| path.is_absolute());
                Self::Usual([PathBuf::from("/run")].into_iter().chain(of_user).collect())
            }
        }
    }

    /// Returns the boards there: in the directories themselves, and in those in them.
    pub(super) fn boards(&self) -> Vec<PathBuf> {
        self.files(is_board)
    }

    /// Returns the pid files of daemons of several pools there, which have a list of these beside them.
    pub(super) fn daemons_of_pools(&self) -> Vec<PathBuf> {
        let lists = self.files(|path| Roster::pid_file_of(path).is_some());
        lists.iter().filter_map(|list| pid_file_beside(list)).collect()
    }

    fn files(&self, is_meant: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let (Self::Named(places) | Self::Usual(places)) = self;
        let mut files = Vec::new();
        for place in places {
            for path in entries(place) {
                match fs::symlink_metadata(&path).map(|found| found.file_type()) {
                    Ok(kind) if kind.is_dir() => {
                        files.extend(entries(&path).into_iter().filter(|path| is_meant(path)));
                    }
                    Ok(kind) if kind.is_file() && is_meant(&path) => files.push(path),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        files.sort();
        files.dedup();
        files
    }

    /// Returns them in words, for a sentence that says "in".
    pub(super) fn words(&self) -> String {
        let list = |places: &[PathBuf]| {
            let places: Vec<_> = places.iter().map(|it| one_line(it).to_string()).collect();
            places.join(", ")
        };
        match self {
            Self::Named(places) => format!("{}, which {VARIABLE} names", list(places)),
            Self::Usual(places) => {
                format!("{}, nor among the files that processes hold", list(places))
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).map(|entries| entries.filter_map(Result::ok));
    entries.map(|entries| entries.map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// A board has a page at the least: what is smaller, or no file, is not opened.
fn is_board(path: &Path) -> bool {
    let is_likely = fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() >= 8192);
    is_likely && look::begins_like_a_board(path)
}

#[cfg(test)]
mod tests {
    use prefork_scoreboard::OwnedBoard;

    use super::*;

    #[test]
    fn a_variable_names_other_directories() {
        let of = |named: Option<&str>, user: Option<&str>| {
            Places::of(named.map(OsStr::new), user.map(OsStr::new))
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of(Some("/srv/a:/srv/b"), None), Places::Named(paths(&["/srv/a", "/srv/b"])));
        assert_eq!(of(None, Some("/run/user/7")), Places::Usual(paths(&["/run", "/run/user/7"])));
        assert_eq!(
            of(Some(""), Some("x")),
            Places::Usual(paths(&["/run"])),
            "a relative one is none"
        );
    }

    #[test]
    fn boards_are_found_in_a_directory_and_in_those_in_it_but_no_deeper() {
        let directory = tempfile::tempdir().expect("a directory");
        let deep = directory.path().join("a/b");
        fs::create_dir_all(&deep).expect("directories");
        let paths =
            [directory.path().join("one"), directory.path().join("a/two"), deep.join("three")];
        let _boards = paths.each_ref().map(|path| OwnedBoard::create(path, 1).expect("a board"));
        fs::write(directory.path().join("text"), [b'x'; 10_000]).expect("a file");
        let places = Places::Named(vec![directory.path().into(), "/nonexistent".into()]);
        assert_eq!(places.boards(), [paths[1].clone(), paths[0].clone()]);
    }
}
