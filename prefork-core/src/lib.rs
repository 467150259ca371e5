//! The decisions of a preforking parent process, as pure code.
//!
//! A parent that keeps a pool of child processes has to decide many things: how many children to
//! start, how fast to replace those that die, when to give up, how long to wait for whom while
//! stopping. This crate takes those decisions and nothing else. It has no clock, no randomness and
//! no system call: events go in, together with the time at which they happened, and actions come
//! out. The driver, which owns the processes (the `prefork` crate, a test, a simulation), carries them out.
//!
//! # When to use
//!
//! - To supervise processes, containers or threads of your own with the policy of `prefork`.
//! - To test such a policy: a year of crashes and signals takes a moment, and every run can be
//!   repeated exactly.
//! - To try the scaling policy on traffic of your own, beside Apache's and uWSGI's: `simulate`, with the feature of that name.
//!
//! # Examples
//!
//! ```
//! use prefork_core::{Action, Config, Event, Generation, SlotId, Supervisor, Time};
//!
//! let mut supervisor = Supervisor::new(Config::new(2, 10)?);
//! supervisor.handle(Time::ZERO, Event::Start);
//!
//! let first = Action::Spawn { slot: SlotId(0), generation: Generation(1) };
//! assert_eq!(supervisor.next_action(), Some(first));
//! # Ok::<(), prefork_core::ConfigError>(())
//! ```
//!
//! # The loop around it
//!
//! ```no_run
//! use prefork_core::{Action, Config, Event, Supervisor, Time};
//!
//! # fn now() -> Time { Time::ZERO }
//! # fn wait_until(_: Option<Time>) -> Option<Event> { None }
//! # fn carry_out(_: Action) -> Option<Event> { None }
//! let mut supervisor = Supervisor::new(Config::new(3, 150)?);
//! supervisor.handle(now(), Event::Start);
//! loop {
//!     while let Some(action) = supervisor.next_action() {
//!         if let Action::Exit(verdict) = action {
//!             println!("{verdict:?}");
//!             return Ok(());
//!         }
//!         if let Some(event) = carry_out(action) {
//!             supervisor.handle(now(), event);
//!         }
//!     }
//!     match wait_until(supervisor.deadline()) {
//!         Some(event) => supervisor.handle(now(), event),
//!         None => supervisor.advance(now()),
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), prefork_core::ConfigError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod action;
mod allowance;
mod arbiter;
mod availability;
mod backoff;
mod claims;
mod config;
mod error_chain;
mod event;
mod hangups;
mod highest;
mod jitter;
mod ladder;
mod memory_guard;
mod memory_limit;
mod memory_units;
mod need;
mod notice;
mod one_line;
mod out_of_memory;
pub mod pools;
mod pressure;
pub mod program;
mod queue_limit;
mod queue_target;
mod queue_times;
mod reloads;
mod scaling;
mod share;
#[cfg(feature = "simulate")]
#[cfg_attr(docsrs, doc(cfg(feature = "simulate")))]
pub mod simulate;
mod slots;
mod spares;
mod supervisor;
mod tags;
mod throttle;
mod time;

pub use action::{
    Action, AtTimeout, ChildId, Departure, Hook, Limit, Progress, Refusal, Rung, StartFailure,
    Verdict,
};
pub use allowance::Allowance;
pub use arbiter::{Arbiter, ArbiterError, Ceiling, Quota};
pub use availability::{Availability, PoolUse, Stage};
pub use claims::{Claim, Implausible, RequestCount, Unclear, are_possible};
pub use config::{Config, ConfigError, Descendants, LARGEST_POOL, Measuring, Pool, Reread};
pub use error_chain::ErrorChain;
pub use event::{
    Activity, Event, Exit, Generation, Measured, Observation, OwnLimit, Request, SlotId, WorkSeen,
};
pub use hangups::{Hangup, HangupSender, Hangups, HangupsAtStart};
pub(crate) use jitter::jittered;
pub use jitter::jittered_count;
pub use memory_guard::PoolMemory;
pub use memory_limit::{MemoryFinding, MemoryLimit};
pub use memory_units::{in_memory_units, memory_unit, too_little_memory};
pub use need::Need;
pub use notice::{ChangeNotice, ChildNotice, HookNotice, Notice, PoolNotice};
pub use one_line::{OneLine, one_line};
pub use out_of_memory::{KillReason, MemoryCounts, MemoryGroup, OutOfMemory};
pub use pressure::Pressure;
pub use queue_limit::{Admission, ClientSide, QueueGate, QueueLimit, Waited};
pub use queue_times::{QueueClaim, QueueTimes};
pub use reloads::{ReloadEnd, Reloads};
pub use scaling::{Load, Ramp, Scaling, ScalingPolicy, Tally, Tuning};
pub use share::{MOST_AT_ONCE, Share};
pub use slots::Extension;
pub use supervisor::{AdoptedAs, Handover, HandoverChild, HandoverStage, Stats, Supervisor};
pub use tags::{HandedTags, Owner, Tags};
pub use time::Time;
