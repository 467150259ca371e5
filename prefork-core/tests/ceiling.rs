//! A pool under a ceiling that it shares with others: it never starts more than it may, gives back what is idle at once, and
//! takes what it is given for what it wants already.

use std::{collections::BTreeMap, time::Duration};

use prefork_core::{
    Action, Activity, AdoptedAs, Config, Event, Exit, Measured, Measuring, Need, Notice,
    Observation, Pool, PoolNotice, Request, SlotId, Supervisor, Time, Tuning,
};
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(1);

/// After so long a child that has started serves, and one that was asked and has nothing in hand is gone.
const START: Duration = Duration::from_millis(3);
const LEAVE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
struct Child {
    born: Time,
    serves: bool,
    /// Until when it is at work; since when it is idle.
    busy_until: Option<Time>,
    idle_since: Time,
    asked: Option<Time>,
    generation: u32,
}

/// A pool whose children take what waits, and finish it.
struct Crowd {
    supervisor: Supervisor,
    now: Time,
    children: BTreeMap<SlotId, Child>,
    /// How long each request takes that waits.
    waiting: Vec<Duration>,
    knows_waiting: bool,
    ceiling: u32,
    is_one_shot: bool,
    /// Whether it was asked how large each is.
    weighs: bool,
    armed: bool,
    looks: usize,
    served: usize,
    notices: Vec<Notice>,
    /// How many that were at work were asked to leave, and how many ended by harder means.
    asked_at_work: usize,
    forced: usize,
}

fn by_load(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.pool = Pool::BY_LOAD;
    config
}

impl Crowd {
    fn new(config: Config, ceiling: Option<u32>) -> Self {
        let is_one_shot = matches!(config.pool, Pool::OneShot(_));
        let mut crowd = Self {
            supervisor: Supervisor::new(config),
            now: Time::after_origin(Duration::from_secs(1000)),
            children: BTreeMap::new(),
            waiting: Vec::new(),
            knows_waiting: true,
            ceiling: u32::MAX,
            is_one_shot,
            weighs: false,
            armed: false,
            looks: 0,
            served: 0,
            notices: Vec::new(),
            asked_at_work: 0,
            forced: 0,
        };
        ceiling.into_iter().for_each(|children| crowd.allow(children));
        crowd.handle(Event::Start);
        crowd.run(500);
        crowd
    }

    fn allow(&mut self, children: u32) {
        self.ceiling = children.max(1);
        self.handle(Event::Ceiling { children });
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            self.carry_out(action);
        }
        assert_eq!(self.supervisor.alive(), self.children.len());
        let deadline = self.supervisor.deadline();
        assert!(deadline.is_none_or(|due| due > self.now), "{deadline:?} at {:?}", self.now);
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn { slot, generation } => {
                let there = self.children.len();
                assert!(there < self.ceiling as usize, "{there} are there, of {}", self.ceiling);
                let (born, generation) = (self.now, generation.0);
                let idle_since = self.now;
                let (serves, busy_until, asked) = (false, None, None);
                let child = Child { born, serves, busy_until, idle_since, asked, generation };
                assert!(self.children.insert(slot, child).is_none(), "{slot} is taken");
                self.supervisor.handle(self.now, Event::Spawned { slot, pid: 1 });
            }
            Action::Retire { slot } => {
                let child = self.children.get_mut(&slot).expect("somebody is asked");
                child.asked.get_or_insert(self.now);
                self.asked_at_work += usize::from(child.busy_until.is_some());
            }
            Action::Interrupt { .. } | Action::Abort { .. } | Action::Kill { .. } => {
                self.forced += 1;
            }
            Action::ArmNudge => self.armed = true,
            Action::Observe => self.look(),
            Action::Measure { .. } => self.weighs = true,
            Action::Log(notice) => self.notices.push(notice),
            _ => {}
        }
    }

    /// Each child has another size.
    fn weigh(&mut self) {
        let sizes: Vec<_> =
            self.children.keys().map(|slot| (*slot, u64::from(slot.0) * 7919 % 100)).collect();
        let measured = Measured { children: Some(&sizes), ..Measured::default() };
        self.supervisor.measured(self.now, &measured);
        self.obey();
    }

    fn look(&mut self) {
        self.looks += 1;
        let serving = self.children.iter().filter(|(_, child)| child.serves);
        let activities: Vec<_> = serving
            .map(|(slot, child)| match child.busy_until {
                Some(_) => (*slot, Activity::Busy { since: Some(child.idle_since) }),
                None => (*slot, Activity::Idle { since: child.idle_since }),
            })
            .collect();
        let waiting = self.knows_waiting.then_some(u32::try_from(self.waiting.len()).expect("few"));
        self.supervisor.observe(self.now, &Observation { activities: &activities, waiting });
    }

    /// Has so many requests come that take so long.
    fn come(&mut self, requests: usize, ms: u64) {
        self.waiting.extend(std::iter::repeat_n(Duration::from_millis(ms), requests));
        self.work();
    }

    fn work(&mut self) {
        let now = self.now;
        let mut changed = Vec::new();
        for (slot, child) in &mut self.children {
            if child.busy_until.is_some_and(|until| now >= until) {
                (child.busy_until, child.idle_since) = (None, now);
                child.asked = child.asked.or(self.is_one_shot.then_some(now));
                self.served += 1;
                changed.push(*slot);
            }
            if child.serves && child.asked.is_none() && child.busy_until.is_none() {
                let Some(takes) = self.waiting.pop() else { continue };
                (child.busy_until, child.idle_since) = (Some(now + takes), now);
                changed.push(*slot);
            }
        }
        for slot in &changed {
            self.handle(Event::Worked { slot: *slot });
        }
        if !changed.is_empty() && std::mem::take(&mut self.armed) {
            self.handle(Event::Nudged);
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + STEP;
            let now = self.now;
            let slots: Vec<SlotId> = self.children.keys().copied().collect();
            for slot in slots {
                let child = self.children.get_mut(&slot).expect("they only go here");
                let goes = child.asked.is_some_and(|asked| now.since(asked) >= LEAVE);
                if goes && child.busy_until.is_none() {
                    self.children.remove(&slot);
                    self.handle(Event::Exited { slot, exit: Exit::Code(0) });
                } else if !child.serves && now.since(child.born) >= START {
                    child.serves = true;
                    self.handle(Event::Ready { slot });
                }
            }
            self.work();
            if std::mem::take(&mut self.weighs) {
                self.weigh();
            }
            if self.supervisor.deadline().is_some_and(|due| now >= due) {
                self.supervisor.advance(now);
                self.obey();
            }
        }
    }

    fn alive(&self) -> usize {
        self.children.len()
    }

    fn need(&self) -> Need {
        self.supervisor.need()
    }

    fn count(&self, notice: impl Fn(&PoolNotice) -> bool) -> usize {
        let of_pool = |it: &&Notice| matches!(it, Notice::Pool(it) if notice(it));
        self.notices.iter().filter(of_pool).count()
    }
}

#[test]
fn a_pool_grows_to_its_ceiling_and_says_what_more_it_wants() {
    for knows_waiting in [true, false] {
        let mut crowd = Crowd::new(by_load(2, 50), Some(8));
        crowd.knows_waiting = knows_waiting;
        crowd.come(20, 5000);
        crowd.run(1000);
        let need = crowd.need();
        assert_eq!((need.alive, need.busy, need.ceiling), (8, 8, Some(8)), "{need:?}");
        // Of a queue that nobody knows no more is known than that none is free.
        let wanted = if knows_waiting { 21..=21 } else { 9..=16 };
        assert!(wanted.contains(&need.wanted), "{need:?}");
    }
}

#[test]
fn a_ceiling_that_rises_is_filled_at_once_and_no_further_than_is_wanted() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    crowd.come(20, 5000);
    crowd.run(100);
    assert_eq!(crowd.alive(), 8);
    crowd.allow(15);
    assert_eq!(crowd.alive(), 15);
    crowd.allow(40);
    assert_eq!(crowd.alive(), 21, "one for each client, and one to spare");
}

#[test]
fn what_was_wanted_and_is_not_any_more_is_not_started_when_the_ceiling_rises() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    crowd.come(20, 100);
    crowd.run(1000);
    assert_eq!((crowd.served, crowd.need().busy), (20, 0));
    crowd.allow(40);
    crowd.run(1000);
    assert_eq!(crowd.alive(), 8);
    assert!(crowd.need().wanted <= 8, "{:?}", crowd.need());
}

#[test]
fn a_ceiling_that_sinks_takes_idle_children_at_once_and_nobody_who_is_at_work() {
    let mut crowd = Crowd::new(by_load(4, 50), None);
    crowd.come(10, 300);
    crowd.come(5, 10_000);
    crowd.run(1000);
    let need = crowd.need();
    assert_eq!((need.busy, need.alive), (5, 16), "{need:?}");
    crowd.allow(6);
    crowd.run(5);
    assert_eq!((crowd.alive(), crowd.asked_at_work, crowd.forced), (6, 0, 0));
    assert_eq!(crowd.need().busy, 5);
    assert_eq!(crowd.need().wanted, 6, "the idle ones are not missed");
}

#[test]
fn of_idle_children_the_largest_go_where_sizes_are_known() {
    let mut config = by_load(4, 50);
    config.measuring = Measuring::Children;
    let mut crowd = Crowd::new(config, None);
    crowd.come(5, 300);
    crowd.run(1000);
    assert_eq!(crowd.alive(), 6);
    crowd.allow(3);
    crowd.run(10);
    let left: Vec<_> = crowd.children.keys().map(|slot| slot.0).collect();
    assert_eq!(left, [0, 1, 2], "of 0, 19, 38, 57, 76 and 95");
}

#[test]
fn those_at_work_are_asked_where_that_is_not_enough_and_finish() {
    let mut crowd = Crowd::new(by_load(4, 50), None);
    crowd.come(10, 2000);
    crowd.run(100);
    assert_eq!(crowd.alive(), 11);
    crowd.allow(3);
    crowd.run(10);
    assert_eq!((crowd.alive(), crowd.asked_at_work, crowd.forced), (10, 7, 0));
    crowd.run(2000);
    assert_eq!((crowd.alive(), crowd.served, crowd.forced), (3, 10, 0));
}

#[test]
fn a_pool_below_its_size_at_rest_comes_back_when_it_may() {
    for config in [by_load(6, 50), Config::new(6, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, None);
        crowd.allow(2);
        crowd.run(1000);
        assert_eq!((crowd.alive(), crowd.need().wanted), (2, 6), "{:?}", crowd.need());
        crowd.allow(5);
        assert_eq!(crowd.alive(), 5);
        crowd.allow(100);
        crowd.run(1000);
        assert_eq!((crowd.alive(), crowd.need().wanted), (6, 6));
        assert_eq!(crowd.supervisor.deadline(), None, "at rest it needs no timer");
    }
}

#[test]
fn a_pool_starts_with_as_many_as_it_may() {
    for config in [by_load(6, 50), Config::new(6, 50).expect("valid")] {
        let crowd = Crowd::new(config, Some(3));
        assert_eq!((crowd.alive(), crowd.need().wanted), (3, 6));
    }
}

#[test]
fn where_nobody_knows_who_is_idle_all_count_as_busy_and_the_newest_go() {
    let mut crowd = Crowd::new(Config::new(6, 6).expect("valid"), None);
    assert_eq!(crowd.need(), Need { alive: 6, busy: 6, wanted: 6, ceiling: None });
    crowd.allow(2);
    crowd.run(10);
    assert_eq!(crowd.children.keys().copied().collect::<Vec<_>>(), [SlotId(0), SlotId(1)]);
}

#[test]
fn a_reload_has_new_ones_serve_before_old_ones_leave_if_room_is_given_in_time() {
    for config in [by_load(4, 50), Config::new(4, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, Some(4));
        crowd.handle(Event::Requested(Request::Reload));
        assert_eq!(crowd.need().wanted, 5, "and one that stands in");
        crowd.allow(5);
        for _ in 0..100 {
            crowd.run(1);
            let serve = crowd.children.values().filter(|it| it.serves && it.asked.is_none());
            assert!(serve.count() >= 4);
        }
        assert!(crowd.children.values().all(|child| child.generation == 2));
        assert_eq!(crowd.need().wanted, 4);
    }
}

#[test]
fn a_reload_without_room_has_old_ones_leave_first() {
    for config in [by_load(4, 50), Config::new(4, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, Some(4));
        crowd.handle(Event::Requested(Request::Reload));
        crowd.run(90);
        assert!(crowd.children.values().all(|it| it.generation == 1), "room may come");
        crowd.run(200);
        assert!(crowd.children.values().all(|it| it.generation == 2));
        assert_eq!((crowd.alive(), crowd.supervisor.stats().reloads), (4, 1));
    }
}

#[test]
fn children_that_serve_one_client_each_keep_to_the_ceiling() {
    let mut config = by_load(4, 50);
    config.pool = Pool::OneShot(Tuning::DEFAULT);
    let mut crowd = Crowd::new(config, Some(10));
    crowd.come(30, 400);
    crowd.run(200);
    let need = crowd.need();
    assert_eq!((need.alive, need.busy), (10, 10), "{need:?}");
    assert!(need.wanted > 10, "{need:?}");
    crowd.allow(3);
    crowd.run(50);
    assert_eq!((crowd.alive(), crowd.forced), (10, 0), "they end by themselves");
}

#[test]
fn a_program_that_takes_over_keeps_to_the_ceiling() {
    let mut crowd = Crowd::new(by_load(4, 50), Some(6));
    crowd.come(20, 1000);
    crowd.run(100);
    assert!(crowd.need().wanted > 6);
    let handover = crowd.supervisor.hand_over();
    let config = crowd.supervisor.config().clone();
    let adopted_as = AdoptedAs::SameProgram;
    crowd.supervisor = Supervisor::adopt(config, crowd.now, &handover, adopted_as);
    crowd.obey();
    crowd.run(2000);
    assert_eq!(crowd.need().ceiling, Some(6));
}

/// It would cost every pool of a crowded host.
#[test]
fn a_pool_at_its_ceiling_looks_no_more_often_than_one_at_its_maximum() {
    let looks = |config, ceiling| {
        let mut crowd = Crowd::new(config, ceiling);
        for _ in 0..100 {
            crowd.come(20, 90);
            crowd.run(100);
        }
        assert_eq!(crowd.alive(), 8);
        crowd.looks
    };
    let (at_ceiling, at_maximum) = (looks(by_load(2, 50), Some(8)), looks(by_load(2, 8), None));
    assert!(at_ceiling <= at_maximum, "{at_ceiling} and {at_maximum}");
}

#[test]
fn being_short_by_the_ceiling_is_reported_once_it_lasts() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    let at_ceiling =
        |it: &PoolNotice| matches!(it, PoolNotice::AtCeiling { ceiling: 8, busy: 8, .. });
    crowd.come(12, 300);
    crowd.run(900);
    assert_eq!(crowd.count(at_ceiling), 0, "for a moment it is nothing");
    crowd.run(15_000);
    for _ in 0..20 {
        crowd.come(12, 190);
        crowd.run(200);
    }
    assert_eq!(crowd.count(at_ceiling), 1, "{:?}", crowd.notices);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::AtMaximum { .. })), 0);
    crowd.run(60_000);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::BelowCeiling { .. })), 1);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::BelowMaximum { .. })), 0);
}

/// Nothing happens meanwhile that would have the parent look.
#[test]
fn long_requests_do_not_hide_that_the_pool_is_short() {
    let count = |ceiling, at: fn(&PoolNotice) -> bool, below: fn(&PoolNotice) -> bool| {
        let max_children = if ceiling == 0 { 8 } else { 50 };
        let mut crowd = Crowd::new(by_load(2, max_children), (ceiling > 0).then_some(ceiling));
        crowd.come(12, 60_000);
        crowd.run(50_000);
        (crowd.count(at), crowd.count(below))
    };
    let at_ceiling = count(
        8,
        |it| matches!(it, PoolNotice::AtCeiling { .. }),
        |it| matches!(it, PoolNotice::BelowCeiling { .. }),
    );
    let at_maximum = count(
        0,
        |it| matches!(it, PoolNotice::AtMaximum { .. }),
        |it| matches!(it, PoolNotice::BelowMaximum { .. }),
    );
    assert_eq!((at_ceiling, at_maximum), ((1, 0), (1, 0)));
}

#[derive(Clone, Debug)]
enum Step {
    Ceiling(u32),
    Come(usize, u64),
    Run(u64),
    Reload,
    More,
    Fewer,
    Kill(usize),
    Upgrade,
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u32..40).prop_map(Step::Ceiling),
        3 => (1usize..40, 1u64..3000).prop_map(|(requests, ms)| Step::Come(requests, ms)),
        4 => (1u64..1500).prop_map(Step::Run),
        1 => Just(Step::Reload),
        1 => Just(Step::More),
        1 => Just(Step::Fewer),
        1 => (1usize..10).prop_map(Step::Kill),
        1 => Just(Step::Upgrade),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    /// That no more are started than may be is checked at each start.
    #[test]
    fn whatever_happens_the_pool_keeps_to_its_ceiling_and_ends_nobody_for_it(
        (prefork, more) in (1u32..8, 0u32..20),
        pool in prop_oneof![
            2 => Just(Pool::BY_LOAD),
            1 => Just(Pool::Fixed),
            1 => Just(Pool::OneShot(Tuning::DEFAULT)),
        ],
        (knows_waiting, is_measured) in any::<(bool, bool)>(),
        first in prop::option::of(1u32..10),
        steps in prop::collection::vec(arb_step(), 0..30),
        last in 1u32..40,
    ) {
        let mut config = by_load(prefork, prefork + more);
        config.pool = pool;
        config.measuring =
            if is_measured { Measuring::Children } else { Measuring::Nothing };
        let killed = steps.iter().any(|step| matches!(step, Step::Kill(_)));
        let mut crowd = Crowd::new(config, first);
        crowd.knows_waiting = knows_waiting;
        for step in steps {
            match step {
                Step::Ceiling(children) => crowd.allow(children),
                Step::Come(requests, ms) => crowd.come(requests, ms),
                Step::Run(ms) => crowd.run(ms),
                Step::Reload => crowd.handle(Event::Requested(Request::Reload)),
                Step::More => crowd.handle(Event::Requested(Request::More)),
                Step::Fewer => crowd.handle(Event::Requested(Request::Fewer)),
                Step::Kill(count) => {
                    let slots: Vec<_> = crowd.children.keys().copied().take(count).collect();
                    for slot in slots {
                        crowd.children.remove(&slot);
                        let exit = Exit::Signal { number: 9, core_dumped: false };
                        crowd.handle(Event::Exited { slot, exit });
                    }
                }
                Step::Upgrade => {
                    let handover = crowd.supervisor.hand_over();
                    let config = crowd.supervisor.config().clone();
                    let adopted_as = AdoptedAs::NewProgram;
                    crowd.supervisor =
                        Supervisor::adopt(config, crowd.now, &handover, adopted_as);
                    crowd.obey();
                }
            }
            let need = crowd.need();
            prop_assert_eq!(need.alive as usize, crowd.alive());
            prop_assert!(need.busy <= need.alive, "{:?}", need);
            prop_assert_eq!(need.ceiling.unwrap_or(u32::MAX), crowd.ceiling);
        }
        crowd.waiting.clear();
        crowd.allow(last);
        crowd.run(5000);
        prop_assert!(crowd.alive() <= last as usize, "{} of {}", crowd.alive(), last);
        prop_assert_eq!(crowd.forced, 0);
        // And it comes back to rest: the longest calm time, and the steps.
        crowd.allow(u32::MAX);
        crowd.run(110_000);
        let prefork = crowd.supervisor.config().prefork();
        prop_assert_eq!(crowd.alive(), prefork as usize);
        let wanted = crowd.need().wanted;
        prop_assert_eq!(wanted, prefork);
        // New ones that are killed may have proven that they do not work.
        let newest = crowd.supervisor.generation().0;
        prop_assert!(killed || crowd.children.values().all(|it| it.generation == newest));
    }
}
