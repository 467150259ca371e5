//! What comes before the daemon goes to the background, and what it is made of then.

use std::{io, os::fd::OwnedFd, time::Duration};

use super::{
    Prefork,
    open_logs::{open_access_log, open_error_log},
};
use crate::{
    RunError,
    args::{
        AfterInit,
        check::{Plan, Pool, Settings},
    },
    child::Body,
    logs::log::{Log, Role},
    manager::{MainPid, Manager, longest_stop},
    parent::Basis,
    program::Invocation,
    seat::Seat,
    sockets::activation::{self, Activated},
    start::{Opened, call},
    sys::threads::Others,
    system::os::pidfds_work,
    upgrade::Inherited,
};

/// The plan, with its logs opened and the sockets of the service manager taken.
pub(crate) struct Prepared<S> {
    pub(crate) basis: Basis,
    pub(crate) activated: Vec<Activated>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) opened: Opened,
    pub(crate) body: Body<S>,
}

/// Does what comes before the daemon goes to the background.
pub(super) fn prepare<S>(
    plan: Plan<S>,
    invocation: io::Result<Invocation>,
    inherited: Option<&Inherited>,
    seat: Option<Seat>,
) -> Result<(Prepared<S>, Option<OwnedFd>), RunError> {
    let Plan { mut settings, users, error_log, access_log, before_daemonize, .. } = plan;
    refuse_threads(&settings)?;
    require_pidfds(&settings)?;
    let in_place = inherited.is_some_and(Inherited::is_in_background);
    let in_background = inherited.map_or(settings.daemonize, Inherited::is_in_background);
    let main_pid = if in_background { MainPid::Found } else { MainPid::Reported };
    settings.manager = Manager::from_environment(in_place, main_pid);
    let activated = take_activated(&settings, inherited, seat.as_ref());
    let log = Log::new(&settings.name, Role::Parent);
    let activated = settings.manager.sort_kept(activated, &log);
    if let Some(hook) = before_daemonize {
        call("before_daemonize", hook)?;
    }
    let opened = Opened::before_daemon(|number| {
        inherited.is_some_and(|it| it.is_handed_over(number))
            || seat.as_ref().is_some_and(|seat| seat.has(number))
    });
    let error_log = open_error_log(error_log, inherited)?;
    let basis = Basis {
        settings,
        users,
        access_log: open_access_log(access_log, inherited)?,
        invocation,
        hooks: plan.parent_hooks,
        auto_reload: plan.auto_reload,
        seat,
    };
    let (after_init, body) = (plan.after_init, plan.body);
    let prepared = Prepared { basis, activated, after_init, opened, body };
    Ok((prepared, error_log))
}

/// Takes over the sockets of the service manager, before anybody can inherit or close them.
fn take_activated(
    settings: &Settings,
    inherited: Option<&Inherited>,
    seat: Option<&Seat>,
) -> Vec<Activated> {
    if inherited.is_some() {
        // They are among what was inherited, and the numbers mean something else by now.
        activation::forget();
        return Vec::new();
    }
    if let Some(seat) = seat {
        seat.close_link_on_exec();
        return seat.sockets();
    }
    activation::take(&Log::new(&settings.name, Role::Parent))
}

/// Processes are signalled by descriptors alone, so that no number is ever mistaken for another process.
fn require_pidfds(settings: &Settings) -> Result<(), RunError> {
    let Pool::Children(_) = settings.pool else { return Ok(()) };
    pidfds_work().map_err(RunError::system(
        "signal processes by pidfd_open(2) and pidfd_send_signal(2), as Linux 5.10 and later can where \
         no sandbox forbids it",
    ))
}

fn refuse_threads(settings: &Settings) -> Result<(), RunError> {
    let forks = settings.daemonize || matches!(settings.pool, Pool::Children(_));
    let others =
        Others::at_start().map_err(RunError::system("count the threads of this process"))?;
    if forks && others.count() > 0 {
        return Err(RunError::Threads { count: others.count() + 1, names: others.to_string() });
    }
    Ok(())
}

impl<S> Prefork<S> {
    /// Returns how long a stop may take at most.
    pub(crate) fn longest_stop(&self) -> Duration {
        let solo =
            self.plan.settings.graceful_timeout.saturating_add(self.plan.settings.hook_timeout);
        match &self.plan.settings.pool {
            Pool::Solo => solo,
            Pool::Children(config) => longest_stop(config),
        }
    }

    /// Returns how many children there are at rest, and at most, those included that stand in for others.
    pub(crate) fn sizes(&self) -> [u32; 2] {
        match &self.plan.settings.pool {
            Pool::Solo => [0, 0],
            Pool::Children(config) if config.exclusive => [1, 1],
            Pool::Children(config) => [config.prefork(), config.slots()],
        }
    }
}
