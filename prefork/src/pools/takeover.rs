//! Going on with the pools that an old program has had in this process.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use prefork_core::{
    AdoptedAs, Progress,
    pools::{AdoptedPools, Adoption, HandedPool, Pools, PoolsChange, PoolsConfig, Roster, Wishes},
};
use prefork_daemonize::Readiness;

use super::{
    arbiter::Arbiter,
    begin::{conclude, config, note_hand_overs, seats},
    check::{Limits, identities},
    pool_process::PoolProcess,
    roster::{RosterFile, begun, changes_before},
    watch::Watching,
    ways::Way,
};
use crate::{
    AnyListener, ErrorChain, Returned, RunError,
    logs::ArbiterMessage,
    manager::{Begun, Occasion},
    run::{Prepared, Successor, come_up},
    seat::Seated,
    start::Initialized,
    sys,
    system::clock,
    system::helper::Helper,
    upgrade::{AdoptedArbiter, AdoptedMember, Inherited, Leftovers, Station},
};

/// Takes over the arbiter that the old program has been in this process; or, as a probe, finds out whether that would
/// work, and never returns if it would.
pub(super) fn take_over(
    prepared: Prepared<Vec<AnyListener>>,
    error_log: Option<OwnedFd>,
    inherited: Inherited,
    members: &[Seated],
    limits: Limits,
) -> Result<Returned, RunError> {
    let successor = come_up(prepared, error_log, inherited, &Station::Arbiter)?;
    let mut readiness = None;
    let TakenOver { mut arbiter, adopted_as, change, old_pid_path } =
        adopt(successor, members, limits, &mut readiness)?;
    let desks = arbiter.seats.iter().filter_map(|seat| seat.desk.as_ref());
    desks.for_each(|desk| desk.say_memory_shared(limits.shares_memory()));
    arbiter.roster = renew_roster(&arbiter, change, old_pid_path.as_deref());
    let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
    let (names, awake) = (names.join(", "), arbiter.pools.awake());
    arbiter.log.write(&ArbiterMessage::TookOver { pools: &names, awake });
    match change {
        // The old program has reported that a reload has begun, and this one ends it.
        PoolsChange::Reload => {
            arbiter.reporting.on(Occasion::Progress(Progress::Reconfigured));
        }
        PoolsChange::Upgrade => {}
    }
    match adopted_as {
        AdoptedAs::SameProgram => arbiter.reporting.on(Occasion::Back),
        AdoptedAs::NewProgram => {}
    }
    conclude(arbiter)
}

/// An arbiter that goes on.
struct TakenOver<'a> {
    arbiter: Arbiter<'a>,
    adopted_as: AdoptedAs,
    /// What this program was executed for.
    change: PoolsChange,
    /// Where the pid file of the old program was.
    old_pid_path: Option<PathBuf>,
}

/// Claims what was left, and makes an arbiter of it.
fn adopt<'a>(
    successor: Successor<Vec<AnyListener>>,
    members: &[Seated],
    limits: Limits,
    readiness: &'a mut Option<Readiness>,
) -> Result<TakenOver<'a>, RunError> {
    let Successor { basis, inherited, takeover, signals, hangups, log, .. } = successor;
    let settings = basis.settings;
    let refuse = |error| {
        inherited.refuse(Some(&settings.name), &error);
        error
    };
    let mut seats = seats(members).map_err(refuse)?;
    let find = RunError::system("find the program that runs");
    let invocation = basis.invocation.map_err(|error| refuse(find(error)))?;
    let (initialized, adopted) = inherited.claim_arbiter(&settings, takeover, &log)?;
    sys::way_back::close();
    let Initialized { state, mut listeners, left_open, runtime_files, .. } = initialized;
    // The arbiter keeps one copy of each.
    drop(state);
    listeners.settle_terms();
    let AdoptedArbiter { adopted_as, pools: left, bell, change, began, again, pid_path } = adopted;
    let handed: Vec<_> = left.iter().map(AdoptedMember::as_it_is).collect();
    let config = config(settings.start_timeout, limits);
    let AdoptedPools { mut pools, were } =
        adopt_pools(config, members, limits, &handed, (adopted_as, change, again));
    note_hand_overs(&mut pools, members);
    fill(&mut seats, left, &were);
    let begun = Begun::InPlace;
    let mut watching = Watching::new(basis.auto_reload, &basis.hooks);
    watching.begin(&invocation, adopted_as == AdoptedAs::SameProgram, &log);
    let arbiter = Arbiter {
        pools,
        seats,
        members: members.to_vec(),
        shares_memory: limits.shares_memory(),
        roster: None,
        change_began: began.unwrap_or_else(clock::now),
        reason: String::new(),
        began: clock::now(),
        stop_began: None,
        // They may have ended while a program took over from another.
        must_reap: true,
        invocation,
        probe: None,
        leftovers: Leftovers::default(),
        signals,
        hangups,
        bell,
        listeners,
        left_open,
        watching,
        reporting: settings.manager.report_pools(members.len(), limits.stop_timeout, begun, &log),
        readiness,
        runtime_files,
        log,
        settings,
    };
    Ok(TakenOver { arbiter, adopted_as, change, old_pid_path: pid_path })
}

fn adopt_pools(
    config: PoolsConfig,
    members: &[Seated],
    limits: Limits,
    handed: &[HandedPool],
    (adopted_as, change, again): (AdoptedAs, PoolsChange, Wishes),
) -> AdoptedPools {
    let presences = members.iter().map(Seated::presence);
    let wanted: Vec<_> = identities(members).zip(presences).collect();
    let made_of: Vec<_> = members.iter().map(|member| member.made_of).collect();
    let quotas: Vec<_> = members.iter().map(|member| member.quota).collect();
    let shared = limits.ceiling.map(|ceiling| (ceiling, &*quotas));
    let (wanted, made_of) = (&*wanted, &*made_of);
    let adoption = Adoption { config, wanted, made_of, shared, handed, adopted_as, change, again };
    Pools::adopt(clock::now(), adoption)
}

/// Writes the list of pools as this program has them, and removes it from where it was. That it cannot be written is no reason
/// not to serve. What has become of the other change stays in it, for who waits for that.
fn renew_roster(
    arbiter: &Arbiter<'_>,
    change: PoolsChange,
    old_pid_path: Option<&Path>,
) -> Option<RosterFile> {
    let mut changes = old_pid_path.map(|path| changes_before(path, change)).unwrap_or_default();
    if let Some(path) =
        old_pid_path.filter(|path| Some(*path) != arbiter.settings.pid_path.as_deref())
    {
        let _ = fs::remove_file(Roster::beside(path));
    }
    changes.push(begun(change, arbiter.change_began));
    let roster = RosterFile::of_daemon(&arbiter.settings, &arbiter.members, changes);
    let roster = roster.inspect_err(|error| {
        arbiter.log.write(&ArbiterMessage::NoRoster { error: &ErrorChain(error) });
    });
    roster.ok().flatten()
}

/// Puts what was left in the places of its pools; those that are leaving have none of the sockets.
fn fill(seats: &mut Vec<PoolProcess>, mut left: Vec<AdoptedMember>, were: &[Option<usize>]) {
    for (number, was) in were.iter().enumerate() {
        let Some(was) = was.and_then(|was| left.get_mut(was)) else { continue };
        if number >= seats.len() {
            seats.push(PoolProcess::new(was.pool.identity.clone(), None, 0..0));
        }
        let seat = &mut seats[number];
        if let (Some(way), Some(left)) = (&mut seat.way, was.way.take()) {
            // Those who hand on have this one.
            *way = Way::adopt(left);
        }
        if let Some((pid, desk)) = was.parent.take() {
            (seat.helper, seat.desk) = (Some(Helper::new(pid)), Some(desk));
        }
    }
}
