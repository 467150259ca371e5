//! What the resolution asks of the system.

use std::{ffi::CString, fs, io};

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
    unistd::{self, Gid, Group, Uid, User},
};
use rustix::{
    process::geteuid,
    thread::{CapabilitySet, capabilities},
};

/// A source of users, groups, and of what this process is.
pub(super) trait System {
    fn user_of_name(&self, name: &str) -> io::Result<Option<Account>>;
    fn user_of_id(&self, uid: Uid) -> io::Result<Option<Account>>;
    fn group_of_name(&self, name: &str) -> io::Result<Option<Gid>>;
    /// Returns the groups that a user is a member of, with `gid`, as `initgroups(3)` sets them.
    fn groups_of_user(&self, name: &str, gid: Gid) -> io::Result<Vec<Gid>>;
    fn identity(&self) -> io::Result<Credentials>;
    fn descriptors(&self) -> Descriptors;
}

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

/// As whom this process runs, and what that allows.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// Real, effective, saved.
    pub(super) uids: [Uid; 3],
    /// Real, effective, saved.
    pub(super) gids: [Gid; 3],
    pub(super) groups: Vec<Gid>,
    pub(super) powers: CapabilitySet,
}

impl Credentials {
    pub(super) fn is_root(&self) -> bool {
        let [_, effective, _] = self.uids;
        effective.is_root()
    }
}

/// How many descriptors this process may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    /// The hard limit; `None` for none.
    pub(super) hard: Option<u64>,
    /// What not even root may exceed; `None` if that is not known.
    pub(super) most: Option<u64>,
    pub(super) may_raise: bool,
}

/// The system itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Real;

impl System for Real {
    fn user_of_name(&self, name: &str) -> io::Result<Option<Account>> {
        found(User::from_name(name), account)
    }

    fn user_of_id(&self, uid: Uid) -> io::Result<Option<Account>> {
        found(User::from_uid(uid), account)
    }

    fn group_of_name(&self, name: &str) -> io::Result<Option<Gid>> {
        found(Group::from_name(name), |group| group.gid)
    }

    fn groups_of_user(&self, name: &str, gid: Gid) -> io::Result<Vec<Gid>> {
        Ok(unistd::getgrouplist(&CString::new(name)?, gid)?)
    }

    fn identity(&self) -> io::Result<Credentials> {
        let (user, group) = (unistd::getresuid()?, unistd::getresgid()?);
        Ok(Credentials {
            uids: [user.real, user.effective, user.saved],
            gids: [group.real, group.effective, group.saved],
            groups: unistd::getgroups()?,
            powers: powers(),
        })
    }

    fn descriptors(&self) -> Descriptors {
        let most = fs::read_to_string("/proc/sys/fs/nr_open").ok();
        Descriptors {
            // rustix would panic where a sandbox forbids to ask.
            hard: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard),
            most: most.and_then(|most| most.trim().parse().ok()),
            may_raise: powers().contains(CapabilitySet::SYS_RESOURCE),
        }
    }
}

/// Returns the effective capabilities, on which the kernel's permission depends: a root without
/// them, as in many containers, may no more than others (see `capabilities(7)`).
fn powers() -> CapabilitySet {
    capabilities(None).map_or_else(
        // A sandbox that hides them need not take them: the kernel has the last word anyhow.
        |_| if geteuid().is_root() { CapabilitySet::all() } else { CapabilitySet::empty() },
        |sets| sets.effective,
    )
}

fn account(user: User) -> Account {
    Account { name: user.name, uid: user.uid, gid: user.gid }
}

/// Distinguishes what was not found from what could not be looked up; these errors mean the former (see
/// `getpwnam(3)`).
fn found<E, T>(entry: nix::Result<Option<E>>, take: impl FnOnce(E) -> T) -> io::Result<Option<T>> {
    match entry {
        Ok(entry) => Ok(entry.map(take)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root =
            Account { name: "root".to_owned(), uid: Uid::from_raw(0), gid: Gid::from_raw(0) };
        assert_eq!(Real.user_of_name("root").expect("looked up"), Some(root.clone()));
        assert_eq!(Real.user_of_id(Uid::from_raw(0)).expect("looked up"), Some(root));
        assert_eq!(Real.group_of_name("root").expect("looked up"), Some(Gid::from_raw(0)));
    }

    #[test]
    fn what_does_not_exist_is_no_error() {
        for name in ["no-such-user-here", "", "a\0b", "a:b", "a\nb"] {
            assert_eq!(Real.user_of_name(name).expect("looked up"), None, "user {name:?}");
            assert_eq!(Real.group_of_name(name).expect("looked up"), None, "group {name:?}");
        }
        assert_eq!(Real.user_of_id(Uid::from_raw(4_294_967_290)).expect("looked up"), None);
    }

    #[test]
    fn the_groups_of_a_user_include_the_given_one() {
        let gid = Gid::from_raw(54_321);
        let groups = Real.groups_of_user("root", gid).expect("looked up");
        assert!(groups.contains(&gid), "{groups:?}");
    }
}
