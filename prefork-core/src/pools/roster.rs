//! The list of a daemon's pools that lies beside its pid file, for those who look for them.
//!
//! It says what does not change while nobody changes the daemon, which pools there are, and what has become of the last change
//! of the whole. Whether the daemon lives, and which pool has a process, the kernel says of whoever holds the pid files. So a
//! list that a killed daemon has left says nothing wrong.

use std::{
    ffi::OsString,
    fmt::{self, Display},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::PoolsChange;
use crate::{Time, one_line};

/// The pools of a daemon, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// What the daemon is called.
    pub daemon: String,
    /// Its pools, in their order.
    pub pools: Vec<Listed>,
    /// What has become of the last reload, and of the last upgrade.
    pub changes: Vec<ListedChange>,
}

/// A change of the whole daemon, as the list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedChange {
    /// Which.
    pub change: PoolsChange,
    /// What has become of it.
    pub outcome: ListedOutcome,
    /// When it began, on the kernel's monotonic clock (`CLOCK_MONOTONIC` in `clock_gettime(2)`).
    pub began: Time,
    /// Why it was refused, or has failed.
    pub reason: String,
    /// The pools that were asked to follow, so far.
    pub asked: Vec<String>,
}

/// What has become of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedOutcome {
    /// It has not ended.
    Running,
    /// All is done.
    Done,
    /// Nothing has changed.
    Refused,
    /// It has ended otherwise.
    Failed,
}

impl ListedOutcome {
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Refused, Self::Failed];

    const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The first field of such lines: no name of a pool, so that earlier versions pass them over.
const fn word_of(change: PoolsChange) -> &'static str {
    match change {
        PoolsChange::Reload => "=reload",
        PoolsChange::Upgrade => "=upgrade",
    }
}

impl ListedChange {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let word = fields.next()?;
        let all = [PoolsChange::Reload, PoolsChange::Upgrade];
        let change = all.into_iter().find(|change| word_of(*change) == word)?;
        let word = fields.next()?;
        let outcome = ListedOutcome::ALL.into_iter().find(|outcome| outcome.word() == word)?;
        let began = Time::after_origin(Duration::from_nanos(fields.next()?.parse().ok()?));
        let reason = one_line(fields.next()?).to_string();
        let asked = fields.filter(|name| is_pool_name(name)).map(str::to_owned).collect();
        Some(Self { change, outcome, began, reason, asked })
    }
}

impl Display for ListedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { change, outcome, began, reason, asked } = self;
        let began = began.since_origin().as_nanos();
        let reason = one_line(reason);
        write!(f, "{}\t{}\t{began}\t{reason}", word_of(*change), outcome.word())?;
        asked.iter().try_for_each(|name| write!(f, "\t{name}"))
    }
}

/// A pool, as the list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: PoolKind,
    /// Where it listens, as far as that was said before it was started.
    pub addresses: Vec<String>,
}

/// What a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PoolKind {
    /// One that always has a process.
    Pool,
    /// One that has a process while there is something for it to do.
    OnDemand,
    /// One that is exactly one process.
    Role,
}

impl PoolKind {
    /// All of them.
    const ALL: [Self; 3] = [Self::Pool, Self::OnDemand, Self::Role];

    /// Returns the word for it: part of the list, and of what the command prints.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::OnDemand => "on-demand",
            Self::Role => "role",
        }
    }
}

/// The first line; what is added behind a pool does not change it.
const FIRST: &str = "prefork pools 1";

/// How the name of the list ends.
const EXTENSION: &str = "pools";

/// No list is longer, in bytes: what is, is none.
pub const LONGEST_ROSTER: u64 = 4 << 20;

impl Roster {
    /// Returns where the list of the daemon with this pid file is: `/run/app.pid.pools` beside `/run/app.pid`.
    #[must_use]
    pub fn beside(pid_file: &Path) -> PathBuf {
        let mut name = pid_file.file_name().unwrap_or_default().to_os_string();
        name.push(".");
        name.push(EXTENSION);
        pid_file.with_file_name(name)
    }

    /// Returns the pid file beside a list; `None` if by its name the path is none of a list.
    #[must_use]
    pub fn pid_file_of(path: &Path) -> Option<PathBuf> {
        let is_list = path.extension().is_some_and(|extension| extension == EXTENSION);
        let stem = path.file_stem().filter(|_| is_list)?;
        Some(path.with_file_name(stem))
    }
}

/// Returns the path of a pool's file, where the daemon's is `path`: `/run/app.web.pid` beside `/run/app.pid`.
#[must_use]
pub fn file_of_pool(path: &Path, pool: &str) -> PathBuf {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension());
    let mut name: OsString = stem.to_os_string();
    name.push(".");
    name.push(pool);
    if let Some(extension) = extension {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Returns whether a text can be the name of a pool: 1 to 32 of `a` to `z`, `0` to `9`, `-` and `_`.
#[must_use]
pub fn is_pool_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

impl Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}\n{}", one_line(&self.daemon))?;
        for Listed { name, kind, addresses } in &self.pools {
            write!(f, "{name}\t{}", kind.word())?;
            for address in addresses {
                write!(f, "\t{}", one_line(address))?;
            }
            writeln!(f)?;
        }
        self.changes.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

/// That a file is no list of pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no list of pools")]
pub struct NoRoster;

impl FromStr for Roster {
    type Err = NoRoster;

    /// Reads one. What is no pool in it is left out, as a later version may have other kinds; what has no end was cut short.
    fn from_str(text: &str) -> Result<Self, NoRoster> {
        let mut lines = text.strip_suffix('\n').ok_or(NoRoster)?.split('\n');
        let (first, daemon) = (lines.next(), lines.next());
        let daemon = daemon.filter(|_| first == Some(FIRST)).ok_or(NoRoster)?;
        let pool = |line: &str| {
            let mut fields = line.split('\t');
            let (name, word) = (fields.next()?, fields.next()?);
            let kind = PoolKind::ALL.into_iter().find(|kind| kind.word() == word)?;
            let addresses = fields.map(|field| one_line(field).to_string()).collect();
            is_pool_name(name).then(|| Listed { name: name.to_owned(), kind, addresses })
        };
        let pools = lines.clone().filter_map(pool).collect();
        let changes = lines.filter_map(ListedChange::read).collect();
        Ok(Self { daemon: one_line(daemon).to_string(), pools, changes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(name: &str, kind: PoolKind, addresses: &[&str]) -> Listed {
        let addresses = addresses.iter().map(|&it| it.to_owned()).collect();
        Listed { name: name.to_owned(), kind, addresses }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let roster = Roster {
            daemon: "app v2".to_owned(),
            pools: vec![
                listed("web", PoolKind::Pool, &["127.0.0.1:8000", "/run/a b.sock"]),
                listed("reports", PoolKind::OnDemand, &[":80"]),
                listed("scheduler", PoolKind::Role, &[]),
            ],
            changes: vec![
                ListedChange {
                    change: PoolsChange::Reload,
                    outcome: ListedOutcome::Refused,
                    began: Time::after_origin(Duration::from_nanos(1_234_567_890)),
                    reason: "web.toml:3: no".to_owned(),
                    asked: Vec::new(),
                },
                ListedChange {
                    change: PoolsChange::Upgrade,
                    outcome: ListedOutcome::Done,
                    began: Time::ZERO,
                    reason: String::new(),
                    asked: vec!["web".to_owned(), "scheduler".to_owned()],
                },
            ],
        };
        let text = roster.to_string();
        let expected = "prefork pools 1\napp v2\nweb\tpool\t127.0.0.1:8000\t/run/a b.sock\nreports\ton-demand\t:80\n\
                        scheduler\trole\n=reload\trefused\t1234567890\tweb.toml:3: no\n\
                        =upgrade\tdone\t0\t\tweb\tscheduler\n";
        assert_eq!(text, expected);
        assert_eq!(text.parse(), Ok(roster));
    }

    #[test]
    fn what_is_no_list_or_was_cut_short_is_none() {
        for text in ["", "\n", "4711\n", "prefork pools 1\n", "prefork pools 2\napp\n"] {
            assert_eq!(text.parse::<Roster>(), Err(NoRoster), "{text:?}");
        }
        assert_eq!("prefork pools 1\napp\nweb\tpo".parse::<Roster>(), Err(NoRoster));
        let odd = "prefork pools 1\napp\nweb\tpool\n../x\tpool\nnew\tkind\nalone\n=reload\n=reload\tdone\tx\t\n=x\tdone\t1\t\n\n";
        let roster: Roster = odd.parse().expect("it is one");
        assert_eq!(roster.pools, [listed("web", PoolKind::Pool, &[])]);
        assert_eq!(roster.changes, []);
    }

    #[test]
    fn the_files_of_a_pool_are_beside_those_of_the_daemon() {
        for (path, expected) in [
            ("/run/app.pid", "/run/app.web.pid"),
            ("/run/app", "/run/app.web"),
            ("app.v2.pid", "app.v2.web.pid"),
            ("/run/app.d/.hidden", "/run/app.d/.hidden.web"),
        ] {
            assert_eq!(file_of_pool(Path::new(path), "web"), Path::new(expected), "{path}");
        }
        for (pid_file, list) in [("/run/app.pid", "/run/app.pid.pools"), ("pid", "pid.pools")] {
            assert_eq!(Roster::beside(Path::new(pid_file)), Path::new(list));
            assert_eq!(Roster::pid_file_of(Path::new(list)).as_deref(), Some(Path::new(pid_file)));
        }
        assert_eq!(Roster::pid_file_of(Path::new("/run/app.pid")), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(prefork pools 1\n(a\n=reload\tdone\t7\t)?)?[\\PC\t\n]{0,200}") {
            if let Ok(roster) = text.parse::<Roster>() {
                prop_assert_eq!(roster.to_string().parse::<Roster>(), Ok(roster));
            }
        }
    }
}
