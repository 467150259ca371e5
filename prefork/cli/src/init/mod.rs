//! `prefork init`: the files that others need to run a daemon of `prefork run`, with its own paths and times.
//!
//! Each is a text made of a [`Daemon`], which the settings were read into: nothing here asks the system.

mod container;
mod kubernetes;
mod logrotate;
mod systemd;
mod tmpfiles;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ValueEnum, ValueHint};
use prefork::Settings;
use prefork_core::one_line;

use crate::{
    exit::Exit,
    failure::Failure,
    output,
    run::{self, Settled},
};

/// What a daemon takes to stop after its children were given their time.
const HARDER_MEASURES: Duration = Duration::from_secs(6);

/// The arguments of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// For whom the file is
    #[arg(value_enum)]
    kind: Kind,
    /// File of settings, as `prefork run` takes it
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Who reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A unit: /etc/systemd/system/NAME.service
    Systemd,
    /// A Dockerfile
    Container,
    /// A deployment with its service, its probes and an autoscaler
    Kubernetes,
    /// /etc/logrotate.d/NAME
    Logrotate,
    /// Directories that no unit makes: /etc/tmpfiles.d/NAME.conf
    Tmpfiles,
}

/// What the files say of a daemon.
#[derive(Debug)]
struct Daemon {
    name: String,
    /// This command.
    prefork: PathBuf,
    /// The file of settings, and what stands in it.
    file: PathBuf,
    text: String,
    /// The TCP addresses at which the program listens, as they are written.
    addresses: Vec<String>,
    settings: Settings,
}

/// Prints one, or says why there is none.
pub(crate) fn run(args: InitArgs) -> Result<Exit, Failure> {
    let InitArgs { kind, file } = args;
    let settled = match run::settle(&file) {
        Ok(settled) => settled,
        Err(exit) => return Ok(exit),
    };
    match text(kind, &Daemon::new(settled)) {
        Ok(text) => output::print(&text),
        Err(reason) => {
            output::warn(&reason);
            Ok(Exit::Failed)
        }
    }
}

fn text(kind: Kind, daemon: &Daemon) -> Result<String, String> {
    match kind {
        Kind::Systemd => Ok(systemd::text(daemon)),
        Kind::Container => Ok(container::text(daemon)),
        Kind::Kubernetes => Ok(kubernetes::text(daemon)),
        Kind::Logrotate => logrotate::text(daemon),
        Kind::Tmpfiles => tmpfiles::text(daemon),
    }
}

impl Daemon {
    fn new(settled: Settled) -> Self {
        let Settled { prefork, file, text, addresses, settings } = settled;
        let name = settings.name.clone().unwrap_or_else(|| "prefork".to_owned());
        Self { name, prefork, file, text, addresses, settings }
    }

    /// How many seconds whoever stops it gives it: as long as it may take, and more.
    fn stop_seconds(&self) -> u64 {
        let graceful = self.settings.graceful_timeout.unwrap_or(Duration::from_secs(30));
        seconds(graceful + HARDER_MEASURES) + MARGIN
    }

    /// How long it may take until it serves.
    fn start_time(&self) -> Duration {
        self.settings.start_timeout.unwrap_or(Duration::from_secs(60))
    }

    fn logs(&self) -> impl Iterator<Item = &Path> {
        let Settings { error_log_path, access_log_path, .. } = &self.settings;
        let logs = [error_log_path, access_log_path].into_iter().flatten().map(PathBuf::as_path);
        logs.collect::<BTreeSet<_>>().into_iter()
    }

    fn is_in_background(&self) -> bool {
        self.settings.daemonize == Some(true)
    }

    /// The directories of its own below one of the system's, `/run` or `/var/log`, by what follows there.
    fn directories_below(&self, base: &str) -> BTreeSet<String> {
        let Settings { pid_path, scoreboard_path, .. } = &self.settings;
        let files = [pid_path, scoreboard_path].into_iter().flatten().map(PathBuf::as_path);
        let below = files.chain(self.logs()).filter_map(|file| {
            let directory = file.parent()?.strip_prefix(base).ok()?;
            (directory != Path::new("")).then(|| one_line(directory).to_string())
        });
        below.collect()
    }

    /// The ports at which it listens.
    fn ports(&self) -> BTreeSet<u16> {
        let port = |address: &String| address.rsplit_once(':')?.1.parse().ok();
        self.addresses.iter().filter_map(port).collect()
    }

    /// An address that only this machine reaches.
    fn hidden_address(&self) -> Option<&str> {
        let is_hidden = |address: &&String| {
            ["127.", "localhost:", "[::1]", ":"].iter().any(|start| address.starts_with(start))
        };
        self.addresses.iter().find(is_hidden).map(String::as_str)
    }

    fn file_name(&self) -> String {
        self.file.file_name().unwrap_or(OsStr::new("app.toml")).to_string_lossy().into_owned()
    }
}

/// What is given to the daemon on top of its own time, so that it is not ended from outside.
const MARGIN: u64 = 4;

/// Whole seconds, and one more for a part of one.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn daemon() -> Daemon {
        let mut settings = Settings::default();
        settings.name = Some("app".to_owned());
        settings.pid_path = Some("/run/app/pid".into());
        settings.scoreboard_path = Some("/run/app/board".into());
        Daemon {
            name: "app".to_owned(),
            prefork: "/usr/local/bin/prefork".into(),
            file: "/etc/app/app.toml".into(),
            text: "command = [\"python3\", \"app.py\"]\nlisten = \"0.0.0.0:8000\"\n".to_owned(),
            addresses: vec!["0.0.0.0:8000".to_owned()],
            settings,
        }
    }

    #[test]
    fn directories_are_those_of_the_daemon_alone() {
        let mut daemon = daemon();
        assert_eq!(daemon.directories_below("/run"), BTreeSet::from(["app".to_owned()]));
        assert_eq!(daemon.directories_below("/var/log"), BTreeSet::new());
        daemon.settings.pid_path = Some("/run/app.pid".into());
        daemon.settings.scoreboard_path = Some("/dev/shm/board".into());
        daemon.settings.error_log_path = Some("/var/log/a/b/error.log".into());
        assert_eq!(daemon.directories_below("/run"), BTreeSet::new());
        assert_eq!(daemon.directories_below("/var/log"), BTreeSet::from(["a/b".to_owned()]));
    }

    #[test]
    fn addresses_that_only_this_machine_reaches_are_found() {
        for (address, is_hidden) in [
            ("127.0.0.1:1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            (":1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
        ] {
            let daemon = Daemon { addresses: vec![address.to_owned()], ..daemon() };
            assert_eq!(daemon.hidden_address().is_some(), is_hidden, "{address}");
            assert_eq!(daemon.ports(), BTreeSet::from([1]));
        }
    }

    #[test]
    fn a_part_of_a_second_counts() {
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::from_secs(1)), 1);
    }
}
