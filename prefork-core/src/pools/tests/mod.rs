mod reload;
mod reload_end;
mod upgrade;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{ReloadEnd, Reloads};

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// What is done, but for what is published of it.
fn actions(pools: &mut Pools) -> Vec<PoolsAction> {
    let mut done = all_actions(pools);
    done.retain(|action| !matches!(action, PoolsAction::Report(..)));
    done
}

fn all_actions(pools: &mut Pools) -> Vec<PoolsAction> {
    std::iter::from_fn(|| pools.next_action()).collect()
}

/// What is shown when the parent of a pool has ended.
const fn lost(pool: PoolId) -> PoolsAction {
    let kind = TroubleKind::Lost;
    PoolsAction::Trouble(Some(PoolsTrouble { kind, pool, others: 0 }))
}

/// What a pool reports that has taken in so many of the requests to reload that it was sent.
const fn reports(pool: PoolId, taken: u64, goes_on: bool, last: ReloadEnd) -> PoolsEvent {
    PoolsEvent::Reloads(pool, PoolReloads { asked: 0, taken, state: Reloads { goes_on, last } })
}

/// One that serves with these pools, of which those that are always there are pools 0 and up.
fn serving(presences: &[Presence]) -> Pools {
    let mut pools = Pools::new(PoolsConfig::default());
    let ids: Vec<_> = presences.iter().map(|presence| (pools.add(*presence), *presence)).collect();
    pools.handle(at(0), PoolsEvent::Start);
    for (id, presence) in ids {
        if presence == Presence::Always {
            pools.handle(at(0), PoolsEvent::Started(id));
            pools.handle(at(1), PoolsEvent::Ready(id));
        }
    }
    let done = actions(&mut pools);
    assert_eq!(done.last(), Some(&PoolsAction::Ready));
    pools
}

#[test]
fn the_daemon_is_ready_when_all_pools_are_that_are_always_there() {
    let mut pools = Pools::new(PoolsConfig::default());
    let (a, b) = (pools.add(Presence::Always), pools.add(Presence::Always));
    pools.add(Presence::OnDemand);
    pools.handle(at(0), PoolsEvent::Start);
    assert_eq!(actions(&mut pools), [PoolsAction::Start(a, None), PoolsAction::Start(b, None)]);
    for (id, expected) in [(a, vec![]), (b, vec![PoolsAction::Ready])] {
        pools.handle(at(5), PoolsEvent::Started(id));
        pools.handle(at(6), PoolsEvent::Ready(id));
        assert_eq!(actions(&mut pools), expected);
    }
    assert_eq!(pools.deadline(), None, "at rest nobody is to wake");
}

#[test]
fn pools_that_sleep_alone_make_a_daemon_that_is_ready() {
    let pools = serving(&[Presence::OnDemand; 100]);
    assert_eq!((pools.awake(), pools.deadline()), (0, None));
}

#[test]
fn a_pool_that_sleeps_is_started_once_for_its_first_client_and_sleeps_again() {
    let mut pools = serving(&[Presence::OnDemand]);
    let pool = PoolId(0);
    for round in [10, 20] {
        assert_eq!(pools.sleeping(at(round)).collect::<Vec<_>>(), [pool]);
        pools.handle(at(round), PoolsEvent::Queued(pool));
        pools.handle(at(round), PoolsEvent::Queued(pool));
        let woken = PoolsAction::Log(PoolsNotice::Woken(pool));
        assert_eq!(actions(&mut pools), [woken, PoolsAction::Start(pool, None)]);
        assert_eq!(pools.sleeping(at(round)).count(), 0, "nobody waits at its sockets twice");
        pools.handle(at(round), PoolsEvent::Started(pool));
        pools.handle(at(round + 1), PoolsEvent::Ready(pool));
        pools.handle(at(round + 5), PoolsEvent::Ended(pool, Exit::Code(0)));
        assert_eq!(actions(&mut pools), [PoolsAction::Log(PoolsNotice::Asleep(pool))]);
    }
}

#[test]
fn a_pool_that_cannot_run_is_started_ever_more_seldom_and_costs_no_wake_ups_between() {
    let mut pools = serving(&[Presence::OnDemand]);
    let pool = PoolId(0);
    let mut now = at(1_000);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pools.handle(now, PoolsEvent::Queued(pool));
        pools.handle(now, PoolsEvent::Started(pool));
        pools.handle(now, PoolsEvent::Ended(pool, Exit::Code(1)));
        let done = actions(&mut pools);
        let Some(PoolsAction::Log(PoolsNotice::Lost { pause: Some(pause), .. })) = done.last()
        else {
            panic!("{done:?}")
        };
        pauses.push(pause.as_millis());
        assert_eq!(pools.sleeping(now).count(), 0, "its client is not looked at before");
        assert_eq!(pools.deadline(), Some(now + *pause));
        now = now + *pause;
        pools.advance(now);
        assert_eq!(actions(&mut pools), [], "it sleeps until a client waits");
        assert_eq!(pools.deadline(), None);
    }
    assert_eq!(pauses[..4], [10, 20, 40, 80]);
    assert_eq!(pauses[10..], [10_000, 10_000]);
}

#[test]
fn a_pool_that_was_killed_is_back_at_once_and_one_that_dies_early_after_a_pause() {
    let mut pools = serving(&[Presence::Always]);
    let pool = PoolId(0);
    let killed = Exit::Signal { number: 9, core_dumped: false };
    pools.handle(at(5_000), PoolsEvent::Ended(pool, killed));
    let done = actions(&mut pools);
    assert_eq!(done[1..], [PoolsAction::Start(pool, None), lost(pool)], "{done:?}");
    pools.handle(at(5_000), PoolsEvent::Started(pool));
    pools.handle(at(5_001), PoolsEvent::Ready(pool));
    assert_eq!(actions(&mut pools), [PoolsAction::Trouble(None)]);
    pools.handle(at(5_100), PoolsEvent::Ended(pool, killed));
    let done = actions(&mut pools);
    assert!(matches!(done[..], [PoolsAction::Log(_), shown] if shown == lost(pool)), "{done:?}");
    pools.advance(at(5_110));
    assert_eq!(actions(&mut pools), [PoolsAction::Start(pool, None)]);
}

#[test]
fn a_pool_that_ends_by_itself_and_is_to_be_there_is_started_again() {
    let mut pools = serving(&[Presence::Always]);
    pools.handle(at(9_000), PoolsEvent::Ended(PoolId(0), Exit::Code(0)));
    let pool = PoolId(0);
    assert_eq!(actions(&mut pools)[1..], [PoolsAction::Start(pool, None), lost(pool)]);
}

#[test]
fn a_pool_that_ends_before_the_daemon_is_ready_ends_the_start() {
    let mut pools = Pools::new(PoolsConfig::default());
    let (a, b) = (pools.add(Presence::Always), pools.add(Presence::Always));
    pools.handle(at(0), PoolsEvent::Start);
    pools.handle(at(1), PoolsEvent::Started(a));
    pools.handle(at(1), PoolsEvent::Started(b));
    pools.handle(at(2), PoolsEvent::Ended(b, Exit::Code(78)));
    pools.handle(at(9), PoolsEvent::Ended(a, Exit::Code(0)));
    let verdict = PoolsVerdict::PoolDied(b, Exit::Code(78));
    let expected = [PoolsAction::Stop(a, Rung::Interrupt), PoolsAction::Exit(verdict)];
    assert_eq!(actions(&mut pools), expected);
}

#[test]
fn a_pool_that_hangs_in_its_start_ends_that_and_is_killed_later_on() {
    let mut pools = Pools::new(PoolsConfig::default());
    let pool = pools.add(Presence::Always);
    pools.handle(at(0), PoolsEvent::Start);
    pools.handle(at(0), PoolsEvent::Started(pool));
    assert_eq!(pools.deadline(), Some(at(60_000)));
    pools.advance(at(60_000));
    assert_eq!(actions(&mut pools), [PoolsAction::Stop(pool, Rung::Interrupt)]);
    pools.advance(at(60_000 + 45_000));
    let killed = PoolsAction::Log(PoolsNotice::Killed { pools: 1 });
    assert_eq!(actions(&mut pools), [killed, PoolsAction::Stop(pool, Rung::Kill)]);
    pools.handle(
        at(106_000),
        PoolsEvent::Ended(pool, Exit::Signal { number: 9, core_dumped: false }),
    );
    assert_eq!(actions(&mut pools), [PoolsAction::Exit(PoolsVerdict::StartTimedOut(pool))]);

    let mut pools = serving(&[Presence::OnDemand]);
    pools.handle(at(10), PoolsEvent::Queued(pool));
    pools.handle(at(10), PoolsEvent::Started(pool));
    actions(&mut pools);
    assert_eq!(pools.deadline(), Some(at(60_010)));
    pools.advance(at(60_010));
    let stuck = PoolsAction::Log(PoolsNotice::Stuck(pool));
    assert_eq!(actions(&mut pools), [stuck, PoolsAction::Stop(pool, Rung::Kill)]);
}

#[test]
fn a_stop_asks_every_pool_and_is_over_with_the_last_one() {
    let mut pools = serving(&[Presence::Always, Presence::OnDemand, Presence::Always]);
    pools.handle(at(100), PoolsEvent::Requested(Request::StopGracefully));
    let (a, b) = (PoolId(0), PoolId(2));
    let asked = [PoolsAction::Stop(a, Rung::Retire), PoolsAction::Stop(b, Rung::Retire)];
    assert_eq!(actions(&mut pools), asked);
    pools.handle(at(200), PoolsEvent::Requested(Request::StopGracefully));
    pools.handle(at(300), PoolsEvent::Queued(PoolId(1)));
    assert_eq!(actions(&mut pools), [], "the same wish, and nobody is woken any more");
    pools.handle(at(1_500), PoolsEvent::Requested(Request::StopGracefully));
    let now = [PoolsAction::Stop(a, Rung::Interrupt), PoolsAction::Stop(b, Rung::Interrupt)];
    assert_eq!(actions(&mut pools), now);
    pools.handle(at(1_600), PoolsEvent::Ended(a, Exit::Code(0)));
    pools.handle(at(1_700), PoolsEvent::Ended(b, Exit::Code(1)));
    assert_eq!(actions(&mut pools), [PoolsAction::Exit(PoolsVerdict::Stopped)]);
}

#[test]
fn who_hands_work_on_stops_before_those_who_take_it() {
    let mut pools = serving(&[Presence::Always; 4]);
    let [web, heavy, a, b] = [0, 1, 2, 3].map(PoolId);
    pools.hands_to(web, heavy);
    // These two hand to each other, so that neither can be last.
    pools.hands_to(a, b);
    pools.hands_to(b, a);
    pools.handle(at(100), PoolsEvent::Requested(Request::StopGracefully));
    let first = [web, a, b].map(|id| PoolsAction::Stop(id, Rung::Retire));
    assert_eq!(actions(&mut pools), first);
    pools.handle(at(200), PoolsEvent::Ended(a, Exit::Code(0)));
    assert_eq!(actions(&mut pools), []);
    pools.handle(at(200), PoolsEvent::Ended(web, Exit::Code(0)));
    assert_eq!(actions(&mut pools), [PoolsAction::Stop(heavy, Rung::Retire)]);
    pools.handle(at(300), PoolsEvent::Requested(Request::StopNow));
    let now = [heavy, b].map(|id| PoolsAction::Stop(id, Rung::Interrupt));
    assert_eq!(actions(&mut pools), now);
}

#[test]
fn a_stop_without_any_process_is_over_at_once() {
    let mut pools = serving(&[Presence::OnDemand]);
    pools.handle(at(100), PoolsEvent::Requested(Request::StopNow));
    assert_eq!(actions(&mut pools), [PoolsAction::Exit(PoolsVerdict::Stopped)]);
}

#[test]
fn what_was_about_to_be_started_is_not_when_a_stop_comes_first() {
    let mut pools = Pools::new(PoolsConfig::default());
    pools.add(Presence::Always);
    pools.handle(at(0), PoolsEvent::Start);
    pools.handle(at(0), PoolsEvent::Requested(Request::StopGracefully));
    assert_eq!(actions(&mut pools), [PoolsAction::Exit(PoolsVerdict::Stopped)]);
}

/// What may happen to a pool.
fn happenings() -> impl Strategy<Value = Vec<(u64, u8, u32)>> {
    prop::collection::vec((0..2_000u64, 0..7u8, 0..4u32), 1..200)
}

proptest! {
    /// Whatever happens: no pool has two processes, none is started while it is asked to stop, and it ends.
    #[test]
    fn no_pool_ever_has_two_processes(happenings in happenings()) {
        let mut pools = Pools::new(PoolsConfig::default());
        for number in 0..4 {
            pools.add(if number % 2 == 0 { Presence::Always } else { Presence::OnDemand });
        }
        let (mut now, mut alive) = (at(0), BTreeSet::new());
        let mut over = false;
        pools.handle(now, PoolsEvent::Start);
        // What was decided at the start is carried out before anything happens.
        for (pause, what, pool) in std::iter::once((0, 6, 0)).chain(happenings) {
            now = now + Duration::from_millis(pause);
            let id = PoolId(pool);
            match what {
                0 if alive.contains(&id) => pools.handle(now, PoolsEvent::Ready(id)),
                1 | 2 if alive.remove(&id) => {
                    pools.handle(now, PoolsEvent::Ended(id, Exit::Code(i32::from(what - 1))));
                }
                3 => pools.handle(now, PoolsEvent::Queued(id)),
                4 if pause < 20 => pools.handle(now, PoolsEvent::Requested(Request::StopGracefully)),
                _ => pools.advance(now),
            }
            while let Some(action) = pools.next_action() {
                prop_assert!(!over, "{action:?} after the end");
                match action {
                    PoolsAction::Start(id, _) => {
                        prop_assert!(!pools.is_stopping());
                        prop_assert!(alive.insert(id), "{id:?} twice");
                        pools.handle(now, PoolsEvent::Started(id));
                    }
                    PoolsAction::Stop(id, _)
                    | PoolsAction::Replace(id)
                    | PoolsAction::UpgradePool(id)
                    | PoolsAction::ReloadPool(id) => {
                        prop_assert!(alive.contains(&id));
                    }
                    PoolsAction::Exit(_) => {
                        prop_assert!(alive.is_empty());
                        over = true;
                    }
                    PoolsAction::Ready
                    | PoolsAction::Probe
                    | PoolsAction::EndProbe
                    | PoolsAction::Upgrade
                    | PoolsAction::Report(..)
                    | PoolsAction::Show(_)
                    | PoolsAction::Trouble(_)
                    | PoolsAction::Ceiling(..)
                    | PoolsAction::Log(_) => {}
                }
            }
            prop_assert_eq!(pools.awake(), alive.len());
            prop_assert!(pools.sleeping(now).all(|id| !alive.contains(&id)));
        }
    }
}
