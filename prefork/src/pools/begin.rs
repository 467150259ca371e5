//! Coming up as an arbiter, and going down again.

use std::{io, time::Duration};

use prefork_core::pools::{PoolId, Pools, PoolsConfig, PoolsVerdict};
use prefork_daemonize::Readiness;
use rustix::event::{EventfdFlags, eventfd};

use super::{
    arbiter::Arbiter,
    check::{Limits, identities},
    pool_process::PoolProcess,
    roster::RosterFile,
    watch::Watching,
    ways::Way,
};
use crate::{
    AnyListener, Init, Returned, RunError,
    logs::ArbiterMessage,
    logs::describe::Ended,
    logs::log::{Log, Role},
    manager::{Begun, Occasion},
    run::{Prepared, open_signals, own_stderr},
    seat::Seated,
    start::{Initialized, initialize},
    system::clock,
    system::os::terminal,
    upgrade::Leftovers,
};

/// Makes the sockets of all pools, in their order.
pub(super) fn listen(init: &mut Init, members: &[Seated]) -> crate::Result<Vec<AnyListener>> {
    let mut wanted = Vec::new();
    for Seated { addresses, mode, .. } in members {
        wanted.extend(addresses.iter().map(|address| (address, *mode)));
    }
    let sockets = wanted.into_iter().map(|(address, mode)| init.listen_with_mode(address, mode));
    Ok(sockets.collect::<io::Result<_>>()?)
}

/// Lets the pools serve until all is over.
pub(super) fn serve(
    prepared: Prepared<Vec<AnyListener>>,
    members: &[Seated],
    limits: Limits,
    readiness: &mut Option<Readiness>,
) -> Result<Returned, RunError> {
    own_stderr()?;
    let mut arbiter = make(prepared, members, limits, readiness)?;
    arbiter.roster = RosterFile::of_daemon(&arbiter.settings, members, Vec::new())?;
    let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
    let (name, pools) = (&*arbiter.settings.name, &*names.join(", "));
    arbiter.log.write(&ArbiterMessage::Starting { name, pools });
    arbiter.reporting.on(Occasion::Starting);
    conclude(arbiter)
}

/// Lets the pools serve until all is over, and takes away what is left.
pub(super) fn conclude(mut arbiter: Arbiter<'_>) -> Result<Returned, RunError> {
    let verdict = arbiter.run().map_err(RunError::system("wait for events"))?;
    arbiter.end_probe();
    let Arbiter { settings, seats, mut leftovers, listeners, roster, runtime_files, log, .. } =
        arbiter;
    // They have the sockets too.
    leftovers.end(&log);
    listeners.disarm();
    // Before the pid file goes: a process that waits for that can bind at once.
    drop((listeners, roster));
    runtime_files.remove(&log);
    let name = |PoolId(number): PoolId| seats[number as usize].identity.name.clone();
    match verdict {
        PoolsVerdict::Stopped => Ok(Returned::Stopped),
        PoolsVerdict::PoolDied(pool, exit) => Err(RunError::PoolDied {
            pool: name(pool),
            last: Ended(exit).to_string(),
            error_log: settings.error_log_path,
        }),
        PoolsVerdict::StartTimedOut(pool) => {
            Err(RunError::PoolNotReady { pool: name(pool), limit: settings.start_timeout })
        }
    }
}

/// Makes the arbiter, with the pid file and the sockets of all pools.
fn make<'a>(
    prepared: Prepared<Vec<AnyListener>>,
    members: &[Seated],
    limits: Limits,
    readiness: &'a mut Option<Readiness>,
) -> Result<Arbiter<'a>, RunError> {
    let Prepared { basis, activated, after_init, opened, .. } = prepared;
    let settings = basis.settings;
    let invocation = basis.invocation.map_err(RunError::system("find the program that runs"))?;
    let signals = open_signals()?;
    let hangups = terminal::hangups(signals.hangups());
    let log = Log::new(&settings.name, Role::Parent);
    let pools = seat_all(members, settings.start_timeout, limits);
    let initialized = initialize(&settings, activated, after_init, opened)?;
    let Initialized { state, mut listeners, left_open, runtime_files, .. } = initialized;
    // The arbiter keeps one copy of each.
    drop(state);
    listeners.settle_terms();
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let bell = eventfd(0, flags).map_err(|error| RunError::system("open a bell")(error.into()))?;
    Ok(Arbiter {
        pools,
        seats: seats(members)?,
        members: members.to_vec(),
        shares_memory: limits.shares_memory(),
        roster: None,
        change_began: clock::now(),
        reason: String::new(),
        began: clock::now(),
        stop_began: None,
        must_reap: true,
        invocation,
        probe: None,
        leftovers: Leftovers::default(),
        signals,
        hangups,
        bell,
        listeners,
        left_open,
        watching: Watching::new(basis.auto_reload, &basis.hooks),
        reporting: settings.manager.report_pools(
            members.len(),
            limits.stop_timeout,
            Begun::Fresh,
            &log,
        ),
        readiness,
        runtime_files,
        log,
        settings,
    })
}

/// Gives each pool its sockets, which were made in their order, and the ways between pools.
pub(super) fn seats(members: &[Seated]) -> Result<Vec<PoolProcess>, RunError> {
    let mut next = 0;
    let seats = identities(members).zip(members).map(|(identity, member)| {
        let first = next;
        next += member.addresses.len();
        let way = identity.takes.then(Way::new).transpose()?;
        Ok(PoolProcess::new(identity, way, first..next))
    });
    let seats = seats.collect::<io::Result<_>>();
    seats.map_err(RunError::system("make the ways between pools"))
}

fn seat_all(members: &[Seated], start_timeout: Duration, limits: Limits) -> Pools {
    let mut pools = Pools::new(config(start_timeout, limits));
    for member in members {
        let id = pools.add(member.presence());
        pools.made_of(id, member.made_of);
    }
    note_hand_overs(&mut pools, members);
    if let Some(ceiling) = limits.ceiling {
        let quotas: Vec<_> = members.iter().map(|member| member.quota).collect();
        // What could be wrong with them was found when the arguments were checked.
        let _ = pools.share(ceiling, &quotas);
    }
    pools
}

/// Notes who hands connections to whom.
pub(super) fn note_hand_overs(pools: &mut Pools, members: &[Seated]) {
    let ids = || (0..).map(PoolId).zip(members);
    for (from, member) in ids() {
        for (to, _) in ids().filter(|(_, other)| member.hands_to.contains(&other.name)) {
            pools.hands_to(from, to);
        }
    }
}

pub(super) fn config(start_timeout: Duration, limits: Limits) -> PoolsConfig {
    let mut config = PoolsConfig::default();
    (config.start_timeout, config.stop_timeout) = (start_timeout, limits.stop_timeout);
    config.reread = limits.reread;
    config
}
