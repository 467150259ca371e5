//! How many children there are, and what limits them.

use std::time::Duration;

use prefork_core::{Config, ConfigError, Descendants, LARGEST_POOL, Reread};

use super::{Faults, Pool, defaults, has_scoreboard};
use crate::{args::Data, args::settings::files_read, child::Limits, hooks::ParentHooks};

/// Checks the size of the pool, and what depends on it.
pub(super) fn check(data: &Data, hooks: &ParentHooks, faults: &mut Faults) -> Pool {
    check_durations(data, faults);
    let prefork = data.prefork.unwrap_or(defaults::PREFORK);
    if prefork == 0 {
        return Pool::Solo;
    }
    let max_children = data.max_children.unwrap_or(defaults::MAX_CHILDREN);
    let mut config = Config::new(prefork, max_children).unwrap_or_else(|error| {
        let (argument, problem) = explain(error, data);
        faults.add(argument, problem);
        substitute(max_children)
    });
    within_pool("max_unavailable", data.max_unavailable, data, &config, faults);
    if has_scoreboard(data) {
        let min_spare = data.min_spare.unwrap_or(defaults::MIN_SPARE);
        within_pool("min_spare", data.min_spare, data, &config, faults);
        if let Some(max_spare) = data.max_spare.filter(|max_spare| *max_spare < min_spare) {
            let least = or_default(data.min_spare, min_spare);
            let problem = format!("must be at least min_spare ({least}), but is {max_spare}");
            faults.add("max_spare", problem);
        }
        config.pool = prefork_core::Pool::ByLoad { min_spare, max_spare: data.max_spare };
    }
    config.start_timeout = data.start_timeout.unwrap_or(defaults::START_TIMEOUT);
    config.hooks = hooks.set();
    config.hook_timeout = data.hook_timeout.unwrap_or(defaults::HOOK_TIMEOUT);
    config.graceful_timeout = data.graceful_timeout.unwrap_or(defaults::GRACEFUL_TIMEOUT);
    config.reload_timeout = data.reload_timeout;
    config.max_unavailable = data.max_unavailable.unwrap_or(config.max_unavailable);
    config.max_lifetime = data.max_lifetime;
    config.request_timeout = data.request_timeout;
    config.netwatch_interval = data.netwatch_interval;
    let is_read = data.has_settings || !files_read().is_empty();
    config.reread = if is_read { Reread::AtReload } else { Reread::Never };
    config.descendants = if data.keep_descendants { Descendants::Keep } else { Descendants::End };
    Pool::Children(Box::new(config))
}

/// Checks a number of children that there must be in the pool.
fn within_pool(
    argument: &'static str,
    given: Option<u32>,
    data: &Data,
    config: &Config,
    faults: &mut Faults,
) {
    let most = config.max_children();
    if let Some(value) = given.filter(|value| !(1..=most).contains(value)) {
        let most = or_default(data.max_children, most);
        faults.add(argument, format!("must be 1 to max_children ({most}), but is {value}"));
    }
}

/// Checks what a child may use up.
pub(super) fn limits(data: &Data, faults: &mut Faults) -> Limits {
    for (name, limit) in [("max_requests", data.max_requests), ("max_memory", data.max_memory)] {
        if limit == Some(0) {
            faults.add(name, "must be at least 1; leave it out for no limit");
        }
    }
    Limits { max_requests: data.max_requests, max_memory: data.max_memory }
}

fn check_durations(data: &Data, faults: &mut Faults) {
    let no_limit = "must be longer than 0; leave it out for no limit";
    let no_start = "must be longer than 0, or no start would ever succeed";
    for (name, limit, problem) in [
        ("request_timeout", data.request_timeout, no_limit),
        ("max_lifetime", data.max_lifetime, no_limit),
        ("reload_timeout", data.reload_timeout, no_limit),
        ("start_timeout", data.start_timeout, no_start),
        (
            "hook_timeout",
            data.hook_timeout,
            "must be longer than 0, or no hook would ever return in time",
        ),
    ] {
        if limit == Some(Duration::ZERO) {
            faults.add(name, problem);
        }
    }
}

/// Blames an argument that was given, as a default is nobody's mistake.
fn explain(error: ConfigError, data: &Data) -> (&'static str, String) {
    match error {
        ConfigError::PreforkAboveMaximum { prefork, max_children } if data.prefork.is_none() => {
            let problem = format!("{max_children} is less than prefork ({prefork}, the default)");
            ("max_children", problem)
        }
        ConfigError::PreforkAboveMaximum { prefork, max_children } => {
            let limit = or_default(data.max_children, max_children);
            ("prefork", format!("{prefork} is greater than max_children ({limit})"))
        }
        ConfigError::PoolTooLarge { max_children } => {
            ("max_children", format!("{max_children} is greater than {LARGEST_POOL}"))
        }
        error => ("prefork", error.to_string()),
    }
}

/// Stands for a size that makes no sense, so that the other arguments are checked all the same.
fn substitute(max_children: u32) -> Config {
    Config::new(1, max_children.clamp(1, LARGEST_POOL)).expect("one child is within any limit")
}

/// Shows a limit, which the reader may never have set.
fn or_default(given: Option<u32>, value: u32) -> String {
    match given {
        Some(_) => value.to_string(),
        None => format!("{value}, the default"),
    }
}
