//! A pool under its real supervisor, whose children take what waits and finish it.

use std::{collections::BTreeMap, time::Duration};

use prefork_core::{
    Action, Activity, Config, Event, Exit, Measured, Need, Notice, Observation, Pool, PoolNotice,
    SlotId, Supervisor, Time,
};

const STEP: Duration = Duration::from_millis(1);

/// After so long a child that has started serves, and one that was asked and has nothing in hand is gone.
const START: Duration = Duration::from_millis(3);
const LEAVE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub(crate) born: Time,
    pub(crate) serves: bool,
    /// Until when it is at work; since when it is idle.
    pub(crate) busy_until: Option<Time>,
    pub(crate) idle_since: Time,
    pub(crate) asked: Option<Time>,
    pub(crate) generation: u32,
}

/// A pool whose children take what waits, and finish it.
pub(crate) struct Crowd {
    pub(crate) supervisor: Supervisor,
    pub(crate) now: Time,
    pub(crate) children: BTreeMap<SlotId, Child>,
    /// How long each request takes that waits.
    pub(crate) waiting: Vec<Duration>,
    pub(crate) knows_waiting: bool,
    pub(crate) ceiling: u32,
    pub(crate) is_one_shot: bool,
    /// Whether it was asked how large each is.
    pub(crate) weighs: bool,
    /// How many bytes the smallest child has, and how many of them it shares with its parent.
    pub(crate) takes: [u64; 2],
    /// How often they were weighed.
    pub(crate) weighed: usize,
    pub(crate) armed: bool,
    pub(crate) looks: usize,
    pub(crate) served: usize,
    pub(crate) notices: Vec<Notice>,
    /// How many that were at work were asked to leave, and how many ended by harder means.
    pub(crate) asked_at_work: usize,
    pub(crate) forced: usize,
}

pub(crate) fn by_load(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.pool = Pool::BY_LOAD;
    config
}

impl Crowd {
    pub(crate) fn new(config: Config, ceiling: Option<u32>) -> Self {
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
            takes: [0, 0],
            weighed: 0,
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

    pub(crate) fn allow(&mut self, children: u32) {
        self.ceiling = children.max(1);
        self.handle(Event::Ceiling { children });
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    pub(crate) fn obey(&mut self) {
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
        self.weighed += 1;
        let [least, preloaded] = self.takes;
        let size = |slot: &SlotId| least + u64::from(slot.0) * 7919 % 100;
        let sizes: Vec<_> = self.children.keys().map(|slot| (*slot, size(slot))).collect();
        let measured = Measured { children: Some(&sizes), preloaded, ..Measured::default() };
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
    pub(crate) fn come(&mut self, requests: usize, ms: u64) {
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

    pub(crate) fn run(&mut self, ms: u64) {
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

    pub(crate) fn alive(&self) -> usize {
        self.children.len()
    }

    pub(crate) fn need(&self) -> Need {
        self.supervisor.need()
    }

    pub(crate) fn count(&self, notice: impl Fn(&PoolNotice) -> bool) -> usize {
        let of_pool = |it: &&Notice| matches!(it, Notice::Pool(it) if notice(it));
        self.notices.iter().filter(of_pool).count()
    }
}
