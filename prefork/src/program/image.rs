//! What a process runs, and as what it was executed.
//!
//! A probe reports this of itself, and the parent executes just that: the file in which a script or a wrapper has ended,
//! with the arguments and the environment that it was given there. A parent keeps its own, to be executed again if the
//! next program fails.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io,
    mem::ManuallyDrop,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::MetadataExt,
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};

use super::HANDOVER_VARIABLE;
use crate::program::ACTIVATION_VARIABLES;

/// It.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// The working directory, which need not have a name any more.
    pub(crate) directory: OwnedFd,
    /// The program, as the dynamic linker has loaded it, if that was executed in its place.
    pub(crate) loaded: Option<Loaded>,
    pub(crate) file: ProgramFile,
}

/// A program that was an argument of the dynamic linker.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The number of the argument.
    pub(crate) index: usize,
    pub(crate) file: OwnedFd,
}

/// A program's file, by what distinguishes it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProgramFile {
    #[serde(with = "path_as_text")]
    pub(crate) path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl ProgramFile {
    /// Looks at an open file.
    pub(crate) fn of(file: &File, path: PathBuf) -> io::Result<Self> {
        let found = file.metadata()?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(Self { path, device: found.dev(), inode: found.ino(), size: found.size(), modified })
    }

    /// Whether it is the same file, by whatever path.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let what = |file: &Self| (file.device, file.inode, file.size, file.modified);
        what(self) == what(other)
    }
}

impl Image {
    /// Finds out what this process was executed as. To be called before the title changes, by which `/proc` then
    /// shows other arguments.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let directory = open(".", flags | OFlags::DIRECTORY, Mode::empty())?;
        let seen: Vec<OsString> = env::args_os().collect();
        let arguments = arguments()?;
        // The linker takes itself, and its own arguments, out of what the program sees.
        let ends_alike = arguments.len() >= seen.len()
            && arguments
                .iter()
                .rev()
                .zip(seen[1.min(seen.len())..].iter().rev())
                .all(|(one, other)| one.as_bytes() == other.as_bytes());
        let arguments = if ends_alike { arguments } else { c_strings(&seen) };
        let index = arguments.len() - seen.len().min(arguments.len());
        let mut image = Self {
            loaded: None,
            file: ProgramFile::of(&open_own()?.into(), own_path()?)?,
            arguments,
            environment: environment()?,
            directory,
        };
        if index > 0 {
            let path = Path::new(OsStr::from_bytes(image.arguments[index].as_bytes()));
            let file = open(path, flags, Mode::empty())?;
            let real = fs::canonicalize(path)?;
            image.file = ProgramFile::of(&file.try_clone()?.into(), real)?;
            image.loaded = Some(Loaded { index, file });
        }
        Ok(image)
    }

    /// Returns the arguments with which the same file is executed again, whatever stands at its path, and the descriptor
    /// that must stay open for that.
    pub(crate) fn arguments_to_return(&self) -> (Vec<CString>, Option<BorrowedFd<'_>>) {
        let mut arguments = self.arguments.clone();
        let loaded = self.loaded.as_ref().map(|loaded| {
            let path = format!("/proc/self/fd/{}", loaded.file.as_raw_fd());
            arguments[loaded.index] = CString::new(path).unwrap_or_default();
            loaded.file.as_fd()
        });
        (arguments, loaded)
    }

    /// Closes what it holds, and leaves its memory shared with the process that this one was forked from: freeing
    /// it would make copies of the pages.
    pub(crate) fn close(self) {
        let Self { arguments, environment, directory, loaded, file } = self;
        let _shared = ManuallyDrop::new((arguments, environment, file));
        drop((directory, loaded));
    }

    /// Returns where the working directory is now.
    pub(crate) fn directory_path(&self) -> PathBuf {
        path_of(self.directory.as_fd()).unwrap_or_else(|_| "/".into())
    }
}

/// What a probe reports of itself, besides descriptors of its file and its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<OsString>,
    pub(crate) file: ProgramFile,
}

impl Report {
    pub(crate) fn of(image: &Image) -> Self {
        let texts = |texts: &[CString]| texts.iter().map(os_string).collect();
        Self {
            arguments: texts(&image.arguments),
            environment: texts(&image.environment),
            file: image.file.clone(),
        }
    }
}

/// Opens the very file that runs, whatever stands at its path.
pub(crate) fn open_own() -> io::Result<OwnedFd> {
    Ok(open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Returns where the kernel says that the file is that runs: with symbolic links resolved, and without the note that it
/// is there no more.
pub(crate) fn own_path() -> io::Result<PathBuf> {
    let path = fs::read_link("/proc/self/exe")?;
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").filter(|_| !path.exists()).unwrap_or(bytes);
    Ok(OsStr::from_bytes(bytes).into())
}

/// Returns where the kernel says that an open file is.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Reads the arguments as the process was given them.
pub(crate) fn arguments() -> io::Result<Vec<CString>> {
    let mut block = fs::read("/proc/self/cmdline")?;
    block.pop_if(|last| *last == 0);
    Ok(block.split(|byte| *byte == 0).filter_map(|word| CString::new(word).ok()).collect())
}

/// Reads the environment as the process was given it: what code has changed since, it will change again.
pub(crate) fn environment() -> io::Result<Vec<CString>> {
    let block = fs::read("/proc/self/environ")?;
    // The sockets of the service manager are in the handover, not under the numbers that it speaks of.
    let own =
        ACTIVATION_VARIABLES.into_iter().chain([HANDOVER_VARIABLE]).map(|name| format!("{name}="));
    let own: Vec<_> = own.collect();
    let is_own = |entry: &[u8]| own.iter().any(|name| entry.starts_with(name.as_bytes()));
    let entries = block.split(|byte| *byte == 0);
    let entries = entries.filter(|entry| !entry.is_empty() && !is_own(entry));
    Ok(entries.filter_map(|entry| CString::new(entry).ok()).collect())
}

/// Returns texts in the form that the kernel takes. They have no NUL in them, as the kernel has handed them over with
/// one at the end.
pub(crate) fn c_strings(texts: &[OsString]) -> Vec<CString> {
    texts.iter().map(|text| CString::new(text.as_bytes()).unwrap_or_default()).collect()
}

fn os_string(text: &CString) -> OsString {
    OsString::from_vec(text.as_bytes().to_vec())
}

/// Paths as `OsString`s, of which any can be written.
mod path_as_text {
    use std::{
        ffi::OsString,
        path::{Path, PathBuf},
    };

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}
