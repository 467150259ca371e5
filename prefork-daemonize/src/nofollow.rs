//! Opening a file that an enemy may have put there.
//!
//! A name is looked at first with `O_PATH`, which touches nothing: it does not wait for the
//! other side of a FIFO, does not start a device, and closing it does not release record locks
//! that this process holds on the same file. Only when what stands there has been judged is it
//! opened, through `/proc/self/fd`, so that it is certainly the same thing. See open(2).

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// What stands at a path, held by a descriptor that can do nothing to it.
#[derive(Debug)]
pub(crate) struct Found {
    handle: File,
    metadata: Metadata,
}

/// Distinguishes files beyond their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    /// The identity of what stands at the path now, a link not followed; `None` for nothing.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What a file is if it is not the regular file it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Unknown => "no regular file",
        })
    }
}

impl Found {
    /// Looks at the path, a link in its last component not followed.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Self::look(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)
    }

    /// Looks at what the path leads to, links followed.
    pub(crate) fn behind(path: &Path) -> io::Result<Self> {
        Self::look(path, OFlags::PATH | OFlags::CLOEXEC)
    }

    fn look(path: &Path, flags: OFlags) -> io::Result<Self> {
        let handle = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let metadata = handle.metadata()?;
        Ok(Self { handle, metadata })
    }

    pub(crate) fn kind(&self) -> Kind {
        let kind = self.metadata.file_type();
        if kind.is_file() {
            Kind::Regular
        } else if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            Kind::Symlink
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_socket() {
            Kind::Socket
        } else if kind.is_char_device() {
            Kind::CharacterDevice
        } else if kind.is_block_device() {
            Kind::BlockDevice
        } else {
            Kind::Unknown
        }
    }

    pub(crate) fn identity(&self) -> FileId {
        FileId::from(&self.metadata)
    }

    /// The user id of the owner.
    pub(crate) fn owner(&self) -> u32 {
        self.metadata.uid()
    }

    /// The number of names; 0 once the last is removed.
    pub(crate) fn links(&self) -> u64 {
        self.metadata.nlink()
    }

    /// A handle that names the thing and can neither read nor write it.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// Opens this very file; never waits, never follows, never becomes a terminal's session.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }
}
