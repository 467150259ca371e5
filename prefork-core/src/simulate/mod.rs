//! Pools under simulated load, to try a [`ScalingPolicy`] on traffic of one's own. Needs the feature `simulate`.
//!
//! Requests arrive, wait, are served and leave; children take time to start, and may hang, lie or die. [`run`] has the pool
//! looked after by the [`Supervisor`](crate::Supervisor) as it is in a daemon, so what is found here is what a daemon does. A
//! [`World`] has more to be chosen, and runs [`Model`]s of other algorithms on the same traffic: [`Apache`], uWSGI's
//! [`Cheaper`], or one's own.
//!
//! There is no clock and no chance: equal arguments make equal reports. What the kernel adds in a daemon (forking, scheduling,
//! contention for processors) is not there; only [`World::start_time`] stands for it.
//!
//! # Examples
//!
//! 100 clients come at once to a pool of 3, and take a second each:
//!
//! ```
//! use prefork_core::{ScalingPolicy, simulate::{self, Apache, Traffic, World}};
//! use std::time::Duration;
//!
//! let crowd = Traffic::burst(100, Duration::from_secs(1)).later(Duration::from_secs(5));
//! let report = simulate::run(&ScalingPolicy::new(3, 150), &crowd);
//! assert_eq!((report.lost, report.at_end), (0, 3));
//! assert!(report.waits.longest() < Duration::from_millis(20), "{report}");
//!
//! let apache = World::new(&crowd).run_model(Apache::new(3, 150));
//! assert!(apache.waits.longest() > Duration::from_secs(3), "{apache}");
//! ```
//!
//! A property of one's own, with `proptest`: whatever the policy and whenever the crowds come, nobody waits longer than the
//! pool takes to grow, no request is lost, and the pool comes back to rest.
//!
//! ```
//! use prefork_core::{ScalingPolicy, simulate::{self, Traffic}};
//! use proptest::prelude::*;
//! use std::time::Duration;
//!
//! fn arb_traffic() -> impl Strategy<Value = Traffic> {
//!     let crowd = (0u64..60_000, 1u32..60, 1u64..2000).prop_map(|(at, clients, work)| {
//!         Traffic::burst(clients, Duration::from_millis(work)).later(Duration::from_millis(at))
//!     });
//!     prop::collection::vec(crowd, 1..5).prop_map(|crowds| {
//!         crowds.into_iter().fold(Traffic::default(), Traffic::and).until(Duration::from_secs(300))
//!     })
//! }
//!
//! proptest! {
//!     # #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
//!     fn nobody_waits_longer_than_the_pool_takes_to_grow(
//!         (prefork, min_spare) in (1u32..20, 1u32..5),
//!         traffic in arb_traffic(),
//!     ) {
//!         let mut policy = ScalingPolicy::new(prefork, 300);
//!         policy.min_spare = min_spare;
//!         let report = simulate::run(&policy, &traffic);
//!         prop_assert_eq!((report.lost, report.at_end), (0, prefork.max(min_spare)));
//!         prop_assert!(report.waits.longest() < Duration::from_millis(500), "{}", report);
//!     }
//! }
//! nobody_waits_longer_than_the_pool_takes_to_grow();
//! ```

mod children;
mod course;
mod dice;
mod models;
mod periodic;
mod report;
mod supervised;
mod traffic;
mod work;
mod world;

use std::time::Duration;

pub use self::{
    models::{Apache, Cheaper},
    report::{PoolSample, Report, Waits},
    traffic::Traffic,
    work::Work,
    world::{Fault, World},
};
use crate::{Load, Scaling, ScalingPolicy, Time};

/// Has a pool that follows a policy serve the traffic, with children that start within 1 ms and do nothing wrong.
///
/// # Panics
///
/// Panics if `policy.min` is 0 or above `policy.max`, or that is above [`LARGEST_POOL`](crate::LARGEST_POOL).
#[must_use]
pub fn run(policy: &ScalingPolicy, traffic: &Traffic) -> Report {
    World::new(traffic).run(policy)
}

/// An algorithm that looks at the pool now and then, and knows nothing else of it.
pub trait Model {
    /// Returns how many children the pool starts with.
    fn start(&self) -> u32;

    /// Returns the time between two looks. What is less than 1 ms is taken as that.
    fn period(&self) -> Duration;

    /// Decides what the pool should do now. Of the children to be retired no more go than are idle, those first that have
    /// been idle for longest.
    fn decide(&mut self, load: Load, now: Time) -> Scaling;
}
