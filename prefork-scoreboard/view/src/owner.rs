//! What the owner of a board publishes about itself.

use std::time::{Duration, SystemTime};

use prefork_scoreboard::{Board, Facts, Fault, Monotonic, Pulse, Standing, names};

use crate::QueueTimes;

/// What the owner of a board publishes about itself, as far as it does.
///
/// Texts are safe for a terminal; all of it is for people, as a process that can write the board can forge it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Name of the daemon.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The file that runs.
    pub program: Option<String>,
    /// The file that its children run, where that is another program.
    pub runs: Option<String>,
    /// What supervises the children, with its version: `prefork 0.1.0`.
    pub library: Option<String>,
    /// How far the daemon is: `starting`, `serving`, `stopping`.
    pub phase: Option<String>,
    /// How many children there are at rest.
    pub min_children: Option<u32>,
    /// How many children there may be.
    pub max_children: Option<u32>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// How many jobs wait elsewhere than there, as the program has last reported; `None` where that is not known.
    pub jobs_waiting: Option<u32>,
    /// How long clients have waited there, where that is measured.
    pub queue_times: Option<QueueTimes>,
    /// The pid file.
    pub pid_file: Option<String>,
    /// The files of settings that were read.
    pub settings: Vec<String>,
    /// The layers that hold its children apart.
    pub isolation: Vec<String>,
    /// The layers that were asked for and are not possible there, each with the reason.
    pub not_isolated: Vec<String>,
    /// The last reload.
    pub reload: Option<Change>,
    /// The last upgrade.
    pub upgrade: Option<Change>,
    /// The last time that the logs were opened again.
    pub reopening: Option<Change>,
    /// The number of its descriptor for what its processes count.
    pub metrics: Option<i32>,
    /// Why it cannot fork a child, while it cannot.
    pub cannot_fork: Option<String>,
}

/// An address at which a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address: `127.0.0.1:80`, or a path.
    pub address: String,
    /// The connections that wait to be accepted, as the owner has last seen; `None` where that is not known.
    pub queue: Option<Queue>,
}

/// Connections that wait to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// How many wait.
    pub waiting: u32,
    /// How many may.
    pub limit: u32,
}

/// A reload, an upgrade, or an opening of the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What has become of it.
    pub outcome: Outcome,
    /// Why it was refused or failed; of one that goes on, what it is at.
    pub reason: Option<String>,
    /// When it began.
    pub began: Option<Monotonic>,
    /// When it ended.
    pub ended: Option<Monotonic>,
}

/// What has become of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// It was done.
    Done,
    /// It was not begun: all is as it was.
    Refused,
    /// It was begun, and given up.
    Failed,
}

impl Outcome {
    /// All of them.
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Refused, Self::Failed];

    /// Returns the word for it: part of the format and of the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Returns the number of the descriptor for what processes count.
fn number_of_descriptor(facts: &Facts) -> Option<i32> {
    facts.get(names::METRICS)?.parse().ok().filter(|number| *number >= 0)
}

impl Owner {
    /// Takes from facts those that are known here.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let text = |name| facts.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let number = |name| facts.get(name).and_then(|value| value.parse().ok());
        Self {
            name: text(names::NAME),
            version: text(names::VERSION),
            program: text(names::PROGRAM),
            runs: text(names::RUNS),
            library: text(names::LIBRARY),
            phase: text(names::PHASE),
            min_children: number(names::MIN_CHILDREN),
            max_children: number(names::MAX_CHILDREN),
            listeners: facts.all(names::LISTEN).map(Listener::new).collect(),
            jobs_waiting: number(names::JOBS_WAITING),
            queue_times: QueueTimes::new(facts),
            pid_file: text(names::PID_FILE),
            settings: facts.all(names::SETTINGS).map(str::to_owned).collect(),
            isolation: facts.all(names::ISOLATION).map(str::to_owned).collect(),
            not_isolated: facts.all(names::NOT_ISOLATED).map(str::to_owned).collect(),
            reload: Change::new(facts, names::RELOAD),
            upgrade: Change::new(facts, names::UPGRADE),
            reopening: Change::new(facts, names::REOPENING),
            metrics: number_of_descriptor(facts),
            cannot_fork: text(names::CANNOT_FORK),
        }
    }

    /// Returns how many connections wait at all addresses, and may; `None` if that is not known of any.
    #[must_use]
    pub fn queue(&self) -> Option<Queue> {
        self.listeners.iter().filter_map(|listener| listener.queue).reduce(|sum, queue| Queue {
            waiting: sum.waiting.saturating_add(queue.waiting),
            limit: sum.limit.saturating_add(queue.limit),
        })
    }
}

impl Listener {
    fn new(text: &str) -> Self {
        let parsed = text.rsplit_once(' ').and_then(|(address, queue)| {
            let (waiting, limit) = queue.split_once('/')?;
            let queue = Queue { waiting: waiting.parse().ok()?, limit: limit.parse().ok()? };
            Some(Self { address: address.to_owned(), queue: Some(queue) })
        });
        parsed.unwrap_or_else(|| Self { address: text.to_owned(), queue: None })
    }
}

impl Change {
    /// Returns how long ago it began.
    #[must_use]
    pub fn since_begin(&self) -> Option<Duration> {
        self.began.map(|began| Monotonic::now().since(began))
    }

    fn new(facts: &Facts, names: [&str; 4]) -> Option<Self> {
        let [outcome, reason, began, ended] = names;
        let word = facts.get(outcome)?;
        let moment = |name| {
            let nanoseconds = facts.get(name).and_then(|value| value.parse().ok());
            nanoseconds.map(Monotonic::from_nanos)
        };
        Some(Self {
            outcome: Outcome::ALL.into_iter().find(|known| known.word() == word)?,
            reason: facts.get(reason).map(str::to_owned),
            began: moment(began),
            ended: moment(ended),
        })
    }
}

/// When an owner was last seen to decide anything, and what it is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sign {
    /// What was read of it; `None` of one that does not show it.
    pub pulse: Option<Pulse>,
    /// How long ago that was.
    pub age: Option<Duration>,
    /// For how long it should have woken by itself, and has not.
    pub overdue: Option<Duration>,
    /// The same as [`age`](Self::age) by the wall clock.
    pub seen: Option<SystemTime>,
    /// What the kernel says that it is doing; `None` where that cannot be seen.
    pub standing: Option<Standing>,
}

impl Sign {
    /// Looks for it.
    ///
    /// # Errors
    ///
    /// Fails if the file has become too short, or cannot be read.
    pub fn read(board: &Board) -> Result<Self, Fault> {
        let pulse = board.pulse()?;
        let now = Monotonic::now();
        let due = pulse.and_then(|pulse| pulse.due()).filter(|due| *due < now);
        Ok(Self {
            pulse,
            age: pulse.and_then(|pulse| pulse.at()).map(|at| now.since(at)),
            overdue: due.map(|due| now.since(due)),
            seen: pulse.and_then(|pulse| pulse.at_wall()),
            standing: board.creator_standing(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_owner_publishes_is_read_again() {
        let mut facts = Facts::new();
        facts.add(names::NAME, "hello").add(names::VERSION, "").add(names::MAX_CHILDREN, 150);
        facts.add(names::MIN_CHILDREN, "three").add(names::LISTEN, "127.0.0.1:80 3/4096");
        facts.add(names::LISTEN, "/run/a b/x.sock").add(names::LISTEN, "/run/a b/y.sock 1/7");
        facts.add(names::JOBS_WAITING, 12).add(names::RUNS, "/usr/bin/uvicorn");
        facts.add("upgrade", "refused").add("upgrade_reason", "port in use");
        facts.add("upgrade_began", 12).add("reload", "postponed");
        let owner = Owner::new(&facts);
        let queue = |waiting, limit| Some(Queue { waiting, limit });
        let listener = |address: &str, queue| Listener { address: address.into(), queue };
        let expected = Owner {
            name: Some("hello".into()),
            max_children: Some(150),
            listeners: vec![
                listener("127.0.0.1:80", queue(3, 4096)),
                listener("/run/a b/x.sock", None),
                listener("/run/a b/y.sock", queue(1, 7)),
            ],
            runs: Some("/usr/bin/uvicorn".into()),
            jobs_waiting: Some(12),
            upgrade: Some(Change {
                outcome: Outcome::Refused,
                reason: Some("port in use".into()),
                began: Some(Monotonic::from_nanos(12)),
                ended: None,
            }),
            ..Owner::default()
        };
        assert_eq!(owner, expected);
        assert_eq!(owner.queue(), queue(4, 4103));
        assert_eq!(Owner::new(&Facts::new()), Owner::default());
    }
}
