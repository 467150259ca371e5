//! What may happen to a pool, drawn at random.

use std::time::Duration;

use prefork_core::{Config, Hook, Measuring, Pool, Request, Reread, Tuning};
use proptest::prelude::*;

use crate::{
    life::{Life, Program, Settings},
    ms,
    world::Step,
};

pub(crate) fn arb_life() -> impl Strategy<Value = Life> {
    prop_oneof![
        6 => Just(Life::healthy()),
        2 => (0u64..3000).prop_map(|die| Life { dies_after: Some(ms(die)), ..Life::healthy() }),
        1 => (0u64..3000)
            .prop_map(|die| Life { dies_after: Some(ms(die)), works_after: None, ..Life::healthy() }),
        1 => Just(Life::crashing()),
        1 => Just(Life { enters_after: None, ..Life::healthy() }),
        1 => Just(Life { ready_after: None, works_after: None, ..Life::healthy() }),
        2 => (1u32..5).prop_map(|descendants| Life { descendants, ..Life::healthy() }),
        1 => Just(Life { heeds_ask: false, descendants: 2, ..Life::healthy() }),
        1 => Just(Life { heeds_ask: false, heeds_interrupt: false, ..Life::healthy() }),
        2 => (2u32..9).prop_map(|at_once| Life { at_once, ..Life::healthy() }),
    ]
}

pub(crate) fn arb_request() -> impl Strategy<Value = Request> {
    prop_oneof![Just(Request::StopGracefully), Just(Request::StopNow)]
}

pub(crate) fn arb_wish() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Reload),
        Just(Request::Reopen),
        Just(Request::More),
        Just(Request::Fewer)
    ]
}

pub(crate) fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(arb_life(), 1..5).prop_map(Step::Lives),
        2 => (0u32..30).prop_map(Step::FailForks),
        3 => (1usize..20).prop_map(Step::Kill),
        3 => (1usize..60, 0u64..3000).prop_map(|(count, takes)| Step::Occupy(count, ms(takes))),
        6 => (0u64..20_000).prop_map(|t| Step::Run(ms(t))),
        1 => (0u64..100_000_000).prop_map(|t| Step::Sleep(ms(t))),
        1 => any::<u32>().prop_map(Step::Gossip),
        2 => prop_oneof![Just(Request::Reload), Just(Request::Reopen), Just(Request::Upgrade)]
            .prop_map(Step::Request),
        1 => arb_program().prop_map(Step::Program),
        1 => arb_settings().prop_map(Step::Settings),
        2 => prop_oneof![0u32..10, 10u32..90].prop_map(Step::Ceiling),
        1 => (1usize..10).prop_map(Step::Tire),
        1 => Just(Step::Stick),
        2 => arb_hook_time().prop_map(Step::Hooks),
    ]
}

/// Mostly none worth mentioning, sometimes longer than they may, sometimes for ever.
fn arb_hook_time() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        3 => Just(Some(Duration::ZERO)),
        2 => (0u64..40_000).prop_map(|takes| Some(ms(takes))),
        1 => Just(None),
    ]
}

fn arb_settings() -> impl Strategy<Value = Settings> {
    prop_oneof![
        2 => Just(Settings::Good),
        1 => Just(Settings::Wrong),
        1 => Just(Settings::Unreadable),
        1 => Just(Settings::Endless),
    ]
}

fn arb_hooks() -> impl Strategy<Value = Vec<Hook>> {
    let hooks = vec![Hook::Ready, Hook::BeforeShutdown, Hook::OnChildExit];
    prop::sample::subsequence(hooks, 0..=3)
}

pub(crate) fn arb_program() -> impl Strategy<Value = Program> {
    prop_oneof![
        3 => Just(Program::Good),
        1 => Just(Program::Bad),
        1 => Just(Program::Unlucky),
        1 => Just(Program::Hangs),
        1 => Just(Program::Busy),
    ]
}

pub(crate) fn arb_pool() -> impl Strategy<Value = Config> {
    let reread = prop_oneof![Just(Reread::Never), Just(Reread::AtReload)];
    let measuring = prop_oneof![Just(Measuring::Nothing), Just(Measuring::Children)];
    let pool = prop_oneof![2 => Just(Pool::Fixed), 1 => Just(Pool::OneShot(Tuning::DEFAULT))];
    let exclusive = prop::bool::weighted(0.15);
    (1u32..40, 0u32..40, arb_hooks(), reread, measuring, pool, exclusive).prop_map(
        |(prefork, more, hooks, reread, measuring, pool, exclusive)| {
            let (prefork, more) = if exclusive { (1, 0) } else { (prefork, more) };
            let mut config =
                Config::new(prefork, prefork + more).expect("prefork is within max_children");
            (config.hooks, config.reread) = (hooks, reread);
            (config.measuring, config.pool) = (measuring, pool);
            config.exclusive = exclusive;
            config
        },
    )
}
