//! What others are shown, and what is counted, follows from decisions and never from what is logged.

use std::time::Duration;

use prefork_core::{Config, Generation, Progress, Refusal, Request, Reread, Verdict};
use proptest::prelude::*;

use crate::{
    arbitrary::{arb_pool, arb_request, arb_step, arb_wish},
    life::{Life, Program, Settings},
    world::{Log, Step, World},
};

/// A pool of four that has been ready, after these steps and an hour.
fn after(steps: impl IntoIterator<Item = Step>) -> World {
    let mut config = Config::new(4, 8).expect("valid");
    config.reread = Reread::AtReload;
    let mut world = World::new(config);
    world.run_until_ready();
    world.forget_counts();
    steps.into_iter().for_each(|step| world.step(step));
    world.step(Step::Run(Duration::from_secs(3600)));
    world
}

const READING: Progress = Progress::ReadingSettings;

#[test]
fn a_reload_is_shown_counted_and_has_runtime_files_checked() {
    let world = after([Step::Request(Request::Reload)]);
    let shown = [READING, Progress::Reconfigured, Progress::Reloading, Progress::Reloaded];
    assert_eq!(world.shown(), shown);
    assert_eq!((world.checked_files(), world.stats().reloads), (1, 1));
    assert_eq!(world.stats().reloads_failed, 0);
}

#[test]
fn settings_that_nobody_can_read_do_not_keep_a_reload_from_being_shown() {
    let unreadable = Step::Settings(Settings::Unreadable);
    let world = after([unreadable, Step::Request(Request::Reload)]);
    let shown = [READING, Progress::Reconfigured, Progress::Reloading, Progress::Reloaded];
    assert_eq!(world.shown(), shown);
}

#[test]
fn refused_settings_are_shown_and_counted_whether_wrong_or_late() {
    let limit = Duration::from_secs(60);
    let table =
        [(Settings::Wrong, Refusal::Reported), (Settings::Endless, Refusal::TimedOut { limit })];
    for (settings, by) in table {
        let world = after([Step::Settings(settings), Step::Request(Request::Reload)]);
        assert_eq!(world.shown(), [READING, Progress::SettingsRefused { by }], "{settings:?}");
        assert_eq!((world.stats().reloads, world.stats().reloads_failed), (0, 1), "{settings:?}");
        assert_eq!(world.checked_files(), 0, "{settings:?}");
    }
}

#[test]
fn a_generation_that_does_not_work_is_shown_and_counted() {
    let dying = Step::Lives(vec![Life::crashing()]);
    let world = after([dying, Step::Request(Request::Reload)]);
    let failed = Progress::ReloadFailed { generation: Generation(2) };
    assert!(world.shown().contains(&failed), "{:?}", world.shown());
    assert!(world.shown().contains(&Progress::Throttled), "{:?}", world.shown());
    assert!(!world.shown().contains(&Progress::Reloaded), "{:?}", world.shown());
    assert_eq!(world.stats().reloads_failed, 1);
}

#[test]
fn an_upgrade_that_comes_to_nothing_is_shown_and_counted_once() {
    let (limit, tried) = (Duration::from_secs(60), Duration::from_millis(60_120));
    let table = [
        (Program::Bad, Refusal::Reported),
        (Program::Hangs, Refusal::TimedOut { limit }),
        (Program::Busy, Refusal::Busy { tried }),
    ];
    for (program, by) in table {
        let world = after([Step::Program(program), Step::Request(Request::Upgrade)]);
        let shown = [Progress::Probing, Progress::UpgradeRefused { by }];
        assert_eq!(world.shown(), shown, "{program:?}");
        assert_eq!(world.stats().upgrades_refused, 1, "{program:?}");
    }
    let world = after([Step::Program(Program::Unlucky), Step::Request(Request::Upgrade)]);
    let by = Refusal::Reported;
    let shown = [Progress::Probing, Progress::Upgrading, Progress::UpgradeRefused { by }];
    assert_eq!(world.shown(), shown);
    assert_eq!(world.stats().upgrades_refused, 1);
}

#[test]
fn a_size_that_operators_change_and_a_stop_are_shown() {
    let world = after([Step::Request(Request::More), Step::Request(Request::StopNow)]);
    let resized = Progress::Resized { prefork: 5, max_children: 8 };
    assert_eq!(world.shown(), [resized, Progress::Stopping]);
}

#[test]
fn all_who_are_cut_short_by_a_stop_are_counted_though_not_all_are_named() {
    let mut world = World::new(Config::new(100, 100).expect("valid"));
    world.step(Step::Lives(vec![Life { heeds_ask: false, ..Life::healthy() }]));
    world.run_until_ready();
    world.forget_counts();
    world.step(Step::Request(Request::StopGracefully));
    world.step(Step::Run(Duration::from_secs(3600)));
    assert_eq!(world.verdict(), Some(Verdict::Stopped));
    assert_eq!(world.stats().cut_short, 100);
    assert!(world.log_lines() < 50, "{}", world.log_lines());
}

/// A world after such a life, with all that was decided in it.
fn after_life(config: &Config, steps: &[Step], log: Log) -> World {
    let mut world = World::new(config.clone());
    world.record(log);
    world.run_until_ready();
    steps.iter().cloned().for_each(|step| world.step(step));
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_follows_from_notices(
        config in arb_pool(),
        mut steps in prop::collection::vec(
            prop_oneof![4 => arb_step(), 1 => arb_wish().prop_map(Step::Request)],
            0..24,
        ),
        request in arb_request(),
    ) {
        steps.extend([Step::Request(request), Step::Run(Duration::from_secs(3600))]);
        let logged = after_life(&config, &steps, Log::Kept);
        let silent = after_life(&config, &steps, Log::Dropped);
        prop_assert!(silent.notices().is_empty() && !logged.notices().is_empty());
        prop_assert_eq!(logged.decided(), silent.decided());
        prop_assert_eq!(logged.stats(), silent.stats());
        prop_assert_eq!(logged.verdict(), silent.verdict());
    }
}
