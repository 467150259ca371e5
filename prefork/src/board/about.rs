//! What the daemon publishes about itself on the scoreboard: whose it is, of what size, and what has become of the last
//! reload and the last upgrade.
//!
//! It changes seldom, so it is made text only when it has changed.

use std::{borrow::Cow, os::fd::RawFd};

use prefork_core::{Generation, QueueTimes, Stage, Time};
use prefork_scoreboard::{Facts, format::VALUE_SIZE, names};

use crate::sockets::listeners::Place;

/// What does not change as long as the program runs.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// Shown as paths are, safe for a terminal.
    pub(crate) program: Option<String>,
    /// What the children run, where that is another program.
    pub(crate) runs: Option<String>,
    pub(crate) pid_file: Option<String>,
    pub(crate) settings: Vec<String>,
    /// What holds its children apart.
    pub(crate) isolation: prefork_isolate::Report,
}

/// A reload, an upgrade, or an opening of the logs.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    began: Time,
    /// What it is at.
    step: Option<&'static str>,
    end: Option<(Time, Outcome)>,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused(String),
    Failed(String),
}

impl Outcome {
    /// That of a generation that does not work.
    pub(crate) fn of_failed(generation: Generation) -> Self {
        let Generation(number) = generation;
        Self::Failed(format!("children of generation {number} end before they have worked"))
    }
}

/// What there is to know about the daemon.
#[derive(Debug, Default)]
pub(crate) struct About {
    identity: Identity,
    phase: Stage,
    prefork: u32,
    max_children: u32,
    places: Vec<Place>,
    jobs_waiting: Option<u32>,
    queue_times: Option<QueueTimes>,
    /// The descriptor of the memory in which children count.
    metrics: Option<RawFd>,
    reload: Option<Change>,
    upgrade: Option<Change>,
    reopening: Option<Change>,
    cannot_fork: Option<String>,
    /// Whether the upgrade that goes on has led to this very program, which replaces the children.
    is_in_place: bool,
    is_new: bool,
}

impl About {
    pub(crate) fn introduce(&mut self, identity: Identity) {
        (self.identity, self.is_new) = (identity, true);
    }

    pub(crate) fn phase(&mut self, phase: Stage) {
        self.is_new |= self.phase != phase;
        self.phase = phase;
    }

    pub(crate) fn size(&mut self, prefork: u32, max_children: u32) {
        self.is_new |= (self.prefork, self.max_children) != (prefork, max_children);
        (self.prefork, self.max_children) = (prefork, max_children);
    }

    pub(crate) fn places(&mut self, places: Vec<Place>) {
        if self.places != places {
            (self.places, self.is_new) = (places, true);
        }
    }

    /// Takes down by which descriptor the memory can be found in which children count.
    pub(crate) fn metrics(&mut self, descriptor: RawFd) {
        (self.metrics, self.is_new) = (Some(descriptor), true);
    }

    /// Takes down how many jobs wait, as the program has reported.
    pub(crate) fn jobs_waiting(&mut self, jobs: Option<u32>) {
        self.is_new |= self.jobs_waiting != jobs;
        self.jobs_waiting = jobs;
    }

    /// Takes down how long clients have waited.
    pub(crate) fn queue_times(&mut self, times: Option<QueueTimes>) {
        self.is_new |= self.queue_times != times;
        self.queue_times = times;
    }

    /// Takes down that settings are about to be read again, for a reload.
    pub(crate) fn reading(&mut self, now: Time) {
        (self.reload, self.is_new) = (Some(Change::new(now, Some("reading the settings"))), true);
    }

    /// Takes down that children are about to be replaced, which a reading of settings may have gone before.
    pub(crate) fn reloading(&mut self, now: Time) {
        match &mut self.reload {
            Some(Change { step, end: None, .. }) => *step = None,
            Some(_) | None => self.reload = Some(Change::new(now, None)),
        }
        self.is_new = true;
    }

    pub(crate) fn reload_ended(&mut self, now: Time, outcome: Outcome) {
        if let Some(reload) = &mut self.reload {
            (reload.end, self.is_new) = (Some((now, outcome.clone())), true);
        }
        if std::mem::take(&mut self.is_in_place) {
            self.upgrade_ended(now, outcome);
        }
    }

    /// Takes down that the new program is about to be tried.
    pub(crate) fn upgrading(&mut self, now: Time) {
        self.upgrade = Some(Change::new(now, Some("trying the new program")));
        (self.is_in_place, self.is_new) = (false, true);
    }

    /// Takes down that this program has taken over: the upgrade ends when it has replaced the children.
    pub(crate) fn taken_over(&mut self, now: Time) {
        self.upgrade = Some(Change::new(now, None));
        (self.is_in_place, self.is_new) = (true, true);
    }

    pub(crate) fn upgrade_ended(&mut self, now: Time, outcome: Outcome) {
        if let Some(upgrade) = &mut self.upgrade {
            (upgrade.end, self.is_new) = (Some((now, outcome)), true);
        }
    }

    pub(crate) fn reopening(&mut self, now: Time) {
        (self.reopening, self.is_new) = (Some(Change::new(now, None)), true);
    }

    /// Takes down what has become of the logs: the first that is known stays.
    pub(crate) fn reopening_ended(&mut self, now: Time, outcome: Outcome) {
        if let Some(reopening) = &mut self.reopening
            && reopening.end.is_none()
        {
            (reopening.end, self.is_new) = (Some((now, outcome)), true);
        }
    }

    /// Takes down why no child can be forked, or that one was.
    pub(crate) fn cannot_fork(&mut self, why: Option<String>) {
        self.is_new |= self.cannot_fork != why;
        self.cannot_fork = why;
    }

    /// Returns what is to be published, if that is new.
    pub(super) fn take_news(&mut self) -> Option<Facts> {
        std::mem::take(&mut self.is_new).then(|| self.facts())
    }

    /// The most important first: what has no room is left out.
    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        let Identity { name, version, program, runs, pid_file, settings, isolation } =
            &self.identity;
        facts.add(names::NAME, name);
        let seldom = [
            (names::VERSION, version),
            (names::RUNS, runs),
            (names::PID_FILE, pid_file),
            (names::PROGRAM, program),
        ];
        for (name, value) in seldom {
            if let Some(value) = value {
                facts.add(name, value);
            }
        }
        facts.add(names::LIBRARY, concat!("prefork ", env!("CARGO_PKG_VERSION")));
        facts.add(
            names::PHASE,
            match self.phase {
                Stage::Starting => "starting",
                Stage::Serving => "serving",
                Stage::Stopping => "stopping",
            },
        );
        self.add_pool(&mut facts);
        for (change, names) in [
            (&self.reload, names::RELOAD),
            (&self.upgrade, names::UPGRADE),
            (&self.reopening, names::REOPENING),
        ] {
            if let Some(change) = change {
                change.add_to(&mut facts, names);
            }
        }
        for path in settings {
            facts.add(names::SETTINGS, path);
        }
        for Place { address, queue } in &self.places {
            let queue = queue.map(|it| format!(" {}/{}", it.waiting, it.limit)).unwrap_or_default();
            facts.add(names::LISTEN, format_args!("{address}{queue}"));
        }
        for layer in isolation.on() {
            facts.add(names::ISOLATION, layer);
        }
        for missing in isolation.missing() {
            facts.add(names::NOT_ISOLATED, fitting(&missing.to_string()));
        }
        facts
    }

    /// What may change at any time.
    fn add_pool(&self, facts: &mut Facts) {
        facts.add(names::MIN_CHILDREN, self.prefork);
        facts.add(names::MAX_CHILDREN, self.max_children);
        if let Some(jobs) = self.jobs_waiting {
            facts.add(names::JOBS_WAITING, jobs);
        }
        if let Some(times) = &self.queue_times {
            add_queue_times(times, facts);
        }
        if let Some(metrics) = self.metrics {
            facts.add(names::METRICS, metrics);
        }
        if let Some(why) = &self.cannot_fork {
            facts.add(names::CANNOT_FORK, fitting(why));
        }
    }
}

impl Change {
    const fn new(now: Time, step: Option<&'static str>) -> Self {
        Self { began: now, step, end: None }
    }

    fn add_to(&self, facts: &mut Facts, names: [&str; 4]) {
        let [outcome, reason, began, ended] = names;
        let (word, why) = match &self.end {
            None => ("running", self.step),
            Some((_, Outcome::Done)) => ("done", None),
            Some((_, Outcome::Refused(why))) => ("refused", Some(why.as_str())),
            Some((_, Outcome::Failed(why))) => ("failed", Some(why.as_str())),
        };
        facts.add(outcome, word);
        facts.add(began, self.began.since_origin().as_nanos());
        if let Some((at, _)) = &self.end {
            facts.add(ended, at.since_origin().as_nanos());
        }
        if let Some(why) = why {
            facts.add(reason, fitting(why));
        }
    }
}

/// Adds how many clients have waited for how long.
fn add_queue_times(times: &QueueTimes, facts: &mut Facts) {
    let bounds = QueueTimes::BOUNDS.iter().map(|bound| bound.as_millis().to_string());
    let bounds = bounds.chain(["more".to_owned()]);
    let classes = bounds.zip(times.within).map(|(bound, count)| format!("{bound}:{count}"));
    facts.add(names::QUEUE_CLASSES, classes.collect::<Vec<_>>().join(" "));
    facts.add(names::QUEUE_WAITED, times.waited_ms);
    facts.add(names::QUEUE_REFUSED, times.refused);
    facts.add(names::QUEUE_ABANDONED, times.abandoned);
}

/// Marks a text that is too long for a value, so that nobody takes what is left of it for a sentence.
fn fitting(text: &str) -> Cow<'_, str> {
    const MARK: &str = "...";
    if text.len() <= VALUE_SIZE {
        return text.into();
    }
    let longest = VALUE_SIZE - MARK.len();
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{MARK}", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::after_origin(Duration::from_secs(seconds))
    }

    /// What is new of a change, if anything is.
    fn news(about: &mut About, names: [&str; 4]) -> Option<String> {
        let facts = about.take_news()?;
        let text = |name| facts.get(name).unwrap_or("-").to_owned();
        Some(names.map(text).join(" "))
    }

    #[test]
    fn nothing_is_published_twice() {
        let mut about = About::default();
        about.introduce(Identity { name: "hello".into(), ..Identity::default() });
        assert!(about.take_news().is_some_and(|facts| facts.get(names::NAME) == Some("hello")));
        assert_eq!(about.take_news(), None);
        about.size(3, 150);
        about.phase(Stage::Serving);
        assert!(about.take_news().is_some_and(|facts| facts.get(names::PHASE) == Some("serving")));
        about.size(3, 150);
        about.phase(Stage::Serving);
        about.places(Vec::new());
        assert_eq!(about.take_news(), None);
        for (jobs, shown) in [(Some(12), Some("12")), (Some(12), None), (None, None)] {
            about.jobs_waiting(jobs);
            let news = about.take_news();
            let jobs = news.as_ref().and_then(|facts| facts.get(names::JOBS_WAITING));
            assert_eq!(jobs, shown);
        }
    }

    #[test]
    fn a_reload_begins_with_the_reading_of_settings() {
        let mut about = About::default();
        about.reading(at(1));
        let reading = "running reading the settings 1000000000 -";
        assert_eq!(news(&mut about, names::RELOAD).as_deref(), Some(reading));
        about.reloading(at(2));
        assert_eq!(news(&mut about, names::RELOAD).as_deref(), Some("running - 1000000000 -"));
        about.reload_ended(at(3), Outcome::of_failed(Generation(7)));
        let failed =
            "failed children of generation 7 end before they have worked 1000000000 3000000000";
        assert_eq!(news(&mut about, names::RELOAD).as_deref(), Some(failed));
        about.reloading(at(4));
        assert_eq!(news(&mut about, names::RELOAD).as_deref(), Some("running - 4000000000 -"));
    }

    #[test]
    fn a_reason_that_is_too_long_ends_in_dots() {
        let all = "\u{e4}".repeat(200);
        assert_eq!(*fitting(&all), format!("{}...", &all[..252]));
        let fits = "x".repeat(VALUE_SIZE);
        assert_eq!(*fitting(&fits), fits);
    }

    #[test]
    fn an_upgrade_ends_when_the_new_program_has_replaced_the_children() {
        let mut about = About::default();
        about.taken_over(at(1));
        about.reloading(at(2));
        assert_eq!(news(&mut about, names::UPGRADE).as_deref(), Some("running - 1000000000 -"));
        about.reload_ended(at(3), Outcome::Done);
        let done = "done - 1000000000 3000000000";
        assert_eq!(news(&mut about, names::UPGRADE).as_deref(), Some(done));
        // The next one goes on while another reload ends.
        about.upgrading(at(4));
        about.reloading(at(5));
        about.reload_ended(at(6), Outcome::Done);
        let trying = "running trying the new program 4000000000 -";
        assert_eq!(news(&mut about, names::UPGRADE).as_deref(), Some(trying));
    }

    #[test]
    fn what_kept_a_log_closed_is_not_forgotten_when_the_others_are_open() {
        let mut about = About::default();
        about.reopening_ended(at(1), Outcome::Done);
        assert_eq!(news(&mut about, names::REOPENING), None, "nobody has asked");
        about.reopening(at(2));
        about.reopening_ended(at(3), Outcome::Failed("no such directory".into()));
        about.reopening_ended(at(4), Outcome::Done);
        let failed = "failed no such directory 2000000000 3000000000";
        assert_eq!(news(&mut about, names::REOPENING).as_deref(), Some(failed));
    }
}
