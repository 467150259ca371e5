//! What is watched.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::WatchError;
use crate::trust::{Distrust, trusted_way};

/// The files to watch: named ones, trees of directories, globs.
///
/// Relative paths are made absolute when they are added, so a later change of the working directory
/// changes nothing.
///
/// # What counts as a file
///
/// A file is watched *by its path*, symbolic links followed. When a link is switched, be it the file
/// or a directory anywhere above, the path leads to another file, and that is a change. The path
/// need not exist, now or later.
///
/// A path that is [named](Self::file) may lead to anything: a FIFO or a directory is looked at
/// like a file (and not opened, so nothing ever blocks). In trees and globs, only regular files
/// count, symbolic links to regular files, and symbolic links that lead to anything else, which
/// count as themselves: where they lead, not what is there.
///
/// # Examples
///
/// ```
/// use prefork_reload::WatchList;
///
/// let mut list = WatchList::new();
/// list.file("/usr/sbin/exampled")?.directory("/etc/exampled")?.glob("/etc/ssl/example-*.pem")?;
/// println!("{} files", list.scan().len());
/// # Ok::<(), prefork_reload::WatchError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct WatchList {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) globs: Vec<Glob>,
}

/// A pattern, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    /// The directory before the first component with a wildcard.
    pub(crate) root: PathBuf,
    /// The components from there on, at least one.
    pub(crate) parts: Vec<Part>,
}

/// A component of a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A name without wildcards.
    Literal(OsString),
    /// A name with wildcards.
    Wild(Pattern),
    /// `**`: any number of directories. Never the last, never followed by another.
    AnyDepth,
}

/// The rules of the shell: a wildcard does not match the dot of a hidden file.
pub(crate) const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

impl WatchList {
    /// Makes an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one file.
    ///
    /// While it is missing it counts as unchanged, because those who replace files sometimes delete
    /// first.
    ///
    /// # Errors
    ///
    /// [`WatchError::Path`] if the path is empty, or relative to a directory that is gone.
    pub fn file(&mut self, path: impl AsRef<Path>) -> Result<&mut Self, WatchError> {
        let path = absolute(path.as_ref())?;
        if !self.files.contains(&path) {
            self.files.push(path);
        }
        Ok(self)
    }

    /// Adds the files below a directory, to any depth: the same as the [`glob`](Self::glob)
    /// `path/**/*`, so files and directories whose name begins with a dot are left out, and links
    /// to directories are not followed (`path` may be one).
    ///
    /// Files that appear and vanish are changes; directories as such are not. While `path` itself
    /// is missing, or no directory, everything below counts as unchanged.
    ///
    /// # Errors
    ///
    /// [`WatchError::Path`] if the path is empty, or relative to a directory that is gone.
    pub fn directory(&mut self, path: impl AsRef<Path>) -> Result<&mut Self, WatchError> {
        let all = Pattern::new("*").map_err(|error| WatchError::glob("*", &error))?;
        let parts = vec![Part::AnyDepth, Part::Wild(all)];
        self.globs.push(Glob { root: absolute(path.as_ref())?, parts });
        Ok(self)
    }

    /// Adds the files that match a pattern at the time of each look.
    ///
    /// `*`, `?` and `[...]` match within a name, `**` is any number of directories; the rest is as
    /// in [`glob::Pattern`], with a literal `*` written `[*]`. No wildcard matches the leading dot
    /// of a hidden file. Links to directories are followed, except under `**`. A pattern without a
    /// wildcard is the name of a [`file`](Self::file).
    ///
    /// Files that appear and vanish are changes. While the directory before the first wildcard is
    /// missing, everything below it counts as unchanged.
    ///
    /// # Errors
    ///
    /// [`WatchError::Glob`] if the pattern is wrong, and as of [`file`](Self::file).
    ///
    /// [`glob::Pattern`]: https://docs.rs/glob/latest/glob/struct.Pattern.html
    pub fn glob(&mut self, pattern: &str) -> Result<&mut Self, WatchError> {
        // What precedes the pattern is never taken for one.
        let mut root = absolute(Path::new("/"))?;
        if !pattern.starts_with('/') {
            root = absolute(Path::new("."))?;
            if pattern.is_empty() {
                absolute(Path::new(""))?;
            }
        }
        let mut parts = Vec::new();
        for component in Path::new(pattern).components() {
            let name = component.as_os_str();
            let text = name.to_str().unwrap_or_default();
            let part = match component {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => continue,
                Component::ParentDir => Part::Literal(name.to_owned()),
                Component::Normal(_) if text == "**" => Part::AnyDepth,
                Component::Normal(_) if text.contains(['*', '?', '[']) => Part::Wild(
                    Pattern::new(text).map_err(|error| WatchError::glob(pattern, &error))?,
                ),
                Component::Normal(_) => Part::Literal(name.to_owned()),
            };
            match part {
                Part::Literal(name) if parts.is_empty() => root.push(name),
                Part::AnyDepth if matches!(parts.last(), Some(Part::AnyDepth)) => {}
                part => parts.push(part),
            }
        }
        match parts.last() {
            // Without a wildcard it is the name of a file.
            None => return self.file(root),
            Some(Part::AnyDepth) => {
                let all = Pattern::new("*").map_err(|error| WatchError::glob(pattern, &error))?;
                parts.push(Part::Wild(all));
            }
            Some(Part::Literal(_) | Part::Wild(_)) => {}
        }
        self.globs.push(Glob { root, parts });
        Ok(self)
    }

    /// Returns whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.globs.is_empty()
    }

    /// Returns all that others than root and `uid` could do to what the list leads to: put another file in
    /// the place of a named one, or one among those of a tree or glob (see
    /// [`trusted_way`](crate::trusted_way)). For a privileged process that acts on changes.
    #[must_use]
    pub fn distrust(&self, uid: u32) -> Vec<Distrust> {
        // What is below a root may be called anything.
        let roots = self.globs.iter().map(|glob| glob.root.join("*"));
        let paths = self.files.iter().cloned().chain(roots);
        paths.filter_map(|path| trusted_way(path, uid).err()).collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, WatchError> {
    std::path::absolute(path)
        .map_err(|source: io::Error| WatchError::Path { path: path.to_owned(), source })
}
