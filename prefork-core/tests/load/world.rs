//! Children that serve a queue, under any manager.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    fmt,
    time::Duration,
};

use prefork_core::{SlotId, Time};

use crate::traffic::Traffic;

/// What a manager wants done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Fork(SlotId),
    Retire(SlotId),
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Starting,
    Idle { since: Time },
    Busy,
}

/// A child of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub(crate) doing: Doing,
    retired: bool,
    born: Time,
}

pub(crate) type Children = BTreeMap<SlotId, Child>;

/// Decides how many children there are.
pub(crate) trait Manager {
    fn start(&mut self, now: Time, orders: &mut Vec<Order>);
    fn deadline(&self) -> Option<Time>;
    fn wake(&mut self, now: Time, children: &Children, waiting: u32, orders: &mut Vec<Order>);
    fn ready(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>);
    fn exited(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>);
    /// A child has turned busy; returns whether that wakes the manager.
    fn turned_busy(&mut self, now: Time) -> bool;
    /// Whether the next fork fails; the manager then knows.
    fn fork_fails(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>) -> bool;
}

/// How long after its fork a child can take requests.
const START: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrives(usize),
    Finishes(SlotId),
    Ready(SlotId),
}

/// What was achieved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) served: usize,
    /// The longest time from arrival to answer.
    pub(crate) longest: Duration,
    /// The time that all requests together have waited for a child.
    pub(crate) waited: Duration,
    /// The time that children beyond those at rest have been there without work.
    pub(crate) wasted: Duration,
    pub(crate) spawned: usize,
    pub(crate) largest: usize,
    pub(crate) size_at_end: usize,
    pub(crate) wakeups_a_second: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "served {}, the slowest in {:.3} s, waiting {:.1} s in all; {} forks, at most {} \
             children, {:.0} child-seconds without work; {:.2} wake-ups a second",
            self.served,
            self.longest.as_secs_f64(),
            self.waited.as_secs_f64(),
            self.spawned,
            self.largest,
            self.wasted.as_secs_f64(),
            self.wakeups_a_second,
        )
    }
}

pub(crate) struct World<M> {
    manager: M,
    traffic: Traffic,
    now: Time,
    children: Children,
    /// Idle children, the warmest last: the kernel wakes that one first.
    idle: Vec<SlotId>,
    queue: VecDeque<usize>,
    agenda: BinaryHeap<Reverse<(Time, What)>>,
    outcome: Outcome,
    alive_time: Duration,
    busy_time: Duration,
    wakeups: u32,
}

impl<M: Manager> World<M> {
    pub(crate) fn new(manager: M, traffic: Traffic) -> Self {
        Self {
            manager,
            traffic,
            now: Time::ZERO,
            children: Children::new(),
            idle: Vec::new(),
            queue: VecDeque::new(),
            agenda: BinaryHeap::new(),
            outcome: Outcome::default(),
            alive_time: Duration::ZERO,
            busy_time: Duration::ZERO,
            wakeups: 0,
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        let end = Time::after_origin(self.traffic.end);
        if let Some((at, _)) = self.traffic.arrivals.first() {
            self.agenda.push(Reverse((Time::after_origin(*at), What::Arrives(0))));
        }
        self.manage(Manager::start);
        let base = self.children.len();
        loop {
            let happens = self.agenda.peek().map(|Reverse((at, _))| *at);
            let due = self.manager.deadline().map(|due| due.max(self.now));
            let Some(next) = [happens, due].into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.now = next;
            if happens == Some(next) {
                self.happen();
            } else {
                self.wake();
            }
        }
        for child in self.children.values() {
            self.alive_time += end.since(child.born);
        }
        let at_rest = self.traffic.end * u32::try_from(base).expect("few");
        let mut outcome = self.outcome;
        outcome.wasted = self.alive_time.saturating_sub(self.busy_time).saturating_sub(at_rest);
        outcome.size_at_end = self.children.len();
        outcome.wakeups_a_second = f64::from(self.wakeups) / self.traffic.end.as_secs_f64();
        outcome
    }

    fn wake(&mut self) {
        self.wakeups += 1;
        let waiting = u32::try_from(self.queue.len()).expect("few");
        let mut orders = Vec::new();
        self.manager.wake(self.now, &self.children, waiting, &mut orders);
        self.obey(orders);
    }

    fn manage(&mut self, event: impl FnOnce(&mut M, Time, &mut Vec<Order>)) {
        let mut orders = Vec::new();
        event(&mut self.manager, self.now, &mut orders);
        self.obey(orders);
    }

    fn happen(&mut self) {
        let Some(Reverse((_, what))) = self.agenda.pop() else { return };
        match what {
            What::Arrives(request) => {
                if let Some((at, _)) = self.traffic.arrivals.get(request + 1) {
                    let next = (Time::after_origin(*at), What::Arrives(request + 1));
                    self.agenda.push(Reverse(next));
                }
                self.queue.push_back(request);
                if let Some(slot) = self.idle.pop() {
                    self.take_work(slot);
                }
            }
            What::Finishes(slot) | What::Ready(slot) => {
                if let What::Ready(_) = what {
                    self.manage(|manager, now, orders| manager.ready(now, slot, orders));
                }
                if self.children.get(&slot).is_some_and(|child| child.retired) {
                    self.bury(slot);
                } else if !self.queue.is_empty() {
                    self.take_work(slot);
                } else if let Some(child) = self.children.get_mut(&slot) {
                    child.doing = Doing::Idle { since: self.now };
                    self.idle.push(slot);
                }
            }
        }
    }

    fn take_work(&mut self, slot: SlotId) {
        let Some(request) = self.queue.pop_front() else { return };
        let (arrived, work) = self.traffic.arrivals[request];
        let waited = self.now.since(Time::after_origin(arrived));
        self.outcome.served += 1;
        self.outcome.waited += waited;
        self.outcome.longest = self.outcome.longest.max(waited + work);
        self.busy_time += work;
        self.agenda.push(Reverse((self.now + work, What::Finishes(slot))));
        let child = self.children.get_mut(&slot).expect("a living child");
        let turned = child.doing != Doing::Busy;
        child.doing = Doing::Busy;
        if turned && self.manager.turned_busy(self.now) {
            self.wakeups += 1;
        }
    }

    fn obey(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Fork(slot) => self.fork(slot),
                Order::Retire(slot) => {
                    let child = self.children.get_mut(&slot).expect("a living child");
                    child.retired = true;
                    if let Doing::Idle { .. } = child.doing {
                        self.idle.retain(|other| *other != slot);
                        self.bury(slot);
                    }
                }
            }
        }
    }

    fn fork(&mut self, slot: SlotId) {
        let mut orders = Vec::new();
        if self.manager.fork_fails(self.now, slot, &mut orders) {
            self.obey(orders);
            return;
        }
        let child = Child { doing: Doing::Starting, retired: false, born: self.now };
        assert!(self.children.insert(slot, child).is_none(), "{slot} is taken");
        self.outcome.spawned += 1;
        self.outcome.largest = self.outcome.largest.max(self.children.len());
        self.agenda.push(Reverse((self.now + START, What::Ready(slot))));
        self.obey(orders);
    }

    fn bury(&mut self, slot: SlotId) {
        let child = self.children.remove(&slot).expect("a living child");
        self.alive_time += self.now.since(child.born);
        self.manage(|manager, now, orders| manager.exited(now, slot, orders));
    }
}
