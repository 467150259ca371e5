//! A board in memory that has no name.

use crate::create::reserve;
use crate::description::Description;
use crate::error::CreateError;
use crate::header::Header;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// What stands in for a path in messages.
pub(crate) const NAME: &str = "[anonymous]";

/// Makes the memory, with all pages present, and seals its size: see `memfd_create(2)`.
pub(crate) fn create(header: &Header, description: &Description) -> Result<File, CreateError> {
    let io_error =
        |action| move |source| CreateError::Io { action, path: PathBuf::from(NAME), source };
    let file =
        File::from(descriptor("scoreboard").map_err(|errno| io_error("create")(errno.into()))?);
    let bytes = header.file_size();
    reserve(&file, 0, bytes).map_err(|source| CreateError::Space {
        path: NAME.into(),
        bytes,
        source,
    })?;
    description.write_new(&file).map_err(io_error("write"))?;
    file.write_all_at(&header.encode(), 0).map_err(io_error("write"))?;
    seal(&file).map_err(io_error("seal"))?;
    Ok(file)
}

/// Makes an empty file in memory that can be sealed.
pub(crate) fn descriptor(name: &str) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // A system may insist on memory that cannot be executed; kernels before 6.3 do not know it.
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        result => result,
    }
}

fn seal(file: &File) -> io::Result<()> {
    let size = SealFlags::SHRINK | SealFlags::GROW;
    Ok(rustix::fs::fcntl_add_seals(file, size | SealFlags::SEAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Kind;

    #[test]
    fn nobody_changes_the_size_of_a_sealed_board() {
        let header = Header::new(Kind::Owned, 2);
        let file = create(&header, &Description::default()).expect("memory for three pages");
        for size in [0, header.file_size() - 1, header.file_size() + 1] {
            let error = file.set_len(size).expect_err("the size is sealed");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "set to {size}");
        }
        let past = file.write_all_at(b"x", header.file_size());
        assert!(past.is_err(), "the board grew by a write");
    }
}
