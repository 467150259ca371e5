//! One of several pools: what of its arguments is its own, and what it has from the daemon.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prefork_core::pools::{MadeOf, PoolKind as ListedKind, file_of_pool};

use crate::{
    Args, ArgsError, Prefork, Returned, RunError,
    args::{Data, PoolKind},
    seat::Seat,
};

/// A pool, or a role.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) args: Box<dyn AnyArgs>,
    pub(super) weight: Option<u32>,
    /// How many bytes a child takes.
    pub(super) child_memory: Option<u64>,
    pub(super) made_of: MadeOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pool,
    Role,
}

impl Member {
    pub(super) fn new<S: 'static>(name: String, kind: Kind, args: Args<S>) -> Self {
        let (args, weight, child_memory) = (Box::new(args), None, None);
        Self { name, kind, args, weight, child_memory, made_of: MadeOf::Unsaid }
    }

    /// Whether it has no process while there is nothing to do.
    pub(super) fn is_on_demand(&self) -> bool {
        self.kind == Kind::Pool && self.args.data().settings.prefork == Some(0)
    }

    /// What it is to those who look.
    pub(super) fn listed_kind(&self) -> ListedKind {
        match self.kind {
            Kind::Role => ListedKind::Role,
            Kind::Pool if self.is_on_demand() => ListedKind::OnDemand,
            Kind::Pool => ListedKind::Pool,
        }
    }

    /// Adds what it has from the daemon.
    pub(super) fn adjusted(mut self, common: &Args) -> Box<dyn AnyArgs> {
        let is_on_demand = self.is_on_demand();
        let (name, common) = (&self.name, &common.data);
        let has_handler = self.args.has_auto_reload_handler();
        let data = self.args.data_mut();
        let own = std::mem::take(&mut data.settings);
        let mut common_settings = common.settings.clone();
        // Of the daemon, or found beside what the daemon has.
        (common_settings.daemonize, common_settings.require_root) = (Some(false), None);
        let daemon = crate::args::check::name_of(common.settings.name.as_deref());
        common_settings.name = Some(format!("{daemon}/{name}"));
        for path in [&mut common_settings.pid_path, &mut common_settings.scoreboard_path] {
            *path = path.as_deref().map(|path| file_of_pool(path, name));
        }
        if own.scoreboard_path.is_some() || own.scoreboard_in_memory.is_some() {
            (common_settings.scoreboard_path, common_settings.scoreboard_in_memory) = (None, None);
        }
        let watches = has_handler
            || data.auto_reload_watch.is_some()
            || own.auto_reload_check_every.is_some();
        if !watches {
            // The arbiter does, for all that do not.
            common_settings.auto_reload_check_every = None;
        }
        common_settings.auto_reload_handler = None;
        if !is_on_demand {
            common_settings.sleep_after = None;
        }
        let lock = common.settings.pid_path.as_deref().map(|path| lock_beside(path, name));
        data.settings = own.or(&common_settings);
        data.has_settings |= common.has_settings;
        data.version = data.version.take().or_else(|| common.version.clone());
        match (self.kind, is_on_demand) {
            (Kind::Role, _) => {
                let settings = &mut data.settings;
                (settings.prefork, settings.max_children) = (Some(1), Some(1));
                data.pool = PoolKind::Role { lock };
            }
            (Kind::Pool, true) => {
                data.settings.prefork = Some(1);
                if data.settings.scoreboard_path.is_none() {
                    data.settings.scoreboard_in_memory = Some(true);
                }
                data.pool = PoolKind::OnDemand;
            }
            (Kind::Pool, false) => data.pool = PoolKind::Member,
        }
        self.args
    }
}

/// The path of a role's lock: `/run/app.scheduler.lock` beside `/run/app.pid`.
fn lock_beside(path: &Path, role: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".{role}.lock"));
    path.with_file_name(name)
}

/// The arguments of a pool, whatever its `after_init` returns.
pub(super) trait AnyArgs {
    fn data(&self) -> &Data;

    fn data_mut(&mut self) -> &mut Data;

    /// Whether it says what to do when files have changed.
    fn has_auto_reload_handler(&self) -> bool;

    /// Checks them.
    fn check(self: Box<Self>) -> Result<Facts, ArgsError>;

    /// Runs them as a pool.
    fn run(self: Box<Self>, seat: Seat) -> Result<Returned, RunError>;
}

/// What the arbiter has to know of a pool.
pub(super) struct Facts {
    /// How long it may take to stop.
    pub(super) stop: Duration,
    /// How many children it has at rest, and at most.
    pub(super) sizes: [u32; 2],
    /// How many bytes each may have, if that is limited.
    pub(super) child_memory_limit: Option<u64>,
}

impl<S: 'static> AnyArgs for Args<S> {
    fn data(&self) -> &Data {
        &self.data
    }

    fn data_mut(&mut self) -> &mut Data {
        &mut self.data
    }

    fn has_auto_reload_handler(&self) -> bool {
        self.parent_hooks.auto_reload_handler.is_some()
    }

    fn check(self: Box<Self>) -> Result<Facts, ArgsError> {
        let child_memory_limit = self.data.settings.child_memory_limit;
        let daemon = Prefork::check(*self)?;
        Ok(Facts { stop: daemon.longest_stop(), sizes: daemon.sizes(), child_memory_limit })
    }

    fn run(self: Box<Self>, seat: Seat) -> Result<Returned, RunError> {
        Prefork::new(*self)?.run_in(Some(seat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_role_is_beside_the_pid_file() {
        for (path, expected) in [("/run/app.pid", "/run/app.cron.lock"), ("pid", "pid.cron.lock")] {
            assert_eq!(lock_beside(Path::new(path), "cron"), Path::new(expected), "{path}");
        }
    }
}
