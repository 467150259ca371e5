//! How the command ends, for scripts.

use std::process::ExitCode;

/// The exit codes. Those of a daemon that does not run are those of init scripts (LSB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done; the daemon runs, or is gone, as was asked for.
    Done = 0,
    /// Not done, or not healthy.
    Failed = 1,
    /// Asked for in a wrong way; clap exits so, too.
    Usage = 2,
    /// No daemon runs.
    NotRunning = 3,
    /// Processes hold the pid file, and none of them proves to be the daemon.
    Unproven = 4,
    /// It had not come to its end when the time was over.
    TimedOut = 5,
    /// The daemon is gone as it was killed, and what its children had in hand is lost.
    Killed = 6,
    /// The settings are wrong; a daemon that serves has gone on with the old ones: as a daemon exits that cannot start for that,
    /// `EX_CONFIG` of `sysexits.h`.
    WrongSettings = 78,
}

impl Exit {
    /// The part of the help that lists them.
    pub(crate) const HELP: &str = "\
Exit codes:
  0  done; the daemon runs, or has ended, as asked
  1  failed, or not healthy
  2  wrong usage
  3  not running
  4  the pid file is held, but by no process that proves to be the daemon
  5  timed out
  6  stopped by SIGKILL, as the daemon had not ended in time: requests in hand are lost
 78  the settings are wrong; a daemon that serves has refused them, and goes on with the old ones";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotRunning,
            Exit::Unproven,
            Exit::TimedOut,
            Exit::Killed,
            Exit::WrongSettings,
        ];
        for exit in all {
            assert!(Exit::HELP.contains(&format!("\n{:>3}  ", exit as u8)), "{exit:?}");
        }
    }
}
