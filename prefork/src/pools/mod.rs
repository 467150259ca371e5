//! Several pools in one daemon.
//!
//! The process that is started is the *arbiter*. It loads nothing of the program's: it holds the pid file and the sockets, starts
//! the parent of each pool by executing the program once more, and ends them again. A pool's parent is that of
//! a daemon of one pool in all else. *Which* pools have a process is decided by `prefork_core::pools`.
//!
//! Why a process for each pool and not one parent for all: what `after_init` of one pool has loaded, secrets among it, would
//! be in the memory of all other pools' children, and make each of their forks slower; and whatever ended that one parent
//! would end all pools.
//!
//! - `member.rs`: what of a pool's arguments is the pool's own, and what it has from the daemon.
//! - `check.rs`: what is wrong with pools that are right each on its own.
//! - `roster.rs`: the list of pools, and what has become of changes, beside the pid file, by which the command finds them.
//! - `begin.rs`: coming up as an arbiter; `arbiter.rs`: its loop; `start.rs`: executing the program as a pool's parent;
//!   `pool_process.rs`: that parent, as the arbiter has it; `heard.rs`: what it reports.
//! - `watch.rs`: files that the arbiter watches for all pools; `ways.rs`: what pools hand connections to each other by; `words.rs`:
//!   what is logged.
//! - `upgrade.rs`: becoming another program with all pools, or this one again to read its settings; `takeover.rs`: going on with
//!   those of the old one; `follow.rs`: having the pools follow, each by its own parent.

mod arbiter;
mod begin;
mod check;
mod follow;
mod heard;
mod member;
mod pool_process;
mod roster;
mod start;
mod takeover;
mod upgrade;
mod watch;
mod ways;
mod words;

pub use roster::read_roster;

use std::fmt;

use prefork_core::pools::MadeOf;

use crate::{
    Args, ArgsError, Child, Prefork, Result, Returned, RunError,
    args::number_of,
    seat::{Order, Seat, Seated},
    upgrade::{Inherited, inherited},
};
use member::{Kind, Member};

/// Several pools in one daemon: each with its own listeners, user, limits, hooks and main loop, all with one pid file, one
/// start and one stop.
///
/// A daemon of several pools has a process that holds its pid file and the sockets, the *arbiter*, and below it a parent for
/// each pool, which is the parent of a daemon of that pool alone. So whatever one pool's [`after_init`](Args::after_init)
/// has loaded is in the memory of no other pool. The parent of a pool is started by executing the program once more, with the same
/// arguments: it comes to [`run`](Self::run) again, and that becomes the pool. What the program does before is done for
/// each pool.
///
/// # What is shared
///
/// Arguments that are set in `common` are those of every pool that does not set them itself. Those of the whole daemon are set
/// there alone: [`daemonize`](Args::daemonize), [`require_root`](Args::require_root), and
/// [`pid_path`](Args::pid_path). What is watched by [`auto_reload_check_every`](Args::auto_reload_check_every) there is watched once, and
/// a change is one upgrade or reload of the whole; a pool that sets one of the arguments about that watches for itself. From `/run/app.pid` follows `/run/app.web.pid` for the pool `web`, and likewise from
/// [`scoreboard_path`](Args::scoreboard_path), so that the command `prefork` finds each pool by its own files. A pool is called
/// `app/web` in its log lines, where the daemon is called `app`.
///
/// # Pools that sleep
///
/// A pool with [`prefork`](Args::prefork) 0 has no process at all until a client waits at one of its
/// [`listen`](Args::listen) addresses. Then it is started, and once it has had nothing to do for
/// [`sleep_after`](Args::sleep_after), it ends again. Its sockets are open all the time, so that no client is refused.
///
/// # Signals
///
/// `SIGTERM`, `SIGINT` and `SIGQUIT` stop all pools, `SIGHUP` reloads the daemon ([how](crate::docs::pools#reloads)), `SIGUSR1` has all of them open their logs
/// again, and `SIGUSR2` upgrades the daemon with all of them ([how](crate::docs::pools#upgrades)). One pool alone is reloaded, upgraded, stopped or resized by the same signals to its own parent. A pool that was stopped so is
/// started again.
///
/// # Examples
///
/// ```no_run
/// use prefork::{AnyListener, Args, Child, Pools, Waited};
///
/// fn web(child: &mut Child, listener: &AnyListener) -> prefork::Result {
///     while let Some((_connection, _peer)) = child.accept(listener)? {
///         // serve it
///     }
///     Ok(())
/// }
///
/// fn scheduler(child: &mut Child) -> prefork::Result {
///     while child.wait(std::time::Duration::from_secs(60))? == Waited::TimedOut {
///         // what is due every minute
///     }
///     Ok(())
/// }
///
/// let common = Args::new().name("app").daemonize(false).pid_path("/run/app.pid");
/// let returned = Pools::new(common)
///     .pool("web", Args::new().listen("127.0.0.1:8000").prefork(4).main_loop(web))
///     .pool("reports", Args::new().listen("127.0.0.1:8001").prefork(0).main_loop(web))
///     .role("scheduler", scheduler)
///     .run()?;
/// # drop(returned);
/// # Ok::<(), prefork::RunError>(())
/// ```
#[must_use]
pub struct Pools {
    common: Args,
    members: Vec<Member>,
    ceilings: check::Ceilings,
    /// The names of those whose arguments cannot be had now.
    unreadable: Vec<String>,
}

impl Pools {
    /// Begins with what all pools have in common.
    pub const fn new(common: Args) -> Self {
        let ceilings = check::Ceilings { children: None, memory: None };
        Self { common, members: Vec::new(), ceilings, unreadable: Vec::new() }
    }

    /// Adds a pool.
    ///
    /// The name is 1 to 32 of the characters `a` to `z`, `0` to `9`, `-` and `_`: it stands in the names of files.
    pub fn pool<S: 'static>(mut self, name: impl Into<String>, args: Args<S>) -> Self {
        self.members.push(Member::new(name.into(), Kind::Pool, args));
        self
    }

    /// Adds a role: a main loop that is run by exactly one process at any time, as for a scheduler or a leader.
    ///
    /// It is started again whenever it ends, after a pause if it ends early, as children are. There are never two at once: at a
    /// reload the old one ends before the next is started, and each holds a lock on a file beside the pid file
    /// (`/run/app.scheduler.lock`, see `flock(2)`) that the kernel gives up with the process, so that another
    /// daemon's waits. That needs a [`pid_path`](Args::pid_path) in `common`.
    pub fn role(
        self,
        name: impl Into<String>,
        mut main_loop: impl FnMut(&mut Child) -> Result + 'static,
    ) -> Self {
        self.role_with(name, Args::new().main_loop(move |child, ()| main_loop(child)))
    }

    /// Adds a role with arguments of its own, as a user. Sizes and listeners are not among them.
    pub fn role_with<S: 'static>(mut self, name: impl Into<String>, args: Args<S>) -> Self {
        self.members.push(Member::new(name.into(), Kind::Role, args));
        self
    }

    /// Sets how many children all pools together never exceed, those included that stand in for others. Default: as many as
    /// the pools have each on its own.
    ///
    /// Each pool is sure of its [`prefork`](Args::prefork), and a role of its process, so the ceiling is at least as many. What
    /// is left goes where clients wait, up to [`max_children`](Args::max_children) of each pool, by
    /// [`weight`](Self::weight) where there is not enough. What has nothing to do elsewhere is taken back for it, at once;
    /// who is at work finishes that first, and is not replaced.
    pub const fn ceiling(mut self, children: u32) -> Self {
        self.ceilings.children = Some(children);
        self
    }

    /// Sets how much memory the children of all pools together take at most, in bytes, 1 MiB or more; alone, or beside
    /// [`ceiling`](Self::ceiling), so that neither is exceeded. Default: no limit.
    ///
    /// Each child counts with the [`child_memory`](Self::child_memory) of its pool, or with what its children are found to take on
    /// average, if that is more ([how](crate::docs::pools#of-memory)). As long as none takes more than is declared, all
    /// together never do. Where children take more, nobody is ended for it: no pool gets further children until there is room, and those
    /// that have more than their share by [`weight`](Self::weight) give them up, as requests end, down to their
    /// [`prefork`](Args::prefork). What is to hold whatever happens is the kernel's to keep: set a limit for each child by
    /// [`child_memory_limit`](Args::child_memory_limit), or one for all in the control group of the daemon.
    ///
    /// The parents of the pools, and what they share with their children, do not count: leave room for these.
    pub const fn memory_ceiling(mut self, bytes: u64) -> Self {
        self.ceilings.memory = Some(bytes);
        self
    }

    /// Sets how much memory a child of the pool that was added last takes, in bytes, 1 MiB or more: what it has grown to when it
    /// has worked for a while, less what it shares with its parent. Default: its
    /// [`child_memory_limit`](Args::child_memory_limit). Needs a [`memory_ceiling`](Self::memory_ceiling), which needs it for each
    /// pool and role.
    pub fn child_memory(mut self, bytes: u64) -> Self {
        if let Some(member) = self.members.last_mut() {
            member.child_memory = Some(bytes);
        }
        self
    }

    /// Sets the weight of the pool that was added last, 1 to 10,000: with 2 it has twice as much of what is to be shared as a pool
    /// with 1, while both want more. Default 1. Needs a [`ceiling`](Self::ceiling) or a
    /// [`memory_ceiling`](Self::memory_ceiling), of which it is memory that is shared by weight.
    pub fn weight(mut self, weight: u32) -> Self {
        if let Some(member) = self.members.last_mut() {
            member.weight = Some(weight);
        }
        self
    }

    /// Says what the pool that was added last is made of: all that, if it is another one, is to have the pool reloaded, as the text of its
    /// settings. A reload of the daemon then leaves this pool alone where that is as it was. Default: a reload of the daemon
    /// is one of each pool.
    ///
    /// Only a number made of it is kept. Does nothing where the daemon does not read its settings again, which it does if those
    /// in `common` were set by [`Args::settings`].
    pub fn made_of(mut self, settings: impl AsRef<[u8]>) -> Self {
        if let Some(member) = self.members.last_mut() {
            member.made_of = MadeOf::Settings(number_of(settings.as_ref()));
        }
        self
    }

    /// Says that there is to be a pool of this name, but its arguments cannot be had now, as the file in which they stand is wrong. At
    /// a start it is left out. At a reload or an upgrade one that the daemon has goes on as it is, with its addresses and its
    /// processes, until its arguments can be had again.
    pub fn unreadable(mut self, name: impl Into<String>) -> Self {
        self.unreadable.push(name.into());
        self
    }

    /// Returns whether this process is to go on with the pools of a daemon that runs already, or to try whether it could: after
    /// a reload or an upgrade of the whole.
    #[must_use]
    pub fn goes_on() -> bool {
        inherited().is_some()
    }

    /// Reports, in a process that [`goes_on`](Self::goes_on), why it cannot, before it ends without having come to
    /// [`run`](Self::run): the daemon logs that, and goes on as it was. Does nothing in others.
    pub fn refuse(error: &(dyn std::error::Error + 'static)) {
        if let Some(inherited) = &*inherited() {
            inherited.refuse(None, error);
        }
    }

    /// Returns the name of the pool that this process is to be, if an arbiter has started it for that: so a program with many
    /// pools need not make the arguments of all others. To be asked before [`run`](Self::run), which makes it that pool.
    #[must_use]
    pub fn name_of_own() -> Option<String> {
        Order::peek().map(|order| order.pool)
    }

    /// Checks the arguments of all pools; nothing is opened or started.
    ///
    /// # Errors
    ///
    /// Fails with every fault found. An argument of a pool is named with the pool: `web.max_children`.
    pub fn check(self) -> Result<(), ArgsError> {
        check::all(self.common, self.members, Vec::new(), self.ceilings).map(drop)
    }

    /// Runs the daemon, as [`Prefork::run`] does for one of a single pool.
    ///
    /// It also returns in the parent of each pool, when that has ended.
    ///
    /// # Errors
    ///
    /// Fails with [`RunError::Args`] if arguments are wrong, with [`RunError::PoolDied`] or
    /// [`RunError::PoolNotReady`] if one of the pools does not come up, in which case all others are ended, and as
    /// [`Prefork::run`] does.
    pub fn run(self) -> Result<Returned, RunError> {
        match Order::take() {
            Some(order) => self.run_pool(order),
            None => {
                let kept = kept(&self.unreadable);
                let daemon = check::all(self.common, self.members, kept, self.ceilings);
                let daemon = daemon.map_err(|error| refuse(error.into()))?;
                let check::Daemon { args, members, limits } = daemon;
                let listens = members.clone();
                let args = args.after_init(move |init| begin::listen(init, &listens));
                let daemon = Prefork::new(args.main_loop(|_child, _sockets| Ok(())))?;
                daemon.run_as(
                    None,
                    |prepared, readiness| begin::serve(prepared, &members, limits, readiness),
                    |prepared, log, old| takeover::take_over(prepared, log, old, &members, limits),
                )
            }
        }
    }

    /// Becomes one of the pools.
    fn run_pool(self, order: Order) -> Result<Returned, RunError> {
        let Self { common, members, .. } = self;
        let Some(member) = members.into_iter().find(|member| member.name == order.pool) else {
            return Err(refuse(RunError::NoSuchPool { pool: order.pool }));
        };
        member.adjusted(&common).run(Seat::new(order))
    }
}

/// Returns those of these pools that the daemon has which goes on here.
fn kept(names: &[String]) -> Vec<Seated> {
    let inherited = inherited();
    let seats = inherited.iter().flat_map(Inherited::seats);
    let kept = seats.filter(|seated| names.contains(&seated.name)).cloned();
    kept.map(|seated| Seated { made_of: MadeOf::Unreadable, ..seated }).collect()
}

/// Passes an error on to the program that has executed this one to take its place, if one has.
fn refuse(error: RunError) -> RunError {
    if let Some(inherited) = &*inherited() {
        inherited.refuse(None, &error);
    }
    error
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.members.iter().map(|member| &member.name).collect();
        f.debug_struct("Pools").field("common", &self.common).field("pools", &names).finish()
    }
}
