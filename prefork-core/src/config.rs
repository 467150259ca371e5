//! The settings of a supervisor.

use std::time::Duration;

use crate::{Hook, ScalingPolicy, Tuning};

/// The most children a pool can have: 65,536.
pub const LARGEST_POOL: u32 = 65_536;

/// The settings of a [`Supervisor`](crate::Supervisor).
///
/// # Examples
///
/// ```
/// use prefork_core::Config;
/// use std::time::Duration;
///
/// let mut config = Config::new(3, 150)?;
/// config.graceful_timeout = Duration::from_secs(5);
/// # Ok::<(), prefork_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    prefork: u32,
    max_children: u32,
    /// How long children may take to finish what they have in hand when the daemon stops. Default 30 s.
    pub graceful_timeout: Duration,
    /// How long a child may take to finish what it has in hand when it is replaced, or is one too many, while the
    /// daemon serves on. Default none: as long as it takes.
    pub reload_timeout: Option<Duration>,
    /// How long children may take to leave after [`Action::Interrupt`](crate::Action::Interrupt) or
    /// [`Action::Abort`](crate::Action::Abort). Default 1 s.
    pub interrupt_timeout: Duration,
    /// How long a child may take for that whose core dump is being written, while the daemon serves on. Default 60 s.
    pub core_dump_timeout: Duration,
    /// How long to wait for the kernel to end a child after
    /// [`Action::Kill`](crate::Action::Kill). Default 5 s.
    pub kill_timeout: Duration,
    /// How long the first children may take to be ready; later, how long each child may take to be in
    /// its main loop, and a new program to say that it works. Default 60 s.
    pub start_timeout: Duration,
    /// How much of [`start_timeout`](Self::start_timeout) was used up before
    /// [`Event::Start`](crate::Event::Start). Default 0.
    pub start_used: Duration,
    /// A child that has been in its main loop for this long serves, even if it never says that it
    /// waits for work. Default 100 ms.
    pub settle: Duration,
    /// A child that ends without having worked within this time of its spawn, or before it ever
    /// served, died early. Default 1 s.
    pub early: Duration,
    /// The delay before the next spawn after a first early death that is not tolerated (see
    /// [`Supervisor`](crate::Supervisor#early-deaths)); it doubles with every further
    /// one. At least 1 ms. Default 10 ms.
    pub throttle_first: Duration,
    /// The longest delay between spawns after early deaths; at least the first one. Default 10 s.
    pub throttle_cap: Duration,
    /// The delay after a first spawn that failed; it doubles with every further one. At
    /// least 1 ms. Default 10 ms.
    pub spawn_retry_first: Duration,
    /// The longest delay after a spawn that failed; at least the first one. Default 1 s.
    pub spawn_retry_cap: Duration,
    /// Whether the pool follows its load. Default [`Pool::Fixed`].
    pub pool: Pool,
    /// How many stand-ins may be started at a time for children that are to be replaced, 1 to `max_children`
    /// (what is beyond is taken as the nearest): so many more than the maximum there can be meanwhile. Default: a
    /// quarter of `prefork`, at least 1.
    pub max_surge: u32,
    /// Whether there is never more than one process: the pool has a role that only one may have, as a scheduler. The old one
    /// leaves before the next is started, in a reload too, which is then started at once. What the settings say of more
    /// children does not count. Default no.
    pub exclusive: bool,
    /// After how long without work the pool ends by itself, with [`Verdict::Asleep`](crate::Verdict::Asleep), for somebody who
    /// keeps its sockets and starts it again: its children leave, and then the daemon stops as it always does, but that the
    /// sockets stay open to newcomers. At rest that costs one look each time. Never while a child is at work, a connection or
    /// a job is known to wait, children have never said what they do, or anything is being replaced. With
    /// [`Event::Ceiling`](crate::Event::Ceiling) of 0 it ends as soon as what is in hand is finished. Default never. Needs a
    /// pool other than [`Pool::Fixed`].
    pub sleep_after: Option<Duration>,
    /// How old a child may get before it is replaced, give or take a tenth, so that children of one
    /// age do not all go at once. Default none.
    pub max_lifetime: Option<Duration>,
    /// How long a child may be at work on one request. It is then ended, by a signal that leaves a
    /// trace at first. Default none. Needs a pool other than [`Pool::Fixed`], as it is read from what children report.
    pub request_timeout: Option<Duration>,
    /// Within what time it is to be noticed that the client of a child at work has gone. Default never. Needs a pool other
    /// than [`Pool::Fixed`], as it takes knowing which children are at work.
    pub netwatch_interval: Option<Duration>,
    /// What becomes of what children have started, once they have ended. Default [`Descendants::Keep`].
    pub descendants: Descendants,
    /// The hooks that the program has. Default none.
    pub hooks: Vec<Hook>,
    /// How long a call of a hook may take; see [`Hook`](crate::Hook). Default 30 s.
    pub hook_timeout: Duration,
    /// For how long at the most a child that has been at one request for too long is looked into before it is ended, where the
    /// program has no [`Hook::OnTimeout`] that may take longer. Default `None`: it is not looked into.
    pub look_into: Option<Duration>,
    /// How long after one question how many jobs wait ([`Hook::Demand`]) the next one comes. Default 1 s. Needs a pool
    /// other than [`Pool::Fixed`].
    pub demand_every: Duration,
    /// How many processors there are, if the pool is not to grow beyond that for children that compute. Default none: it grows
    /// as clients wait. Needs [`Pool::ByLoad`]. Somebody must be able to carry out
    /// [`Action::LookAtWork`](crate::Action::LookAtWork).
    pub processors: Option<u32>,
    /// How long clients may wait for a child before there are to be more. Default none: there are more as soon as nobody is free, by
    /// [`Tuning::min_spare`], which counts for nothing then where it is known how many connections wait. Needs [`Pool::ByLoad`], and
    /// [`Supervisor::accepted`](crate::Supervisor::accepted) at each look.
    pub queue_target: Option<Duration>,
    /// Whether a reload reads settings again. Default [`Reread::Never`].
    pub reread: Reread,
    /// What is known of the memory of children. Default [`Measuring::Nothing`].
    pub measuring: Measuring,
    /// How long a child may take to leave by itself after
    /// [`Event::Cancelled`](crate::Event::Cancelled). Default 200 ms.
    pub cancel_timeout: Duration,
}

/// What is known of the memory of children. With more than nothing, somebody must be able to carry out
/// [`Action::Measure`](crate::Action::Measure).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measuring {
    /// Nothing.
    #[default]
    Nothing,
    /// How much each has: the largest one is retired first.
    Children,
    /// How much all have together, too, and how much that may be: the pool is kept below.
    Guard,
}

/// Whether a reload reads settings again, before children are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reread {
    /// There is nothing to read.
    #[default]
    Never,
    /// It does. Somebody must be able to carry out [`Action::ReadSettings`](crate::Action::ReadSettings).
    AtReload,
}

/// What becomes of processes that children have started, once these have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Descendants {
    /// They live on.
    #[default]
    Keep,
    /// They are ended. Somebody must be able to carry out
    /// [`Action::EndDescendants`](crate::Action::EndDescendants).
    End,
}

/// Whether a pool follows its load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// It has `prefork` children.
    #[default]
    Fixed,
    /// Each child serves one client, says so by [`Event::Worked`](crate::Event::Worked), and ends. As many children wait as
    /// clients come while one child starts, at least `prefork`, or [`Tuning::min_spare`] if that is more, and at most
    /// [`Tuning::max_spare`]; with those at work there are never more than `max_children`. Somebody must be able to answer
    /// [`Action::Observe`](crate::Action::Observe).
    OneShot(Tuning),
    /// It has from `prefork` up to `max_children`, as [`ScalingPolicy`] decides. Somebody must be
    /// able to answer [`Action::Observe`](crate::Action::Observe).
    ByLoad(Tuning),
}

impl Pool {
    /// A pool that follows its load, with the documented behaviour: it grows when all children are
    /// busy.
    pub const BY_LOAD: Self = Self::ByLoad(Tuning::DEFAULT);
}

impl Config {
    /// Makes settings for a pool that starts with `prefork` children and never has more than
    /// `max_children`, with the default of every time limit.
    ///
    /// # Errors
    ///
    /// Fails if `prefork` is 0 or greater than `max_children`, or `max_children` is greater than
    /// [`LARGEST_POOL`].
    pub const fn new(prefork: u32, max_children: u32) -> Result<Self, ConfigError> {
        if let Err(error) = check_size(prefork, max_children) {
            return Err(error);
        }
        Ok(Self {
            prefork,
            max_children,
            graceful_timeout: Duration::from_secs(30),
            reload_timeout: None,
            interrupt_timeout: Duration::from_secs(1),
            core_dump_timeout: Duration::from_secs(60),
            kill_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(60),
            start_used: Duration::ZERO,
            settle: Duration::from_millis(100),
            early: Duration::from_secs(1),
            throttle_first: Duration::from_millis(10),
            throttle_cap: Duration::from_secs(10),
            spawn_retry_first: Duration::from_millis(10),
            spawn_retry_cap: Duration::from_secs(1),
            pool: Pool::Fixed,
            max_surge: if prefork < 8 { 1 } else { prefork / 4 },
            exclusive: false,
            sleep_after: None,
            max_lifetime: None,
            request_timeout: None,
            netwatch_interval: None,
            descendants: Descendants::Keep,
            hooks: Vec::new(),
            processors: None,
            queue_target: None,
            hook_timeout: Duration::from_secs(30),
            look_into: None,
            demand_every: Duration::from_secs(1),
            reread: Reread::Never,
            measuring: Measuring::Nothing,
            cancel_timeout: Duration::from_millis(200),
        })
    }

    /// Changes how many children the pool goes back to, and how many it never exceeds; all else stays.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); nothing is changed then.
    pub fn resize(&mut self, prefork: u32, max_children: u32) -> Result<(), ConfigError> {
        check_size(prefork, max_children)?;
        (self.prefork, self.max_children) = (prefork, max_children);
        Ok(())
    }

    /// Returns the number of children the pool starts with and goes back to.
    #[must_use]
    pub const fn prefork(&self) -> u32 {
        self.prefork
    }

    /// Returns how many slots a pool needs: the maximum, and those that stand in for others.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.max_children.saturating_add(self.stand_ins())
    }

    /// Returns how many may stand in for others at a time.
    pub(crate) const fn stand_ins(&self) -> u32 {
        match self.max_surge {
            0 => 1,
            many if many > self.max_children => self.max_children,
            some => some,
        }
    }

    pub(crate) const fn set_prefork(&mut self, prefork: u32) {
        self.prefork = prefork;
    }

    /// Returns the policy of a pool that follows its load.
    pub(crate) fn scaling_policy(&self) -> Option<ScalingPolicy> {
        match self.pool {
            Pool::Fixed => None,
            Pool::ByLoad(tuning) | Pool::OneShot(tuning) => {
                Some(ScalingPolicy::tuned(self.prefork, self.max_children, tuning))
            }
        }
    }

    /// Returns the number of children that is never exceeded.
    #[must_use]
    pub const fn max_children(&self) -> u32 {
        self.max_children
    }
}

const fn check_size(prefork: u32, max_children: u32) -> Result<(), ConfigError> {
    if prefork == 0 {
        return Err(ConfigError::NoChildren);
    }
    if prefork > max_children {
        return Err(ConfigError::PreforkAboveMaximum { prefork, max_children });
    }
    if max_children > LARGEST_POOL {
        return Err(ConfigError::PoolTooLarge { max_children });
    }
    Ok(())
}

/// Why settings make no sense.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A pool needs children.
    #[error("prefork is 0: a pool needs at least 1 child")]
    NoChildren,
    /// The pool would start above its maximum.
    #[error("prefork ({prefork}) is greater than max_children ({max_children})")]
    PreforkAboveMaximum {
        /// The number of children asked for at the start.
        prefork: u32,
        /// The maximum asked for.
        max_children: u32,
    },
    /// The maximum is beyond what a pool can have.
    #[error("max_children ({max_children}) is greater than {LARGEST_POOL}")]
    PoolTooLarge {
        /// The maximum asked for.
        max_children: u32,
    },
}

crate::debug_as_chain!(ConfigError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked() {
        assert!(Config::new(1, 1).is_ok());
        assert!(Config::new(LARGEST_POOL, LARGEST_POOL).is_ok());
        assert_eq!(Config::new(0, 1), Err(ConfigError::NoChildren));
        assert_eq!(
            Config::new(4, 3),
            Err(ConfigError::PreforkAboveMaximum { prefork: 4, max_children: 3 })
        );
        assert_eq!(
            Config::new(1, LARGEST_POOL + 1),
            Err(ConfigError::PoolTooLarge { max_children: LARGEST_POOL + 1 })
        );
    }
}
