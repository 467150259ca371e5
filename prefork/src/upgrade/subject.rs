//! What a probe tries: a program, what it is given, and where it runs.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use prefork_reload::{Distrust, trusted_file};
use rustix::{
    fs::{Mode, OFlags, Stat, fstat, open},
    process::geteuid,
};

use super::{
    exec::{Executable, Start},
    handover,
};
use crate::program::{
    Found, Image, Invocation, NoProbe, ProgramFile, Report, c_strings, open_own, path_of,
};

/// A program that is to be tried, and how it is executed.
#[derive(Debug)]
pub(super) struct Subject {
    /// Where to execute it from; none where it is executed by its file.
    path: Option<CString>,
    pub(super) start: Executed,
}

/// A program that a probe runs, and as what it was executed.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) program: OwnedFd,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: OwnedFd,
    pub(super) file: ProgramFile,
}

impl Subject {
    /// What a fresh start would run now.
    pub(super) fn installed(invocation: &Invocation) -> Result<Self, NoProbe> {
        let Invocation { command, image } = invocation;
        let Found { directory, path, file, shown } = command.find(image)?;
        distrust(&file, &shown)?;
        let mut program = ProgramFile::of(&file, fs::canonicalize(&shown).unwrap_or(shown))?;
        if let Some(loaded) = &command.loaded {
            let loaded = command.absolute(Path::new(loaded), image);
            let opened = open(&loaded, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let opened: File = match opened {
                Ok(opened) => opened.into(),
                Err(error) => return Err(NoProbe::Open { path: loaded, source: error.into() }),
            };
            distrust(&opened, &loaded)?;
            program = ProgramFile::of(&opened, fs::canonicalize(&loaded).unwrap_or(loaded))?;
        }
        let (arguments, environment) = (command.c_arguments(), command.c_environment());
        let start =
            Executed { program: file.into(), arguments, environment, directory, file: program };
        Ok(Self { path: Some(path), start })
    }

    /// What runs.
    pub(super) fn running(invocation: &Invocation) -> Result<Self, NoProbe> {
        let Image { arguments, environment, directory, file, .. } = &invocation.image;
        let start = Executed {
            program: open_own()?,
            arguments: arguments.clone(),
            environment: environment.clone(),
            directory: directory.try_clone()?,
            file: file.clone(),
        };
        Ok(Self { path: None, start })
    }
    /// How to execute it.
    pub(super) fn start(&self) -> Start<'_> {
        let by_file = Executable::File(self.start.program.as_fd());
        self.start.start(self.path.as_deref().map_or(by_file, Executable::Path))
    }
}

impl Executed {
    /// How to execute it again, from there.
    pub(super) fn start<'a>(&'a self, program: Executable<'a>) -> Start<'a> {
        let Self { arguments, environment, directory, .. } = self;
        Start { program, arguments, environment, directory: directory.as_fd() }
    }
    /// Reads what a probe has reported of itself; returns whether it is what was judged before.
    pub(super) fn reported(
        descriptors: Vec<OwnedFd>,
        judged: &Self,
    ) -> Result<(Self, bool), NoProbe> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let [memory, program, directory] =
            <[OwnedFd; 3]>::try_from(descriptors).map_err(|_unusable| broken())?;
        let report: Report =
            serde_json::from_slice(&handover::read(memory.as_fd())?).map_err(io::Error::from)?;
        let Report { arguments, environment, file } = report;
        let program = File::from(program);
        let identity = |found: Stat| (found.st_dev, found.st_ino);
        let is_judged = identity(fstat(&program).map_err(io::Error::from)?)
            == identity(fstat(&judged.program).map_err(io::Error::from)?);
        // It is another one than that which was executed, if that is a script.
        if !is_judged {
            distrust(&program, &path_of(program.as_fd())?)?;
        }
        let executed = Self {
            program: program.into(),
            arguments: c_strings(&arguments),
            environment: c_strings(&environment),
            directory,
            file,
        };
        Ok((executed, is_judged))
    }
}

/// Refuses a program that somebody else could change, if this process is root.
fn distrust(program: &File, path: &Path) -> Result<(), Distrust> {
    if geteuid().is_root() { trusted_file(program, path, 0) } else { Ok(()) }
}
