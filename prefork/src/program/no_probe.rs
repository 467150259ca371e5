//! Why a program is not tried.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::system::os::Shortage;
use prefork_core::one_line;
use prefork_reload::Distrust;

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoProbe {
    /// The file cannot be opened.
    #[error("cannot open the program {}", one_line(path))]
    Open {
        /// The program.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// What stands there cannot be executed.
    #[error("{} is no regular file", one_line(path))]
    NotAFile {
        /// The program.
        path: PathBuf,
    },
    /// Somebody else decides what this daemon of root would become.
    #[error("root does not run what others can change")]
    Distrusted {
        /// The user, and the place.
        #[from]
        source: Distrust,
    },
    /// The directory in which a fresh start would begin is not there.
    #[error(
        "the working directory {} cannot be entered, where the daemon was started; make it again, or restart \
         the daemon elsewhere",
        one_line(path)
    )]
    NoDirectory {
        /// The directory, by its name.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// The program is called by a name, and is nowhere along `PATH`.
    #[error("{} is found nowhere along PATH", one_line(Path::new(name)))]
    NotInPath {
        /// The name.
        name: OsString,
    },
    /// The program is called by a name, and what is found along `PATH` may not be executed.
    #[error(
        "{} may not be executed; see its mode, and those of the directories above it",
        one_line(path)
    )]
    NotExecutable {
        /// The first that is found.
        path: PathBuf,
    },
    /// The running program was executed from memory.
    #[error(
        "this program was started from a file in memory, which no name leads to; restart the daemon instead"
    )]
    Nameless,
    /// It cannot be run.
    #[error("cannot start the probe")]
    System {
        /// What the system reported.
        #[from]
        source: io::Error,
    },
}

impl NoProbe {
    /// What is short, if that is why.
    pub(crate) fn shortage(&self) -> Shortage {
        match self {
            Self::System { source }
            | Self::Open { source, .. }
            | Self::NoDirectory { source, .. } => Shortage::behind(source),
            Self::NotAFile { .. }
            | Self::Distrusted { .. }
            | Self::NotInPath { .. }
            | Self::NotExecutable { .. }
            | Self::Nameless => Shortage::none(),
        }
    }
}
