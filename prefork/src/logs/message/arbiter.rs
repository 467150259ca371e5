//! Messages about the pools of a daemon that has several.

use std::fmt::Display;

use rustix::process::Pid;

use super::messages;
use crate::logs::describe::Span;

messages! {
    /// About the pools of a daemon that has several.
    ArbiterMessage<'a>

    Info Starting { name: &'a str, pools: &'a str } => "starting {name}, with the pools {pools}";
    Info PoolStarted { pool: &'a str, pool_pid: Pid } => "pool {pool}: its parent is process {pool_pid}";
    Info PoolsReady { awake: usize } => "ready; pools with processes: {awake}";
    Info PoolWoken { pool: &'a str } => "pool {pool}: a client waits; waking it";
    Debug PoolAsleep { pool: &'a str } => "pool {pool}: nothing to do any more; it sleeps until a client comes";
    Error PoolLost { pool: &'a str, how: &'a dyn Display, lived: Span, next: &'a dyn Display } =>
        "pool {pool}: its parent {how} after {lived}; {next}";
    Error CannotFork { pool: &'a str, error: &'a dyn Display } => "pool {pool}: cannot start its parent: {error}";
    Warn PoolNotStarted { pool: &'a str, pause: Span } => "pool {pool}: trying again in {pause}";
    Error NotExecuted { pool: &'a str, error: &'a dyn Display } =>
        "pool {pool}: cannot execute the program again: {error}";
    Error PoolStuck { pool: &'a str } => "pool {pool}: not ready within start_timeout; killing its parent";
    Warn PoolsKilled { pools: usize } => "pools that have not stopped in time are killed: {pools}";
    Info Reloading { pools: usize } => "reloading; pools that are asked: {pools}";
    Info PoolsReloaded { reloaded: usize, started: usize, refused: usize, took: Span } =>
        "reloaded; pools that have replaced their children: {reloaded}, that were started: {started}, that have not followed: \
         {refused}; it has taken {took}";
    Error PoolsNotReloaded { reloaded: usize, started: usize, refused: usize, took: Span } =>
        "reloaded, but not all; pools that have replaced their children: {reloaded}, that were started: {started}, that have not \
         followed: {refused}; it has taken {took}";
    Info TookOver { pools: &'a str, awake: usize } =>
        "this program goes on with the pools {pools}; with processes: {awake}";
    Error NoRoster { error: &'a dyn Display } => "the command does not find the pools of this program: {error}";
    Info PoolsUpgraded { upgraded: usize, refused: usize } =>
        "upgraded; pools that run the new program now: {upgraded}, pools that go on with the old one: {refused}";
    Error PoolNotUpgraded { pool: &'a str } =>
        "pool {pool}: has refused the new program, and goes on with the old one";
    Warn PoolUpgradeUnanswered { pool: &'a str, limit: Span } =>
        "pool {pool}: has not reported on its upgrade within {limit}; asking the next pool";
    Error PoolNotReloaded { pool: &'a str } => "pool {pool}: has not reloaded, and goes on as it was";
    Warn PoolReloadUnanswered { pool: &'a str, limit: Span } =>
        "pool {pool}: has not reported on its reload within {limit}";
    Info PoolGone { pool: &'a str } => "pool {pool}: the daemon does not have it any more; stopping it";
    Info PoolChanged { pool: &'a str } =>
        "pool {pool}: listens elsewhere or is of another kind now; stopping it, to be started again then";
    Info PoolLeft { pool: &'a str } => "pool {pool}: has stopped";
    Info NoResize =>
        "SIGTTIN, SIGTTOU: it is not said which pool is to have more or fewer children; send it to the parent of one";
    Info Stopping { awake: usize } => "stopping; pools with processes: {awake}";
    Info Stopped { duration: Span, uptime: Span } =>
        "stopped, {duration} after it was asked; it has run for {uptime}";
}
