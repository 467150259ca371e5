//! Children that serve a queue, under any manager.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{
    Model, Traffic,
    children::{Child, Children, Doing},
    periodic::Periodic,
    report::{Report, Retirements},
    supervised::Supervised,
};
use crate::{Exit, ScalingPolicy, SlotId, Time};

/// What goes wrong in a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// So many children never finish the next request that they take, which is lost.
    Hang(u32),
    /// So many children, those that are idle or the next ones, report from then on that they are idle, and take nothing.
    Lie(u32),
    /// So many children are killed, those in the lowest slots. What they had in hand is lost.
    Kill(u32),
    /// So many forks fail, from then on.
    FailForks(u32),
}

/// What a pool is to serve, and what its children are like.
///
/// # Examples
///
/// One of four children says that it is idle and takes nothing, while five clients at a time want to be served:
///
/// ```
/// use prefork_core::{ScalingPolicy, simulate::{Fault, Traffic, World}};
/// use std::time::Duration;
///
/// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
/// let traffic = Traffic::constant(ms(100), ms(500), 60 * second).later(second);
/// let mut world = World::new(&traffic);
/// world.start_time(ms(20)).fault(ms(500), Fault::Lie(1));
/// let report = world.run(&ScalingPolicy::new(4, 20));
/// assert_eq!(report.lost, 0, "{report}");
/// assert!(report.largest >= 6, "{report}");
/// ```
#[derive(Clone, Debug)]
pub struct World<'a> {
    traffic: &'a Traffic,
    start_time: Duration,
    faults: Vec<(Duration, Fault)>,
    queue: Queue,
}

/// Whether it is known how many connections wait.
#[derive(Clone, Copy, Debug)]
enum Queue {
    Known,
    Unknown,
}

impl<'a> World<'a> {
    /// Makes a world in which nothing goes wrong.
    #[must_use]
    pub const fn new(traffic: &'a Traffic) -> Self {
        let start_time = Duration::from_millis(1);
        Self { traffic, start_time, faults: Vec::new(), queue: Queue::Known }
    }

    /// Sets how long after its fork a child can take requests. Default 1 ms.
    pub const fn start_time(&mut self, time: Duration) -> &mut Self {
        self.start_time = time;
        self
    }

    /// Has something go wrong so long after the start.
    pub fn fault(&mut self, after: Duration, fault: Fault) -> &mut Self {
        self.faults.push((after, fault));
        self
    }

    /// Hides how many connections wait, as it is where children fetch jobs, or listen at sockets of their own.
    pub const fn unknown_queue(&mut self) -> &mut Self {
        self.queue = Queue::Unknown;
        self
    }

    /// Has a pool that follows this policy serve the traffic, looked after by the [`Supervisor`](crate::Supervisor).
    ///
    /// # Panics
    ///
    /// Panics if `policy.min` is 0 or above `policy.max`, or that is above [`LARGEST_POOL`](crate::LARGEST_POOL).
    #[must_use]
    pub fn run(&self, policy: &ScalingPolicy) -> Report {
        Course::new(self, Supervised::new(policy)).run()
    }

    /// Has a pool that is looked after by another algorithm serve the traffic.
    #[must_use]
    pub fn run_model(&self, model: impl Model) -> Report {
        Course::new(self, Periodic::new(model)).run()
    }
}

/// What a manager wants done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// A child in this slot, or in the lowest that is free.
    Fork(Option<SlotId>),
    Retire(SlotId),
}

/// What a manager gets to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Forked(SlotId),
    ForkFailed(SlotId),
    Ready(SlotId),
    Worked(SlotId),
    Exited(SlotId, Exit),
}

/// Decides how many children there are.
pub(super) trait Manager {
    fn start(&mut self, now: Time, orders: &mut Vec<Order>);
    fn due(&self) -> Option<Time>;
    fn look(
        &mut self,
        now: Time,
        children: &Children,
        waiting: Option<u32>,
        orders: &mut Vec<Order>,
    );
    fn note(&mut self, now: Time, happening: Happening, orders: &mut Vec<Order>);
    /// Takes in that a child has turned busy; returns whether that wakes the manager.
    fn nudge(&mut self, now: Time) -> bool;
}

/// What is on the agenda. A child is named with its serial number, as it may be gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fails(usize),
    Arrives(usize),
    Ready(SlotId, u32),
    Finishes(SlotId, u32),
}

/// A world that takes its course.
struct Course<'a, M> {
    world: &'a World<'a>,
    manager: M,
    now: Time,
    children: Children,
    /// Idle children that take work, the warmest last: the kernel wakes that one first.
    idle: Vec<SlotId>,
    queue: VecDeque<usize>,
    agenda: BinaryHeap<Reverse<(Time, What)>>,
    /// How many children are to hang, to lie, and how many forks to fail.
    hanging: u32,
    lying: u32,
    failing_forks: u32,
    retirements: Retirements,
    alive_time: Duration,
    busy_time: Duration,
    report: Report,
}

impl<'a, M: Manager> Course<'a, M> {
    fn new(world: &'a World<'a>, manager: M) -> Self {
        let faults = world.faults.iter().enumerate();
        let faults = faults.map(|(n, (after, _))| (Time::after_origin(*after), What::Fails(n)));
        let first = world.traffic.arrivals().first();
        let first = first.map(|(at, _)| (Time::after_origin(*at), What::Arrives(0)));
        Self {
            agenda: faults.chain(first).map(Reverse).collect(),
            world,
            manager,
            now: Time::ZERO,
            children: Children::default(),
            idle: Vec::new(),
            queue: VecDeque::new(),
            hanging: 0,
            lying: 0,
            failing_forks: 0,
            retirements: Retirements::default(),
            alive_time: Duration::ZERO,
            busy_time: Duration::ZERO,
            report: Report::default(),
        }
    }

    fn run(mut self) -> Report {
        let length = self.world.traffic.end();
        let end = Time::after_origin(length);
        self.manage(Manager::start);
        let base = self.children.alive();
        loop {
            let happens = self.agenda.peek().map(|Reverse((at, _))| *at);
            let due = self.manager.due().map(|due| due.max(self.now));
            let Some(next) = [happens, due].into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.now = next;
            if happens == Some(next) {
                self.happen();
            } else {
                self.look();
            }
        }
        let alive: Duration = self.children.iter().map(|(_, child)| end.since(child.born)).sum();
        let mut report = self.report;
        report.spare = (self.alive_time + alive)
            .saturating_sub(self.busy_time)
            .saturating_sub(length.saturating_mul(base));
        report.at_end = self.children.alive();
        report.lost = self.world.traffic.requests() - report.served;
        report.waits.sort();
        report
    }

    fn look(&mut self) {
        self.report.wakeups += 1;
        let waiting = match self.world.queue {
            Queue::Known => Some(u32::try_from(self.queue.len()).unwrap_or(u32::MAX)),
            Queue::Unknown => None,
        };
        let mut orders = Vec::new();
        self.manager.look(self.now, &self.children, waiting, &mut orders);
        self.obey(orders);
    }

    fn manage(&mut self, happens: impl FnOnce(&mut M, Time, &mut Vec<Order>)) {
        let mut orders = Vec::new();
        happens(&mut self.manager, self.now, &mut orders);
        self.obey(orders);
    }

    fn note(&mut self, happening: Happening) {
        self.manage(|manager, now, orders| manager.note(now, happening, orders));
    }

    fn happen(&mut self) {
        let Some(Reverse((_, what))) = self.agenda.pop() else { return };
        match what {
            What::Fails(fault) => self.fail(self.world.faults[fault].1),
            What::Arrives(request) => {
                if let Some((at, _)) = self.world.traffic.arrivals().get(request + 1) {
                    let next = (Time::after_origin(*at), What::Arrives(request + 1));
                    self.agenda.push(Reverse(next));
                }
                self.queue.push_back(request);
                if let Some(slot) = self.idle.pop() {
                    self.take_work(slot);
                }
            }
            What::Ready(slot, serial) => {
                if self.lives(slot, serial) {
                    self.note(Happening::Ready(slot));
                    self.go_on(slot);
                }
            }
            What::Finishes(slot, serial) => {
                if self.lives(slot, serial) {
                    self.report.served += 1;
                    if !std::mem::replace(&mut self.children.at(slot).worked, true) {
                        self.note(Happening::Worked(slot));
                    }
                    self.go_on(slot);
                }
            }
        }
    }

    fn lives(&self, slot: SlotId, serial: u32) -> bool {
        self.children.get(slot).is_some_and(|child| child.serial == serial)
    }

    fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Hang(count) => self.hanging += count,
            Fault::FailForks(count) => self.failing_forks += count,
            Fault::Lie(count) => {
                let idle = u32::try_from(self.idle.len()).unwrap_or(u32::MAX).min(count);
                self.idle.drain(..idle as usize);
                self.lying += count - idle;
            }
            Fault::Kill(count) => {
                let slots = self.children.iter().map(|(slot, _)| slot).take(count as usize);
                for slot in slots.collect::<Vec<_>>() {
                    self.idle.retain(|other| *other != slot);
                    self.bury(slot, Exit::Signal { number: 9, core_dumped: false });
                }
            }
        }
    }

    /// A child has nothing in hand.
    fn go_on(&mut self, slot: SlotId) {
        if self.children.at(slot).retired {
            self.bury(slot, Exit::Code(0));
        } else if self.lying > 0 {
            self.lying -= 1;
            self.children.at(slot).doing = Doing::Idle { since: self.now };
        } else if self.queue.is_empty() {
            self.children.at(slot).doing = Doing::Idle { since: self.now };
            self.idle.push(slot);
        } else {
            self.take_work(slot);
        }
    }

    fn take_work(&mut self, slot: SlotId) {
        let Some(request) = self.queue.pop_front() else { return };
        let (arrived, work) = self.world.traffic.arrivals()[request];
        self.report.waits.add(self.now.since(Time::after_origin(arrived)));
        let child = self.children.at(slot);
        child.doing = Doing::Busy { since: self.now };
        if self.hanging > 0 {
            self.hanging -= 1;
        } else {
            self.busy_time += work;
            self.agenda.push(Reverse((self.now + work, What::Finishes(slot, child.serial))));
        }
        // Who goes on with the next request has said in between that it is idle.
        if self.manager.nudge(self.now) {
            self.report.wakeups += 1;
        }
    }

    fn obey(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Fork(slot) => self.fork(slot.unwrap_or_else(|| self.children.free())),
                Order::Retire(slot) => {
                    self.retirements.note(self.now);
                    let child = self.children.at(slot);
                    child.retired = true;
                    if let Doing::Idle { .. } = child.doing {
                        self.idle.retain(|other| *other != slot);
                        self.bury(slot, Exit::Code(0));
                    }
                }
            }
        }
    }

    fn fork(&mut self, slot: SlotId) {
        if self.failing_forks > 0 {
            self.failing_forks -= 1;
            self.note(Happening::ForkFailed(slot));
            return;
        }
        let (serial, born) = (self.report.forks, self.now);
        let doing = Doing::Starting;
        self.children.insert(slot, Child { serial, doing, worked: false, retired: false, born });
        self.report.forks += 1;
        self.report.regrets += u32::from(self.retirements.regret(self.now));
        self.report.largest = self.report.largest.max(self.children.alive());
        self.agenda.push(Reverse((self.now + self.world.start_time, What::Ready(slot, serial))));
        self.note(Happening::Forked(slot));
    }

    fn bury(&mut self, slot: SlotId, exit: Exit) {
        let child = self.children.remove(slot);
        self.alive_time += self.now.since(child.born);
        self.note(Happening::Exited(slot, exit));
    }
}
