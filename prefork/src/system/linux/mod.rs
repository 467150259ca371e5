//! What the library uses of Linux and of no other system.
//!
//! A port is a sibling of this folder with the same names in it, chosen in `system/mod.rs`.

mod at_work;
mod control_groups;
mod core_dump;
mod file_hints;
mod fork;
mod huge_pages;
mod leaves;
mod left_open;
mod lifeline;
mod memory;
mod memory_alarm;
mod open_files;
pub(crate) mod orphans;
mod poller;
mod process;
mod shortage;
mod signals;
mod sizes;
pub(crate) mod terminal;
mod title;
mod write_signals;

pub(crate) use at_work::{computes, processors};
pub(crate) use core_dump::dumps_core;
pub(crate) use file_hints::FileHints;
pub(crate) use fork::{fork, know_processor};
pub(crate) use huge_pages::use_huge_pages;
pub(crate) use leaves::{ChildLimits, Controller, Leaf, Leaves, NoGroup};
pub(crate) use left_open::LeftOpen;
pub(crate) use lifeline::{Lifeline, Tether, end_with};
pub(crate) use memory::{MemoryLimits, memory_counts};
pub(crate) use open_files::{OpenFile, open_files, open_numbers};
pub(crate) use orphans::Reaper;
pub(crate) use poller::Visit;
pub(crate) use poller::{Poller, Source, Stale};
pub(crate) use process::{Process, Reserve, pidfds_work};
pub(crate) use shortage::{Shortage, allowed_descriptors};
pub(crate) use signals::{
    Sender, SendingProcess, Signals, hangups_now, requesting_signals, set_signal_mask,
    unblock_answered_signals,
};
pub(crate) use sizes::Sizes;
pub(crate) use title::Title;
pub(crate) use write_signals::outlive_failed_writes;
