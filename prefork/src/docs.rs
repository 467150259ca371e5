//! More to read: how to start, how to do things, signals, security, reasons.

#[doc = include_str!("../docs/start.md")]
pub mod start {}

#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {}

#[doc = include_str!("../docs/async.md")]
pub mod async_children {}

#[doc = include_str!("../docs/jobs.md")]
pub mod jobs {}

#[doc = include_str!("../docs/hand_over.md")]
pub mod hand_over {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/command.md")]
pub mod command {}

#[doc = include_str!("../docs/run.md")]
pub mod run {}

#[doc = include_str!("../docs/logs.md")]
pub mod logs {}

#[doc = include_str!("../docs/pools.md")]
pub mod pools {}

#[doc = include_str!("../docs/tuning.md")]
pub mod tuning {}

#[doc = include_str!("../docs/memory.md")]
pub mod memory {}

#[doc = include_str!("../docs/signals.md")]
pub mod signals {}

#[doc = include_str!("../docs/upgrading.md")]
pub mod upgrading {}

#[doc = include_str!("../docs/status.md")]
pub mod status {}

#[doc = include_str!("../docs/metrics.md")]
pub mod metrics {}

#[cfg(feature = "testing")]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/fork_safety.md")]
pub mod fork_safety {}

#[doc = include_str!("../docs/security.md")]
pub mod security {}

#[doc = include_str!("../docs/hanging.md")]
pub mod hanging {}

#[doc = include_str!("../docs/isolation.md")]
pub mod isolation {}

#[doc = include_str!("../docs/scoreboard.md")]
pub mod scoreboard {}

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}

#[doc = include_str!("../docs/python.md")]
pub mod python {}

#[doc = include_str!("../docs/perl.md")]
pub mod perl {}

#[doc = include_str!("../docs/recipes.md")]
pub mod recipes {}

#[doc = include_str!("../docs/coming_from.md")]
pub mod coming_from {}
