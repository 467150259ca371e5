//! What is wrong with pools that may each be right on its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use prefork_core::{
    Ceiling, Hook, Quota, Reread,
    pools::{PoolIdentity, is_pool_name},
};
use prefork_sockets::Written;

pub(super) use self::ceiling::Ceilings;
use super::member::{Facts, Kind, Member};
use crate::{Args, ArgsError, Fault, Settings, args::Data, program, seat::Seated};

/// What the arbiter is made of.
pub(super) struct Daemon {
    /// The arbiter's own arguments.
    pub(super) args: Args,
    pub(super) members: Vec<Seated>,
    pub(super) limits: Limits,
}

/// What holds for all pools together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long they may take to stop.
    pub(super) stop_timeout: Duration,
    /// What they may have.
    pub(super) ceiling: Option<Ceiling>,
    /// Whether a reload reads the settings again.
    pub(super) reread: Reread,
}

impl Limits {
    /// Whether what children take counts.
    pub(super) fn shares_memory(&self) -> bool {
        self.ceiling.and_then(Ceiling::memory).is_some()
    }
}

/// By what pools are known again in another program.
pub(super) fn identities(members: &[Seated]) -> impl Iterator<Item = PoolIdentity> {
    members.iter().map(|member| member.identity(members))
}

/// How much longer than the pool that takes longest a stop of all may take, before what is left is killed.
const MARGIN: Duration = Duration::from_secs(5);

/// Checks all of it. Those that are kept go on as they are.
pub(super) fn all(
    common: Args,
    members: Vec<Member>,
    mut kept: Vec<Seated>,
    ceilings: Ceilings,
) -> Result<Daemon, ArgsError> {
    // What was wrong with them where they were read.
    let mut faults = common.data.settings.faults.clone();
    kept.retain(|kept| members.iter().all(|member| member.name != kept.name));
    if members.is_empty() && kept.is_empty() {
        faults.push(Fault::of_program("pools", "there is none; add one with Pools::pool"));
    }
    refuse_code(&common, &mut faults);
    check_names(&members, &mut faults);
    check_addresses(&members, &kept, &mut faults);
    let takers = check_hand_overs(&members, &kept, &mut faults);
    let has_pid_path = common.data.settings.pid_path.is_some();
    let mut seated = Vec::new();
    for member in members {
        let name = member.name.clone();
        check_own(&member, has_pid_path, takers.contains(&name), &mut faults);
        ceilings.check_member(&member, &mut faults);
        let (kind, made_of) = (member.listed_kind(), member.made_of);
        let is_on_demand = member.is_on_demand();
        let Data { listen, hands_to, .. } = member.args.data();
        let (addresses, hands_to) = (listen.clone(), hands_to.clone());
        let mode = member.args.data().listen_mode;
        let (weight, child_memory) = (member.weight.unwrap_or(1), member.child_memory);
        match member.adjusted(&common).check() {
            Ok(Facts { stop, sizes: [prefork, maximum], child_memory_limit }) => {
                let minimum = if is_on_demand { 0 } else { prefork };
                let child_memory = child_memory.or(child_memory_limit).unwrap_or(0);
                let quota = Quota { minimum, maximum, weight, child_memory };
                let member = Seated { name, kind, addresses, mode, hands_to, quota, stop, made_of };
                seated.push(member);
            }
            Err(error) => {
                faults.extend(error.into_faults().into_iter().map(|fault| fault.of_pool(&name)));
            }
        }
    }
    seated.append(&mut kept);
    ceilings.check(&seated, &mut faults);
    if faults.is_empty() {
        let longest = seated.iter().map(|member| member.stop).max().unwrap_or_default();
        let reread = common.data.reread();
        // Those who take what others hand to them stop after these.
        let longest = if takers.is_empty() { longest } else { longest.saturating_mul(2) };
        let (stop_timeout, ceiling) = (longest.saturating_add(MARGIN), ceilings.in_force());
        let limits = Limits { stop_timeout, ceiling, reread };
        Ok(Daemon { args: of_the_arbiter(common), members: seated, limits })
    } else {
        Err(ArgsError::new(faults))
    }
}

/// What of the common arguments is the arbiter's.
fn of_the_arbiter(common: Args) -> Args {
    let mut args = Args::new();
    let settings = common.data.settings;
    let own = &mut args.data.settings;
    (own.name, own.require_root, own.daemonize) =
        (settings.name, settings.require_root, settings.daemonize);
    (own.pid_path, own.error_log_path) = (settings.pid_path, settings.error_log_path);
    (own.access_log_path, own.log_level) = (settings.access_log_path, settings.log_level);
    (own.start_timeout, own.graceful_timeout) = (settings.start_timeout, settings.graceful_timeout);
    (own.prefork, own.max_children) = (Some(1), Some(1));
    (own.auto_reload_check_every, own.auto_reload_handler) =
        (settings.auto_reload_check_every, settings.auto_reload_handler);
    for name in ["auto_reload_check_every", "auto_reload_handler"] {
        if let Some(origin) = settings.origins.get(name) {
            own.origins.insert(name, origin.clone());
        }
    }
    args.parent_hooks.auto_reload_handler = common.parent_hooks.auto_reload_handler;
    args.data.auto_reload_watch = common.data.auto_reload_watch;
    args.data.version = common.data.version;
    args.data.pool = crate::args::PoolKind::Arbiter;
    args.before_daemonize = common.before_daemonize;
    args
}

/// Code belongs to a pool.
fn refuse_code(common: &Args, faults: &mut Vec<Fault>) {
    let Args { data, parent_hooks, body, .. } = common;
    let mut refuse = |name: &str| {
        faults.push(Fault::of_program(name, "belongs to a pool; set it in the arguments of one"));
    };
    if body.main_loop.is_some() {
        refuse("main_loop");
    }
    for (name, is_set) in [
        ("after_init", data.has_after_init),
        ("child_init", body.child_init.is_some()),
        ("child_exit", body.child_exit.is_some()),
        ("after_fork_in_child", body.after_fork.is_some()),
        ("listen", !data.listen.is_empty()),
        ("error_log_handle", data.error_log_handle.is_some()),
        ("access_log_handle", data.access_log_handle.is_some()),
        ("status_listen", data.settings.status_listen.is_some()),
        ("metrics_listen", data.settings.metrics_listen.is_some()),
    ] {
        if is_set {
            refuse(name);
        }
    }
    let handler = parent_hooks.auto_reload_handler.as_ref().map(|handler| &handler.0);
    for hook in parent_hooks.set() {
        // What is to be done is the arbiter's to decide, unless code does.
        let is_plain = matches!(handler, Some(program::Kind::Always(_)));
        if hook != Hook::AutoReloadHandler || !is_plain {
            refuse(hook.name());
        }
    }
}

fn check_names(members: &[Member], faults: &mut Vec<Fault>) {
    let mut seen = BTreeMap::new();
    for Member { name, .. } in members {
        if !is_pool_name(name) {
            let problem = "is no name for a pool: 1 to 32 of a to z, 0 to 9, - and _";
            faults.push(Fault::of_program(&format!("pool {name:?}"), problem));
        }
        let count = seen.entry(name).or_insert(0_u32);
        *count += 1;
        if *count == 2 {
            faults.push(Fault::of_program(name, "is the name of two pools; give each its own"));
        }
    }
}

/// An address belongs to one pool. What is no address is named where the pool itself is checked.
fn check_addresses(members: &[Member], kept: &[Seated], faults: &mut Vec<Fault>) {
    let mut seen = BTreeMap::new();
    for Seated { name, addresses, .. } in kept {
        seen.extend(addresses.iter().filter_map(|address| Some((key_of(address)?, name))));
    }
    for Member { name, args, .. } in members {
        for address in &args.data().listen {
            let Some(key) = key_of(address) else { continue };
            if let Some(first) = seen.insert(key, name) {
                let problem = format!(
                    "{address} is where the pool {first} listens; an address belongs to one pool"
                );
                faults.push(Fault::of_program(&format!("{name}.listen"), &problem));
            }
        }
    }
}

/// A pool hands connections to others that there are. Returns those that take them.
fn check_hand_overs(
    members: &[Member],
    kept: &[Seated],
    faults: &mut Vec<Fault>,
) -> BTreeSet<String> {
    let mut takers: BTreeSet<_> = kept.iter().flat_map(|kept| kept.hands_to.clone()).collect();
    let names: BTreeSet<_> =
        members.iter().map(|it| &it.name).chain(kept.iter().map(|it| &it.name)).collect();
    for Member { name, args, .. } in members {
        for to in &args.data().hands_to {
            let mut fault = |problem: &str| {
                faults.push(Fault::of_program(&format!("{name}.hands_to"), problem));
            };
            if to == name {
                fault("names the pool itself; its own children accept by themselves");
            } else if !names.contains(to) {
                fault(&format!("there is no pool {to:?}"));
            }
            takers.insert(to.clone());
        }
    }
    takers
}

/// By what an address can be told from others, whatever way it is written; none for a port that the system chooses.
fn key_of(address: &str) -> Option<String> {
    match Written::read(address)? {
        Written::Tcp(text) => match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => None,
            Ok(address) => Some(address.to_string()),
            Err(_) => Some(text.to_owned()).filter(|text| !text.ends_with(":0")),
        },
        Written::Port(0) => None,
        Written::Port(port) => Some(format!(":{port}")),
        Written::Unix(path) => Some(std::path::absolute(path).ok()?.to_string_lossy().into_owned()),
    }
}

/// What a pool may not set, or lacks.
fn check_own(member: &Member, has_pid_path: bool, takes: bool, faults: &mut Vec<Fault>) {
    let Member { name, kind, args, .. } = member;
    let Data { settings, listen, .. } = args.data();
    let mut fault = |argument: &str, problem: &str| {
        let mut fault = Fault::of_program(argument, problem);
        if let Some(origin) = settings.origins.get(argument) {
            fault.origin = origin.clone();
        }
        faults.push(fault.of_pool(name));
    };
    for (argument, is_set) in [
        ("daemonize", settings.daemonize.is_some()),
        ("require_root", settings.require_root.is_some()),
        ("name", settings.name.is_some()),
        ("pid_path", settings.pid_path.is_some()),
    ] {
        if is_set {
            fault(
                argument,
                "is the whole daemon's; set it in the arguments that all pools have in common",
            );
        }
    }
    match kind {
        Kind::Pool => {
            if member.is_on_demand() && listen.is_empty() && !takes {
                let problem = "is 0, but nobody would ever wake the pool: set listen, have another pool hand \
                               connections to it, or have 1 child at least";
                fault("prefork", problem);
            }
        }
        Kind::Role => {
            refuse_sizes(settings, &mut fault);
            if takes {
                let problem = "is for pools; a role takes no connections, as there is no process while it is started again";
                fault("hands_to", problem);
            }
            if !listen.is_empty() {
                let problem = "is for pools; a role has exactly one process, and none while that is started again";
                fault("listen", problem);
            }
            if !has_pid_path {
                let problem = "needs pid_path in the arguments that all pools have in common: the lock that keeps \
                               another daemon from having the same role lies beside that file";
                fault("role", problem);
            }
        }
    }
}

/// A role has no size.
fn refuse_sizes(settings: &Settings, fault: &mut impl FnMut(&'static str, &str)) {
    for (argument, is_set) in [
        ("prefork", settings.prefork.is_some()),
        ("max_children", settings.max_children.is_some()),
        ("one_shot", settings.one_shot.is_some()),
        ("concurrency", settings.concurrency.is_some()),
    ] {
        if is_set {
            fault(
                argument,
                "is about many children, but a role has exactly one process; leave it out",
            );
        }
    }
}

mod ceiling;
#[cfg(test)]
mod tests;
