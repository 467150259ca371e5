//! A pool that ends by itself when nobody needs it: when, when not, and that nobody who comes meanwhile is lost.

use std::{collections::BTreeMap, time::Duration};

use prefork_core::{
    Action, Activity, ChangeNotice, Config, Event, Exit, Hook, Notice, Observation, Pool, Request,
    Reread, SlotId, Supervisor, Time, Tuning, Verdict,
};
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(1);

/// After so long the pools here sleep, in ms.
const AFTER: u64 = 5000;

#[derive(Clone, Copy, Debug)]
struct Child {
    serves: bool,
    busy_until: Option<Time>,
    since: Time,
    asked: bool,
    worked: bool,
}

/// A pool and its clients, who never go away unserved.
struct Inn {
    supervisor: Supervisor,
    now: Time,
    children: BTreeMap<SlotId, Child>,
    waiting: Vec<Duration>,
    armed: bool,
    wakeups: usize,
    served: usize,
    forced: usize,
    drained: bool,
    hooks: usize,
    /// Whether hooks never return.
    hangs: bool,
    notices: Vec<Notice>,
    verdict: Option<(Time, Verdict)>,
}

fn config(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.pool = Pool::BY_LOAD;
    config.sleep_after = Some(Duration::from_millis(AFTER));
    config
}

impl Inn {
    fn new(config: Config) -> Self {
        let mut inn = Self {
            supervisor: Supervisor::new(config),
            now: Time::after_origin(Duration::from_secs(1000)),
            children: BTreeMap::new(),
            waiting: Vec::new(),
            armed: false,
            wakeups: 0,
            served: 0,
            forced: 0,
            drained: false,
            hooks: 0,
            hangs: false,
            notices: Vec::new(),
            verdict: None,
        };
        inn.handle(Event::Start);
        inn
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            assert_eq!(self.verdict, None, "{action:?}");
            match action {
                Action::Spawn { slot, .. } => {
                    let since = self.now;
                    let (serves, busy_until, asked, worked) = (false, None, false, false);
                    let child = Child { serves, busy_until, since, asked, worked };
                    assert!(self.children.insert(slot, child).is_none());
                    self.supervisor.handle(self.now, Event::Spawned { slot, pid: 1 });
                }
                Action::Retire { slot } => {
                    self.children.get_mut(&slot).expect("there is one").asked = true;
                }
                Action::Interrupt { .. } | Action::Abort { .. } | Action::Kill { .. } => {
                    self.forced += 1;
                }
                Action::ArmNudge => {
                    self.armed = true;
                    self.queue();
                }
                Action::Observe => self.look(),
                Action::Drain => self.drained = true,
                Action::RunHook(hook) => {
                    self.hooks += 1;
                    if !self.hangs {
                        self.supervisor.handle(self.now, Event::HookEnded(hook));
                    }
                }
                Action::Log(notice) => self.notices.push(notice),
                Action::Exit(verdict) => self.verdict = Some((self.now, verdict)),
                _ => {}
            }
        }
        let deadline = self.supervisor.deadline();
        assert!(deadline.is_none_or(|due| due > self.now), "{deadline:?} at {:?}", self.now);
    }

    fn look(&mut self) {
        let serving = self.children.iter().filter(|(_, child)| child.serves);
        let activities: Vec<_> = serving
            .map(|(slot, child)| match child.busy_until {
                Some(_) => (*slot, Activity::Busy { since: Some(child.since) }),
                None => (*slot, Activity::Idle { since: child.since }),
            })
            .collect();
        let waiting = Some(u32::try_from(self.waiting.len()).expect("few"));
        self.supervisor.observe(self.now, &Observation { activities: &activities, waiting });
    }

    fn come(&mut self, ms: u64) {
        self.waiting.push(Duration::from_millis(ms));
        self.work();
        self.queue();
    }

    /// The kernel tells the parent that somebody waits, as long as the nudge is armed.
    fn queue(&mut self) {
        if !self.waiting.is_empty() && std::mem::take(&mut self.armed) {
            self.supervisor.handle(self.now, Event::Queued);
        }
    }

    fn work(&mut self) {
        let now = self.now;
        let (mut worked, mut changed) = (Vec::new(), false);
        for (slot, child) in &mut self.children {
            if child.busy_until.is_some_and(|until| now >= until) {
                (child.busy_until, child.since, changed) = (None, now, true);
                self.served += 1;
            }
            // One that was asked a moment ago may be about to take one.
            if child.serves && child.busy_until.is_none() {
                let Some(takes) = self.waiting.pop() else { continue };
                (child.busy_until, child.since, changed) = (Some(now + takes), now, true);
                if !std::mem::replace(&mut child.worked, true) {
                    worked.push(*slot);
                }
            }
        }
        for slot in worked {
            self.handle(Event::Worked { slot });
        }
        if changed && std::mem::take(&mut self.armed) {
            self.handle(Event::Nudged);
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            if self.verdict.is_some() {
                return;
            }
            self.now = self.now + STEP;
            self.work();
            let slots: Vec<SlotId> = self.children.keys().copied().collect();
            for slot in slots {
                let child = self.children[&slot];
                if child.asked && child.busy_until.is_none() {
                    self.children.remove(&slot);
                    self.handle(Event::Exited { slot, exit: Exit::Code(0) });
                } else if !child.serves {
                    self.children.get_mut(&slot).expect("it is there").serves = true;
                    self.handle(Event::Ready { slot });
                }
            }
            if self.supervisor.deadline().is_some_and(|due| self.now >= due) {
                self.wakeups += 1;
                self.supervisor.advance(self.now);
                self.obey();
            }
            self.queue();
            self.obey();
        }
    }

    fn sleeps(&self) -> bool {
        matches!(self.verdict, Some((_, Verdict::Asleep)))
    }
}

#[test]
fn a_pool_without_work_sleeps_in_time_and_after_one_look() {
    let mut inn = Inn::new(config(2, 8));
    inn.run(10);
    inn.wakeups = 0;
    inn.run(AFTER - 20);
    assert_eq!((inn.wakeups, inn.verdict), (0, None));
    inn.run(30);
    assert!(inn.sleeps(), "{:?}", inn.verdict);
    assert_eq!((inn.wakeups, inn.drained, inn.forced), (1, false, 0));
    let idle = inn.notices.iter().find_map(|notice| match notice {
        Notice::Change(ChangeNotice::Asleep { idle }) => *idle,
        _ => None,
    });
    assert!(idle.is_some_and(|idle| idle.as_millis() >= u128::from(AFTER)), "{idle:?}");
}

#[test]
fn the_time_counts_from_the_last_work() {
    let mut inn = Inn::new(config(2, 8));
    for _ in 0..10 {
        inn.run(AFTER / 2);
        inn.come(300);
    }
    let last = inn.now + Duration::from_millis(300);
    inn.run(2 * AFTER);
    let (slept, verdict) = inn.verdict.expect("it sleeps");
    assert_eq!((verdict, inn.served), (Verdict::Asleep, 10));
    let after = slept.since(last).as_millis();
    assert!((u128::from(AFTER)..u128::from(AFTER) + 20).contains(&after), "{after}");
}

#[test]
fn nobody_sleeps_at_work_however_long() {
    let mut inn = Inn::new(config(2, 8));
    inn.run(100);
    inn.come(20 * AFTER);
    inn.run(1000);
    inn.wakeups = 0;
    inn.run(18 * AFTER);
    assert_eq!(inn.verdict, None);
    // One look each time, and those of the pool's own size.
    assert!(inn.wakeups <= 24, "{}", inn.wakeups);
    inn.run(4 * AFTER);
    assert!(inn.sleeps());
    assert_eq!(inn.served, 1);
}

/// A client that is taken by a child that was just asked, and one that finds nobody.
#[test]
fn a_client_that_comes_while_the_pool_dozes_off_wakes_it() {
    for takes in [1, 3000] {
        let mut inn = Inn::new(config(1, 8));
        inn.run(10);
        inn.come(1);
        while inn.supervisor.need().wanted > 0 && !inn.children.values().any(|it| it.asked) {
            inn.run(1);
        }
        inn.come(takes);
        inn.come(takes);
        inn.run(20);
        assert!(inn.waiting.is_empty(), "nobody waits for anything but a child that starts");
        inn.run(1980);
        assert_eq!(inn.verdict, None);
        inn.run(2000);
        assert_eq!((inn.verdict, inn.served, inn.forced), (None, 3, 0));
        inn.run(3 * AFTER);
        assert!(inn.sleeps());
    }
}

#[test]
fn a_reload_and_a_hook_that_is_run_at_the_start_are_waited_for() {
    let mut with_hook = config(1, 8);
    with_hook.hooks = vec![Hook::Ready];
    with_hook.hook_timeout = Duration::from_millis(3 * AFTER);
    let mut inn = Inn::new(with_hook);
    inn.hangs = true;
    inn.run(3 * AFTER - 100);
    assert_eq!(inn.verdict, None);
    let mut inn = Inn::new(config(1, 8));
    for _ in 0..20 {
        inn.run(AFTER - 10);
        inn.handle(Event::Requested(Request::Reload));
    }
    inn.run(500);
    assert_eq!((inn.verdict, inn.supervisor.stats().reloads), (None, 20));
}

#[test]
fn settings_that_are_being_read_keep_a_pool_awake() {
    let mut config = config(1, 8);
    config.reread = Reread::AtReload;
    let mut inn = Inn::new(config);
    inn.run(100);
    inn.handle(Event::Requested(Request::Reload));
    inn.run(59_000);
    assert_eq!(inn.verdict, None);
    inn.run(1000 + 2 * AFTER);
    assert!(inn.sleeps());
}

#[test]
fn before_shutdown_is_run_and_a_stop_meanwhile_is_one() {
    let mut config = config(1, 8);
    config.hooks = vec![Hook::BeforeShutdown];
    let mut inn = Inn::new(config);
    inn.hangs = true;
    inn.run(2 * AFTER);
    assert_eq!((inn.hooks, inn.verdict), (1, None));
    inn.handle(Event::Requested(Request::StopGracefully));
    assert_eq!(inn.verdict, None, "the first wish of this kind is no hurry");
    inn.handle(Event::HookEnded(Hook::BeforeShutdown));
    assert_eq!(inn.verdict.map(|(_, verdict)| verdict), Some(Verdict::Stopped));
}

#[test]
fn a_ceiling_of_nothing_puts_a_pool_to_sleep_once_requests_are_finished() {
    let mut inn = Inn::new(config(2, 8));
    inn.run(100);
    inn.come(60_000);
    inn.run(100);
    inn.handle(Event::Ceiling { children: 0 });
    inn.run(59_000);
    assert_eq!((inn.verdict, inn.children.len(), inn.forced), (None, 1, 0));
    inn.come(10);
    inn.run(2000);
    assert!(inn.sleeps());
    assert_eq!(inn.waiting.len(), 0, "it was taken by the last one");
    let asleep = Notice::Change(ChangeNotice::Asleep { idle: None });
    assert!(inn.notices.contains(&asleep));
}

#[test]
fn a_pool_that_cannot_sleep_has_one_child_of_a_ceiling_of_nothing() {
    let mut awake = config(2, 8);
    awake.sleep_after = None;
    let mut inn = Inn::new(awake);
    inn.run(100);
    inn.handle(Event::Ceiling { children: 0 });
    inn.run(1000);
    assert_eq!((inn.children.len(), inn.supervisor.need().ceiling), (1, Some(1)));
}

#[test]
fn children_that_never_say_anything_keep_a_pool_awake() {
    let mut supervisor = Supervisor::new(config(1, 4));
    let mut now = Time::after_origin(Duration::from_secs(1));
    supervisor.handle(now, Event::Start);
    let slot = SlotId(0);
    supervisor.handle(now, Event::Spawned { slot, pid: 1 });
    supervisor.handle(now, Event::Entered { slot });
    for _ in 0..100 {
        now = supervisor.deadline().map_or(now, |due| due.max(now));
        supervisor.advance(now);
        while let Some(action) = supervisor.next_action() {
            assert!(!matches!(action, Action::Retire { .. } | Action::Exit(_)));
            if action == Action::Observe {
                let activities = [(slot, Activity::Idle { since: Time::ZERO })];
                let observation = Observation { activities: &activities, waiting: Some(0) };
                supervisor.observe(now, &observation);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Come(u64),
    Run(u64),
    Reload,
    Ceiling(u32),
    Kill,
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..8000).prop_map(Step::Come),
        4 => (1u64..7000).prop_map(Step::Run),
        2 => (AFTER - 20..AFTER + 20).prop_map(Step::Run),
        1 => Just(Step::Reload),
        1 => (0u32..6).prop_map(Step::Ceiling),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever happens, it sleeps only when no request is in hand, no one is cut short, and in the end it does.
    #[test]
    fn a_pool_sleeps_in_the_end_and_never_with_anything_in_hand(
        (prefork, more) in (1u32..4, 0u32..5),
        one_shot in prop::bool::weighted(0.2),
        steps in prop::collection::vec(arb_step(), 0..30),
    ) {
        let mut config = config(prefork, prefork + more);
        if one_shot {
            config.pool = Pool::OneShot(Tuning::DEFAULT);
        }
        let mut inn = Inn::new(config);
        inn.run(100);
        for step in steps {
            match step {
                Step::Come(ms) if inn.verdict.is_none() && !one_shot => inn.come(ms),
                Step::Run(ms) => inn.run(ms),
                Step::Reload => inn.handle(Event::Requested(Request::Reload)),
                Step::Ceiling(children) => inn.handle(Event::Ceiling { children }),
                Step::Kill => {
                    let idle = inn.children.iter().find(|(_, child)| child.busy_until.is_none());
                    if let Some(slot) = idle.map(|(slot, _)| *slot) {
                        inn.children.remove(&slot);
                        let exit = Exit::Signal { number: 9, core_dumped: false };
                        inn.handle(Event::Exited { slot, exit });
                    }
                }
                Step::Come(_) => {}
            }
        }
        inn.run(60_000);
        inn.handle(Event::Ceiling { children: 9 });
        inn.run(4 * AFTER);
        prop_assert!(inn.sleeps(), "{:?}", inn.supervisor.deadline());
        prop_assert_eq!((inn.forced, inn.children.len()), (0, 0));
    }
}
