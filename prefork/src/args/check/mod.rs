//! Checking the arguments, all at once, before anything is started.

mod faults;
mod files;
mod hands_to;
mod isolation;
mod listen;
mod memory;
mod name;
mod one_shot;
mod pool;
mod settings;
mod status;
mod unused;

use std::{env, path::PathBuf, rc::Rc, time::Duration};

use prefork_core::MOST_AT_ONCE;
use prefork_daemonize::{Privileges, PrivilegesFault, WantedPrivileges};
use prefork_isolate::Layers;
use prefork_reload::WatchList;

use crate::{
    Args, ArgsError, ErrorChain,
    args::settings::{Fixed, InForce, Live, Mask, Reaction, faults_read, files_read},
    args::{self, AfterInit, BeforeDaemonize, Data, PoolKind, defaults},
    board::Place,
    child::{Body, Limits},
    hooks::ParentHooks,
    manager::Manager,
    program::Invocation,
    program::{AutoReload, Handler},
    status::{Address, Audiences},
    system::os::ChildLimits,
};

use faults::Faults;
use files::Files;
pub(crate) use name::name_of;
pub(crate) use settings::{AccessTarget, ErrorLog, Pool, Settings, Users};

const SHORTEST_NETWATCH_INTERVAL: Duration = Duration::from_millis(50);
const SHORTEST_DEMAND_EVERY: Duration = Duration::from_millis(50);

/// What the arguments amount to: all of it makes sense together, and what is required is there.
///
/// Two, as in `Args` nothing is required and everything may be wrong, so that all faults can be reported at once; from
/// here on nobody asks again whether a value is there or what its default is.
pub(crate) struct Plan<S> {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    pub(crate) error_log: Option<ErrorLog>,
    pub(crate) access_log: Option<AccessTarget>,
    pub(crate) before_daemonize: Option<BeforeDaemonize>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) body: Body<S>,
    pub(crate) parent_hooks: ParentHooks,
    pub(crate) auto_reload: Option<AutoReload>,
}

/// When arguments are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// For the daemon that this process becomes.
    AtStart,
    /// For one that serves, whose parent may be root no more.
    AtReload,
}

/// Checks every argument and names each that is wrong. The program is where the origin says, if it is known.
pub(crate) fn check<S>(
    args: Args<S>,
    invocation: Option<&Invocation>,
    when: When,
) -> Result<Plan<S>, ArgsError> {
    let Args { mut data, before_daemonize, after_init, parent_hooks, body } = args;
    // What was found wrong when files, variables and flags were read goes first.
    let mut faults = Faults(faults_read().clone());
    let given = std::mem::take(&mut data.settings.faults);
    faults.0.extend(given.into_iter().filter(|fault| !faults_read().contains(fault)));
    let origins = data.settings.origins.clone();
    one_shot::imply_scoreboard(&mut data);
    let warnings = std::mem::take(&mut data.settings.warnings);
    if body.main_loop.is_none() {
        faults.required("main_loop", "");
    }
    listen::check(&data, &mut faults);
    match when {
        When::AtStart => require_root(&data, &mut faults),
        When::AtReload => {}
    }
    let without_effect = unused::refuse(&data, &parent_hooks, &mut faults);
    let fixed = Fixed::of(&data);
    let auto_reload = auto_reload(&mut data, &parent_hooks, &mut faults);
    if let (Some(handler), Some(invocation)) = (&parent_hooks.auto_reload_handler, invocation) {
        distrust_program(handler, invocation, &mut faults);
    }
    demand_every(&data, &mut faults);
    memory::check(&data.settings, &mut faults);
    if parent_hooks.on_client_disconnect.is_some() {
        netwatch_interval(&mut data, &mut faults);
    }
    let layers = match when {
        When::AtStart => isolation::check(&data.settings, &mut faults),
        When::AtReload => Layers::default(),
    };
    let (mut settings, mut users, error_log, access_log) =
        check_data(data, fixed, &parent_hooks, &mut faults);
    users.layers = Rc::new(layers);
    (settings.without_effect, settings.warnings) = (without_effect, warnings);

    if !faults.0.is_empty() {
        return Err(ArgsError::new(faults.with_origins(&origins)));
    }
    Ok(Plan {
        settings,
        users,
        error_log,
        access_log,
        before_daemonize,
        after_init,
        body,
        parent_hooks,
        auto_reload,
    })
}

fn require_root(data: &Data, faults: &mut Faults) {
    let user = rustix::process::geteuid();
    if data.settings.require_root == Some(true) && !user.is_root() {
        let user = user.as_raw();
        faults.add("require_root", format!("must be run as root, but the user id is {user}"));
    }
}

fn check_data(
    mut data: Data,
    fixed: Fixed,
    hooks: &ParentHooks,
    faults: &mut Faults,
) -> (Settings, Users, Option<ErrorLog>, Option<AccessTarget>) {
    let name = name::check(data.settings.name.as_deref(), faults);
    let version = name::check_version(data.version.take(), faults);
    concurrency(&data, faults);
    let is_one_shot = one_shot::check(&data, faults);
    let pool = pool::check(&data, hooks, faults);
    let users = users(&data.settings, faults);
    let limits =
        Limits { max_requests: data.settings.max_requests, max_memory: data.settings.max_memory };
    let (memory, processes) = (data.settings.child_memory_limit, data.settings.child_process_limit);
    let daemonize = data.settings.daemonize.unwrap_or(true);
    let status = status::check(&mut data, faults);
    let files = Files::check(&mut data, &status, faults);
    if daemonize {
        files.require_all(faults);
    }
    let own = std::mem::take(&mut data.own);
    let live = live(&data, hooks, &pool);
    let in_force = InForce {
        live,
        fixed,
        is_one_shot,
        files: files_read().clone(),
        own,
        runs: data.runs.take(),
    };
    let Files { pid_path, error_log_path, error_log, access_log, scoreboard } = files;
    let settings = Settings {
        name,
        version,
        metrics: data.metrics.take(),
        hands_to: hands_to::check(&mut data, faults),
        daemonize,
        directory: env::current_dir().ok(),
        pid_path,
        error_log_path,
        wants_scoreboard: matches!((&scoreboard, &pool), (None, Pool::Children(config))
            if data.settings.max_children.is_some() && config.max_children() > config.prefork()),
        scoreboard: scoreboard.map(|place| needed_place(place, &pool, &status)),
        pool,
        role_lock: role_lock(&mut data, faults),
        limits,
        child_limits: ChildLimits { memory, processes },
        start_timeout: data.settings.start_timeout.unwrap_or(defaults::START_TIMEOUT),
        graceful_timeout: data.settings.graceful_timeout.unwrap_or(defaults::GRACEFUL_TIMEOUT),
        hook_timeout: data.settings.hook_timeout.unwrap_or(defaults::HOOK_TIMEOUT),
        manager: Manager::default(),
        status,
        without_effect: Vec::new(),
        warnings: Vec::new(),
        in_force: Box::new(in_force),
    };
    (settings, users, error_log, access_log)
}

/// Returns the file of the lock of a role.
fn role_lock(data: &mut Data, faults: &mut Faults) -> Option<PathBuf> {
    match std::mem::take(&mut data.pool) {
        PoolKind::Role { lock } => lock.and_then(|lock| faults.path("pid_path", &lock)),
        PoolKind::Daemon | PoolKind::Arbiter | PoolKind::Member | PoolKind::OnDemand => None,
    }
}

/// Returns where the scoreboard is, of which one in memory may be read by nobody.
fn needed_place(place: Place, pool: &Pool, status: &Audiences<Address>) -> Place {
    match (place, pool) {
        // Read by the status page, or written by the main loop; else by nobody.
        (Place::Memory, Pool::Children(_)) if status.is_empty() => Place::Nowhere,
        (place, _) => place,
    }
}

/// What the arguments amount to of which a reload may change something.
fn live(data: &Data, hooks: &ParentHooks, pool: &Pool) -> Live {
    let (prefork, max_children, max_surge) = match pool {
        Pool::Solo => (0, 0, 0),
        Pool::Children(config) => (config.prefork(), config.max_children(), config.max_surge),
    };
    Live {
        prefork,
        max_children,
        min_spare: data.settings.min_spare.unwrap_or(defaults::MIN_SPARE),
        queue_target: data.settings.queue_target,
        max_spare: data.settings.max_spare,
        spawn_step: data.settings.spawn_step.unwrap_or(defaults::SPAWN_STEP),
        calm_time: data.settings.calm_time.unwrap_or(defaults::CALM_TIME),
        retire_pace: data.settings.retire_pace.unwrap_or(defaults::RETIRE_PACE),
        max_surge,
        concurrency: data.settings.concurrency.unwrap_or(defaults::CONCURRENCY),
        watch_processors: data.settings.watch_processors == Some(true),
        queue_time: data.settings.queue_time == Some(true),
        queue_limit: data.settings.queue_limit,
        queue_interval: data.settings.queue_interval,
        max_requests: data.settings.max_requests,
        max_lifetime: data.settings.max_lifetime,
        max_memory: data.settings.max_memory,
        memory_limit: data.settings.memory_limit,
        request_timeout: data.settings.request_timeout,
        start_timeout: data.settings.start_timeout.unwrap_or(defaults::START_TIMEOUT),
        graceful_timeout: data.settings.graceful_timeout.unwrap_or(defaults::GRACEFUL_TIMEOUT),
        reload_timeout: data.settings.reload_timeout,
        hook_timeout: data.settings.hook_timeout.unwrap_or(defaults::HOOK_TIMEOUT),
        demand_every: data.settings.demand_every.unwrap_or(defaults::DEMAND_EVERY),
        auto_reload_check_every: data.settings.auto_reload_check_every,
        auto_reload_handler: Reaction::to_changes(hooks.auto_reload_handler.as_ref()),
        on_client_disconnect: Reaction::to_disconnects(hooks.on_client_disconnect.as_ref()),
        netwatch_interval: data.settings.netwatch_interval,
        umask: data.settings.umask.map(Mask),
        no_new_privs: data.settings.no_new_privs == Some(true),
        rlimit_nofile: data.settings.rlimit_nofile,
        log_level: data.settings.log_level.unwrap_or_default(),
    }
}

/// The same of arguments that need not make sense together.
#[cfg(all(test, feature = "serde"))]
pub(crate) fn live_of(data: &Data, hooks: &ParentHooks) -> Live {
    let pool = pool::check(data, hooks, &mut Faults::default());
    live(data, hooks, &pool)
}

fn auto_reload(data: &mut Data, hooks: &ParentHooks, faults: &mut Faults) -> Option<AutoReload> {
    let list = data.auto_reload_watch.take();
    let interval = data.settings.auto_reload_check_every?;
    if list.as_ref().is_some_and(WatchList::is_empty) {
        faults.add("auto_reload_watch", "is empty; leave it out to watch the program");
    }
    if rustix::process::geteuid().is_root() {
        let distrust = list.as_ref().map(|list| list.distrust(0)).unwrap_or_default();
        distrust.iter().for_each(|distrust| faults.distrust("auto_reload_watch", distrust));
    }
    if hooks.auto_reload_handler.is_none() {
        faults.required("auto_reload_handler", " with auto_reload_check_every");
    }
    Some(AutoReload { interval, list })
}

/// A root daemon that becomes whatever stands at some path says at the start if others decide that.
fn distrust_program(handler: &Handler, invocation: &Invocation, faults: &mut Faults) {
    if handler.always_upgrades()
        && let Err(distrust) = invocation.distrust_path()
    {
        let problem = format!("root would run what others can change: {}", ErrorChain(&distrust));
        faults.add("auto_reload_handler", problem);
    }
}

fn concurrency(data: &Data, faults: &mut Faults) {
    if let Some(value) = data.settings.concurrency.filter(|n| !(1..=MOST_AT_ONCE).contains(n)) {
        faults.add("concurrency", format!("must be 1 to {MOST_AT_ONCE}, but is {value}"));
    }
}

fn demand_every(data: &Data, faults: &mut Faults) {
    let given = data.settings.demand_every.filter(|every| !every.is_zero());
    if given.is_some_and(|every| every < SHORTEST_DEMAND_EVERY) {
        let shortest = SHORTEST_DEMAND_EVERY.as_millis();
        faults.add("demand_every", format!("must be at least {shortest} ms"));
    }
}

fn netwatch_interval(data: &mut Data, faults: &mut Faults) {
    let interval = *data.settings.netwatch_interval.get_or_insert(defaults::NETWATCH_INTERVAL);
    if interval < SHORTEST_NETWATCH_INTERVAL {
        let shortest = SHORTEST_NETWATCH_INTERVAL.as_millis();
        faults.add("netwatch_interval", format!("must be at least {shortest} ms"));
    }
}

const fn has_scoreboard(data: &Data) -> bool {
    data.settings.scoreboard_path.is_some()
        || matches!(data.settings.scoreboard_in_memory, Some(true))
}

fn users(settings: &args::Settings, faults: &mut Faults) -> Users {
    let mut wanted = WantedPrivileges::default();
    wanted.user.clone_from(&settings.user);
    wanted.group.clone_from(&settings.group);
    wanted.supplementary_groups.clone_from(&settings.supplementary_groups);
    wanted.umask = settings.umask;
    wanted.no_new_privs = settings.no_new_privs == Some(true);
    wanted.rlimit_nofile = settings.rlimit_nofile;
    let privileges = Privileges::resolve(&wanted).unwrap_or_else(|problems| {
        for PrivilegesFault { argument, problem, .. } in problems {
            faults.add(argument, problem);
        }
        Privileges::default()
    });
    let named = match (&settings.user, &settings.group) {
        (None, None) => None,
        (Some(user), None) => Some(user.clone()),
        (user, Some(group)) => Some(format!("{}:{group}", user.as_deref().unwrap_or_default())),
    };
    let drop_parent = settings.drop_parent == Some(true);
    Users { children: Rc::new(privileges), layers: Rc::default(), named, drop_parent }
}

#[cfg(test)]
mod tests;
