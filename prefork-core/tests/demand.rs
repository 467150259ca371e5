//! How much waits elsewhere than at a socket, as the program reports it: when it is asked, and what follows.

use std::time::Duration;

use prefork_core::{
    Action, Activity, Config, Event, Hook, HookNotice, Notice, Observation, Pool, PoolNotice,
    Request, SlotId, Supervisor, Time,
};
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(1);

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

fn config(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.pool = Pool::BY_LOAD;
    config.hooks = vec![Hook::Demand];
    config
}

/// What the children report about their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Children {
    /// When they begin and finish.
    Work,
    /// Nothing, but they look whether they are to leave.
    Look,
    /// Nothing at all.
    Silent,
}

/// A pool whose children take jobs from a queue of which only the program knows.
struct Jobs {
    supervisor: Supervisor,
    now: Time,
    children: Children,
    /// How many wait, or none where the program fails; it hangs where there is nothing to be had at all.
    waiting: Result<Option<u32>, Hangs>,
    /// What each child is doing.
    doing: Vec<(SlotId, Activity)>,
    asked: Vec<(Time, bool)>,
    /// Whether a question is open.
    is_asked: bool,
    spawns: Vec<Time>,
    notices: Vec<Notice>,
    ended: usize,
}

#[derive(Clone, Copy, Debug)]
struct Hangs;

impl Jobs {
    fn new(config: Config, children: Children) -> Self {
        let mut jobs = Self {
            supervisor: Supervisor::new(config),
            now: at(1000),
            children,
            waiting: Ok(Some(0)),
            doing: Vec::new(),
            asked: Vec::new(),
            is_asked: false,
            spawns: Vec::new(),
            notices: Vec::new(),
            ended: 0,
        };
        jobs.handle(Event::Start);
        jobs.run(500);
        jobs
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            self.carry_out(action);
        }
        let alive = self.supervisor.alive();
        assert!(alive <= self.supervisor.config().slots() as usize, "{alive} children");
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn { slot, .. } => {
                self.spawns.push(self.now);
                self.supervisor.handle(self.now, Event::Spawned { slot, pid: 1 });
                self.supervisor.handle(self.now, Event::Entered { slot });
                let since = if self.children == Children::Work { self.now } else { Time::ZERO };
                self.doing.push((slot, Activity::Idle { since }));
                self.doing.sort_unstable_by_key(|(slot, _)| *slot);
                if self.children != Children::Silent {
                    self.supervisor.handle(self.now, Event::Ready { slot });
                }
            }
            Action::Retire { slot } | Action::Kill { slot } | Action::Interrupt { slot } => {
                self.doing.retain(|(other, _)| *other != slot);
                let exit = prefork_core::Exit::Code(0);
                self.supervisor.handle(self.now, Event::Exited { slot, exit });
            }
            Action::Observe => {
                let observation = Observation { activities: &self.doing, waiting: None };
                self.supervisor.observe(self.now, &observation);
            }
            Action::AskDemand { is_failing } => {
                assert!(!self.is_asked, "it is asked twice at a time");
                self.is_asked = true;
                self.asked.push((self.now, is_failing));
            }
            Action::EndHook(hook) => {
                assert_eq!(hook, Hook::Demand);
                self.is_asked = false;
                self.ended += 1;
            }
            Action::Log(notice) => self.notices.push(notice),
            _ => {}
        }
    }

    /// Lets time pass.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + STEP;
            if let Ok(jobs) = self.waiting
                && std::mem::take(&mut self.is_asked)
            {
                self.handle(Event::HookEnded(Hook::Demand));
                self.handle(Event::DemandReported { jobs });
            }
            self.supervisor.advance(self.now);
            self.obey();
            let deadline = self.supervisor.deadline();
            assert!(deadline.is_none_or(|due| due > self.now), "{deadline:?} at {:?}", self.now);
        }
    }

    /// Has as many children as that begin to work.
    fn take(&mut self, count: usize) {
        let now = self.now;
        let idle = self.doing.iter_mut().filter(|(_, it)| matches!(it, Activity::Idle { .. }));
        let taken: Vec<SlotId> = idle
            .take(count)
            .map(|(slot, activity)| {
                *activity = Activity::Busy { since: Some(now) };
                *slot
            })
            .collect();
        taken.into_iter().for_each(|slot| self.handle(Event::Worked { slot }));
        self.handle(Event::Nudged);
    }

    /// Has all children finish what they do.
    fn finish(&mut self) {
        let now = self.now;
        for (_, activity) in &mut self.doing {
            if let Activity::Busy { .. } = activity {
                *activity = Activity::Idle { since: now };
            }
        }
    }

    fn alive(&self) -> usize {
        self.supervisor.alive()
    }

    fn count(&self, notice: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|it| notice(it)).count()
    }
}

#[test]
fn a_pool_grows_by_the_jobs_that_wait_and_comes_back() {
    for children in [Children::Work, Children::Look] {
        let mut jobs = Jobs::new(config(1, 8), children);
        assert_eq!(jobs.alive(), 1);
        jobs.waiting = Ok(Some(20));
        jobs.run(1100);
        assert_eq!(jobs.alive(), 8, "{children:?}");
        jobs.waiting = Ok(Some(0));
        jobs.run(30_000);
        assert_eq!(jobs.alive(), 1, "{children:?}");
    }
}

/// Nobody knows whether they are in the middle of a job, and asking would end it.
#[test]
fn children_that_never_say_anything_are_more_for_jobs_and_stay() {
    let mut jobs = Jobs::new(config(1, 8), Children::Silent);
    jobs.waiting = Ok(Some(20));
    jobs.run(1100);
    jobs.waiting = Ok(Some(0));
    jobs.run(60_000);
    assert_eq!(jobs.alive(), 8);
    assert_eq!(jobs.count(|it| *it == Notice::Pool(PoolNotice::Silent)), 1, "{:?}", jobs.notices);
}

#[test]
fn it_is_asked_once_an_interval_and_not_while_an_answer_is_out() {
    let mut config = config(2, 5);
    config.demand_every = Duration::from_millis(300);
    let mut jobs = Jobs::new(config, Children::Work);
    jobs.run(2000);
    let times: Vec<Time> = jobs.asked.iter().map(|(at, _)| *at).collect();
    assert!((8..=9).contains(&times.len()), "{times:?}");
    let pauses = times.windows(2).map(|pair| pair[1].since(pair[0]).as_millis());
    assert!(pauses.clone().all(|pause| pause == 300), "{times:?}");
    jobs.waiting = Err(Hangs);
    jobs.run(29_000);
    assert!(jobs.asked.len() <= times.len() + 1);
}

#[test]
fn nobody_is_asked_before_the_daemon_serves_or_where_the_pool_cannot_follow() {
    let mut fixed = config(2, 5);
    fixed.pool = Pool::Fixed;
    let mut without = config(2, 5);
    without.hooks.clear();
    for config in [fixed, without] {
        let mut jobs = Jobs::new(config, Children::Work);
        jobs.run(5000);
        assert_eq!(jobs.asked, []);
        assert_eq!(jobs.supervisor.deadline(), None, "it needs no timer");
    }
    let mut supervisor = Supervisor::new(config(2, 5));
    supervisor.handle(at(0), Event::Start);
    supervisor.advance(at(5000));
    let asks = |action| matches!(action, Action::AskDemand { .. });
    assert!(!std::iter::from_fn(|| supervisor.next_action()).any(asks), "children are starting");
}

#[test]
fn a_call_that_hangs_is_ended_and_logged_once_until_one_works() {
    let mut jobs = Jobs::new(config(1, 8), Children::Work);
    jobs.waiting = Err(Hangs);
    jobs.run(95_000);
    assert_eq!(jobs.ended, 3);
    let timed_out = |it: &Notice| matches!(it, Notice::Hook(Hook::Demand, HookNotice::TimedOut { limit }) if limit.as_secs() == 30);
    assert_eq!(jobs.count(timed_out), 1, "{:?}", jobs.notices);
    assert_eq!(jobs.supervisor.stats().hook_timeouts, 3);
    assert_eq!(jobs.supervisor.jobs_waiting(), None);
    assert_eq!(jobs.asked.last().map(|(_, is_failing)| *is_failing), Some(true));
    jobs.waiting = Ok(Some(4));
    jobs.run(35_000);
    let recovered = Notice::Hook(Hook::Demand, HookNotice::Recovered);
    assert_eq!(jobs.count(|it| *it == recovered), 1);
    assert_eq!(jobs.asked.last().map(|(_, is_failing)| *is_failing), Some(false));
    jobs.waiting = Err(Hangs);
    jobs.run(35_000);
    assert_eq!(jobs.count(timed_out), 2, "the next episode is news");
}

/// A call has taken so long that the next one is due at once, and is decided upon between its end and what it has brought.
#[test]
fn a_failure_is_no_news_to_the_call_that_follows_at_once() {
    let mut supervisor = Supervisor::new(config(1, 4));
    let mut asked = |now, events: &[Event]| {
        events.iter().for_each(|event| supervisor.handle(now, *event));
        let mut asked = Vec::new();
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    supervisor.handle(now, Event::Spawned { slot, pid: 1 });
                    supervisor.handle(now, Event::Ready { slot });
                }
                Action::AskDemand { is_failing } => asked.push(is_failing),
                _ => {}
            }
        }
        asked
    };
    assert_eq!(asked(at(0), &[Event::Start]), [false]);
    let failed = [Event::HookEnded(Hook::Demand), Event::DemandReported { jobs: None }];
    assert_eq!(asked(at(60_000), &failed), [true]);
    let works = [Event::HookEnded(Hook::Demand), Event::DemandReported { jobs: Some(0) }];
    assert_eq!(asked(at(120_000), &works), [false]);
}

#[test]
fn what_was_reported_holds_for_three_intervals() {
    let mut jobs = Jobs::new(config(1, 8), Children::Work);
    jobs.waiting = Ok(Some(3));
    jobs.run(1000);
    assert_eq!(jobs.supervisor.jobs_waiting(), Some(3));
    jobs.waiting = Ok(None);
    jobs.run(1900);
    assert_eq!(jobs.supervisor.jobs_waiting(), Some(3), "one failure changes nothing");
    jobs.run(1200);
    assert_eq!(jobs.supervisor.jobs_waiting(), None);
    let asked = jobs.asked.len();
    jobs.run(5000);
    assert_eq!(jobs.asked.len(), asked + 5, "it is asked on");
}

/// A look may come at any moment between two reports.
#[test]
fn a_job_that_was_taken_is_not_counted_as_one_that_waits() {
    let mut jobs = Jobs::new(config(1, 50), Children::Work);
    jobs.take(1);
    jobs.finish();
    jobs.run(100);
    jobs.waiting = Ok(Some(6));
    jobs.run(1002);
    let grown = jobs.alive();
    assert!((7..=8).contains(&grown), "{grown}");
    jobs.waiting = Ok(Some(0));
    jobs.take(6);
    for _ in 0..20 {
        jobs.handle(Event::Nudged);
        jobs.run(20);
    }
    assert_eq!(jobs.alive(), grown);
}

/// One that is stopped or hangs before it takes a job would keep the pool small for ever.
#[test]
fn a_child_that_leaves_jobs_alone_for_ten_seconds_is_not_free() {
    let mut jobs = Jobs::new(config(1, 8), Children::Work);
    jobs.take(1);
    jobs.waiting = Ok(Some(1));
    jobs.run(1100);
    // One at work, one for the job that waits, and one to spare.
    assert_eq!(jobs.alive(), 3);
    jobs.run(8000);
    assert_eq!(jobs.alive(), 3);
    jobs.run(5000);
    assert!(jobs.alive() > 3);
    let unserved = Notice::Pool(PoolNotice::JobsUnserved { idle: 2, jobs: 1 });
    assert_eq!(jobs.count(|it| *it == unserved), 1, "{:?}", jobs.notices);
}

#[test]
fn a_full_pool_says_how_many_jobs_wait() {
    let mut jobs = Jobs::new(config(1, 3), Children::Work);
    jobs.waiting = Ok(Some(12));
    jobs.run(1100);
    let full = jobs.notices.iter().find_map(|notice| match notice {
        Notice::Pool(PoolNotice::AtMaximum { waiting, jobs, .. }) => Some((*waiting, *jobs)),
        _ => None,
    });
    assert_eq!(full, Some((None, Some(12))), "{:?}", jobs.notices);
}

#[test]
fn a_stop_ends_the_process_that_is_asked_and_asks_no_more() {
    for (waiting, run) in [(Ok(Some(1)), 2500), (Err(Hangs), 2500)] {
        let mut jobs = Jobs::new(config(2, 5), Children::Work);
        jobs.waiting = waiting;
        jobs.run(run);
        let (asked, ended) = (jobs.asked.len(), jobs.ended);
        jobs.handle(Event::Requested(Request::StopGracefully));
        assert_eq!(jobs.ended, ended + 1);
        jobs.run(5000);
        assert_eq!((jobs.asked.len(), jobs.ended), (asked, ended + 1));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reports(Option<u32>),
    Hangs,
    Take(usize),
    /// All children finish.
    Finish,
    Run(u64),
    Reload,
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![Just(0), 1u32..12, any::<u32>()].prop_map(|jobs| Step::Reports(Some(jobs))),
        1 => Just(Step::Reports(None)),
        1 => Just(Step::Hangs),
        3 => (1usize..9).prop_map(Step::Take),
        2 => Just(Step::Finish),
        6 => (1u64..4000).prop_map(Step::Run),
        1 => Just(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever was reported and whenever: the pool keeps within its limits, is asked as often as it may be and no more
    /// often, and comes back to rest once no job waits.
    #[test]
    fn whatever_is_reported_the_pool_comes_back_to_rest(
        (prefork, more) in (1u32..6, 0u32..10),
        every in 50u64..3000,
        says in prop_oneof![Just(Children::Work), Just(Children::Look)],
        steps in prop::collection::vec(arb_step(), 0..25),
    ) {
        let mut config = config(prefork, prefork + more);
        config.demand_every = Duration::from_millis(every);
        config.hook_timeout = Duration::from_millis(2000);
        let mut jobs = Jobs::new(config, says);
        for step in steps {
            match step {
                Step::Reports(waiting) => jobs.waiting = Ok(waiting),
                Step::Hangs => jobs.waiting = Err(Hangs),
                Step::Take(count) if says == Children::Work => jobs.take(count),
                Step::Take(_) => {}
                Step::Finish => jobs.finish(),
                Step::Run(ms) => jobs.run(ms),
                Step::Reload => jobs.handle(Event::Requested(Request::Reload)),
            }
        }
        jobs.finish();
        jobs.waiting = Ok(Some(0));
        // The longest calm time, the steps, and a call that hung.
        jobs.run(80_000 + 10_000 + 2000 + every);
        prop_assert_eq!(jobs.alive(), prefork as usize);
        let pauses = jobs.asked.windows(2).map(|pair| pair[1].0.since(pair[0].0));
        for pause in pauses {
            prop_assert!(pause >= Duration::from_millis(every), "asked again after {:?}", pause);
        }
    }
}
