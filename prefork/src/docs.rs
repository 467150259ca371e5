//! More to read: reasons, signals, security, and how to do things.

#[doc = include_str!("../docs/command.md")]
pub mod command {}

#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/fork_safety.md")]
pub mod fork_safety {}

#[doc = include_str!("../docs/logs.md")]
pub mod logs {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/peers.md")]
pub mod peers {}

#[doc = include_str!("../docs/perl.md")]
pub mod perl {}

#[doc = include_str!("../docs/scoreboard.md")]
pub mod scoreboard {}

#[doc = include_str!("../docs/security.md")]
pub mod security {}

#[doc = include_str!("../docs/signals.md")]
pub mod signals {}

#[doc = include_str!("../docs/tuning.md")]
pub mod tuning {}
