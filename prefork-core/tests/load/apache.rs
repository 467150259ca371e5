//! Apache's prefork algorithm, as its documentation describes it: once a second it counts the idle
//! children; with too few it starts 1, and while that lasts 2, 4 and so on up to 32; with too many it
//! ends one.

use std::time::Duration;

use prefork_core::{SlotId, Time};

use crate::world::{Children, Doing, Manager, Order};

const SECOND: Duration = Duration::from_secs(1);
const FASTEST: u32 = 32;

pub(crate) struct Apache {
    start_servers: u32,
    max_workers: u32,
    min_spare: usize,
    max_spare: usize,
    rate: u32,
    next: Time,
}

impl Apache {
    /// The spares are chosen to be comparable: one to spare at least, as ours; and at most as many as
    /// the documentation's default.
    pub(crate) fn new(start_servers: u32, max_workers: u32) -> Self {
        let next = Time::ZERO + SECOND;
        Self { start_servers, max_workers, min_spare: 1, max_spare: 10, rate: 1, next }
    }
}

impl Manager for Apache {
    fn start(&mut self, _: Time, orders: &mut Vec<Order>) {
        orders.extend((0..self.start_servers).map(|slot| Order::Fork(SlotId(slot))));
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.next)
    }

    fn wake(&mut self, now: Time, children: &Children, _: u32, orders: &mut Vec<Order>) {
        self.next = now + SECOND;
        let idle: Vec<_> = children
            .iter()
            .filter(|(_, child)| child.doing != Doing::Busy)
            .map(|(slot, _)| *slot)
            .collect();
        if idle.len() > self.max_spare {
            orders.extend(idle.last().map(|slot| Order::Retire(*slot)));
            self.rate = 1;
        } else if idle.len() < self.min_spare {
            let free = (0..self.max_workers).map(SlotId).filter(|s| !children.contains_key(s));
            orders.extend(free.take(self.rate as usize).map(Order::Fork));
            self.rate = (self.rate * 2).min(FASTEST);
        } else {
            self.rate = 1;
        }
    }

    fn ready(&mut self, _: Time, _: SlotId, _: &mut Vec<Order>) {}

    fn exited(&mut self, _: Time, _: SlotId, _: &mut Vec<Order>) {}

    fn turned_busy(&mut self, _: Time) -> bool {
        false
    }

    fn fork_fails(&mut self, _: Time, _: SlotId, _: &mut Vec<Order>) -> bool {
        false
    }
}
