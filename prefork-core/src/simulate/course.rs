//! A world that takes its course: what happens, in the order of time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{
    children::{Child, Children, Doing},
    report::{PoolSample, Report, Retirements},
    world::{Fault, Happening, Manager, Order, Queue, World},
};
use crate::{Admission, ClientSide, Exit, QueueGate, SlotId, Time, Waited};

/// What is on the agenda. A child is named with its serial number, as it may be gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fails(usize),
    Arrives(usize),
    Ready(SlotId, u32),
    /// Whether somebody still waits for it.
    Finishes(SlotId, u32, bool),
}

/// A world that takes its course.
pub(super) struct Course<'a, M> {
    world: &'a World<'a>,
    manager: M,
    now: Time,
    children: Children,
    /// Children that have room for another request and take it, the warmest last: the kernel wakes that one first.
    open: Vec<SlotId>,
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
    pub(super) fn new(world: &'a World<'a>, manager: M) -> Self {
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
            open: Vec::new(),
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

    pub(super) fn run(mut self) -> Report {
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
            self.sample_until(next);
            self.now = next;
            if happens == Some(next) {
                self.happen();
            } else {
                self.look();
            }
        }
        self.sample_until(end);
        let alive: Duration = self.children.iter().map(|(_, child)| end.since(child.born)).sum();
        let mut report = self.report;
        report.spare = (self.alive_time + alive)
            .saturating_sub(self.busy_time)
            .saturating_sub(length.saturating_mul(base));
        report.at_end = self.children.alive();
        let Report { served, refused, abandoned, .. } = report;
        report.lost = self.world.traffic.requests() - served - refused - abandoned;
        report.waits.sort();
        report
    }

    /// Writes down what the pool is like at each moment for that before this one.
    fn sample_until(&mut self, next: Time) {
        let Some(every) = self.world.sample_every else { return };
        loop {
            let at = self.report.samples.last().map_or(Duration::ZERO, |last| last.at + every);
            if Time::after_origin(at) >= next {
                return;
            }
            let at_work = self.children.iter().filter(|(slot, _)| self.children.in_hand(*slot) > 0);
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let (at_work, waiting) = (count(at_work.count()), count(self.queue.len()));
            let children = self.children.alive();
            self.report.samples.push(PoolSample { at, children, at_work, waiting });
        }
    }

    fn look(&mut self) {
        self.report.wakeups += 1;
        let waiting = match self.world.queue {
            Queue::Known | Queue::Reported(_) => {
                Some(u32::try_from(self.queue.len()).unwrap_or(u32::MAX))
            }
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
                if let Some(slot) = self.open.pop() {
                    self.take_work(slot);
                    self.open(slot);
                }
            }
            What::Ready(slot, serial) => {
                if self.lives(slot, serial) {
                    self.note(Happening::Ready(slot));
                    self.children.at(slot).doing = Doing::Idle { since: self.now };
                    self.go_on(slot);
                }
            }
            What::Finishes(slot, serial, is_in_time) => {
                if self.lives(slot, serial) {
                    self.report.served += 1;
                    self.report.in_time += usize::from(is_in_time);
                    if !std::mem::replace(&mut self.children.at(slot).worked, true) {
                        self.note(Happening::Worked(slot));
                    }
                    let in_hand = self.children.in_hand(slot).saturating_sub(1);
                    if self.world.one_shot {
                        self.bury(slot, Exit::Code(0));
                        return;
                    }
                    let since = self.now;
                    self.children.at(slot).doing = match in_hand {
                        0 => Doing::Idle { since },
                        in_hand => Doing::Busy { since, in_hand },
                    };
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
                let (children, mut lying) = (&self.children, 0);
                self.open.retain(|slot| {
                    let lies = lying < count && children.in_hand(*slot) == 0;
                    lying += u32::from(lies);
                    !lies
                });
                self.lying += count - lying;
            }
            Fault::Kill(count) => {
                let slots = self.children.iter().map(|(slot, _)| slot).take(count as usize);
                for slot in slots.collect::<Vec<_>>() {
                    self.open.retain(|other| *other != slot);
                    self.bury(slot, Exit::Signal { number: 9, core_dumped: false });
                }
            }
        }
    }

    /// A child has one request fewer in hand, or has just begun.
    fn go_on(&mut self, slot: SlotId) {
        let has_any = self.children.in_hand(slot) > 0;
        if self.children.at(slot).retired {
            if !has_any {
                self.bury(slot, Exit::Code(0));
            }
            return;
        }
        if self.lying > 0 && !has_any {
            self.lying -= 1;
            self.open.retain(|other| *other != slot);
            return;
        }
        while self.has_room(slot) && !self.queue.is_empty() {
            self.take_work(slot);
        }
        self.open(slot);
    }

    fn has_room(&self, slot: SlotId) -> bool {
        if self.world.one_shot && self.children.get(slot).is_none_or(|child| child.worked) {
            return false;
        }
        self.children.in_hand(slot) < self.world.at_once
    }

    /// Lets a child take what comes, if it has room.
    fn open(&mut self, slot: SlotId) {
        if self.has_room(slot) && !self.open.contains(&slot) {
            self.open.push(slot);
        }
    }

    fn take_work(&mut self, slot: SlotId) {
        let Some((waited, work)) = self.admit(slot) else { return };
        self.report.waits.add(waited);
        let in_hand = self.children.in_hand(slot) + 1;
        self.children.taken += 1;
        let child = self.children.at(slot);
        child.doing = Doing::Busy { since: self.now, in_hand };
        if self.hanging > 0 {
            self.hanging -= 1;
        } else {
            self.busy_time += work / self.world.at_once;
            let is_in_time = self.world.patience.is_none_or(|patience| waited + work <= patience);
            let finishes = What::Finishes(slot, child.serial, is_in_time);
            self.agenda.push(Reverse((self.now + work, finishes)));
        }
        if self.world.one_shot {
            self.children.at(slot).worked = true;
            self.note(Happening::Worked(slot));
        }
        // Who goes on with the next request has said in between that it is idle.
        if self.manager.nudge(self.now) {
            self.report.wakeups += 1;
        }
    }

    /// Has a child accept connections until there is one that it serves; returns how long that has waited, and how much
    /// work it is.
    fn admit(&mut self, slot: SlotId) -> Option<(Duration, Duration)> {
        loop {
            let (arrived, work) = self.world.traffic.arrivals()[self.queue.pop_front()?];
            let time = self.now.since(Time::after_origin(arrived));
            let has_given_up = self.world.patience.is_some_and(|patience| time > patience);
            let side = if has_given_up { ClientSide::Finished } else { ClientSide::Open };
            let waited = Waited { time: Some(time), side };
            let gate = self.children.at(slot).gate.as_mut();
            match gate.map_or(Admission::Serve, |gate| gate.admit(self.now, waited)) {
                Admission::Serve => return Some((time, work)),
                Admission::Refuse => self.report.refused += 1,
                Admission::Abandoned => self.report.abandoned += 1,
            }
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
                    let is_idle = matches!(child.doing, Doing::Idle { .. });
                    self.open.retain(|other| *other != slot);
                    if is_idle {
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
        let gate = self.world.queue_limit.map(QueueGate::new);
        let child =
            Child { serial, doing: Doing::Starting, worked: false, retired: false, born, gate };
        self.children.insert(slot, child);
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
