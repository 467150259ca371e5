//! Children by their size, and a pool that is about to use up its memory.

use std::{collections::BTreeMap, iter, time::Duration};

use prefork_core::{
    Action, Activity, ChildNotice, Config, Event, Exit, Measured, Measuring, Notice, Observation,
    OwnLimit, Pool, PoolMemory, PoolNotice, Request, SlotId, Supervisor, Time, Verdict,
};
use proptest::prelude::*;

const MB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn now_in_ms(now: Time) -> u128 {
    now.since(Time::ZERO).as_millis()
}

/// A child of the world.
#[derive(Clone, Copy, Debug)]
struct Child {
    bytes: u64,
    /// How many bytes it takes in a millisecond while it is at work.
    grows: u64,
    /// How much it has for a while.
    breath: u64,
    busy: Option<Time>,
    idle: Time,
    /// Whether it is to leave, and when it will have gone.
    goes: Option<Time>,
    is_asked: bool,
}

/// Children with memory, under a supervisor whose hands take a while.
struct World {
    supervisor: Supervisor,
    now: Time,
    children: BTreeMap<SlotId, Child>,
    limit: Option<u64>,
    /// Whether somebody counts what is in use.
    is_counted: bool,
    /// What the parent and others have of it.
    others: u64,
    /// What a new child has.
    fresh: u64,
    /// How long after they are due looks come, and how long a killed child takes to go.
    late: Duration,
    /// How much longer a killed child takes to give its memory back.
    lingers: Duration,
    /// How many bytes each child at work uses in a millisecond for a while, and then gives back.
    breathes: u64,
    /// How many of 32 parts of the limit are used where the kernel reports that, and when it was last looked.
    alarm: Option<u64>,
    armed: bool,
    notices: Vec<Notice>,
    retired: Vec<u32>,
    killed: Vec<u32>,
    measures: Vec<bool>,
    most: u64,
}

impl World {
    fn new(prefork: u32, max_children: u32, measuring: Measuring) -> Self {
        Self::with(Pool::BY_LOAD, prefork, max_children, measuring)
    }

    fn with(pool: Pool, prefork: u32, max_children: u32, measuring: Measuring) -> Self {
        let mut config = Config::new(prefork, max_children).expect("valid");
        (config.pool, config.measuring) = (pool, measuring);
        let mut world = Self {
            supervisor: Supervisor::new(config),
            now: Time::after_origin(Duration::from_secs(1000)),
            children: BTreeMap::new(),
            limit: Some(1024 * MB),
            is_counted: true,
            others: 20 * MB,
            fresh: 5 * MB,
            late: Duration::ZERO,
            lingers: Duration::ZERO,
            breathes: 0,
            alarm: None,
            armed: false,
            notices: Vec::new(),
            retired: Vec::new(),
            killed: Vec::new(),
            measures: Vec::new(),
            most: 0,
        };
        world.supervisor.handle(world.now, Event::Start);
        world.run(SECOND);
        world
    }

    fn used(&self) -> u64 {
        self.others + self.children.values().map(|child| child.bytes).sum::<u64>()
    }

    /// A child begins with a request.
    fn begin(&mut self, slot: u32, grows: u64) {
        let now = self.now;
        let child = self.children.get_mut(&SlotId(slot)).expect("a child");
        (child.busy, child.grows) = (Some(now), grows);
        self.supervisor.handle(now, Event::Worked { slot: SlotId(slot) });
        if std::mem::take(&mut self.armed) {
            self.supervisor.handle(now, Event::Nudged);
        }
        self.obey();
    }

    /// It is done, and keeps what it has.
    fn end(&mut self, slot: u32) {
        let now = self.now;
        if let Some(child) = self.children.get_mut(&SlotId(slot)) {
            (child.busy, child.grows, child.idle) = (None, 0, now);
            if child.is_asked {
                child.goes = Some(now);
            }
        }
    }

    /// All have had a request, and this much memory since.
    fn have(&mut self, megabytes: impl IntoIterator<Item = u64>) {
        for (slot, megabytes) in (0..).zip(megabytes) {
            self.begin(slot, 0);
            self.children.get_mut(&SlotId(slot)).expect("a child").bytes = megabytes * MB;
            self.end(slot);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + ms(1);
            // All breathe alike, which is the worst.
            let is_in = now_in_ms(self.now) % 128 < 64;
            for child in self.children.values_mut().filter(|child| child.goes.is_none()) {
                child.bytes += child.grows;
                if child.busy.is_some() && is_in {
                    child.bytes += self.breathes;
                    child.breath += self.breathes;
                } else {
                    child.bytes -= std::mem::take(&mut child.breath);
                }
            }
            self.most = self.most.max(self.used());
            self.ring();
            let now = self.now;
            let gone =
                self.children.iter().filter(|(_, child)| child.goes.is_some_and(|at| at <= now));
            for slot in gone.map(|(slot, _)| *slot).collect::<Vec<_>>() {
                self.children.remove(&slot);
                self.supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
            }
            if self.supervisor.deadline().is_some_and(|due| due + self.late <= now) {
                self.supervisor.advance(now);
            }
            self.obey();
        }
    }

    /// The kernel reports that a threshold was passed, in whichever direction.
    fn ring(&mut self) {
        let (Some(before), Some(limit)) = (self.alarm, self.limit) else { return };
        let parts = (self.used() * 32 / limit).min(32);
        let passed = |parts: u64| [24, 28, 30, 31].map(|threshold| parts >= threshold);
        // It waits until somebody wants to know.
        if passed(parts) != passed(before) && self.supervisor.awaits_memory_alarm() {
            self.alarm = Some(parts);
            self.supervisor.handle(self.now, Event::MemoryShort);
        }
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Spawn { slot, .. } => {
                let (bytes, idle) = (self.fresh, now);
                let (busy, goes, is_asked) = (None, None, false);
                let child = Child { bytes, grows: 0, breath: 0, busy, idle, goes, is_asked };
                self.children.insert(slot, child);
                self.supervisor.handle(now, Event::Spawned { slot, pid: 100 + slot.0 });
                self.supervisor.handle(now, Event::Ready { slot });
            }
            Action::Retire { slot } => {
                self.retired.push(slot.0);
                let child = self.children.get_mut(&slot).expect("a child");
                child.is_asked = true;
                if child.busy.is_none() {
                    child.goes = Some(now + ms(1));
                }
            }
            Action::Kill { slot } => {
                self.killed.push(slot.0);
                let child = self.children.get_mut(&slot).expect("a child");
                child.goes = child.goes.or(Some(now + self.late + self.lingers + ms(1)));
            }
            Action::Observe => {
                let activity = |child: &Child| match child.busy {
                    Some(since) => Activity::Busy { since: Some(since) },
                    None => Activity::Idle { since: child.idle },
                };
                let all: Vec<_> =
                    self.children.iter().map(|(slot, child)| (*slot, activity(child))).collect();
                self.supervisor.observe(now, &Observation { activities: &all, waiting: Some(0) });
            }
            Action::Measure { children } => {
                self.measures.push(children);
                let slots = self.supervisor.slots_to_weigh();
                let bytes = |slot: SlotId| Some((slot, self.children.get(&slot)?.bytes));
                let sizes: Vec<_> = slots.filter_map(bytes).collect();
                let limit = |counted| self.limit.filter(|_| self.is_counted == counted);
                let pool = limit(true).map(|limit| PoolMemory { used: self.used(), limit });
                let own = limit(false).map(|limit| OwnLimit { limit, parent: self.others });
                let children = (children || own.is_some()).then_some(sizes.as_slice());
                let measured = Measured { pool, children, own, preloaded: 0 };
                self.supervisor.measured(now, &measured);
            }
            Action::ArmNudge => self.armed = true,
            Action::Log(notice) => self.notices.push(notice),
            Action::Exit(verdict) => assert_eq!(verdict, Verdict::Stopped),
            _ => {}
        }
    }

    fn request(&mut self, request: Request) {
        self.supervisor.handle(self.now, Event::Requested(request));
        self.obey();
    }
}

#[test]
fn the_largest_of_those_that_have_nothing_to_do_is_retired_first() {
    for (measuring, expected) in [
        // The one that has been idle for longest.
        (Measuring::Nothing, vec![0, 1]),
        (Measuring::Children, vec![3, 1]),
    ] {
        let mut world = World::new(6, 10, measuring);
        world.limit = None;
        for (slot, megabytes) in [(0, 10), (1, 80), (2, 20), (3, 100), (4, 300), (5, 12)] {
            world.run(ms(200));
            world.begin(slot, 0);
            world.children.get_mut(&SlotId(slot)).expect("a child").bytes = megabytes * MB;
            // The largest one is at work.
            if slot != 4 {
                world.end(slot);
            }
        }
        for _ in 0..2 {
            world.request(Request::Fewer);
        }
        world.run(60 * SECOND);
        assert_eq!(world.retired, expected, "{measuring:?}");
    }
}

#[test]
fn sizes_that_hardly_differ_do_not_matter() {
    let mut world = World::new(4, 10, Measuring::Children);
    world.limit = None;
    for (slot, megabytes) in [(2, 50), (0, 51), (3, 52), (1, 53)] {
        world.run(ms(200));
        world.begin(slot, 0);
        world.children.get_mut(&SlotId(slot)).expect("a child").bytes = megabytes * MB;
        world.end(slot);
    }
    world.request(Request::Fewer);
    world.run(60 * SECOND);
    assert_eq!(world.retired, [2], "the one that has been idle for longest");
}

#[test]
fn a_reload_replaces_the_largest_first() {
    let mut world = World::new(4, 10, Measuring::Children);
    world.have([10, 90, 300, 40]);
    world.run(SECOND);
    world.request(Request::Reload);
    world.run(SECOND);
    assert_eq!(world.retired, [2, 1, 3, 0]);
}

#[test]
fn at_rest_nobody_measures() {
    let mut world = World::new(4, 10, Measuring::Guard);
    world.begin(0, 0);
    world.run(SECOND);
    world.end(0);
    world.run(60 * SECOND);
    let looks = world.measures.len();
    assert!(looks > 0, "children have been at work");
    assert_eq!(world.supervisor.deadline(), None);
    world.run(600 * SECOND);
    assert_eq!(world.measures.len(), looks);
}

#[test]
fn while_somebody_works_the_pool_is_looked_at_and_nobody_is_weighed_without_need() {
    let mut world = World::new(4, 10, Measuring::Guard);
    world.begin(0, 0);
    world.run(10 * SECOND);
    let looks = world.measures.len();
    // A gigabyte that is free can be used up in 250 ms.
    assert!((35..60).contains(&looks), "{looks} looks in 10 s");
    assert!(!world.measures.contains(&true));
    assert_eq!(world.killed, []);
}

#[test]
fn a_pool_without_a_limit_is_not_looked_at_twice() {
    let mut world = World::new(4, 10, Measuring::Guard);
    world.limit = None;
    world.run(SECOND);
    world.begin(0, 0);
    world.run(SECOND);
    let looks = world.measures.len();
    assert!(looks <= 20, "{looks} looks in a second");
}

#[test]
fn large_idle_children_are_replaced_when_little_is_left() {
    let mut world = World::new(6, 10, Measuring::Guard);
    world.have([100, 250, 200, 150, 200, 60]);
    world.begin(5, 0);
    world.run(3 * SECOND);
    // 980 of 1024 MB were in use: without the largest one that is enough.
    assert_eq!(world.retired, [1], "{:?}", world.notices);
    assert_eq!(world.killed, []);
    assert_eq!(world.children.len(), 6, "it was replaced");
    let is_short = |notice: &Notice| matches!(notice, Notice::Pool(PoolNotice::MemoryShort { .. }));
    let is_over = |notice: &Notice| matches!(notice, Notice::Pool(PoolNotice::MemoryEased { .. }));
    let logged = [is_short as fn(&Notice) -> bool, is_over];
    let logged = logged.map(|is| world.notices.iter().filter(|notice| is(notice)).count());
    assert_eq!(logged, [1, 1]);
}

#[test]
fn a_pool_with_little_memory_left_does_not_grow() {
    let mut world = World::new(2, 10, Measuring::Guard);
    world.others = 950 * MB;
    world.begin(0, 0);
    world.run(SECOND);
    let short = world.children.len();
    world.begin(1, 0);
    world.run(SECOND);
    assert_eq!(world.children.len(), short, "{:?}", world.notices);
    world.others = 20 * MB;
    world.run(3 * SECOND);
    assert!(world.children.len() > short, "there is room again");
}

#[test]
fn what_others_take_ends_no_child() {
    let mut world = World::new(3, 3, Measuring::Guard);
    world.have([100, 100, 100]);
    for slot in 0..3 {
        world.begin(slot, 0);
    }
    for _ in 0..70 {
        world.others += 10 * MB;
        world.run(ms(20));
    }
    assert_eq!(world.killed, []);
}

#[test]
fn the_kernel_wakes_a_guard_that_rests() {
    let mut world = World::new(3, 3, Measuring::Guard);
    world.have([300, 100, 100]);
    world.run(60 * SECOND);
    world.others = 450 * MB;
    world.run(SECOND);
    assert_eq!(world.retired, []);
    world.supervisor.handle(world.now, Event::MemoryShort);
    world.run(SECOND);
    assert_eq!(world.retired, [0]);
    world.run(10 * SECOND);
    assert_eq!(world.supervisor.deadline(), None, "it rests again");
}

/// Of a pool of which nobody knows who is at work.
#[test]
fn the_kernel_wakes_a_guard_that_knows_of_no_work() {
    for (grows, lingers) in [(MB, 0), (MB, 1000), (MB / 50, 0)] {
        let mut world = World::with(Pool::Fixed, 3, 3, Measuring::Guard);
        (world.alarm, world.lingers) = (Some(0), ms(lingers));
        world.run(60 * SECOND);
        assert_eq!(world.measures, [], "there was no reason");
        world.children.get_mut(&SlotId(1)).expect("a child").grows = grows;
        world.run(60 * SECOND);
        assert_eq!(world.killed, [1], "{:?}", world.notices);
        assert_eq!(world.retired, [], "who is idle is not known");
        assert!(world.most < 1024 * MB, "{}", world.most);
        assert_eq!(world.supervisor.deadline(), None, "it rests again");
        let looks = world.measures.len();
        world.run(600 * SECOND);
        assert_eq!(world.measures.len(), looks);
    }
}

/// As one does that has threads of its own.
#[test]
fn a_child_that_grows_while_it_has_nothing_in_hand_is_ended() {
    let mut world = World::new(3, 3, Measuring::Guard);
    world.alarm = Some(0);
    world.have([50, 50, 50]);
    world.run(60 * SECOND);
    let looks = world.measures.len();
    world.children.get_mut(&SlotId(1)).expect("a child").grows = MB;
    world.run(10 * SECOND);
    assert!(world.killed == [1] || world.retired == [1], "{:?}", world.notices);
    assert!(world.measures.len() > looks && world.most < 1024 * MB, "{}", world.most);
}

#[test]
fn an_alarm_is_news_only_while_nobody_looks() {
    let mut world = World::new(3, 3, Measuring::Guard);
    world.run(SECOND);
    assert!(world.supervisor.awaits_memory_alarm());
    world.begin(0, 0);
    world.run(SECOND);
    assert!(!world.supervisor.awaits_memory_alarm(), "it looks");
    world.end(0);
    world.run(60 * SECOND);
    assert!(world.supervisor.awaits_memory_alarm());
    // Somebody who uses a little and gives it back, over and over, does not keep the parent awake.
    let looks = world.measures.len();
    for _ in 0..1000 {
        world.supervisor.handle(world.now, Event::MemoryShort);
        world.obey();
    }
    assert!(world.measures.len() - looks <= 1, "{}", world.measures.len() - looks);
    world.request(Request::StopGracefully);
    assert!(!world.supervisor.awaits_memory_alarm());
    let unmeasured = World::new(3, 3, Measuring::Children);
    assert!(!unmeasured.supervisor.awaits_memory_alarm());
}

#[test]
fn the_line_names_who_was_ended_and_what_it_took() {
    let mut world = World::new(3, 3, Measuring::Guard);
    world.begin(1, MB);
    world.run(2 * SECOND);
    let ended = world.notices.iter().find_map(|notice| match notice {
        Notice::Child(child, ChildNotice::EndedForMemory { bytes, grew, over, used, limit }) => {
            Some((*child, *bytes, *grew, *over, *used, *limit))
        }
        _ => None,
    });
    let (child, bytes, grew, over, used, limit) = ended.expect("a line");
    assert_eq!((child.slot, child.pid), (SlotId(1), 101));
    assert_eq!(limit, 1024 * MB);
    assert!(bytes > 800 * MB && used > bytes && used < limit, "{bytes} of {used}");
    // A megabyte in a millisecond.
    assert_eq!(u128::from(grew / MB), over.as_millis());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// One request eats everything, at any speed that a process can have, while others come and go: it alone is ended, and
    /// the pool never uses up what it may have.
    #[test]
    fn one_request_that_eats_everything_costs_one_request(
        limit in 256u64..8192,
        full in 10u64..60,
        children in 2u32..40,
        rate in 1u64..1500,
        late in 0u64..8,
        lingers in 0u64..4000,
        breathes in 0u64..512,
        begins in 0u64..2000,
        is_counted in any::<bool>(),
    ) {
        let mut world = World::new(children, children, Measuring::Guard);
        (world.limit, world.is_counted) = (Some(limit * MB), is_counted);
        let each = limit * full / 100 / u64::from(children);
        (world.others, world.fresh) = (0, each * MB);
        world.have(iter::repeat_n(each, children as usize));
        (world.late, world.lingers, world.breathes) = (ms(late), ms(lingers), breathes);
        for slot in 1..children {
            world.begin(slot, 0);
        }
        world.run(ms(begins));
        world.begin(0, rate * MB / 1000);
        let all = Duration::from_millis(limit * 1000 / rate + 3000 + lingers);
        world.run(all);
        prop_assert_eq!(&world.killed, &[0], "{:?}", world.notices);
        prop_assert!(world.most < limit * MB, "{} of {} MB", world.most / MB, limit);
        prop_assert_eq!(world.children.len(), children as usize);
    }

    /// Whatever children do, more than one in 200 ms is never killed for it, and none without growth.
    #[test]
    fn nobody_is_ended_without_growth(
        sizes in prop::collection::vec(1u64..400, 3..8),
        work in prop::collection::vec((0u32..8, 0u64..2000), 0..40),
    ) {
        let many = u32::try_from(sizes.len()).expect("few");
        let mut world = World::new(many, many, Measuring::Guard);
        // Nothing is as near its limit as one that has more than that already.
        world.limit = Some(world.used() + sizes.iter().sum::<u64>() * MB * 11 / 10);
        world.have(sizes);
        for (slot, time) in work {
            if world.children.contains_key(&SlotId(slot)) {
                world.begin(slot, 0);
                world.run(ms(time));
                world.end(slot);
            }
        }
        prop_assert_eq!(&world.killed, &[] as &[u32]);
    }
}
