//! What daemons of the tests have in common.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use prefork::{Args, BoxError, ErrorChain};

/// Whether a daemon goes to the background, and where it writes, as [`Launch::paths`](crate::Launch::paths) says.
#[derive(Clone, Debug, clap::Args)]
pub struct Files {
    #[arg(long)]
    daemonize: bool,
    #[arg(long)]
    pid_path: PathBuf,
    #[arg(long)]
    error_log_path: PathBuf,
    #[arg(long)]
    access_log_path: PathBuf,
}

impl Files {
    /// Sets them.
    pub fn set<S>(self, args: Args<S>) -> Args<S> {
        args.daemonize(self.daemonize)
            .pid_path(self.pid_path)
            .error_log_path(self.error_log_path)
            .access_log_path(self.access_log_path)
    }
}

/// Returns the exit status of a daemon of this name, and prints why it has failed.
pub fn exit<T>(name: &str, outcome: Result<T, BoxError>) -> ExitCode {
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{name}: {}", ErrorChain(&*error));
            ExitCode::FAILURE
        }
    }
}
