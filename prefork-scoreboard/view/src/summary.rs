//! What there is to know of a board at a glance, in one line.

use prefork_scoreboard::Kind;

use crate::{Change, Outcome, Owner, Queue, View, duration, plural, words};

impl Owner {
    /// Returns the newer one of the last reload and the last upgrade, and which it was.
    #[must_use]
    pub fn last_change(&self) -> Option<(&'static str, &Change)> {
        let reload = self.reload.as_ref().map(|reload| ("reload", reload));
        let upgrade = self.upgrade.as_ref().map(|upgrade| ("upgrade", upgrade));
        reload.into_iter().chain(upgrade).max_by_key(|(_, change)| change.began)
    }
}

impl Owner {
    /// Returns what holds its children apart, and what could not: `isolation: signals; not possible there: private-tmp
    /// (needs root)`; `None` if nothing was asked for.
    #[must_use]
    pub fn isolation_in_words(&self) -> Option<String> {
        let Self { isolation, not_isolated, .. } = self;
        let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
        match (list(isolation), list(not_isolated)) {
            (None, None) => None,
            (Some(on), None) => Some(format!("isolation: {on}")),
            (on, Some(missing)) => {
                let on = on.as_deref().unwrap_or("nothing");
                Some(format!("isolation: {on}; not possible there: {missing}"))
            }
        }
    }
}

impl View {
    /// Returns whose board it is: `hello 0.1.0, pid 28424`.
    #[must_use]
    pub fn whose(&self) -> String {
        let pid = self.creator.map(|pid| format!("pid {pid}"));
        match (self.name(), self.kind) {
            (Some(name), Kind::Shared) => name.to_owned(),
            (Some(name), Kind::Owned) => {
                let version = self.owner.version.as_ref().map(|version| format!(" {version}"));
                let pid = pid.map(|pid| format!(", {pid}"));
                format!("{name}{}{}", version.unwrap_or_default(), pid.unwrap_or_default())
            }
            (None, Kind::Owned) => pid.unwrap_or_else(|| "an unknown process".to_owned()),
            (None, Kind::Shared) => "shared by processes that claim slots".to_owned(),
        }
    }

    /// Returns how many children there are, of how many, and what they do: `3 children of 3 to 150, 1 idle, 2 busy, queue 0
    /// of 4096`.
    #[must_use]
    pub fn pool(&self) -> String {
        let children = self.processes(self.tally.taken());
        let of = match (self.owner.min_children, self.owner.max_children) {
            (Some(min), Some(max)) if min < max => format!("of {min} to {max}"),
            (_, Some(max)) if max > 0 => format!("of {max}"),
            _ => format!("in {}", plural(self.slots(), "slot", "slots")),
        };
        let gone =
            Some(self.tally.gone).filter(|gone| *gone > 0).map(|gone| format!(", {gone} gone"));
        let leaving = match self.leaving() {
            0 => String::new(),
            leaving => format!(", {leaving} leaving"),
        };
        let hands = self
            .has_many()
            .then(|| format!(", {} in hand of {}", self.in_hand(), self.concurrency()));
        let queue = self
            .owner
            .queue()
            .map(|Queue { waiting, limit }| format!(", queue {waiting} of {limit}"));
        let jobs = self
            .owner
            .jobs_waiting
            .map(|jobs| format!(", {} waiting", plural(jobs as usize, "job", "jobs")));
        let is_there = !self.is_left_behind();
        format!(
            "{children} {of}, {}{}{leaving}{}{}{}",
            words::tally(&self.tally),
            gone.unwrap_or_default(),
            hands.unwrap_or_default(),
            queue.filter(|_| is_there).unwrap_or_default(),
            jobs.filter(|_| is_there).unwrap_or_default()
        )
    }

    /// Returns all of it in one line: `hello 0.1.0, pid 28424, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of
    /// 4096`; of a daemon that does not run, or does nothing, that first.
    #[must_use]
    pub fn summary(&self) -> String {
        let mark = if self.is_left_behind() { ';' } else { ':' };
        format!("{}{mark} {}", self.daemon(), self.pool())
    }

    /// Returns the first half of [`summary`](Self::summary), which says whether a daemon is there and which:
    /// `hello 0.1.0, pid 28424, up 3h05m`.
    #[must_use]
    pub fn daemon(&self) -> String {
        let whose = self.whose();
        if self.is_left_behind() {
            return format!("NOT RUNNING: {whose}, {}", self.last_seen());
        }
        let up = match self.kind {
            Kind::Owned => self.up,
            Kind::Shared => self.age,
        };
        let up = up.map(|up| format!(", up {}", duration(up))).unwrap_or_default();
        let halted = self.condition().mark().map(|halt| format!("{halt}: ")).unwrap_or_default();
        let phase = match self.owner.phase.as_deref() {
            Some(phase @ ("starting" | "stopping")) => format!(", {phase}"),
            Some(_) | None => String::new(),
        };
        format!("{halted}{whose}{up}{phase}")
    }

    /// Returns what is known of the end of an owner that is gone.
    #[must_use]
    pub fn last_seen(&self) -> String {
        let how = match self.age {
            Some(_) => "has ended without removing its board",
            None => "has ended with another boot of the machine",
        };
        let ago = self.sign.age.map(|age| format!("{} ago", duration(age)));
        let at = self.sign.seen.map(|at| humantime::format_rfc3339_seconds(at).to_string());
        match (ago, at) {
            (Some(ago), Some(at)) => format!("{how}; last seen {ago}, at {at}"),
            (Some(seen), None) => format!("{how}; last seen {seen}"),
            (None, Some(at)) => format!("{how}; last seen at {at}"),
            (None, None) => how.to_owned(),
        }
    }
}

impl Change {
    /// Returns what has become of it: `refused 3m12s ago: port in use`.
    #[must_use]
    pub fn words(&self) -> String {
        let ago = |moment: Option<prefork_scoreboard::Monotonic>| {
            let now = prefork_scoreboard::Monotonic::now();
            moment.map(|moment| format!(" {} ago", duration(now.since(moment)))).unwrap_or_default()
        };
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        match self.outcome {
            Outcome::Running => format!("begun{}, not done yet{reason}", ago(self.began)),
            Outcome::Done | Outcome::Refused | Outcome::Failed => {
                format!("{}{}{reason}", self.outcome.word(), ago(self.ended))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use prefork_scoreboard::{Life, Standing, State, Status};

    use super::*;
    use crate::samples::{of_rows, row};

    fn pool() -> View {
        let states = [State::Idle, State::Writing, State::Reading];
        of_rows(
            (0..4)
                .map(|slot| {
                    row(slot, states.get(slot).map_or(Status::Empty, |it| Status::Live(*it)))
                })
                .collect(),
        )
    }

    #[test]
    fn a_daemon_is_summed_up_in_a_line() {
        type Change = fn(&mut View);
        let table: [(Change, &str); 12] = [
            (
                |_| {},
                "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of 4096",
            ),
            (
                |view| view.owner.max_children = Some(3),
                "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3, 1 idle, 2 busy, queue 0 of 4096",
            ),
            (
                |view| view.owner.jobs_waiting = Some(12),
                "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of 4096, 12 jobs waiting",
            ),
            (
                |view| (view.owner.listeners, view.owner.jobs_waiting) = (Vec::new(), Some(1)),
                "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, 1 job waiting",
            ),
            (
                |view| view.owner.phase = Some("stopping".into()),
                "hello 0.1.0, pid 3999, up 3h05m, stopping: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of 4096",
            ),
            (
                |view| view.rows[1].is_leaving = true,
                "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, 1 leaving, queue 0 of 4096",
            ),
            (
                |view| view.owner = Owner::default(),
                "pid 3999, up 3h05m: 3 children in 4 slots, 1 idle, 2 busy",
            ),
            (
                |view| view.sign.standing = Some(Standing::Stopped),
                "STOPPED: hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of 4096",
            ),
            (
                |view| view.sign.overdue = Some(Duration::from_secs(9)),
                "NOT RESPONDING: hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, queue 0 of \
                 4096",
            ),
            (
                |view| {
                    view.rows.iter_mut().for_each(|row| row.life = Life::Gone);
                    view.tally = crate::count(&view.rows[..3]);
                    view.creator_life = Life::Gone;
                    view.sign.age = Some(Duration::from_secs(12));
                    let at = Duration::from_secs(1_700_000_000);
                    view.sign.seen = Some(SystemTime::UNIX_EPOCH + at);
                },
                "NOT RUNNING: hello 0.1.0, pid 3999, has ended without removing its board; last seen 12s ago, at \
                 2023-11-14T22:13:20Z; 0 children of 3 to 150, 0 idle, 0 busy, 3 gone",
            ),
            (
                |view| (view.age, view.creator_life) = (None, Life::Gone),
                "NOT RUNNING: hello 0.1.0, pid 3999, has ended with another boot of the machine; 3 children of 3 to 150, \
                 1 idle, 2 busy",
            ),
            (
                |view| (view.kind, view.owner) = (Kind::Shared, Owner::default()),
                "shared by processes that claim slots, up 1h02m: 3 processes in 4 slots, 1 idle, 2 busy",
            ),
        ];
        for (change, expected) in table {
            let mut view = pool();
            change(&mut view);
            assert_eq!(view.summary(), expected);
        }
    }

    #[test]
    fn of_children_with_many_requests_it_says_how_many() {
        let expected = "hello 0.1.0, pid 3999, up 3h05m: 3 children of 3 to 150, 1 idle, 2 busy, 17 in hand of 129, queue 0 \
                        of 4096";
        assert_eq!(crate::samples::many().summary(), expected);
    }

    #[test]
    fn what_has_a_title_is_no_daemon() {
        let mut view = crate::samples::jobs();
        let expected = "thumbnails, up 1h02m: 2 processes in 3 slots, 1 idle, 1 busy";
        assert_eq!(view.summary(), expected);
        view.kind = Kind::Owned;
        let expected = "thumbnails, pid 3999, up 3h05m: 2 processes in 3 slots, 1 idle, 1 busy";
        assert_eq!(view.summary(), expected);
    }

    #[test]
    fn of_a_reload_and_an_upgrade_the_newer_one_is_the_last_change() {
        let change = |began, outcome, reason: Option<&str>| {
            Some(Change {
                outcome,
                reason: reason.map(str::to_owned),
                began: Some(prefork_scoreboard::Monotonic::from_nanos(began)),
                ended: None,
            })
        };
        let reload = change(5, Outcome::Done, None);
        let upgrade = change(7, Outcome::Refused, Some("port in use"));
        let owner = Owner { reload, upgrade, ..Owner::default() };
        let (what, last) = owner.last_change().expect("two");
        assert_eq!((what, last.words().as_str()), ("upgrade", "refused: port in use"));
        assert_eq!(Owner::default().last_change(), None);
    }
}
