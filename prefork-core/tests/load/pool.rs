//! The supervisor, in the place of the world's manager.

use prefork_core::{
    Action, Activity, Config, Event, Exit, Observation, Pool, SlotId, Supervisor, Time,
};

use crate::world::{Children, Doing, Manager, Order};

pub(crate) struct Ours {
    supervisor: Supervisor,
    armed: bool,
    look: bool,
    failing_forks: u32,
}

impl Ours {
    pub(crate) fn new(prefork: u32, max_children: u32) -> Self {
        let mut config = Config::new(prefork, max_children).expect("valid");
        config.pool = Pool::BY_LOAD;
        let supervisor = Supervisor::new(config);
        Self { supervisor, armed: false, look: false, failing_forks: 0 }
    }

    pub(crate) fn fail_forks(&mut self, count: u32) {
        self.failing_forks = count;
    }

    fn obey(&mut self, orders: &mut Vec<Order>) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => orders.push(Order::Fork(slot)),
                Action::Retire { slot } => orders.push(Order::Retire(slot)),
                Action::ArmNudge => self.armed = true,
                Action::Observe => self.look = true,
                Action::AnnounceReady | Action::Show(_) | Action::Log(_) => {}
                Action::Interrupt { .. }
                | Action::Abort { .. }
                | Action::Drain
                | Action::ReopenLogs
                | Action::Kill { .. }
                | Action::RunHook(_)
                | Action::Examine { .. }
                | Action::EndHook(_)
                | Action::CheckConnections
                | Action::EndDescendants
                | Action::CheckRuntimeFiles
                | Action::ReadSettings
                | Action::EndReading
                | Action::Probe
                | Action::EndProbe
                | Action::Upgrade
                | Action::Exit(_) => panic!("{action:?}"),
            }
        }
    }

    fn handle(&mut self, now: Time, event: Event, orders: &mut Vec<Order>) {
        self.supervisor.handle(now, event);
        self.obey(orders);
    }
}

impl Manager for Ours {
    fn start(&mut self, now: Time, orders: &mut Vec<Order>) {
        self.handle(now, Event::Start, orders);
    }

    fn deadline(&self) -> Option<Time> {
        if self.look { Some(Time::ZERO) } else { self.supervisor.deadline() }
    }

    fn wake(&mut self, now: Time, children: &Children, waiting: u32, orders: &mut Vec<Order>) {
        self.supervisor.advance(now);
        self.obey(orders);
        if std::mem::take(&mut self.look) {
            let activities: Vec<_> = children
                .iter()
                .map(|(slot, child)| match child.doing {
                    Doing::Idle { since } => (*slot, Activity::Idle { since }),
                    Doing::Busy | Doing::Starting => (*slot, Activity::Busy { since: None }),
                })
                .collect();
            let observation = Observation { activities: &activities, waiting: Some(waiting) };
            self.supervisor.observe(now, &observation);
            self.obey(orders);
        }
    }

    fn ready(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>) {
        self.handle(now, Event::Ready { slot }, orders);
    }

    fn exited(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>) {
        self.handle(now, Event::Exited { slot, exit: Exit::Code(0) }, orders);
    }

    fn turned_busy(&mut self, now: Time) -> bool {
        let nudges = std::mem::take(&mut self.armed);
        if nudges {
            self.supervisor.handle(now, Event::Nudged);
        }
        nudges
    }

    fn fork_fails(&mut self, now: Time, slot: SlotId, orders: &mut Vec<Order>) -> bool {
        let fails = self.failing_forks > 0;
        self.failing_forks = self.failing_forks.saturating_sub(1);
        let event = if fails {
            Event::SpawnFailed { slot }
        } else {
            Event::Spawned { slot, pid: 100 + slot.0 }
        };
        self.handle(now, event, orders);
        fails
    }
}
