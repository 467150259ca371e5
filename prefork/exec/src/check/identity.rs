//! Who a program will be, and what files it may use then.

use std::{
    ffi::CString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, User, getgrouplist};
use prefork::Settings;
use prefork_core::one_line;
use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr};

/// Who a program will be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Who this process is.
    Own,
    /// Somebody else.
    #[non_exhaustive]
    Other {
        /// As it was given.
        name: String,
        /// The user id.
        uid: u32,
        /// All group ids.
        groups: Vec<u32>,
    },
    /// Somebody who cannot be known.
    Unknown,
}

impl Identity {
    /// Looks up who the children of a daemon with these settings will be. That a user or group does not exist is reported
    /// with the settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let Settings { user, group, supplementary_groups, .. } = settings;
        if user.is_none() && group.is_none() && supplementary_groups.is_none() {
            return Self::Own;
        }
        let ids = || {
            let found = user.as_deref().map(user_of);
            let known = match &found {
                None => None,
                Some(found) => Some(found.as_ref()?),
            };
            let uid = known.map_or(rustix::process::geteuid().as_raw(), |(uid, _)| *uid);
            let gid = match group {
                Some(group) => group_of(group)?,
                None => known.map_or(Some(rustix::process::getegid().as_raw()), |(_, user)| {
                    user.as_ref().map(|user| user.gid.as_raw())
                })?,
            };
            let mut groups = match (supplementary_groups, known) {
                (Some(names), _) => names.iter().map(|it| group_of(it)).collect::<Option<_>>()?,
                (None, Some((_, Some(user)))) => {
                    let name = CString::new(user.name.as_str()).ok()?;
                    let all = getgrouplist(&name, Gid::from_raw(gid)).ok()?;
                    all.into_iter().map(Gid::as_raw).collect()
                }
                (None, _) => Vec::new(),
            };
            groups.push(gid);
            Some((uid, groups))
        };
        let name = user.clone().or_else(|| group.clone()).unwrap_or_default();
        match ids() {
            Some((uid, groups)) => Self::Other { name, uid, groups },
            None => Self::Unknown,
        }
    }

    /// Finds out whether it may execute a file.
    pub(super) fn may_execute(&self, path: &Path) -> Result<(), String> {
        self.may(path, Right::Execute)
    }

    /// Finds out whether it may read a file, as an interpreter does.
    pub(super) fn may_read(&self, path: &Path) -> Result<(), String> {
        self.may(path, Right::Read)
    }

    /// Finds out whether it may be in a directory.
    pub(super) fn may_enter(&self, path: &Path) -> Result<(), String> {
        self.may(path, Right::Enter)
    }

    fn may(&self, path: &Path, right: Right) -> Result<(), String> {
        match self {
            Self::Unknown => Ok(()),
            Self::Own => {
                let access = match right {
                    Right::Read => Access::READ_OK,
                    Right::Execute | Right::Enter => Access::EXEC_OK,
                };
                let allowed = accessat(CWD, path, access, AtFlags::EACCESS);
                allowed.map_err(|errno| {
                    format!(
                        "cannot {} {}: {}",
                        right.verb(),
                        one_line(path),
                        io::Error::from(errno)
                    )
                })
            }
            Self::Other { name, uid, groups } => {
                // What cannot be seen is left to the start.
                let Ok(path) = path.canonicalize() else { return Ok(()) };
                let way: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
                let way = way.into_iter().rev().map(|part| (part, Right::Enter));
                for (part, right) in way.chain([(path.clone(), right)]) {
                    let Ok(found) = fs::metadata(&part) else { return Ok(()) };
                    if !allows(&found, *uid, groups, right) && !has_acl(&part) {
                        return Err(format!(
                            "user {} may not {} {} (mode {:04o}, of user {} and group {})",
                            one_line(name),
                            right.verb(),
                            one_line(&part),
                            found.mode() & 0o7777,
                            found.uid(),
                            found.gid()
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Read,
    Execute,
    Enter,
}

impl Right {
    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Enter => "enter",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Read => 4,
            Self::Execute | Self::Enter => 1,
        }
    }
}

/// What the mode says, see `path_resolution(7)`.
fn allows(found: &Metadata, uid: u32, groups: &[u32], right: Right) -> bool {
    judge((found.mode(), found.uid(), found.gid()), uid, groups, right)
}

fn judge((mode, owner, group): (u32, u32, u32), uid: u32, groups: &[u32], right: Right) -> bool {
    if uid == 0 {
        return right != Right::Execute || mode & 0o111 != 0;
    }
    let shift = match (owner == uid, groups.contains(&group)) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    (mode >> shift) & right.bit() != 0
}

/// Whether the mode is not all that counts.
fn has_acl(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    getxattr(path, c"system.posix_acl_access", &mut nothing).is_ok_and(|len| len > 0)
}

/// Returns the id of a user that is given by name or number, with the entry if there is one.
fn user_of(given: &str) -> Option<(u32, Option<User>)> {
    if let Ok(Some(user)) = User::from_name(given) {
        return Some((user.uid.as_raw(), Some(user)));
    }
    let uid = given.parse::<u32>().ok()?;
    Some((uid, User::from_uid(uid.into()).ok().flatten()))
}

fn group_of(given: &str) -> Option<u32> {
    match Group::from_name(given) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        Ok(None) | Err(_) => given.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_the_kernel_does() {
        let (read, execute, enter) = (Right::Read, Right::Execute, Right::Enter);
        for (mode, uid, groups, right, expected) in [
            (0o755, 5, &[5][..], execute, true),
            (0o750, 5, &[5], execute, false),
            (0o750, 5, &[5, 2], execute, true),
            // The owner has no other's right, nor the group.
            (0o077, 1, &[2], read, false),
            (0o707, 5, &[2], read, false),
            (0o400, 1, &[], read, true),
            // Root needs one right to execute, and none to enter or read.
            (0o644, 0, &[], execute, false),
            (0o601, 0, &[], execute, true),
            (0o600, 0, &[], enter, true),
            (0o000, 0, &[], read, true),
        ] {
            let found = judge((mode, 1, 2), uid, groups, right);
            assert_eq!(found, expected, "{mode:o} {uid} {groups:?} {right:?}");
        }
    }

    #[test]
    fn who_is_not_known_is_no_reason_to_refuse() {
        let settings = |user: &str| Settings::from_flags([("user", user)]);
        assert_eq!(Identity::of(&Settings::default()), Identity::Own);
        assert_eq!(Identity::of(&settings("no such user")), Identity::Unknown);
        assert_eq!(Identity::of(&settings("4000000000")), Identity::Unknown, "it has no group");
        let root = Identity::of(&settings("root"));
        assert!(
            matches!(&root, Identity::Other { uid: 0, groups, .. } if groups.contains(&0)),
            "{root:?}"
        );
    }
}
