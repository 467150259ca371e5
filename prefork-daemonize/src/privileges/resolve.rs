//! From what the program has asked for to numbers, or to everything that is wrong with it.

use std::io;

use nix::unistd::{Gid, Uid};
use rustix::{fs::Mode, thread::CapabilitySet};

use super::{
    Privileges, PrivilegesFault, WantedPrivileges as Wanted, in_order,
    system::{Account, Credentials, System},
};

/// Fewer descriptors than these leave no room for what the library itself opens in a child, which
/// would end it at once, again and again.
const FEWEST_DESCRIPTORS: u64 = 16;

/// The identifier that the kernel takes for "leave it as it is" (see `setresuid(2)`).
const UNCHANGED: u32 = u32::MAX;

/// Resolves what is wanted.
pub(super) fn resolve(
    wanted: &Wanted,
    system: &impl System,
) -> Result<Privileges, Vec<PrivilegesFault>> {
    let mut problems = Problems::default();
    let mut plan = ids(wanted, system, &mut problems);
    // A wrong name is reported alone: what it would need is not known.
    if problems.0.is_empty() && plan != Privileges::default() {
        match system.identity() {
            Ok(identity) => check_powers(wanted, &mut plan, identity, &mut problems),
            Err(error) => problems.add("user", format!("cannot find out who this is: {error}")),
        }
    }
    plan.umask = wanted.umask.and_then(|mask| problems.take("umask", umask(mask)));
    plan.no_new_privs = wanted.no_new_privs;
    plan.rlimit_nofile = wanted
        .rlimit_nofile
        .and_then(|limit| problems.take("rlimit_nofile", descriptors(limit, system)));
    if problems.0.is_empty() { Ok(plan) } else { Err(problems.0) }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<PrivilegesFault>);

impl Problems {
    fn add(&mut self, argument: &'static str, problem: String) {
        self.0.push(PrivilegesFault { argument, problem });
    }

    fn take<T>(&mut self, argument: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.add(argument, problem)).ok()
    }

    /// Adds a problem unless the argument has one already.
    fn add_first(&mut self, argument: &'static str, problem: String) {
        if !self.0.iter().any(|known| known.argument == argument) {
            self.add(argument, problem);
        }
    }
}

/// Finds the user and the groups.
fn ids(wanted: &Wanted, system: &impl System, problems: &mut Problems) -> Privileges {
    let user = wanted.user.as_deref();
    let user = user.and_then(|name| problems.take("user", find_user(name, system)));
    let account = user.as_ref().and_then(|(_, account)| account.as_ref());
    let gid = match (&wanted.group, &user) {
        (Some(name), _) => problems.take("group", find_group(name, system)),
        (None, Some((_, Some(account)))) => problems.take("user", group_of(account)),
        (None, Some((uid, None))) => {
            let problem = format!("is required, as no user with the id {uid} has a primary group");
            problems.add("group", problem);
            None
        }
        (None, None) => None,
    };
    let groups = match (&wanted.supplementary_groups, &user, gid) {
        (Some(names), _, _) => {
            let mut find = |name| problems.take("supplementary_groups", find_group(name, system));
            Some(names.iter().filter_map(|name| find(name)).collect())
        }
        (None, Some(_), Some(gid)) => problems.take("user", groups_of(account, gid, system)),
        (None, _, _) => None,
    };
    let groups = groups.map(in_order);
    Privileges { uid: user.map(|(uid, _)| uid), gid, groups, ..Privileges::default() }
}

/// Finds a user by name or, failing that, by number, in the order of `chown(1)`.
fn find_user(text: &str, system: &impl System) -> Result<(Uid, Option<Account>), String> {
    check_name(text)?;
    let failed = |error: io::Error| format!("cannot look up the user {text:?}: {error}");
    if let Some(account) = system.user_of_name(text).map_err(failed)? {
        return match account.uid.as_raw() {
            UNCHANGED => Err(format!("the user {text:?} has an id that is none: {UNCHANGED}")),
            _ => Ok((account.uid, Some(account))),
        };
    }
    let uid = Uid::from_raw(number("user", text)?);
    Ok((uid, system.user_of_id(uid).map_err(failed)?))
}

/// Finds a group by name or, failing that, by number.
fn find_group(text: &str, system: &impl System) -> Result<Gid, String> {
    check_name(text)?;
    let failed = |error: io::Error| format!("cannot look up the group {text:?}: {error}");
    match system.group_of_name(text).map_err(failed)? {
        Some(gid) if gid.as_raw() == UNCHANGED => {
            Err(format!("the group {text:?} has an id that is none: {UNCHANGED}"))
        }
        Some(gid) => Ok(gid),
        None => number("group", text).map(Gid::from_raw),
    }
}

/// The primary group of a user.
fn group_of(account: &Account) -> Result<Gid, String> {
    match account.gid.as_raw() {
        UNCHANGED => Err(format!("the user {:?} has no valid primary group", account.name)),
        _ => Ok(account.gid),
    }
}

/// The groups that `initgroups(3)` would set; a user without a name has no others.
fn groups_of(
    account: Option<&Account>,
    gid: Gid,
    system: &impl System,
) -> Result<Vec<Gid>, String> {
    let Some(Account { name, .. }) = account else { return Ok(vec![gid]) };
    let groups = system.groups_of_user(name, gid);
    groups.map_err(|error| format!("cannot look up the groups of the user {name:?}: {error}"))
}

fn check_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; give a name or a number".to_owned());
    }
    if text.contains('\0') {
        return Err(format!("{text:?} holds a NUL character, which no name can"));
    }
    Ok(())
}

/// Reads the number of a user or group that has no such name.
fn number(what: &str, text: &str) -> Result<u32, String> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("there is no {what} {text:?}; create it, or give another or a number"));
    }
    match text.parse() {
        Ok(number) if number != UNCHANGED => Ok(number),
        _ => Err(format!("{text} is no {what} id; give at most {}", UNCHANGED - 1)),
    }
}

/// Checks that this process may change to the ids of the plan.
///
/// Root, and not merely someone with the capabilities: these leave a process only when it leaves
/// user id 0, so the children of anybody else would keep them and could change back (see
/// `capabilities(7)`).
fn check_powers(wanted: &Wanted, plan: &mut Privileges, now: Credentials, problems: &mut Problems) {
    let mut need = |argument, purpose: String, power| {
        if let Some(problem) = lacks(&now, &purpose, power) {
            problems.add_first(argument, problem);
        }
    };
    if let Some(uid) = plan.uid.filter(|uid| now.uids != [*uid; 3]) {
        need("user", format!("to change to user id {uid}"), SETUID);
        // Also what the kernel demands of a parent whose death is to end its children.
        need("user", "to stop children of another user".to_owned(), KILL);
    }
    let group_argument = if wanted.group.is_some() { "group" } else { "user" };
    if let Some(gid) = plan.gid.filter(|gid| now.gids != [*gid; 3]) {
        need(group_argument, format!("to change to group id {gid}"), SETGID);
    }
    if let Some(groups) = &plan.groups
        && !permit_the_same(groups, &now.groups, plan.gid)
    {
        let is_asked = wanted.supplementary_groups.is_some();
        let argument = if is_asked { "supplementary_groups" } else { group_argument };
        need(argument, "to change the supplementary groups".to_owned(), SETGID);
    }
    if !now.is_root() {
        // They permit the same, and to set them is root's even where it changes nothing.
        plan.groups = plan.groups.take().map(|_| in_order(now.groups));
    }
}

/// Returns whether two lists of supplementary groups permit the same.
///
/// Whether `gid`, the group that the process has anyhow, is among them does not matter, and differs
/// from one system to the next (see `getgroups(2)`).
fn permit_the_same(some: &[Gid], others: &[Gid], gid: Option<Gid>) -> bool {
    let permitted = |groups: &[Gid]| {
        in_order(groups.iter().copied().filter(|group| Some(*group) != gid).collect())
    };
    permitted(some) == permitted(others)
}

type Power = (CapabilitySet, &'static str);

const SETUID: Power = (CapabilitySet::SETUID, "CAP_SETUID");
const SETGID: Power = (CapabilitySet::SETGID, "CAP_SETGID");
const KILL: Power = (CapabilitySet::KILL, "CAP_KILL");

/// Returns what is missing for a purpose.
fn lacks(now: &Credentials, purpose: &str, (power, name): Power) -> Option<String> {
    if !now.is_root() {
        let [_, id, _] = now.uids;
        return Some(format!(
            "needs root {purpose}, but the user id is {id}; start as root, or leave it out"
        ));
    }
    (!now.powers.contains(power)).then(|| {
        format!(
            "needs {name} {purpose}, which this root lacks; grant it to the container or service"
        )
    })
}

fn umask(mask: u32) -> Result<Mode, String> {
    match mask {
        0..=0o777 => Ok(Mode::from_raw_mode(mask)),
        _ => Err(format!("must be 0 to 0o777, but is 0o{mask:o}")),
    }
}

fn descriptors(limit: u64, system: &impl System) -> Result<u64, String> {
    let now = system.descriptors();
    if limit < FEWEST_DESCRIPTORS {
        return Err(format!("must be at least {FEWEST_DESCRIPTORS}, but is {limit}"));
    }
    if let Some(most) = now.most
        && limit > most
    {
        return Err(format!(
            "{limit} is more than the system allows anybody: fs.nr_open is {most}"
        ));
    }
    match now.hard {
        Some(hard) if limit > hard && !now.may_raise => Err(format!(
            "{limit} is above the hard limit of {hard}, which only root can raise \
             (CAP_SYS_RESOURCE); give less, or raise it before the start, as with ulimit -Hn"
        )),
        Some(_) | None => Ok(limit),
    }
}

#[cfg(test)]
mod tests;
