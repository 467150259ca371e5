//! As whom children run, and what they may use.
//!
//! Names become numbers once, when they are resolved, and never in a child: to look a user up, the C library may
//! load libraries, start asking a server, and take its time (see `nsswitch.conf(5)`), none of which
//! belongs in a process that is still half its parent, or in the midst of a storm of forks. What
//! is left for the child is a handful of system calls on numbers. Whatever can be refused is refused
//! then, by name; what only the kernel knows ends the child before it runs code of the program.

mod apply;
mod resolve;
mod system;

use nix::unistd::{Gid, Uid};
use prefork_core::one_line;
use rustix::fs::Mode;

use system::Real;

pub use apply::PrivilegesError;

/// What a process is to run as and may use, as a program is given it: unchecked. By default nothing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WantedPrivileges {
    /// The user: a name or, if there is no such name, a number.
    pub user: Option<String>,
    /// The group, a name or a number; by default the user's primary one.
    pub group: Option<String>,
    /// The supplementary groups, names or numbers; by default those that the user is a member of.
    pub supplementary_groups: Option<Vec<String>>,
    /// The mask of permissions that new files do not get, 0 to 0o777: see `umask(2)`.
    pub umask: Option<u32>,
    /// Whether the process and all that it starts give up gaining privileges by executing files: see
    /// `PR_SET_NO_NEW_PRIVS` in `prctl(2)`.
    pub no_new_privs: bool,
    /// How many descriptors it may have, at least 16: see `RLIMIT_NOFILE` in `getrlimit(2)`.
    pub rlimit_nofile: Option<u64>,
}

/// What is wrong with one of the [`WantedPrivileges`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{argument} {}", one_line(problem))]
#[non_exhaustive]
pub struct PrivilegesFault {
    /// The field that it is about.
    pub argument: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

prefork_core::debug_as_chain!(PrivilegesFault);

/// The same in numbers, ready to be applied in a child; by default nothing.
///
/// # Examples
///
/// ```no_run
/// use prefork_daemonize::{Privileges, WantedPrivileges};
///
/// let mut wanted = WantedPrivileges::default();
/// wanted.user = Some("www-data".to_owned());
/// let privileges = Privileges::resolve(&wanted).map_err(|faults| faults[0].to_string())?;
/// // Later, in the process that is to serve:
/// privileges.apply()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
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
    /// # Errors
    ///
    /// Fails with every fault found, each with the name of its argument; there is at least one.
    pub fn resolve(wanted: &WantedPrivileges) -> Result<Self, Vec<PrivilegesFault>> {
        resolve::resolve(wanted, &Real)
    }

    /// Returns the same user and groups with another mask, other limits and so on: what `wanted` says besides the user
    /// and the groups.
    ///
    /// Nothing is checked: it is for what [`resolve`](Self::resolve) has found possible in another process of the same
    /// rights. Of a mask, the bits above 0o777 are left out.
    #[must_use]
    pub fn with_means_of(&self, wanted: &WantedPrivileges) -> Self {
        let WantedPrivileges { umask, no_new_privs, rlimit_nofile, .. } = *wanted;
        let umask = umask.map(|mask| Mode::from_raw_mode(mask & 0o777));
        Self { umask, no_new_privs, rlimit_nofile, ..self.clone() }
    }
}

/// Brings groups in order, each once, so that lists can be compared.
fn in_order(mut groups: Vec<Gid>) -> Vec<Gid> {
    groups.sort_unstable_by_key(|group| group.as_raw());
    groups.dedup();
    groups
}
