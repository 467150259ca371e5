//! Where a daemon has its board and its pid file if nothing else was said: where `prefork status NAME` looks.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    process::geteuid,
};

/// The directory of one daemon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place(PathBuf);

impl Place {
    /// Chooses it: `$RUNTIME_DIRECTORY`, which a service manager has made, `/run/NAME` for root, else
    /// `$XDG_RUNTIME_DIR/NAME`. None where nothing can be written there.
    ///
    /// It must be the same whenever it is asked, as a reload asks too.
    pub(super) fn of(name: &str) -> Option<Self> {
        let variable = |name| env::var_os(name).filter(|it| !it.is_empty());
        let given = variable("RUNTIME_DIRECTORY");
        let of_user = variable("XDG_RUNTIME_DIR");
        let path = choose(name, given.as_deref(), of_user.as_deref(), geteuid().is_root())?;
        let exists = path.is_dir();
        let looked_at = if exists { Some(path.as_path()) } else { path.parent() };
        let is_writable = |path: &Path| {
            path.is_dir() && accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
        };
        looked_at.filter(|path| is_writable(path))?;
        Some(Self(path))
    }

    pub(super) fn board(&self) -> PathBuf {
        self.0.join("board")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// Makes the directory. What is wrong with it is found when the files are made.
    pub(super) fn make(&self) {
        let _ = DirBuilder::new().mode(0o755).create(&self.0);
    }

    /// Removes it, if nothing is left in it.
    pub(super) fn leave(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn choose(
    name: &str,
    given: Option<&OsStr>,
    of_user: Option<&OsStr>,
    is_root: bool,
) -> Option<PathBuf> {
    if let Some(given) = given {
        // systemd separates several by colons, see systemd.exec(5).
        return env::split_paths(given).next().filter(|path| path.is_absolute());
    }
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return None;
    }
    if is_root {
        return Some(Path::new("/run").join(name));
    }
    let of_user = of_user.map(Path::new).filter(|path| path.is_absolute());
    of_user.map(|path| path.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_has_its_files_where_they_are_looked_for() {
        let (given, user) = (Some(OsStr::new("/run/x:/run/y")), Some(OsStr::new("/run/user/7")));
        for (name, given, of_user, is_root, expected) in [
            ("app", given, user, true, Some("/run/x")),
            ("app", None, user, true, Some("/run/app")),
            ("app", None, user, false, Some("/run/user/7/app")),
            ("app", None, Some(OsStr::new("user")), false, None),
            ("app", None, None, false, None),
            ("a/b", None, user, true, None),
            ("..", None, user, true, None),
            ("", None, user, true, None),
        ] {
            let chosen = choose(name, given, of_user, is_root);
            assert_eq!(chosen.as_deref(), expected.map(Path::new), "{name} {is_root}");
        }
    }
}
