//! A model of another algorithm, in the place of the world's manager.

use std::time::Duration;

use super::{
    Model,
    children::{Children, Doing},
    world::{Happening, Manager, Order},
};
use crate::{Load, Scaling, SlotId, Time};

/// A [`Model`], and when it looks next.
pub(super) struct Periodic<M> {
    model: M,
    next: Time,
}

impl<M: Model> Periodic<M> {
    pub(super) const fn new(model: M) -> Self {
        Self { model, next: Time::ZERO }
    }
}

impl<M: Model> Manager for Periodic<M> {
    fn start(&mut self, now: Time, orders: &mut Vec<Order>) {
        self.next = now + self.model.period().max(Duration::from_millis(1));
        orders.extend((0..self.model.start()).map(|_| Order::Fork(None)));
    }

    fn due(&self) -> Option<Time> {
        Some(self.next)
    }

    fn look(
        &mut self,
        now: Time,
        children: &Children,
        waiting: Option<u32>,
        orders: &mut Vec<Order>,
    ) {
        self.next = now + self.model.period().max(Duration::from_millis(1));
        let load = Load { tally: children.tally(), waiting };
        match self.model.decide(load, now) {
            Scaling::Hold => {}
            Scaling::Spawn(more) => orders.extend((0..more).map(|_| Order::Fork(None))),
            Scaling::Retire(fewer) => {
                let mut idle: Vec<(Time, SlotId)> = children
                    .iter()
                    .filter(|(_, child)| !child.retired)
                    .filter_map(|(slot, child)| match child.doing {
                        Doing::Idle { since } => Some((since, slot)),
                        Doing::Starting | Doing::Busy { .. } => None,
                    })
                    .collect();
                idle.sort_unstable();
                let retired = idle.into_iter().take(fewer as usize);
                orders.extend(retired.map(|(_, slot)| Order::Retire(slot)));
            }
        }
    }

    fn note(&mut self, _: Time, _: Happening, _: &mut Vec<Order>) {}

    fn nudge(&mut self, _: Time) -> bool {
        false
    }
}
