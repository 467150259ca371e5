//! What is wrong with pools that may each be right on its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use prefork_core::{
    Arbiter, ArbiterError, Quota,
    pools::{PoolId, PoolIdentity, PoolKind, Presence, is_pool_name},
};
use prefork_sockets::Written;

use super::member::{Facts, Kind, Member};
use crate::{Args, ArgsError, Fault, Settings, args::Data};

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
    /// How many children they may have.
    pub(super) ceiling: Option<u32>,
}

/// A pool as the arbiter knows it.
#[derive(Clone, Debug)]
pub(super) struct Seated {
    pub(super) name: String,
    pub(super) kind: PoolKind,
    pub(super) is_on_demand: bool,
    /// Where it listens.
    pub(super) addresses: Vec<String>,
    /// The pools to which it hands connections.
    pub(super) hands_to: Vec<String>,
    /// What it may have of the ceiling.
    pub(super) quota: Quota,
    /// With which permissions, if these are UNIX sockets.
    pub(super) mode: Option<u32>,
}

impl Seated {
    pub(super) const fn presence(&self) -> Presence {
        if self.is_on_demand { Presence::OnDemand } else { Presence::Always }
    }
}

/// By what pools are known again in another program.
pub(super) fn identities(members: &[Seated]) -> impl Iterator<Item = PoolIdentity> {
    members.iter().map(|Seated { name, kind, addresses, hands_to, .. }| PoolIdentity {
        name: name.clone(),
        is_role: *kind == PoolKind::Role,
        addresses: addresses.clone(),
        hands_to: hands_to.clone(),
        takes: members.iter().any(|other| other.hands_to.contains(name)),
    })
}

/// How much longer than the pool that takes longest a stop of all may take, before what is left is killed.
const MARGIN: Duration = Duration::from_secs(5);

/// Checks all of it.
pub(super) fn all(
    common: Args,
    members: Vec<Member>,
    ceiling: Option<u32>,
) -> Result<Daemon, ArgsError> {
    // What was wrong with them where they were read.
    let mut faults = common.data.settings.faults.clone();
    if members.is_empty() {
        faults.push(Fault::of_program("pools", "there is none; add one with Pools::pool"));
    }
    refuse_code(&common, &mut faults);
    check_names(&members, &mut faults);
    check_addresses(&members, &mut faults);
    let takers = check_hand_overs(&members, &mut faults);
    let has_pid_path = common.data.settings.pid_path.is_some();
    let (mut seated, mut longest) = (Vec::new(), Duration::ZERO);
    for member in members {
        let name = member.name.clone();
        check_own(&member, has_pid_path, takers.contains(&name), &mut faults);
        if member.weight.is_some() && ceiling.is_none() {
            let problem = "does nothing without a ceiling; set Pools::ceiling too";
            faults.push(Fault::of_program(&format!("{name}.weight"), problem));
        }
        let (kind, is_on_demand) = (member.listed_kind(), member.is_on_demand());
        let Data { listen, hands_to, .. } = member.args.data();
        let (addresses, hands_to) = (listen.clone(), hands_to.clone());
        let mode = member.args.data().listen_mode;
        let weight = member.weight.unwrap_or(1);
        match member.adjusted(&common).check() {
            Ok(Facts { stop, sizes: [prefork, maximum] }) => {
                longest = longest.max(stop);
                let minimum = if is_on_demand { 0 } else { prefork };
                let quota = Quota { minimum, maximum, weight };
                seated.push(Seated { name, kind, is_on_demand, addresses, hands_to, quota, mode });
            }
            Err(error) => {
                faults.extend(error.into_faults().into_iter().map(|fault| fault.of_pool(&name)));
            }
        }
    }
    if let Some(ceiling) = ceiling {
        check_ceiling(ceiling, &seated, &mut faults);
    }
    if faults.is_empty() {
        // Those who take what others hand to them stop after these.
        let longest = if takers.is_empty() { longest } else { longest.saturating_mul(2) };
        let limits = Limits { stop_timeout: longest.saturating_add(MARGIN), ceiling };
        Ok(Daemon { args: of_the_arbiter(common), members: seated, limits })
    } else {
        Err(ArgsError::new(faults))
    }
}

/// A ceiling must have room for all that is always there.
fn check_ceiling(ceiling: u32, members: &[Seated], faults: &mut Vec<Fault>) {
    let quotas = (0..).map(PoolId).zip(members.iter().map(|member| member.quota));
    if let Err(error) = Arbiter::new(ceiling, quotas) {
        let argument = match error {
            ArbiterError::Weight { pool: PoolId(number), .. } => {
                format!("{}.weight", members[number as usize].name)
            }
            // Each pool's sizes were checked before.
            _ => "ceiling".to_owned(),
        };
        faults.push(Fault::of_program(&argument, &error.to_string()));
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
    for hook in parent_hooks.set() {
        refuse(hook.name());
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
fn check_addresses(members: &[Member], faults: &mut Vec<Fault>) {
    let mut seen = BTreeMap::new();
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
fn check_hand_overs(members: &[Member], faults: &mut Vec<Fault>) -> BTreeSet<String> {
    let mut takers = BTreeSet::new();
    for Member { name, args, .. } in members {
        for to in &args.data().hands_to {
            let mut fault = |problem: &str| {
                faults.push(Fault::of_program(&format!("{name}.hands_to"), problem));
            };
            if to == name {
                fault("names the pool itself; its own children accept by themselves");
            } else if !members.iter().any(|other| other.name == *to) {
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
    let Member { name, kind, args, weight: _ } = member;
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

#[cfg(test)]
mod tests;
