//! As whom children run, and what they may use.
//!
//! Names become numbers once, in `new`, and never in a child: to look a user up, the C library may
//! load libraries, start asking a server, and take its time (see `nsswitch.conf(5)`), none of which
//! belongs in a process that is still half its parent, or in the midst of a storm of forks. What
//! is left for the child is a handful of system calls on numbers. Whatever can be refused is refused
//! in `new`, by name; what only the kernel knows ends the child before it runs code of the program.

mod apply;
mod resolve;
mod system;

use nix::unistd::{Gid, Uid};
use rustix::fs::Mode;

use system::Real;

/// An argument, and what is wrong with it.
pub(crate) type Problem = (&'static str, String);

/// What the program has asked for, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// A name or a number.
    pub(crate) user: Option<String>,
    /// A name or a number.
    pub(crate) group: Option<String>,
    /// Names or numbers.
    pub(crate) supplementary_groups: Option<Vec<String>>,
    pub(crate) umask: Option<u32>,
    pub(crate) no_new_privs: bool,
    pub(crate) rlimit_nofile: Option<u64>,
}

/// The same in numbers, ready to be applied in a child; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges {
    uid: Option<Uid>,
    gid: Option<Gid>,
    /// In order, each once.
    groups: Option<Vec<Gid>>,
    umask: Option<Mode>,
    no_new_privs: bool,
    rlimit_nofile: Option<u64>,
}

impl Privileges {
    /// Looks everything up and checks that this process may do it.
    ///
    /// Fails with every problem found, each with the name of its argument.
    pub(crate) fn resolve(wanted: &Wanted) -> Result<Self, Vec<Problem>> {
        resolve::resolve(wanted, &Real)
    }
}

/// Brings groups in order, each once, so that lists can be compared.
fn in_order(mut groups: Vec<Gid>) -> Vec<Gid> {
    groups.sort_unstable_by_key(|group| group.as_raw());
    groups.dedup();
    groups
}
