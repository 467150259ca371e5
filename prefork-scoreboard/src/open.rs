//! Opening a file that is to be a board, and may be anything.

use crate::error::{Foreign, HeaderFault, OpenError};
use crate::format::HEADER_SIZE;
use crate::header::Header;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Opens a file that may be anything, without following a last symbolic link and without waiting
/// for the other end of a FIFO.
pub(crate) fn open_file(path: &Path, access: OFlags) -> Result<File, OpenError> {
    // Opening a device may start it, so nothing is opened that is none of ours at the first look; what
    // counts is the second one.
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file() && !found.is_symlink()) {
        return Err(OpenError::Foreign { path: path.into(), reason: Foreign::NotRegular });
    }
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => {
            return Err(OpenError::Foreign { path: path.into(), reason: Foreign::SymbolicLink });
        }
        Err(errno) => {
            return Err(OpenError::Io { action: "open", path: path.into(), source: errno.into() });
        }
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(OpenError::Foreign { path: path.into(), reason: Foreign::NotRegular }),
        Err(source) => Err(OpenError::Io { action: "examine", path: path.into(), source }),
    }
}

/// Reads and checks the header; the outer error is the system's, the inner one the contents'.
pub(crate) fn read_header(file: &File) -> io::Result<Result<Header, HeaderFault>> {
    let size = file.metadata()?.len();
    let mut bytes = [0; HEADER_SIZE];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Header::decode(&bytes, size)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Ok(Err(HeaderFault::Truncated { expected: HEADER_SIZE as u64, found: size }))
        }
        Err(error) => Err(error),
    }
}
