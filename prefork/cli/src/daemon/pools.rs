//! Asking a daemon of several pools, which passes it on to those that have a process.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use prefork_core::pools::{PoolKind, PoolsChange};
use prefork_daemonize::Pid;
use prefork_view::plural;

use super::{
    Descent, Goal, Request, Rollout, Wait, answers,
    change::{Change, Changed},
    not_running, send,
};
use crate::{
    exit::Exit,
    failure::Failure,
    find::{Member, Pooled, full_name},
    look,
    output::Voice,
};

/// Sends the daemon a signal, and waits until it has done what that means, with all pools that are to follow.
pub(super) fn ask(
    daemon: &Pooled,
    request: &Request,
    wait: &Wait,
    voice: Voice,
) -> Result<Exit, Failure> {
    let path = &daemon.pid_file;
    let pid = daemon.pid.ok_or_else(|| not_running(path))?;
    match answers::to(pid, request.signal) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::Deaf { path: path.clone(), pid, signal: request.name });
        }
        Err(source) => return Err(Failure::Unseen { pid, source }),
    }
    let Wait::UntilAll { timeout, .. } = wait else {
        let pid = send(path, request.signal)?;
        let awake = daemon.pools.iter().filter(|pool| pool.pid().is_some()).count();
        let pools = plural(awake, "pool", "pools");
        return voice.report(&format!("asked process {pid} {}, in {pools}\n", request.what));
    };
    let awake = daemon.pools.iter().filter_map(|pool| Some((pool, pool.pid()?)));
    let watched: Vec<_> = awake
        .map(|(pool, pid)| Ok((pool, Watch::begin(pool, pid, request.goal)?)))
        .collect::<Result<_, Failure>>()?;
    let change = match request.goal {
        Goal::Replaced => Some(PoolsChange::Reload),
        Goal::Upgraded => Some(PoolsChange::Upgrade),
        Goal::WritesToNewLogs => None,
    };
    let change = change.map(|change| Change::begin(daemon, pid, change));
    send(path, request.signal)?;
    let begun = Instant::now();
    let changed = change.as_ref().map(|change| change.wait(*timeout)).transpose()?;
    let mut first = Ok(Exit::Done);
    for (pool, watch) in watched {
        if let Some(left_alone) = changed.as_ref().and_then(|it| left_alone(it, &pool.name)) {
            let name = full_name(&daemon.name, &pool.name);
            voice.report(&format!("pool {name} {left_alone}\n"))?;
            continue;
        }
        let left = timeout.saturating_sub(begun.elapsed());
        let name = full_name(&daemon.name, &pool.name);
        match (watch.wait(left), pool.kind) {
            (Ok(done), _) => {
                voice.report(&format!("pool {name} {}: {done}\n", request.done))?;
            }
            // It had nothing to do any more: what is started for the next client is new.
            (Err(Failure::Ended { .. }), PoolKind::OnDemand) => {
                voice.report(&format!("pool {name} sleeps by now\n"))?;
            }
            (Err(failure), _) => {
                let failure = Failure::OfPool { pool: name, source: Box::new(failure) };
                first = first.and(Err(failure));
            }
        }
    }
    for name in changed.iter().flat_map(|changed| &changed.pools) {
        if !daemon.pools.iter().any(|pool| pool.name == *name) {
            voice.report(&format!("pool {} is new\n", full_name(&daemon.name, name)))?;
        }
    }
    let failure = change.zip(changed).and_then(|(change, it)| change.failure(&it.change));
    first.and(failure.map_or(Ok(Exit::Done), Err))
}

/// Says of a pool that had a process what has become of it, if it was not asked to follow.
fn left_alone(changed: &Changed, pool: &str) -> Option<&'static str> {
    let has = |names: &[String]| names.iter().any(|name| name == pool);
    match (has(&changed.change.asked), has(&changed.pools)) {
        (true, _) => None,
        (false, true) => Some("is as it was, or was started again"),
        (false, false) => Some("is not one of the daemon's any more"),
    }
}

/// Waiting for one pool.
enum Watch<'a> {
    ByBoard(Rollout<'a>),
    ByChildren(Descent<'a>),
}

impl<'a> Watch<'a> {
    fn begin(pool: &'a Member, pid: Pid, goal: Goal) -> Result<Self, Failure> {
        let path = pool.found.pid_file.as_deref().unwrap_or(Path::new(""));
        match (pool.found.board.as_deref(), goal) {
            (Some(board), goal) => Rollout::begin(path, board, pid, goal).map(Self::ByBoard),
            (None, Goal::Replaced | Goal::Upgraded) => {
                Ok(Self::ByChildren(Descent::begin(path, pid)))
            }
            (None, Goal::WritesToNewLogs) => Err(Failure::NoLogsToSee { path: path.to_owned() }),
        }
    }

    fn wait(&self, timeout: Duration) -> Result<String, Failure> {
        match self {
            Self::ByBoard(rollout) => rollout.wait(timeout).map(|done| done.to_string()),
            Self::ByChildren(descent) => descent.wait(timeout),
        }
    }
}

/// Whether somebody has asked the daemon to stop before: all pools that have a process show that.
pub(super) fn are_stopping(daemon: &Pooled) -> bool {
    let mut awake = daemon.pools.iter().filter(|pool| pool.pid().is_some()).peekable();
    let is_stopping = |pool: &Member| {
        let view = pool.found.board.as_deref().and_then(|board| look::read(board).ok());
        let shows_it = view.is_some_and(|view| view.owner.phase.as_deref() == Some("stopping"));
        let title = pool.pid().map(|pid| super::title(pid.as_raw().unsigned_abs()));
        shows_it || title.is_some_and(|title| title.ends_with("[ending]"))
    };
    awake.peek().is_some() && awake.all(is_stopping)
}

/// Says what becomes of a pool whose process was stopped by itself.
pub(super) fn after_stop(daemon: &Pooled, pool: &Member) -> String {
    match (daemon.pid, pool.kind) {
        (None, _) => String::new(),
        (Some(_), PoolKind::OnDemand) => {
            format!("; {} sleeps until a client comes", full_name(&daemon.name, &pool.name))
        }
        (Some(pid), PoolKind::Pool | PoolKind::Role) => format!(
            "; process {pid} starts {} again: a pool ends with its daemon alone",
            full_name(&daemon.name, &pool.name)
        ),
    }
}
