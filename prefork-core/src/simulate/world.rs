//! Children that serve a queue, under any manager.

use std::time::Duration;

use super::{
    Model, Traffic, children::Children, course::Course, periodic::Periodic, report::Report,
    supervised::Supervised,
};
use crate::{Exit, QueueLimit, ScalingPolicy, SlotId, Time};

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
    pub(super) traffic: &'a Traffic,
    pub(super) start_time: Duration,
    pub(super) faults: Vec<(Duration, Fault)>,
    pub(super) queue: Queue,
    /// How many requests a child can have in hand.
    pub(super) at_once: u32,
    /// Whether each child serves one request, and ends.
    pub(super) one_shot: bool,
    /// How long clients wait for their answer; for ever if there is none.
    pub(super) patience: Option<Duration>,
    /// How long they may wait for a child while the queue stays.
    pub(super) queue_limit: Option<QueueLimit>,
    /// How long they may wait before there are to be more children.
    pub(super) queue_target: Option<Duration>,
    /// How often it is written down what the pool is like.
    pub(super) sample_every: Option<Duration>,
}

/// Whether it is known how many connections wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    Known,
    Unknown,
    /// The program reports it so often.
    Reported(Duration),
}

impl<'a> World<'a> {
    /// Makes a world in which nothing goes wrong.
    #[must_use]
    pub const fn new(traffic: &'a Traffic) -> Self {
        let start_time = Duration::from_millis(1);
        Self {
            traffic,
            start_time,
            faults: Vec::new(),
            queue: Queue::Known,
            at_once: 1,
            one_shot: false,
            patience: None,
            queue_limit: None,
            queue_target: None,
            sample_every: None,
        }
    }

    /// Sets how long after its fork a child can take requests. Default 1 ms.
    pub const fn start_time(&mut self, time: Duration) -> &mut Self {
        self.start_time = time;
        self
    }

    /// Sets how many requests each child can have in hand at once, at least 1. Default 1.
    ///
    /// # Examples
    ///
    /// 200 clients at a time fill four children that can have 64 in hand each, and a fifth is to be free:
    ///
    /// ```
    /// use prefork_core::{ScalingPolicy, simulate::{Traffic, World}};
    /// use std::time::Duration;
    ///
    /// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
    /// let traffic = Traffic::constant(ms(5), second, 60 * second).later(second);
    /// let mut world = World::new(&traffic);
    /// let report = world.concurrency(64).run(&ScalingPolicy::new(1, 150));
    /// assert_eq!(report.lost, 0, "{report}");
    /// assert!((5..=6).contains(&report.largest), "{report}");
    /// ```
    pub const fn concurrency(&mut self, requests: u32) -> &mut Self {
        self.at_once = if requests == 0 { 1 } else { requests };
        self
    }

    /// Has each child serve one request and end, as with [`Pool::OneShot`](crate::Pool::OneShot). Not for a
    /// [`run_model`](Self::run_model), whose algorithms know nothing of that.
    ///
    /// # Examples
    ///
    /// 1,000 clients a second, and children that take 5 ms to start: nobody waits, once it is known how many come.
    ///
    /// ```
    /// use prefork_core::{ScalingPolicy, simulate::{Traffic, World}};
    /// use std::time::Duration;
    ///
    /// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
    /// let traffic = Traffic::random(1000.0, ms(1), 60 * second, 7).later(second);
    /// let mut world = World::new(&traffic);
    /// let report = world.start_time(ms(5)).one_shot().run(&ScalingPolicy::new(4, 100));
    /// assert_eq!((report.lost, report.at_end), (0, 4), "{report}");
    /// assert_eq!(report.waits.quantile(0.99), Duration::ZERO, "{report}");
    /// assert!(report.largest < 40, "{report}");
    /// ```
    pub const fn one_shot(&mut self) -> &mut Self {
        self.one_shot = true;
        self
    }

    /// Sets how long clients wait for their answer before they give up and close the connection. Default for ever.
    ///
    /// A child that takes the connection of one that has given up works for nobody, unless there is a
    /// [`queue_limit`](Self::queue_limit). [`Report::in_time`] counts the others.
    pub const fn patience(&mut self, time: Duration) -> &mut Self {
        self.patience = Some(time);
        self
    }

    /// Has each child refuse clients that have waited too long, by a [`QueueGate`](crate::QueueGate). Default none.
    ///
    /// # Examples
    ///
    /// Four children of 100 ms, twice as many clients as they can serve, which give up after a second:
    ///
    /// ```
    /// use prefork_core::{QueueLimit, ScalingPolicy, simulate::{Traffic, World}};
    /// use std::time::Duration;
    ///
    /// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
    /// let traffic = Traffic::constant(ms(100) / 8, ms(100), 30 * second).later(second);
    /// let mut world = World::new(&traffic);
    /// let without = world.patience(second).run(&ScalingPolicy::new(4, 4));
    /// assert!(without.in_time < 120, "{without}");
    ///
    /// let limit = QueueLimit { target: ms(500), interval: second };
    /// let with = world.queue_limit(limit).run(&ScalingPolicy::new(4, 4));
    /// assert!(with.in_time > 1140, "of 1,200 that could be: {with}");
    /// ```
    pub const fn queue_limit(&mut self, limit: QueueLimit) -> &mut Self {
        self.queue_limit = Some(limit);
        self
    }

    /// Has the pool grow only where clients wait longer than this: see [`Config::queue_target`](crate::Config::queue_target).
    /// Default none.
    ///
    /// # Examples
    ///
    /// A hundred requests of a millisecond at once need no more than two children for 100 ms:
    ///
    /// ```
    /// use prefork_core::{ScalingPolicy, simulate::{Traffic, World}};
    /// use std::time::Duration;
    ///
    /// let ms = Duration::from_millis;
    /// let traffic = Traffic::burst(100, ms(1)).later(ms(1000));
    /// let report = World::new(&traffic).queue_target(ms(100)).run(&ScalingPolicy::new(2, 64));
    /// assert_eq!((report.served, report.largest), (100, 2), "{report}");
    /// assert!(report.waits.longest() < ms(100), "{report}");
    /// ```
    pub const fn queue_target(&mut self, target: Duration) -> &mut Self {
        self.queue_target = Some(target);
        self
    }

    /// Writes down so often what the pool is like, for [`Report::samples`]. Default never, as for a time of 0.
    pub const fn sample_every(&mut self, time: Duration) -> &mut Self {
        self.sample_every = if time.is_zero() { None } else { Some(time) };
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

    /// Hides how many connections wait, and has the program report it so often, as it is where children fetch jobs from a
    /// queue that can be asked for its length.
    ///
    /// # Examples
    ///
    /// 40 jobs of a second each find a child within the time between two reports:
    ///
    /// ```
    /// use prefork_core::{ScalingPolicy, simulate::{Traffic, World}};
    /// use std::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let traffic = Traffic::burst(40, second).later(5 * second);
    /// let report = World::new(&traffic).reported_queue(second).run(&ScalingPolicy::new(1, 150));
    /// assert_eq!((report.lost, report.at_end), (0, 1), "{report}");
    /// assert!(report.waits.longest() <= second + Duration::from_millis(20), "{report}");
    /// ```
    pub const fn reported_queue(&mut self, every: Duration) -> &mut Self {
        self.queue = Queue::Reported(every);
        self
    }

    /// Has a pool that follows this policy serve the traffic, looked after by the [`Supervisor`](crate::Supervisor).
    ///
    /// # Panics
    ///
    /// Panics if `policy.min` is 0 or above `policy.max`, or that is above [`LARGEST_POOL`](crate::LARGEST_POOL).
    #[must_use]
    pub fn run(&self, policy: &ScalingPolicy) -> Report {
        let demand_every = match self.queue {
            Queue::Reported(every) => Some(every),
            Queue::Known | Queue::Unknown => None,
        };
        let at_once = self.at_once;
        let supervised =
            Supervised::new(policy, at_once, demand_every, self.one_shot, self.queue_target);
        Course::new(self, supervised).run()
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
