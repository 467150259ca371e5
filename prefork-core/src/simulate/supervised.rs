//! The supervisor, in the place of the world's manager.

use std::time::Duration;

use super::{
    children::Children,
    world::{Happening, Manager, Order},
};
use crate::{
    Action, Activity, Config, Event, Hook, Observation, Pool, ScalingPolicy, SlotId, Supervisor,
    Time,
};

/// A supervisor, and what it has asked for.
pub(super) struct Supervised {
    supervisor: Supervisor,
    /// Whether the next child that turns busy is to nudge.
    armed: bool,
    look: bool,
    /// Whether it is not seen how many connections wait, but asked for.
    is_reported: bool,
    /// Whether that was asked for.
    asks: bool,
    /// How many requests a child can have in hand.
    at_once: u32,
    /// How many requests were taken, as it has been reported.
    taken: u64,
    activities: Vec<(SlotId, Activity)>,
}

impl Supervised {
    pub(super) fn new(
        policy: &ScalingPolicy,
        at_once: u32,
        demand_every: Option<Duration>,
        one_shot: bool,
        queue_target: Option<Duration>,
    ) -> Self {
        let mut config = Config::new(policy.min, policy.max).unwrap_or_else(|e| panic!("{e}"));
        config.pool =
            if one_shot { Pool::OneShot(policy.tuning()) } else { Pool::ByLoad(policy.tuning()) };
        config.queue_target = queue_target;
        if let Some(every) = demand_every {
            config.hooks.push(Hook::Demand);
            config.demand_every = every;
        }
        Self {
            supervisor: Supervisor::new(config),
            armed: false,
            look: false,
            is_reported: demand_every.is_some(),
            asks: false,
            at_once,
            taken: 0,
            activities: Vec::new(),
        }
    }

    fn obey(&mut self, orders: &mut Vec<Order>) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => orders.push(Order::Fork(Some(slot))),
                Action::Retire { slot } => orders.push(Order::Retire(slot)),
                Action::ArmNudge => self.armed = true,
                Action::Observe => self.look = true,
                Action::AskDemand { .. } => self.asks = true,
                Action::AnnounceReady | Action::Press(_) | Action::Show(_) | Action::Log(_) => {}
                Action::Interrupt { .. }
                | Action::Abort { .. }
                | Action::LookForCoreDump { .. }
                | Action::Drain
                | Action::ReopenLogs
                | Action::Kill { .. }
                | Action::RunHook(_)
                | Action::Examine { .. }
                | Action::EndHook(_)
                | Action::CheckConnections
                | Action::LookAtWork
                | Action::Measure { .. }
                | Action::EndDescendants
                | Action::CheckRuntimeFiles
                | Action::ReadSettings
                | Action::EndReading
                | Action::Probe
                | Action::EndProbe
                | Action::Upgrade
                | Action::Exit(_) => unreachable!("{action:?} where nobody asks for it"),
            }
        }
    }
}

impl Manager for Supervised {
    fn start(&mut self, now: Time, orders: &mut Vec<Order>) {
        self.supervisor.handle(now, Event::Start);
        self.obey(orders);
    }

    fn due(&self) -> Option<Time> {
        if self.look || self.asks { Some(Time::ZERO) } else { self.supervisor.deadline() }
    }

    fn look(
        &mut self,
        now: Time,
        children: &Children,
        waiting: Option<u32>,
        orders: &mut Vec<Order>,
    ) {
        self.supervisor.advance(now);
        self.obey(orders);
        if std::mem::take(&mut self.asks) {
            self.supervisor.handle(now, Event::HookEnded(Hook::Demand));
            self.supervisor.handle(now, Event::DemandReported { jobs: waiting });
            self.obey(orders);
        }
        let waiting = waiting.filter(|_| !self.is_reported);
        if std::mem::take(&mut self.look) {
            self.activities.clear();
            self.activities.extend(children.activities(self.at_once));
            let taken = std::mem::replace(&mut self.taken, children.taken);
            self.supervisor.accepted(children.taken - taken);
            self.supervisor.observe(now, &Observation { activities: &self.activities, waiting });
            self.obey(orders);
        }
    }

    fn note(&mut self, now: Time, happening: Happening, orders: &mut Vec<Order>) {
        let event = match happening {
            Happening::Forked(slot) => Event::Spawned { slot, pid: slot.0 + 1 },
            Happening::ForkFailed(slot) => Event::SpawnFailed { slot },
            Happening::Ready(slot) => Event::Ready { slot },
            Happening::Worked(slot) => Event::Worked { slot },
            Happening::Exited(slot, exit) => Event::Exited { slot, exit },
        };
        self.supervisor.handle(now, event);
        self.obey(orders);
    }

    fn nudge(&mut self, now: Time) -> bool {
        let nudges = std::mem::take(&mut self.armed);
        if nudges {
            self.supervisor.handle(now, Event::Nudged);
        }
        nudges
    }
}
