//! Checking the arguments, all at once, before anything is started.

mod faults;
mod settings;

use std::{env, path::Path, rc::Rc, time::Duration};

use prefork_core::{Config, ConfigError};
use prefork_reload::WatchList;

use crate::{
    Args, ArgsError,
    args::{AfterInit, BeforeDaemonize, Data, ParentHooks},
    auto_reload::AutoReload,
    child::{Body, Limits},
    manager::Manager,
    os::Privileges,
};

use faults::Faults;
pub(crate) use settings::{AccessTarget, ErrorLog, Pool, Scoreboard, Settings, Users};

/// The documented defaults.
const DEFAULT_PREFORK: u32 = 3;
const DEFAULT_MAX_CHILDREN: u32 = 150;
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_GRACEFUL_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_NETWATCH_INTERVAL: Duration = Duration::from_secs(2);
const SHORTEST_NETWATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Arguments that make sense together.
pub(crate) struct Checked<S> {
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

/// Checks every argument and names each that is wrong.
pub(crate) fn check<S>(args: Args<S>) -> Result<Checked<S>, ArgsError> {
    let Args { mut data, before_daemonize, after_init, mut parent_hooks, body, too_early } = args;
    let mut faults = Faults::default();
    for name in too_early {
        faults.add(name, "must be set after after_init, as it is handed what that returns");
    }
    if body.main_loop.is_none() {
        faults.required("main_loop", "");
    }
    let auto_reload = auto_reload(&mut data, &mut parent_hooks, &mut faults);
    let watches_clients = parent_hooks.on_client_disconnect.is_some();
    check_netwatch(&data, watches_clients, &mut faults);
    if watches_clients {
        data.netwatch_interval.get_or_insert(DEFAULT_NETWATCH_INTERVAL);
    }
    let (settings, users, error_log, access_log) = check_data(data, &mut faults);
    if !faults.0.is_empty() {
        return Err(ArgsError::new(faults.0));
    }
    Ok(Checked {
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

fn check_data(
    mut data: Data,
    faults: &mut Faults,
) -> (Settings, Users, Option<ErrorLog>, Option<AccessTarget>) {
    let name = name(data.name.take(), faults);
    if data.require_root && !rustix::process::geteuid().is_root() {
        let user = rustix::process::geteuid().as_raw();
        faults.add("require_root", format!("must be run as root, but the user id is {user}"));
    }
    let pool = pool(&data, faults);
    let users = users(&data, faults);
    let limits = limits(&data, faults);
    let mut path = |name, path: Option<_>| path.and_then(|path| faults.path(name, path));
    let pid_path = path("pid_path", data.pid_path.as_deref());
    let error_log_path = path("error_log_path", data.error_log_path.as_deref());
    let access_log_path = path("access_log_path", data.access_log_path.as_deref());
    let scoreboard_path = path("scoreboard_path", data.scoreboard_path.as_deref());
    faults.distinct("pid_path", pid_path.as_deref(), "scoreboard_path", scoreboard_path.as_deref());
    faults.distinct("pid_path", pid_path.as_deref(), "error_log_path", error_log_path.as_deref());
    faults.distinct("pid_path", pid_path.as_deref(), "access_log_path", access_log_path.as_deref());
    let scoreboard = faults.one_of(
        ["scoreboard_path", "scoreboard_in_memory"],
        scoreboard_path.map(Scoreboard::File),
        data.scoreboard_in_memory.then_some(Scoreboard::InMemory),
    );
    let scoreboard = scoreboard.unwrap_or(Scoreboard::None);
    let error_log = faults.one_of(
        ["error_log_path", "error_log_handle"],
        error_log_path.clone().map(ErrorLog::Path),
        data.error_log_handle.take().map(ErrorLog::Handle),
    );
    let access_log = faults.one_of(
        ["access_log_path", "access_log_handle"],
        access_log_path.map(AccessTarget::Path),
        data.access_log_handle.take().map(AccessTarget::Handle),
    );
    let daemonize = data.daemonize.unwrap_or(true);
    if daemonize {
        for (name, alternative, given) in [
            ("pid_path", "", pid_path.is_some()),
            ("error_log_path", " (or error_log_handle)", error_log.is_some()),
            ("access_log_path", " (or access_log_handle)", access_log.is_some()),
        ] {
            if !given {
                faults.required(name, &format!("{alternative} when daemonize is on"));
            }
        }
    }
    let status = status(&mut data, faults);
    let settings = Settings {
        name,
        daemonize,
        directory: env::current_dir().ok(),
        pid_path,
        error_log_path,
        wants_scoreboard: matches!((&scoreboard, &pool), (Scoreboard::None, Pool::Children(config))
            if data.max_children.is_some() && config.max_children() > config.prefork()),
        scoreboard,
        pool,
        limits,
        start_timeout: data.start_timeout.unwrap_or(DEFAULT_START_TIMEOUT),
        graceful_timeout: data.graceful_timeout.unwrap_or(DEFAULT_GRACEFUL_TIMEOUT),
        manager: Manager::default(),
        status,
    };
    (settings, users, error_log, access_log)
}

/// Returns the name given, or that of the program.
fn name(given: Option<String>, faults: &mut Faults) -> String {
    let name = given.unwrap_or_else(|| {
        let program = env::args_os().next().unwrap_or_default();
        let file = Path::new(&program).file_name().unwrap_or_default();
        match file.to_string_lossy() {
            file if file.is_empty() => "prefork".to_owned(),
            file => file.replace(char::is_control, "?"),
        }
    });
    if name.is_empty() || name.contains(char::is_control) {
        faults.add("name", "must be a visible text on one line");
    }
    name
}

fn pool(data: &Data, faults: &mut Faults) -> Pool {
    let has_scoreboard = has_scoreboard(data);
    for (name, given) in [
        ("min_spare", data.min_spare.is_some()),
        ("max_spare", data.max_spare.is_some()),
        ("request_timeout", data.request_timeout.is_some()),
    ] {
        if given && !has_scoreboard {
            faults.add(name, "needs a scoreboard: set scoreboard_path");
        }
    }
    let prefork = data.prefork.unwrap_or(DEFAULT_PREFORK);
    if prefork == 0 {
        return Pool::Solo;
    }
    let max_children = data.max_children.unwrap_or(DEFAULT_MAX_CHILDREN);
    let mut config = match Config::new(prefork, max_children) {
        Ok(config) => config,
        Err(error) => {
            faults.add(blame(error), error.to_string());
            return Pool::Solo;
        }
    };
    let min_spare = data.min_spare.unwrap_or(1);
    for (name, value) in [
        ("min_spare", min_spare),
        ("max_unavailable", data.max_unavailable.unwrap_or(config.max_unavailable)),
    ] {
        if value == 0 || value > max_children {
            faults.add(name, format!("must be 1 to max_children ({max_children})"));
        }
    }
    if data.max_spare.is_some_and(|max_spare| max_spare < min_spare) {
        faults.add("max_spare", format!("must be at least min_spare ({min_spare})"));
    }
    for (name, limit) in
        [("request_timeout", data.request_timeout), ("max_lifetime", data.max_lifetime)]
    {
        if limit.is_some_and(|limit| limit.is_zero()) {
            faults.add(name, "must be longer than 0; leave it out for no limit");
        }
    }
    config.start_timeout = data.start_timeout.unwrap_or(DEFAULT_START_TIMEOUT);
    config.graceful_timeout = data.graceful_timeout.unwrap_or(DEFAULT_GRACEFUL_TIMEOUT);
    config.max_unavailable = data.max_unavailable.unwrap_or(config.max_unavailable);
    config.max_lifetime = data.max_lifetime;
    config.request_timeout = data.request_timeout;
    config.netwatch_interval = data.netwatch_interval;
    if has_scoreboard {
        config.pool = prefork_core::Pool::ByLoad { min_spare, max_spare: data.max_spare };
    }
    Pool::Children(Box::new(config))
}

fn auto_reload(
    data: &mut Data,
    hooks: &mut ParentHooks,
    faults: &mut Faults,
) -> Option<AutoReload> {
    let (list, handler) = (data.auto_reload_watch.take(), hooks.auto_reload_handler.take());
    let Some(interval) = data.auto_reload_check_every else {
        for (name, given) in
            [("auto_reload_watch", list.is_some()), ("auto_reload_handler", handler.is_some())]
        {
            if given {
                faults.add(name, "does nothing without auto_reload_check_every; set that too");
            }
        }
        return None;
    };
    if interval.is_zero() {
        faults.add("auto_reload_check_every", "must be longer than 0; leave it out for never");
    }
    if data.prefork == Some(0) {
        faults.add("auto_reload_check_every", "needs children to reload: prefork is 0");
    }
    if list.as_ref().is_some_and(WatchList::is_empty) {
        faults.add("auto_reload_watch", "is empty; leave it out to watch the program");
    }
    let Some(handler) = handler else {
        faults.required("auto_reload_handler", " with auto_reload_check_every");
        return None;
    };
    Some(AutoReload { interval, list, handler })
}

fn check_netwatch(data: &Data, watches_clients: bool, faults: &mut Faults) {
    if let Some(interval) = data.netwatch_interval {
        if !watches_clients {
            faults.add("netwatch_interval", "does nothing without on_client_disconnect");
        } else if interval < SHORTEST_NETWATCH_INTERVAL {
            let shortest = SHORTEST_NETWATCH_INTERVAL.as_millis();
            faults.add("netwatch_interval", format!("must be at least {shortest} ms"));
        }
    }
    if watches_clients && data.prefork == Some(0) {
        faults.add("on_client_disconnect", "is about children: prefork is 0");
    } else if watches_clients && !has_scoreboard(data) {
        faults.add("on_client_disconnect", "needs a scoreboard: set scoreboard_path");
    }
}

#[cfg(feature = "status")]
fn status(data: &mut Data, faults: &mut Faults) -> Option<crate::status::Address> {
    let address = data.status_listen.take()?;
    if data.prefork == Some(0) {
        faults.add(
            "status_listen",
            "needs a process of its own: prefork is 0, where nothing is forked",
        );
    }
    crate::status::check(address).map_err(|problem| faults.add("status_listen", problem)).ok()
}

#[cfg(not(feature = "status"))]
const fn status(_: &mut Data, _: &mut Faults) -> Option<crate::status::Address> {
    None
}

const fn has_scoreboard(data: &Data) -> bool {
    data.scoreboard_path.is_some() || data.scoreboard_in_memory
}

fn limits(data: &Data, faults: &mut Faults) -> Limits {
    for (name, limit) in [("max_requests", data.max_requests), ("max_memory", data.max_memory)] {
        if limit == Some(0) {
            faults.add(name, "must be at least 1; leave it out for no limit");
        }
    }
    Limits { max_requests: data.max_requests, max_memory: data.max_memory }
}

fn users(data: &Data, faults: &mut Faults) -> Users {
    let privileges = Privileges::resolve(&data.privileges).unwrap_or_else(|problems| {
        for (argument, problem) in problems {
            faults.add(argument, problem);
        }
        Privileges::default()
    });
    Users { children: Rc::new(privileges), drop_parent: data.drop_parent }
}

const fn blame(error: ConfigError) -> &'static str {
    match error {
        ConfigError::PoolTooLarge { .. } => "max_children",
        _ => "prefork",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OnChange, OnDisconnect};

    fn faults<S>(args: Args<S>) -> Vec<(&'static str, String)> {
        let error = check(args).err().map(|error| error.faults().to_vec()).unwrap_or_default();
        error.into_iter().map(|fault| (fault.argument, fault.problem)).collect()
    }

    fn names<S>(args: Args<S>) -> Vec<&'static str> {
        faults(args).into_iter().map(|(argument, _)| argument).collect()
    }

    fn complete() -> Args {
        let dir = Path::new("/tmp");
        Args::new()
            .pid_path(dir.join("x.pid"))
            .error_log_path(dir.join("x.err"))
            .access_log_path(dir.join("x.log"))
            .main_loop(|_, ()| Ok(()))
    }

    #[test]
    fn complete_arguments_have_no_fault() {
        assert_eq!(faults(complete()), []);
        assert_eq!(faults(Args::new().daemonize(false).main_loop(|_, ()| Ok(()))), []);
        assert_eq!(faults(complete().prefork(0)), []);
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        assert_eq!(
            names(Args::new()),
            ["main_loop", "pid_path", "error_log_path", "access_log_path"]
        );
    }

    #[test]
    fn each_wrong_argument_is_named() {
        let file = || std::fs::File::open("/dev/null").expect("opened");
        assert_eq!(names(complete().prefork(151)), ["prefork"]);
        assert_eq!(names(complete().prefork(70_000).max_children(70_000)), ["max_children"]);
        assert_eq!(names(complete().pid_path("")), ["pid_path"]);
        assert_eq!(names(complete().pid_path("/tmp/")), ["pid_path"]);
        assert_eq!(names(complete().pid_path("a\0b")), ["pid_path"]);
        assert_eq!(names(complete().error_log_path("/tmp/x.pid")), ["error_log_path"]);
        assert_eq!(names(complete().error_log_handle(file())), ["error_log_handle"]);
        assert_eq!(names(complete().access_log_handle(file())), ["access_log_handle"]);
        assert_eq!(names(complete().scoreboard_path("/tmp/x.pid")), ["scoreboard_path"]);
        let both = complete().scoreboard_path("/tmp/x.board").scoreboard_in_memory(true);
        assert_eq!(names(both), ["scoreboard_in_memory"]);
        assert_eq!(names(complete().min_spare(2)), ["min_spare"]);
        assert_eq!(names(complete().max_spare(2)), ["max_spare"]);
        let board = || complete().scoreboard_in_memory(true);
        assert_eq!(faults(board().min_spare(2).max_spare(4)), []);
        assert_eq!(names(board().min_spare(0)), ["min_spare"]);
        assert_eq!(names(board().min_spare(151)), ["min_spare"]);
        assert_eq!(names(board().min_spare(5).max_spare(4)), ["max_spare"]);
        assert_eq!(names(complete().request_timeout(Duration::from_secs(1))), ["request_timeout"]);
        assert_eq!(names(board().request_timeout(Duration::ZERO)), ["request_timeout"]);
        assert_eq!(names(complete().max_lifetime(Duration::ZERO)), ["max_lifetime"]);
        assert_eq!(names(complete().max_requests(0)), ["max_requests"]);
        assert_eq!(names(complete().max_memory(0)), ["max_memory"]);
        assert_eq!(names(complete().max_unavailable(0)), ["max_unavailable"]);
        assert_eq!(names(complete().max_unavailable(151)), ["max_unavailable"]);
        let second = Duration::from_secs(1);
        assert_eq!(names(complete().auto_reload_check_every(second)), ["auto_reload_handler"]);
        assert_eq!(
            names(complete().auto_reload_handler(OnChange::Reload)),
            ["auto_reload_handler"]
        );
        assert_eq!(names(complete().auto_reload_watch(WatchList::new())), ["auto_reload_watch"]);
        let reloading =
            |every| complete().auto_reload_check_every(every).auto_reload_handler(OnChange::Reload);
        assert_eq!(faults(reloading(second)), []);
        assert_eq!(names(reloading(Duration::ZERO)), ["auto_reload_check_every"]);
        assert_eq!(names(reloading(second).prefork(0)), ["auto_reload_check_every"]);
        assert_eq!(
            names(reloading(second).auto_reload_watch(WatchList::new())),
            ["auto_reload_watch"]
        );
        let cancel = OnDisconnect::Cancel;
        assert_eq!(names(complete().on_client_disconnect(cancel)), ["on_client_disconnect"]);
        assert_eq!(faults(board().on_client_disconnect(cancel)), []);
        let without = board().on_client_disconnect(cancel).prefork(0);
        assert_eq!(names(without), ["on_client_disconnect"]);
        assert_eq!(names(board().netwatch_interval(second)), ["netwatch_interval"]);
        let quick = board().on_client_disconnect(cancel).netwatch_interval(Duration::ZERO);
        assert_eq!(names(quick), ["netwatch_interval"]);
        assert_eq!(names(complete().umask(0o1000)), ["umask"]);
        assert_eq!(names(complete().user("no-such-user")), ["user"]);
        assert_eq!(names(complete().name("")), ["name"]);
        assert_eq!(names(complete().name("a\nb")), ["name"]);
        let root = rustix::process::geteuid().is_root();
        assert_eq!(
            names(complete().require_root(true)),
            if root { vec![] } else { vec!["require_root"] }
        );
    }

    #[cfg(feature = "status")]
    #[test]
    fn a_status_page_is_for_this_machine_and_a_pool() {
        assert_eq!(faults(complete().status_listen("127.0.0.1:0")), []);
        assert_eq!(faults(complete().status_listen("/tmp/x.status")), []);
        assert_eq!(names(complete().status_listen("0.0.0.0:9000")), ["status_listen"]);
        assert_eq!(names(complete().status_listen("nonsense")), ["status_listen"]);
        assert_eq!(names(complete().status_listen("127.0.0.1:0").prefork(0)), ["status_listen"]);
    }

    #[test]
    fn a_main_loop_that_came_before_after_init_is_told_so() {
        let args = complete().after_init(|_| Ok(1));
        let [(argument, problem)] = &faults(args)[..] else { panic!("one fault") };
        assert_eq!(*argument, "main_loop");
        assert!(problem.contains("after after_init"), "{problem}");
    }
}
