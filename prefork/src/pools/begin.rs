//! Coming up as an arbiter, and going down again.

use std::{io, time::Duration};

use prefork_core::pools::{PoolId, Pools, PoolsConfig, PoolsVerdict, Presence};
use prefork_daemonize::Readiness;
use rustix::event::{EventfdFlags, eventfd};

use super::{
    arbiter::{Arbiter, PoolProcess},
    check::{Limits, Seated},
    roster::RosterFile,
    ways::Way,
};
use crate::{
    AnyListener, Init, Returned, RunError,
    logs::ArbiterMessage,
    logs::describe::Ended,
    logs::log::{Log, Role},
    manager::Occasion,
    run::{Prepared, open_signals, own_stderr},
    start::{Initialized, initialize},
    system::clock,
    system::os::terminal,
};

/// Makes the sockets of all pools, in their order.
pub(super) fn listen(init: &mut Init, members: &[Seated]) -> crate::Result<Vec<AnyListener>> {
    let addresses = members.iter().flat_map(|member| &member.addresses);
    let sockets = addresses.map(|address| init.listen_any(address));
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
    let roster = RosterFile::of_daemon(&arbiter.settings, members)?;
    let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
    let (name, pools) = (&*arbiter.settings.name, &*names.join(", "));
    arbiter.log.write(&ArbiterMessage::Starting { name, pools });
    arbiter.reporting.on(Occasion::Starting);
    let verdict = arbiter.run().map_err(RunError::system("wait for events"))?;
    let Arbiter { settings, listeners, runtime_files, log, .. } = arbiter;
    listeners.disarm();
    // Before the pid file goes: a process that waits for that can bind at once.
    drop((listeners, roster));
    runtime_files.remove(&log);
    let name = |PoolId(number): PoolId| members[number as usize].name.clone();
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
        seats: seats(members).map_err(RunError::system("make the ways between pools"))?,
        began: clock::now(),
        stop_began: None,
        must_reap: true,
        image: invocation.image,
        signals,
        hangups,
        bell,
        listeners,
        left_open,
        reporting: settings.manager.report_pools(members.len(), limits.stop_timeout, &log),
        readiness,
        runtime_files,
        log,
        settings,
    })
}

/// Gives each pool its sockets, which were made in their order, and the ways between pools.
fn seats(members: &[Seated]) -> io::Result<Vec<PoolProcess>> {
    let mut next = 0;
    let takes = |name: &String| members.iter().any(|other| other.hands_to.contains(name));
    let seats = members.iter().map(|Seated { name, addresses, hands_to, .. }| {
        let first = next;
        next += addresses.len();
        Ok(PoolProcess {
            name: name.clone(),
            hands_to: hands_to.clone(),
            way: takes(name).then(Way::new).transpose()?,
            sockets: first..next,
            helper: None,
            desk: None,
        })
    });
    seats.collect()
}

fn seat_all(members: &[Seated], start_timeout: Duration, limits: Limits) -> Pools {
    let mut config = PoolsConfig::default();
    (config.start_timeout, config.stop_timeout) = (start_timeout, limits.stop_timeout);
    let mut pools = Pools::new(config);
    for member in members {
        pools.add(if member.is_on_demand { Presence::OnDemand } else { Presence::Always });
    }
    let ids = || (0..).map(PoolId).zip(members);
    for (from, member) in ids() {
        for (to, _) in ids().filter(|(_, other)| member.hands_to.contains(&other.name)) {
            pools.hands_to(from, to);
        }
    }
    if let Some(ceiling) = limits.ceiling {
        let quotas: Vec<_> = members.iter().map(|member| member.quota).collect();
        // What could be wrong with them was found when the arguments were checked.
        let _ = pools.share(ceiling, &quotas);
    }
    pools
}
