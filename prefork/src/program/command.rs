//! What a fresh start would run: by the same command line, in the same directory by name.
//!
//! # Problem
//!
//! A release is switched by a symbolic link in the working directory, in a path, or in a script that executes the real
//! program. What the kernel says of a running process has all that resolved: `/proc/self/exe` leads to the old file,
//! and an open directory is the old one.
//!
//! # Idea
//!
//! What was *said* is kept as a name, and followed again at each upgrade: the path or the name by which the program was
//! called, and the name of the working directory. A name is believed only if it leads to what runs, or to what may well
//! have led there; else the file's own path stands in for it.
//!
//! # What cannot be known
//!
//! A script or a wrapper that has executed the real program has left no trace but the name that it has passed on
//! (`exec -a "$0"`), and the environment and arguments as it has made them. With a name it is run again, with these; one
//! that passes none is not known.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, open, openat};
use serde::{Deserialize, Serialize};

use super::{
    NoProbe,
    image::{Image, c_strings, own_path},
};

/// How the program is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Called {
    /// By this path; one that is relative is taken from the working directory.
    Path(OsString),
    /// By its name, along `PATH`.
    Name(OsString),
    /// Its file has no name, as it is in memory alone.
    Nameless,
}

/// A command, as one would type it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) called: Called,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<OsString>,
    /// The working directory by name, if it has one.
    pub(crate) directory: Option<OsString>,
    /// The program, where `called` is the dynamic linker, which loads it.
    pub(crate) loaded: Option<OsString>,
    /// Whether what is called runs itself, and has executed nothing else.
    pub(crate) is_direct: bool,
}

/// What there is along `PATH`, from the working directory.
enum LookUp {
    Executable(PathBuf),
    /// The first file of that name, which may not be executed.
    Forbidden(PathBuf),
    Nowhere,
}

/// The file to which a command leads at this moment.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) directory: OwnedFd,
    /// What is to be executed, from there.
    pub(crate) path: CString,
    /// The same file.
    pub(crate) file: File,
    /// And as people see it.
    pub(crate) shown: PathBuf,
}

impl Command {
    /// Finds out by what command this process was started, which has been executed as `image`.
    pub(crate) fn of(image: &Image) -> io::Result<Self> {
        let words: Vec<OsString> = image.arguments.iter().map(os_string).collect();
        let environment: Vec<OsString> = image.environment.iter().map(os_string).collect();
        let directory = directory_by_name(&environment, words.first());
        let loaded = image.loaded.as_ref().map(|loaded| words[loaded.index].clone());
        let mut command = Self {
            called: Called::Nameless,
            arguments: words,
            environment,
            directory: directory.map(Into::into),
            loaded,
            is_direct: true,
        };
        (command.called, command.is_direct) = command.find_called(image)?;
        Ok(command)
    }

    /// Believes the first word, if it leads to what runs or may have led there; returns whether it is what runs.
    fn find_called(&self, image: &Image) -> io::Result<(Called, bool)> {
        let running = fs::metadata("/proc/self/exe")?;
        let is_running =
            |found: &Metadata| (found.dev(), found.ino()) == (running.dev(), running.ino());
        let own = own_path()?;
        if let Some(word) = self.arguments.first().filter(|word| !word.is_empty()) {
            let has_slash = word.as_bytes().contains(&b'/');
            if has_slash && !is_of_the_kernel(Path::new(word)) {
                let path = self.absolute(Path::new(word), image);
                let may_have_led_here = |found: &Metadata| {
                    is_executable(found) && (is_script(&path) || are_akin(&path, &own))
                };
                if let Ok(found) = fs::metadata(&path)
                    && (is_running(&found) || may_have_led_here(&found))
                {
                    return Ok((Called::Path(word.clone()), is_running(&found)));
                }
            } else if !has_slash
                && let Some(path) = self.search(word, image.directory.as_fd()).last()
                && fs::metadata(self.absolute(path, image)).is_ok_and(|found| is_running(&found))
            {
                return Ok((Called::Name(word.clone()), true));
            }
        }
        let is_in_memory = own.as_os_str().as_bytes().starts_with(b"/memfd:");
        let called = if is_in_memory { Called::Nameless } else { Called::Path(own.into()) };
        Ok((called, true))
    }

    /// Follows it.
    pub(crate) fn find(&self, image: &Image) -> Result<Found, NoProbe> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let directory = match &self.directory {
            None => image.directory.try_clone()?,
            Some(name) => {
                let opened = open(Path::new(name), flags | OFlags::DIRECTORY, Mode::empty());
                opened.map_err(|error| NoProbe::NoDirectory {
                    path: name.into(),
                    source: error.into(),
                })?
            }
        };
        let path = match &self.called {
            Called::Path(path) => PathBuf::from(path),
            Called::Name(name) => match self.look_up(name, directory.as_fd()) {
                LookUp::Executable(path) => path,
                LookUp::Forbidden(path) => {
                    return Err(NoProbe::NotExecutable { path: self.absolute(&path, image) });
                }
                LookUp::Nowhere => return Err(NoProbe::NotInPath { name: name.clone() }),
            },
            Called::Nameless => return Err(NoProbe::Nameless),
        };
        let shown = self.absolute(&path, image);
        // To execute a file, nobody needs to be able to read it.
        let file: File = match openat(&directory, &path, flags, Mode::empty()) {
            Ok(program) => program.into(),
            Err(error) => return Err(NoProbe::Open { path: shown, source: error.into() }),
        };
        if !file.metadata()?.is_file() {
            return Err(NoProbe::NotAFile { path: shown });
        }
        let path = CString::new(path.into_os_string().into_vec()).map_err(io::Error::from)?;
        Ok(Found { directory, path, file, shown })
    }

    /// Returns where a name may be found along `PATH`, from the first to the one that is; to the last, if none is.
    fn search(&self, name: &OsStr, directory: BorrowedFd<'_>) -> Vec<PathBuf> {
        let path =
            self.environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
        let folders = env::split_paths(OsStr::from_bytes(path.unwrap_or_default()));
        let mut candidates = Vec::new();
        for folder in folders {
            candidates.push(folder.join(name));
            if candidates.last().is_some_and(|path| can_execute(directory, path)) {
                break;
            }
        }
        candidates
    }

    /// Looks a name up along `PATH`.
    fn look_up(&self, name: &OsStr, directory: BorrowedFd<'_>) -> LookUp {
        let mut candidates = self.search(name, directory);
        if let Some(path) = candidates.pop_if(|path| can_execute(directory, path)) {
            return LookUp::Executable(path);
        }
        let found = candidates.into_iter().find(|path| is_file(directory, path));
        found.map_or(LookUp::Nowhere, LookUp::Forbidden)
    }

    /// Returns the files that matter to it: what is called, what may be found before that, and what is loaded or
    /// executed in the end.
    pub(crate) fn files(&self, image: &Image) -> Vec<PathBuf> {
        let called = match &self.called {
            Called::Path(path) => vec![path.into()],
            Called::Name(name) => self.search(name, image.directory.as_fd()),
            Called::Nameless => Vec::new(),
        };
        let loaded = self.loaded.as_ref().map(PathBuf::from);
        let mut files: Vec<_> =
            called.into_iter().chain(loaded).map(|path| self.absolute(&path, image)).collect();
        let is_run =
            |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path == image.file.path);
        if !files.iter().any(is_run) {
            files.push(image.file.path.clone());
        }
        files
    }

    /// Returns where it leads, as far as that is known without looking.
    pub(crate) fn program(&self, image: &Image) -> PathBuf {
        match &self.called {
            Called::Path(path) => self.absolute(Path::new(path), image),
            Called::Name(name) => match self.look_up(name, image.directory.as_fd()) {
                LookUp::Executable(path) | LookUp::Forbidden(path) => self.absolute(&path, image),
                LookUp::Nowhere => name.into(),
            },
            Called::Nameless => image.file.path.clone(),
        }
    }

    /// Takes a path from the working directory, by its name.
    pub(crate) fn absolute(&self, path: &Path, image: &Image) -> PathBuf {
        let directory = match &self.directory {
            Some(name) => PathBuf::from(name),
            None => image.directory_path(),
        };
        let path = directory.join(path);
        // That only takes out what leads nowhere else, as `./`.
        std::path::absolute(&path).unwrap_or(path)
    }

    pub(crate) fn c_arguments(&self) -> Vec<CString> {
        c_strings(&self.arguments)
    }

    pub(crate) fn c_environment(&self) -> Vec<CString> {
        c_strings(&self.environment)
    }
}

/// Returns the name of the working directory: as a shell has it, which leaves symbolic links in it; or as far as the
/// path of the program has one that leads there; or as the kernel has it.
fn directory_by_name(environment: &[OsString], program: Option<&OsString>) -> Option<PathBuf> {
    let here = fs::metadata(".").ok()?;
    let leads_here = |path: &Path| {
        let is_here = |found: Metadata| (found.dev(), found.ino()) == (here.dev(), here.ino());
        path.is_absolute() && fs::metadata(path).is_ok_and(is_here)
    };
    let of_shell = environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PWD="));
    let of_shell = of_shell.map(|name| PathBuf::from(OsStr::from_bytes(name)));
    if let Some(name) = of_shell.filter(|name| leads_here(name)) {
        return Some(name);
    }
    let real = env::current_dir().ok()?;
    let program = program.map(Path::new).filter(|program| program.is_absolute());
    let of_program = program.into_iter().flat_map(Path::ancestors).skip(1).find_map(|folder| {
        let rest = real.strip_prefix(fs::canonicalize(folder).ok()?).ok()?;
        // With an empty rest, this would end with a slash.
        let name = if rest.as_os_str().is_empty() { folder.into() } else { folder.join(rest) };
        Some(name).filter(|name| folder != Path::new("/") && leads_here(name))
    });
    of_program.or_else(|| Some(real).filter(|real| leads_here(real)))
}

/// Whether a path is one by which the kernel shows what runs or is open: it leads there whatever was deployed.
fn is_of_the_kernel(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

fn is_executable(found: &Metadata) -> bool {
    found.is_file() && found.permissions().mode() & 0o111 != 0
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

/// Whether the name of one is part of the name of the other, as `hello` and `.hello-wrapped` or `hello-1.2`.
fn are_akin(one: &Path, other: &Path) -> bool {
    let names = one.file_name().zip(other.file_name());
    names.is_some_and(|(one, other)| {
        let (one, other) = (one.to_string_lossy(), other.to_string_lossy());
        one.contains(&*other) || other.contains(&*one)
    })
}

fn is_file(directory: BorrowedFd<'_>, path: &Path) -> bool {
    let opened = openat(directory, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.is_ok_and(|file| File::from(file).metadata().is_ok_and(|found| found.is_file()))
}

fn can_execute(directory: BorrowedFd<'_>, path: &Path) -> bool {
    is_file(directory, path) && accessat(directory, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn os_string(text: &CString) -> OsString {
    OsStr::from_bytes(text.as_bytes()).to_owned()
}

#[cfg(test)]
mod tests;
