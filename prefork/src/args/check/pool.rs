//! How many children there are, and what limits them.

use std::time::Duration;

use prefork_core::{Config, ConfigError, Descendants, LARGEST_POOL, Tuning};

use super::{Faults, Pool, defaults, has_scoreboard};
use crate::{
    args::{Data, PoolKind, Settings},
    hooks::ParentHooks,
    system::os::processors,
};

/// For how long a child that hangs may be looked into. That takes a tenth of it, where not many hang at once.
const LOOK_INTO: Duration = Duration::from_secs(2);

/// A pool that is too large, and all at work, is looked at so often.
const SHORTEST_PACE: Duration = Duration::from_millis(10);

/// Checks the size of the pool, and what depends on it.
pub(super) fn check(data: &Data, hooks: &ParentHooks, faults: &mut Faults) -> Pool {
    let settings = &data.settings;
    let prefork = settings.prefork.unwrap_or(defaults::PREFORK);
    if prefork == 0 {
        return Pool::Solo;
    }
    let max_children = settings.max_children.unwrap_or(defaults::MAX_CHILDREN);
    let mut config = Config::new(prefork, max_children).unwrap_or_else(|error| {
        let (argument, problem) = explain(error, settings);
        faults.add(argument, problem);
        substitute(max_children)
    });
    within_pool("max_surge", settings.max_surge, settings, &config, faults);
    if has_scoreboard(data) {
        let min_spare = settings.min_spare.unwrap_or(defaults::MIN_SPARE);
        within_pool("min_spare", settings.min_spare, settings, &config, faults);
        if let Some(max_spare) = settings.max_spare.filter(|max_spare| *max_spare < min_spare) {
            let least = or_default(settings.min_spare, min_spare);
            let problem = format!("must be at least min_spare ({least}), but is {max_spare}");
            faults.add("max_spare", problem);
        }
        if settings.retire_pace.is_some_and(|pace| !pace.is_zero() && pace < SHORTEST_PACE) {
            let shortest = SHORTEST_PACE.as_millis();
            faults.add("retire_pace", format!("must be at least {shortest} ms"));
        }
        if settings.watch_processors == Some(true) {
            refuse_to_watch_processors(settings, faults);
            config.processors = processors();
        }
        if settings.queue_target.is_some() {
            refuse_to_wait(settings, faults);
            config.queue_target = settings.queue_target;
        }
        config.pool = match settings.one_shot {
            Some(true) => prefork_core::Pool::OneShot(tuning(settings)),
            Some(false) | None => prefork_core::Pool::ByLoad(tuning(settings)),
        };
    }
    config.start_timeout = settings.start_timeout.unwrap_or(defaults::START_TIMEOUT);
    config.hooks = hooks.set();
    config.hook_timeout = settings.hook_timeout.unwrap_or(defaults::HOOK_TIMEOUT);
    config.look_into = Some(LOOK_INTO);
    config.demand_every = settings.demand_every.unwrap_or(defaults::DEMAND_EVERY);
    config.graceful_timeout = settings.graceful_timeout.unwrap_or(defaults::GRACEFUL_TIMEOUT);
    config.reload_timeout = settings.reload_timeout;
    config.max_surge = settings.max_surge.unwrap_or(config.max_surge);
    config.max_lifetime = settings.max_lifetime;
    config.sleep_after = (data.pool == PoolKind::OnDemand)
        .then(|| settings.sleep_after.unwrap_or(defaults::SLEEP_AFTER));
    config.exclusive = matches!(data.pool, PoolKind::Role { .. });
    config.request_timeout = settings.request_timeout;
    config.netwatch_interval = settings.netwatch_interval;
    config.reread = data.reread();
    config.descendants =
        if settings.keep_descendants == Some(true) { Descendants::Keep } else { Descendants::End };
    Pool::Children(Box::new(config))
}

/// What says how many are to be free contradicts a target for how long clients wait for one.
fn refuse_to_wait(settings: &Settings, faults: &mut Faults) {
    let contradicted = [
        ("one_shot", settings.one_shot == Some(true)),
        ("min_spare", settings.min_spare.is_some_and(|spare| spare > defaults::MIN_SPARE)),
    ];
    for (name, _) in contradicted.into_iter().filter(|(_, is_given)| *is_given) {
        let problem = format!(
            "contradicts {name}, by which children are there before clients come; leave one of them out"
        );
        faults.add("queue_target", problem);
    }
}

/// Children of one client each are there before clients come, and of one with threads it is not seen what it does.
fn refuse_to_watch_processors(settings: &Settings, faults: &mut Faults) {
    let contradicted = [
        ("one_shot", settings.one_shot == Some(true)),
        ("concurrency", settings.concurrency.is_some_and(|many| many > 1)),
    ];
    for (name, _) in contradicted.into_iter().filter(|(_, is_given)| *is_given) {
        let problem = format!(
            "contradicts {name}: it is for children with one request at a time, which serve on; leave one of them out"
        );
        faults.add("watch_processors", problem);
    }
}

/// What the pool follows its load by. The compiler asks for all that the policy can be given.
fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        min_spare: settings.min_spare.unwrap_or(defaults::MIN_SPARE),
        max_spare: settings.max_spare,
        step: settings.spawn_step.unwrap_or(defaults::SPAWN_STEP),
        calm: settings.calm_time.unwrap_or(defaults::CALM_TIME),
        pace: settings.retire_pace.unwrap_or(defaults::RETIRE_PACE),
    }
}

/// Checks a number of children that there must be in the pool.
fn within_pool(
    argument: &'static str,
    given: Option<u32>,
    settings: &Settings,
    config: &Config,
    faults: &mut Faults,
) {
    let most = config.max_children();
    if let Some(value) = given.filter(|value| !(1..=most).contains(value)) {
        let most = or_default(settings.max_children, most);
        faults.add(argument, format!("must be 1 to max_children ({most}), but is {value}"));
    }
}

/// Blames an argument that was given, as a default is nobody's mistake.
fn explain(error: ConfigError, settings: &Settings) -> (&'static str, String) {
    match error {
        ConfigError::PreforkAboveMaximum { prefork, max_children }
            if settings.prefork.is_none() =>
        {
            let problem = format!("{max_children} is less than prefork ({prefork}, the default)");
            ("max_children", problem)
        }
        ConfigError::PreforkAboveMaximum { prefork, max_children } => {
            let limit = or_default(settings.max_children, max_children);
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
