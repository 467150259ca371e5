use std::time::Duration;

use prefork_core::Reread;

use super::*;
use crate::{
    Args, OnDisconnect,
    args::check::{self, When, check},
};
use crate::{LogLevel, args::settings::Reaction};

fn live(prefork: u32, max_children: u32) -> Live {
    Live {
        prefork,
        max_children,
        min_spare: 1,
        queue_target: None,
        max_spare: None,
        spawn_step: 64,
        calm_time: Duration::from_secs(10),
        retire_pace: Duration::from_secs(1),
        max_surge: 1,
        concurrency: 1,
        watch_processors: false,
        queue_time: false,
        queue_limit: None,
        queue_interval: None,
        max_requests: None,
        max_lifetime: None,
        max_memory: None,
        memory_limit: None,
        request_timeout: None,
        start_timeout: Duration::from_secs(60),
        graceful_timeout: Duration::from_secs(30),
        reload_timeout: None,
        hook_timeout: Duration::from_secs(30),
        demand_every: Duration::from_secs(1),
        auto_reload_check_every: None,
        auto_reload_handler: Reaction::Unset,
        on_client_disconnect: Reaction::Unset,
        netwatch_interval: None,
        umask: None,
        no_new_privs: false,
        rlimit_nofile: None,
        log_level: LogLevel::Info,
    }
}

fn config(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    (config.pool, config.reread) = (Pool::BY_LOAD, Reread::AtReload);
    config
}

/// By signals a pool that began with 3 children has 8 now.
#[test]
fn what_was_asked_for_by_signals_stays_until_the_settings_say_something_else() {
    let before = live(3, 10);
    for (after, expected) in
        [(live(3, 10), 8), (live(3, 20), 8), (live(4, 10), 4), (live(3, 5), 5), (live(9, 9), 9)]
    {
        let config = configured(&config(8, 10), &before, &after).expect("valid");
        assert_eq!((config.prefork(), config.max_children()), (expected, after.max_children));
    }
}

#[test]
fn all_that_the_supervisor_decides_by_is_what_was_read() {
    let second = Duration::from_secs(1);
    let read = Live {
        min_spare: 2,
        max_spare: Some(3),
        spawn_step: 12,
        calm_time: 13 * second,
        retire_pace: 14 * second,
        max_surge: 4,
        max_lifetime: Some(5 * second),
        request_timeout: Some(6 * second),
        start_timeout: 7 * second,
        graceful_timeout: 8 * second,
        reload_timeout: Some(9 * second),
        hook_timeout: 10 * second,
        netwatch_interval: Some(11 * second),
        ..live(4, 20)
    };
    let mut expected = config(4, 20);
    expected.pool = Pool::ByLoad(Tuning {
        min_spare: 2,
        max_spare: Some(3),
        step: 12,
        calm: 13 * second,
        pace: 14 * second,
    });
    expected.max_surge = 4;
    expected.max_lifetime = Some(5 * second);
    expected.request_timeout = Some(6 * second);
    expected.start_timeout = 7 * second;
    expected.graceful_timeout = 8 * second;
    expected.reload_timeout = Some(9 * second);
    expected.hook_timeout = 10 * second;
    expected.netwatch_interval = Some(11 * second);
    assert_eq!(configured(&config(3, 10), &live(3, 10), &read).expect("valid"), expected);
}

/// What a start with these arguments decides by, and what a reload of them goes on with.
fn started(args: Args) -> (Config, Live) {
    let args = args
        .daemonize(false)
        .scoreboard_in_memory(true)
        .ready(|| Ok(()))
        .on_client_disconnect(OnDisconnect::Cancel)
        .main_loop(|_, ()| Ok(()));
    let settings = check(args, None, When::AtReload).expect("valid").settings;
    let check::Pool::Children(config) = settings.pool else { panic!("there are children") };
    (*config, settings.in_force.live)
}

#[test]
fn a_start_decides_by_all_that_a_reload_would() {
    let second = Duration::from_secs(1);
    let given = Args::new()
        .prefork(4)
        .max_children(20)
        .min_spare(2)
        .max_spare(3)
        .spawn_step(12)
        .calm_time(13 * second)
        .retire_pace(14 * second)
        .max_surge(4)
        .max_lifetime(5 * second)
        .request_timeout(6 * second)
        .start_timeout(7 * second)
        .graceful_timeout(8 * second)
        .reload_timeout(9 * second)
        .hook_timeout(10 * second)
        .netwatch_interval(11 * second);
    let ((config, before), (expected, live)) = (started(Args::new()), started(given));
    assert_eq!(configured(&config, &before, &live).expect("valid"), expected);
}

#[test]
fn a_pool_without_a_scoreboard_keeps_its_kind() {
    let mut fixed = config(3, 10);
    fixed.pool = Pool::Fixed;
    let config = configured(&fixed, &live(3, 10), &live(5, 5)).expect("valid");
    assert_eq!(config.pool, Pool::Fixed);
}

#[test]
fn a_size_that_no_pool_can_have_is_an_error() {
    assert!(configured(&config(3, 10), &live(3, 10), &live(1, 70_000)).is_err());
}
