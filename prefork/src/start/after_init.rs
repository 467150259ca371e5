//! What `after_init` must leave as it was, where children are to be forked.

use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};

use crate::sys::threads::Others;

/// Runs it, and looks what it has left.
pub(super) fn guarded<S>(after_init: impl FnOnce() -> crate::Result<S>) -> crate::Result<S> {
    let before = Rights::of_this_process();
    let state = after_init()?;
    let after = Rights::of_this_process();
    if before != after {
        return Err(ChangedRights { before, after }.into());
    }
    let others = Others::at_start()?;
    if others.count() == 0 { Ok(state) } else { Err(LeftThreads(others).into()) }
}

/// The users and groups of a process, real and effective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    users: [Uid; 2],
    groups: [Gid; 2],
}

impl Rights {
    fn of_this_process() -> Self {
        Self { users: [getuid(), geteuid()], groups: [getgid(), getegid()] }
    }
}

/// It has changed the user or the group: a parent without its rights can neither upgrade, nor read its settings again,
/// nor remove its files, and children would be left with groups of the old user.
#[derive(Debug, thiserror::Error)]
#[error(
    "the parent's user and group were changed there, from {} and {} to {} and {}; set `user` and `group` instead, which \
     change those of the children, and `drop_parent` for the parent too",
    before.users[1],
    before.groups[1],
    after.users[1],
    after.groups[1]
)]
struct ChangedRights {
    before: Rights,
    after: Rights,
}

/// It has left threads: children would lack them, and the locks that they hold at the moment of a fork would stay locked
/// there.
#[derive(Debug, thiserror::Error)]
#[error(
    "threads are left running besides the main one ({0}), which children would not have; start them \
     in child_init or main_loop instead"
)]
struct LeftThreads(Others);
