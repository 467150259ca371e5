//! The harness of the end-to-end tests: real daemons, watched from outside.
//!
//! A test makes a [`Scene`] with [`scene!`], starts programs in it, and asserts. Everything that a
//! scene has started carries its mark in the environment, so that all of it, orphans included, is
//! found in `/proc`, shown when the test fails, and killed and reaped at the end. The directory of
//! a scene is kept when the test fails.
//!
//! Clients know who works for them ([`InHand`], [`Reply::worker`]), because the programs under test say so.
//! A test that kills, stops or looks at a child takes the one that has its own request in hand, or any one
//! where all are alike; never the one that the scoreboard or `/proc` happens to show at work.
//!
//! Processes, clients and waiting are those of the harness for programs of users, [`prefork_testing`].
//!
//! The letters and numbers in the doc lines of tests are the faults that the daemon has to live through;
//! `README.md` beside this crate says what they are, and where each is tested.
//!
//! A scene may last 300 s, unless somebody has asked for more ([`asked`]); then the test program ends, and says so.
//!
//! # Limitations
//!
//! - Linux with `/proc`. Tests that need root or a program that is not there say so on the standard error
//!   and pass; with `PREFORK_NO_SKIP=1` they fail, unless the system cannot do what they need.
//! - A test program that is itself killed leaves its daemons behind.

mod board;
mod census;
mod control_group;
mod daemon;
mod debian;
mod fixture;
mod http;
mod launch;
mod limit;
mod load;
mod machine;
mod mailbox;
mod pause;
mod podman;
mod program;
mod promtool;
mod reaper;
mod scene;
mod skip;
mod sockets;
mod terminal;
mod virtual_machine;

pub use board::{in_hand, records, wait_for_in_hand};
pub use census::{Census, Population};
pub use control_group::{ControlGroup, Controller};
pub use daemon::Daemon;
pub use fixture::{Files, exit};
pub use http::{InHand, Reply, Sent, Worker, get, get_patiently};
pub use launch::{Finished, Launch, Running};
pub use limit::asked;
pub use load::{Load, Tally};
pub use machine::Machine;
pub use mailbox::Mailbox;
pub use pause::holds_for;
pub use podman::{Container, Podman};
pub use prefork_testing::{
    End, PATIENCE,
    proc::{
        self, Process, all as all_processes, children, find as find_process, status as status_of,
        ticks, turns,
    },
    wait_until,
};
pub use program::Program;
pub use promtool::check_metrics;
pub use reaper::{kill, output};
pub use scene::{Programs, Scene};
pub use skip::{Lack, require_hangups, require_open_to_others, require_root, require_tool, skip};
pub use sockets::{listening_ports, sockets, waiting_at};
pub use terminal::Terminal;
pub use virtual_machine::VirtualMachine;

/// Compiles the example of the front page, which is in no package.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
