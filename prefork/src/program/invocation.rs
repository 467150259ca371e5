//! Where this program comes from: by what command a fresh start would run what stands there now, and as what the
//! running one was executed.

use std::{
    io,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
};

use prefork_reload::{Distrust, trusted};

use super::{Command, Image};
use crate::sys;

/// Both.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) image: Image,
}

impl Invocation {
    /// Finds it out; `command` is that of the old program, if there was one in this process.
    pub(crate) fn of_this_process(command: Option<Command>) -> io::Result<Self> {
        if sys::is_privileged_by_file() {
            return Err(io::Error::other(
                "its file gives it privileges (set-user-ID, set-group-ID or capabilities) that who \
                 started it does not have; restart it instead of upgrading",
            ));
        }
        let image = Image::of_this_process()?;
        let command = command.map_or_else(|| Command::of(&image), Ok)?;
        Ok(Self { command, image })
    }

    /// Closes what it holds in a process just forked, whose memory stays as it is.
    pub(crate) fn close(self) {
        let _shared = ManuallyDrop::new(self.command);
        self.image.close();
    }

    /// Returns the files that matter to what would be run.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.command.files(&self.image)
    }

    /// Returns the file that runs.
    pub(crate) fn running(&self) -> &Path {
        &self.image.file.path
    }

    /// Returns where a fresh start would look for the program.
    pub(crate) fn program(&self) -> PathBuf {
        self.command.program(&self.image)
    }

    /// Returns where a fresh start finds the file that was executed, if it is just that and no script that leads to it.
    pub(crate) fn path_of_running(&self) -> Option<PathBuf> {
        let Self { command, image } = self;
        (command.is_direct && image.loaded.is_none()).then(|| command.program(image))
    }

    /// Says if this process is root, and somebody else could change what would be run.
    pub(crate) fn distrust_path(&self) -> Result<(), Distrust> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let loaded = self.command.loaded.as_ref();
        let loaded = loaded.map(|path| self.command.absolute(Path::new(path), &self.image));
        [self.command.program(&self.image)]
            .into_iter()
            .chain(loaded)
            .try_for_each(|path| trusted(&path, 0))
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn the_running_program_is_found() {
        let invocation = Invocation::of_this_process(None).expect("found");
        let found = fs::metadata(invocation.command.program(&invocation.image));
        let running = fs::metadata("/proc/self/exe");
        assert_eq!(found.expect("there").ino(), running.expect("there").ino());
        assert_eq!(invocation.image.arguments.len(), env::args_os().count());
        assert_eq!(
            invocation.path_of_running(),
            Some(invocation.command.program(&invocation.image))
        );
    }
}
