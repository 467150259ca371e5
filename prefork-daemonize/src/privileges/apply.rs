//! In a child just forked: the system calls, in the one order that works.
//!
//! Everything that takes root comes before root is given up: the limit, then the groups, then the
//! group, and the user last. Then the kernel is asked what the process is now, as a call that says
//! success has not always meant it, and whether the way back is closed. Nothing goes on after a
//! failure: a child that is neither root nor what was wanted must not serve.
//!
//! The calls are those of the C library, which sees to it that they hold for all threads of the
//! process (see `nptl(7)`), as the system calls themselves do not. It follows from the change of
//! user that the process is not dumpable any more, unless `fs.suid_dumpable` has it otherwise (see
//! `PR_SET_DUMPABLE` in `prctl(2)`): other processes of that user can neither trace it nor read its
//! memory, which is a copy of root's. Nobody is to set that back. The process also forgets
//! `PDEATHSIG`, which is therefore set afterwards.

use std::io;

use nix::{
    sys::prctl,
    unistd::{self, Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid},
};
use rustix::process::{Resource, Rlimit, setrlimit, umask};

use super::{Privileges, in_order};

/// Why a process is not what was wanted, and must end.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegesError {
    /// The limit was refused.
    #[error("cannot set the limit of descriptors to {limit}")]
    Limit {
        /// Soft and hard.
        limit: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The supplementary groups were refused.
    #[error("cannot change the supplementary groups")]
    Groups {
        /// What the system said.
        source: io::Error,
    },
    /// The group was refused.
    #[error("cannot change to group id {gid}")]
    Group {
        /// The group wanted.
        gid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The user was refused.
    #[error("cannot change to user id {uid}")]
    User {
        /// The user wanted.
        uid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not say what the process is now.
    #[error("cannot read back the user and the groups")]
    ReadBack {
        /// What the system said.
        source: io::Error,
    },
    /// The system has said success and done something else.
    #[error("changed the {what} without an error, but they are not the ones wanted")]
    NotTaken {
        /// What is different.
        what: &'static str,
    },
    /// The change of user can be undone.
    #[error(
        "could become root again after the change to user id {uid}; start without securebits that \
         keep capabilities (SECBIT_NO_SETUID_FIXUP)"
    )]
    StillRoot {
        /// The user wanted.
        uid: u32,
    },
    /// New privileges could not be ruled out.
    #[error("cannot rule out new privileges (no_new_privs)")]
    NoNewPrivs {
        /// What the system said.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(PrivilegesError);

impl Privileges {
    /// Makes this process what was wanted; where nothing was, without a system call.
    ///
    /// To be called in the freshly forked child, with all signals blocked, before it ties itself to
    /// its parent.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses something, or says that the process is something else than what was wanted. It is
    /// in between then, and must end.
    pub fn apply(&self) -> Result<(), PrivilegesError> {
        if let Some(limit) = self.rlimit_nofile {
            set_limit(limit)?;
        }
        if let Some(mask) = self.umask {
            umask(mask);
        }
        self.change()?;
        self.read_back()?;
        if self.no_new_privs {
            forgo_new_privileges()?;
        }
        Ok(())
    }

    fn change(&self) -> Result<(), PrivilegesError> {
        if let Some(groups) = &self.groups
            // The call is root's even where it changes nothing.
            && !has(groups)?
        {
            setgroups(groups).map_err(|error| PrivilegesError::Groups { source: error.into() })?;
        }
        if let Some(gid) = self.gid {
            setresgid(gid, gid, gid).map_err(|error| PrivilegesError::Group {
                gid: gid.as_raw(),
                source: error.into(),
            })?;
        }
        if let Some(uid) = self.uid {
            setresuid(uid, uid, uid).map_err(|error| PrivilegesError::User {
                uid: uid.as_raw(),
                source: error.into(),
            })?;
        }
        Ok(())
    }

    fn read_back(&self) -> Result<(), PrivilegesError> {
        if let Some(groups) = &self.groups
            && !has(groups)?
        {
            return Err(PrivilegesError::NotTaken { what: "supplementary groups" });
        }
        if let Some(gid) = self.gid {
            let now = getresgid().map_err(unread)?;
            if [now.real, now.effective, now.saved] != [gid; 3] {
                return Err(PrivilegesError::NotTaken { what: "group ids" });
            }
        }
        if let Some(uid) = self.uid {
            let now = getresuid().map_err(unread)?;
            if [now.real, now.effective, now.saved] != [uid; 3] {
                return Err(PrivilegesError::NotTaken { what: "user ids" });
            }
            if !uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok() {
                return Err(PrivilegesError::StillRoot { uid: uid.as_raw() });
            }
        }
        Ok(())
    }
}

/// Returns whether the process has these supplementary groups, and no others.
fn has(groups: &[Gid]) -> Result<bool, PrivilegesError> {
    Ok(in_order(getgroups().map_err(unread)?) == groups)
}

fn unread(error: nix::Error) -> PrivilegesError {
    PrivilegesError::ReadBack { source: error.into() }
}

fn set_limit(limit: u64) -> Result<(), PrivilegesError> {
    let both = Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Nofile, both)
        .map_err(|error| PrivilegesError::Limit { limit, source: error.into() })
}

fn forgo_new_privileges() -> Result<(), PrivilegesError> {
    prctl::set_no_new_privs().map_err(|error| PrivilegesError::NoNewPrivs { source: error.into() })
}

#[cfg(test)]
mod tests;
