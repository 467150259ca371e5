//! Upgrades: first of the arbiter, then of pool after pool.

use super::*;
use crate::{AdoptedAs, Ceiling, ChangeNotice, Need, Progress, Refusal};

const HUP: PoolsEvent = PoolsEvent::Requested(Request::Reload);
const USR2: PoolsEvent = PoolsEvent::Requested(Request::Upgrade);

pub(super) fn identity(name: &str, addresses: &[&str]) -> PoolIdentity {
    let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
    let (name, hands_to) = (name.to_owned(), Vec::new());
    PoolIdentity { name, is_role: false, addresses, hands_to, takes: false, sleeps: None }
}

pub(super) fn handed(name: &str, addresses: &[&str], stage: HandedStage) -> HandedPool {
    HandedPool {
        identity: identity(name, addresses),
        stage,
        runs: None,
        not_upgraded: false,
        lost: false,
        held: Held::default(),
        reloads: PoolReloads::default(),
    }
}

fn serves() -> HandedStage {
    HandedStage::Serving { since: at(1) }
}

pub(super) fn adoption<'a>(
    wanted: &'a [(PoolIdentity, Presence)],
    handed: &'a [HandedPool],
    adopted_as: AdoptedAs,
) -> Adoption<'a> {
    let (config, change, again) = (PoolsConfig::default(), PoolsChange::Upgrade, Wishes::default());
    Adoption { config, wanted, made_of: &[], shared: None, handed, adopted_as, change, again }
}

/// What a new program goes on with, and what it does first.
fn adopt(
    wanted: &[(PoolIdentity, Presence)],
    handed: &[HandedPool],
) -> (Pools, Vec<Option<usize>>, Vec<PoolsAction>) {
    let adoption = adoption(wanted, handed, AdoptedAs::NewProgram);
    let AdoptedPools { mut pools, were } = Pools::adopt(at(5_000), adoption);
    let done = actions(&mut pools);
    assert_eq!(
        done.iter().filter(|it| **it == PoolsAction::Show(Progress::Reloading)).count(),
        1,
        "{done:?}"
    );
    let done = done.into_iter().filter(|it| *it != PoolsAction::Show(Progress::Reloading));
    (pools, were, done.collect())
}

/// A new program that goes on with so many pools, all of which serve.
pub(super) fn following(count: usize) -> Pools {
    let names: Vec<_> = (0..count).map(|number| format!("pool{number}")).collect();
    let wanted: Vec<_> = names.iter().map(|name| (identity(name, &[]), Presence::Always)).collect();
    let left: Vec<_> = names.iter().map(|name| handed(name, &[], serves())).collect();
    let (pools, _, first) = adopt(&wanted, &left);
    assert_eq!(first, [PoolsAction::UpgradePool(PoolId(0))]);
    pools
}

const fn change(notice: ChangeNotice) -> PoolsAction {
    PoolsAction::Log(PoolsNotice::Change(notice))
}

#[test]
fn the_program_is_tried_before_it_is_become_and_that_comes_after_all_else() {
    let mut pools = serving(&[Presence::Always]);
    pools.handle(at(2_000), USR2);
    let tried =
        [change(ChangeNotice::Probing), PoolsAction::Show(Progress::Probing), PoolsAction::Probe];
    assert_eq!(actions(&mut pools), tried);
    pools.handle(at(3_000), PoolsEvent::ProbeReady);
    pools.handle(at(3_000), PoolsEvent::Ended(PoolId(0), Exit::Code(1)));
    let done = actions(&mut pools);
    assert_eq!(done.last(), Some(&PoolsAction::Upgrade), "{done:?}");
    assert!(done.contains(&PoolsAction::Start(PoolId(0), None)), "{done:?}");
    assert_eq!(actions(&mut pools), [], "it is asked for once");
    // It was refused, as by the kernel.
    pools.handle(at(3_001), PoolsEvent::UpgradeFailed);
    let by = Refusal::Reported;
    assert_eq!(actions(&mut pools), [PoolsAction::Show(Progress::UpgradeRefused { by })]);
}

#[test]
fn what_is_wrong_with_a_program_leaves_all_as_it_is_and_the_next_one_is_tried() {
    let limit = PoolsConfig::default().start_timeout;
    let refused = |by| PoolsAction::Show(Progress::UpgradeRefused { by });
    for event in [Some(PoolsEvent::ProbeFailed), None] {
        let mut pools = serving(&[Presence::Always, Presence::OnDemand]);
        for round in 0..2 {
            let now = at(100_000 * (round + 1));
            pools.handle(now, USR2);
            assert_eq!(actions(&mut pools).last(), Some(&PoolsAction::Probe));
            assert_eq!(pools.deadline(), Some(now + limit));
            match event {
                Some(event) => {
                    pools.handle(now, event);
                    assert_eq!(actions(&mut pools), [refused(Refusal::Reported)]);
                }
                // It hangs.
                None => {
                    pools.advance(now + limit);
                    let late = change(ChangeNotice::ProbeTimedOut { limit });
                    let shown = refused(Refusal::TimedOut { limit });
                    assert_eq!(actions(&mut pools), [PoolsAction::EndProbe, late, shown]);
                }
            }
            assert_eq!(pools.deadline(), None);
            assert_eq!(pools.awake(), 1);
        }
    }
}

#[test]
fn a_file_that_is_being_written_is_waited_for_a_minute() {
    let mut pools = serving(&[Presence::Always]);
    let mut now = at(1_000);
    pools.handle(now, USR2);
    let mut attempts = 0;
    let last = loop {
        let done = actions(&mut pools);
        if !done.contains(&PoolsAction::Probe) {
            break done;
        }
        attempts += 1;
        pools.handle(now, PoolsEvent::ProgramBusy);
        now = pools.deadline().unwrap_or(now);
        pools.advance(now);
    };
    let tried = Duration::from_secs(60);
    let by = Refusal::Busy { tried };
    let expected = [
        change(ChangeNotice::ProgramBusy { tried }),
        PoolsAction::Show(Progress::UpgradeRefused { by }),
    ];
    assert_eq!((attempts, &last[..]), (121, &expected[..]));
}

#[test]
fn an_upgrade_begins_when_the_daemon_is_ready_and_ends_with_a_stop() {
    let mut pools = Pools::new(PoolsConfig::default());
    let pool = pools.add(Presence::Always);
    pools.handle(at(0), PoolsEvent::Start);
    pools.handle(at(0), PoolsEvent::Started(pool));
    pools.handle(at(1), USR2);
    assert_eq!(actions(&mut pools), [PoolsAction::Start(pool, None)]);
    pools.handle(at(2), PoolsEvent::Ready(pool));
    let done = actions(&mut pools);
    assert_eq!((done[0], done[done.len() - 1]), (PoolsAction::Ready, PoolsAction::Probe));
    pools.handle(at(3), PoolsEvent::Requested(Request::StopGracefully));
    let done = actions(&mut pools);
    assert!(done.contains(&PoolsAction::EndProbe), "{done:?}");
    pools.handle(at(4), PoolsEvent::ProbeReady);
    pools.handle(at(4), USR2);
    assert_eq!(actions(&mut pools), []);
}

#[test]
fn pools_follow_one_after_the_other_and_one_that_refuses_keeps_no_other() {
    let mut pools = following(3);
    // Of itself, as on a signal of its own.
    pools.handle(at(5_010), PoolsEvent::PoolUpgraded(PoolId(2)));
    assert_eq!(actions(&mut pools), []);
    pools.handle(at(5_020), PoolsEvent::PoolUpgraded(PoolId(0)));
    assert_eq!(actions(&mut pools), [PoolsAction::UpgradePool(PoolId(1))]);
    pools.handle(at(5_030), PoolsEvent::PoolNotUpgraded(PoolId(1)));
    let refused = PoolsAction::Log(PoolsNotice::NotUpgraded(PoolId(1)));
    let (pool, kind) = (PoolId(1), TroubleKind::NotUpgraded);
    let trouble = PoolsAction::Trouble(Some(PoolsTrouble { kind, pool, others: 0 }));
    assert_eq!(actions(&mut pools), [refused, PoolsAction::UpgradePool(PoolId(2)), trouble]);
    pools.handle(at(5_040), PoolsEvent::PoolUpgraded(PoolId(2)));
    let all = PoolsAction::Log(PoolsNotice::Upgraded { upgraded: 2, refused: 1 });
    assert_eq!(actions(&mut pools), [all, PoolsAction::Show(Progress::Reloaded)]);
    assert_eq!(pools.deadline(), None, "at rest nobody is to wake");
}

#[test]
fn a_pool_is_asked_when_it_serves_and_not_if_it_has_ended_before() {
    let wanted = ["a", "b", "c", "d"].map(|name| {
        let presence = if name == "d" { Presence::OnDemand } else { Presence::Always };
        (identity(name, &[]), presence)
    });
    let left = [
        handed("a", &[], HandedStage::Starting { since: at(4_999) }),
        handed("b", &[], serves()),
        handed("c", &[], serves()),
        handed("d", &[], HandedStage::Down),
    ];
    let (mut pools, _, first) = adopt(&wanted, &left);
    assert_eq!(first, [PoolsAction::UpgradePool(PoolId(1))], "not the one that starts");
    pools.handle(at(6_000), PoolsEvent::Ended(PoolId(2), Exit::Code(1)));
    pools.handle(at(6_000), PoolsEvent::Ended(PoolId(1), Exit::Code(1)));
    let done = actions(&mut pools);
    let asked = |action: &&PoolsAction| matches!(action, PoolsAction::UpgradePool(_));
    assert_eq!(done.iter().filter(asked).count(), 0, "they start as the new program: {done:?}");
    pools.handle(at(6_010), PoolsEvent::Ready(PoolId(0)));
    assert_eq!(actions(&mut pools), [PoolsAction::UpgradePool(PoolId(0))]);
    pools.handle(at(6_020), PoolsEvent::PoolUpgraded(PoolId(0)));
    let all = PoolsAction::Log(PoolsNotice::Upgraded { upgraded: 1, refused: 0 });
    assert_eq!(actions(&mut pools)[0], all);
}

#[test]
fn a_pool_that_does_not_answer_is_given_up_in_time() {
    let mut pools = following(2);
    let limit = Duration::from_secs(2 * 60 + 60);
    assert_eq!(pools.deadline(), Some(at(5_000) + limit));
    pools.advance(at(5_000) + limit);
    let late = PoolsAction::Log(PoolsNotice::UpgradeUnanswered { pool: PoolId(0), limit });
    assert_eq!(actions(&mut pools), [late, PoolsAction::UpgradePool(PoolId(1))]);
}

#[test]
fn another_upgrade_that_was_asked_for_meanwhile_comes_after_all_pools() {
    let mut pools = following(1);
    pools.handle(at(5_001), USR2);
    assert_eq!(actions(&mut pools), []);
    assert!(pools.wishes().upgrade);
    pools.handle(at(5_002), PoolsEvent::PoolUpgraded(PoolId(0)));
    assert_eq!(actions(&mut pools).last(), Some(&PoolsAction::Probe));
    // And one that was asked for before the process became the new program.
    pools.handle(at(5_003), USR2);
    pools.handle(at(5_004), PoolsEvent::ProbeReady);
    assert_eq!(actions(&mut pools).last(), Some(&PoolsAction::Upgrade));
    assert!(pools.wishes().upgrade);
    let same = AdoptedAs::SameProgram;
    let adoption = Adoption {
        again: Wishes { upgrade: true, ..Wishes::default() },
        ..adoption(&[], &[], same)
    };
    let mut pools = Pools::adopt(at(1), adoption).pools;
    assert_eq!(actions(&mut pools).last(), Some(&PoolsAction::Probe));
}

#[test]
fn pools_are_known_again_by_name_whatever_their_order() {
    let always = Presence::Always;
    let wanted = [
        (identity("new", &[":3"]), always),
        (identity("b", &[":2"]), Presence::OnDemand),
        (identity("a", &[":1"]), always),
    ];
    let left = [
        handed("a", &[":1"], serves()),
        handed("b", &[":2"], HandedStage::Down),
        handed("gone", &[":4"], serves()),
        handed("asleep", &[":5"], HandedStage::Down),
    ];
    let (mut pools, were, first) = adopt(&wanted, &left);
    assert_eq!(were, [None, Some(1), Some(0), Some(2)], "one that sleeps is gone at once");
    let expected = [
        PoolsAction::Log(PoolsNotice::Gone(PoolId(3))),
        PoolsAction::Stop(PoolId(3), Rung::Retire),
        PoolsAction::Start(PoolId(0), None),
        PoolsAction::UpgradePool(PoolId(2)),
    ];
    assert_eq!(first, expected);
    assert_eq!(pools.sleeping(at(5_001)).collect::<Vec<_>>(), [PoolId(1)]);
    pools.handle(at(5_100), PoolsEvent::Ended(PoolId(3), Exit::Code(0)));
    assert_eq!(actions(&mut pools), [PoolsAction::Log(PoolsNotice::Left(PoolId(3)))]);
    pools.advance(at(500_000));
    let started = |action: &PoolsAction| *action == PoolsAction::Start(PoolId(3), None);
    assert!(!actions(&mut pools).iter().any(started), "it is not started again");
}

#[test]
fn a_pool_that_listens_elsewhere_ends_before_it_is_started_again() {
    let role = PoolIdentity { is_role: true, ..identity("b", &[]) };
    let wanted = [
        (identity("a", &[":1", ":9"]), Presence::Always),
        (role, Presence::Always),
        (identity("c", &[":7"]), Presence::Always),
    ];
    let left = [
        handed("a", &[":1"], serves()),
        handed("b", &[], serves()),
        handed("c", &[":3"], serves()),
    ];
    let (mut pools, _, first) = adopt(&wanted, &left);
    let changed = |number| PoolsAction::Log(PoolsNotice::Changed(PoolId(number)));
    let stop = |number| PoolsAction::Stop(PoolId(number), Rung::Retire);
    // Who waits at a socket that stays is served by the next.
    let a = PoolsAction::Replace(PoolId(0));
    let none_follows = PoolsAction::Log(PoolsNotice::Upgraded { upgraded: 0, refused: 0 });
    let last = [none_follows, PoolsAction::Show(Progress::Reloaded)];
    let expected = [changed(0), a, changed(1), stop(1), changed(2), stop(2), last[0], last[1]];
    assert_eq!(first, expected);
    pools.handle(at(5_100), PoolsEvent::Ended(PoolId(0), Exit::Code(0)));
    let left = PoolsAction::Log(PoolsNotice::Left(PoolId(0)));
    assert_eq!(actions(&mut pools), [left, PoolsAction::Start(PoolId(0), None)]);
    // A stop asks those that were not asked before, once more only if it is to be now.
    let mut stopped = pools.clone();
    stopped.handle(at(7_000), PoolsEvent::Requested(Request::StopGracefully));
    assert_eq!(actions(&mut stopped), []);
    stopped.handle(at(9_000), PoolsEvent::Requested(Request::StopGracefully));
    let now = |number| PoolsAction::Stop(PoolId(number), Rung::Interrupt);
    assert_eq!(actions(&mut stopped), [now(1), now(2)]);
    // The others do not leave.
    let limit = PoolsConfig::default().stop_timeout;
    assert_eq!(pools.deadline(), Some(at(5_000) + limit));
    pools.advance(at(5_000) + limit);
    let kill = |number| PoolsAction::Stop(PoolId(number), Rung::Kill);
    let killed = PoolsAction::Log(PoolsNotice::Killed { pools: 2 });
    assert_eq!(actions(&mut pools), [killed, kill(1), kill(2)]);
}

#[test]
fn an_old_program_that_is_back_asks_no_pool_for_anything() {
    let wanted = [(identity("a", &[":1"]), Presence::Always)];
    let left = [handed("a", &[":1"], serves())];
    let same = AdoptedAs::SameProgram;
    let AdoptedPools { mut pools, were } = Pools::adopt(at(5_000), adoption(&wanted, &left, same));
    assert_eq!((actions(&mut pools), were), (vec![], vec![Some(0)]));
    assert_eq!((pools.awake(), pools.deadline()), (1, None));
}

/// A pool that has so many children, and was told that it may.
fn with_ceiling(name: &str, ceiling: u32) -> HandedPool {
    let need =
        Need { alive: ceiling, busy: ceiling, wanted: 20, ceiling: Some(ceiling), child_memory: 0 };
    HandedPool { held: Held { said: Some(ceiling), need }, ..handed(name, &[], serves()) }
}

fn ceilings(pools: &mut Pools) -> Vec<(u32, u32)> {
    let done = actions(pools).into_iter();
    let told = done.filter_map(|action| match action {
        PoolsAction::Ceiling(PoolId(id), ceiling) => Some((id, ceiling)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_ceiling_goes_over_with_what_each_pool_has_of_it() {
    let wanted = ["a", "b"].map(|name| (identity(name, &[]), Presence::Always));
    let left = [with_ceiling("a", 5), with_ceiling("b", 5), with_ceiling("gone", 2)];
    let quotas = [Quota { minimum: 1, maximum: 20, weight: 1, child_memory: 0 }; 2];
    let shared = |ceiling| {
        let new = adoption(&wanted, &left, AdoptedAs::NewProgram);
        Pools::adopt(
            at(5_000),
            Adoption { shared: Some((Ceiling::Children(ceiling), &quotas)), ..new },
        )
        .pools
    };
    // The one that leaves still has two.
    let mut pools = shared(12);
    assert_eq!(ceilings(&mut pools), [], "as it was, and nobody gets more before");
    pools.handle(at(6_000), PoolsEvent::Ended(PoolId(2), Exit::Code(0)));
    assert_eq!(ceilings(&mut pools), [(0, 6), (1, 6)]);
    // Of a lower one, all give something back first.
    assert_eq!(ceilings(&mut shared(6)), [(0, 3), (1, 3)]);
    // Of none, they are told that there is none.
    let mut pools = Pools::adopt(at(5_000), adoption(&wanted, &left, AdoptedAs::NewProgram)).pools;
    assert_eq!(ceilings(&mut pools), [(0, u32::MAX), (1, u32::MAX)]);
    // Those that had none are told of it.
    let left = ["a", "b"].map(|name| {
        let need = Need { alive: 10, busy: 10, wanted: 20, ceiling: None, child_memory: 0 };
        HandedPool { held: Held { said: None, need }, ..handed(name, &[], serves()) }
    });
    let new = adoption(&wanted, &left, AdoptedAs::NewProgram);
    let mut pools =
        Pools::adopt(at(5_000), Adoption { shared: Some((Ceiling::Children(12), &quotas)), ..new })
            .pools;
    assert_eq!(ceilings(&mut pools), [(0, 6), (1, 6)]);
}

/// What happens to a pool, or to all: which, what, and to which one.
fn happenings() -> impl Strategy<Value = Vec<(u64, u8, usize)>> {
    prop::collection::vec((0..2_000u64, 0..10u8, 0..6usize), 1..200)
}

proptest! {
    /// Over any number of programs with any of six pools each: no process is forgotten, no pool has two, none is asked
    /// to upgrade that does not serve, and all of them end in the end.
    #[test]
    fn no_process_is_lost_or_doubled_by_upgrades(
        happenings in happenings(),
        programs in prop::collection::vec(prop::array::uniform6(0..4u8), 1..6),
    ) {
        let identities = |program: &[u8; 6]| {
            let all = program.iter().enumerate().filter(|(_, kind)| **kind > 0);
            let all = all.map(|(number, kind)| {
                let address = format!(":{}", number + usize::from(*kind / 3) * 10);
                let presence = if number % 2 == 0 { Presence::Always } else { Presence::OnDemand };
                (identity(&format!("pool{number}"), &[&address]), presence)
            });
            all.collect::<Vec<_>>()
        };
        let mut programs = programs.iter().cycle();
        let first = identities(&[1; 6]);
        let config = PoolsConfig { reread: crate::Reread::AtReload, ..PoolsConfig::default() };
        let mut pools = Pools::new(config);
        first.iter().for_each(|(_, presence)| { pools.add(*presence); });
        let mut named: Vec<_> = first.into_iter().map(|(identity, _)| identity).collect();
        let (mut now, mut alive) = (at(0), BTreeSet::<String>::new());
        let mut ready = BTreeSet::<String>::new();
        pools.handle(now, PoolsEvent::Start);
        let end = (0..200).map(|_| (60_000, 1, 0)).chain([(0, 7, 0)]);
        let end = end.chain((0..6).map(|pool| (10, 2, pool)));
        let mut over = false;
        // It serves at first.
        let begin = [(0, 9, 0), (1, 0, 0), (1, 0, 2), (1, 0, 4)];
        for (pause, what, number) in begin.into_iter().chain(happenings).chain(end) {
            now = now + Duration::from_millis(pause);
            let id = PoolId(u32::try_from(number).expect("small"));
            let name = named.get(number).map(|it| it.name.clone()).unwrap_or_default();
            match what {
                0 if alive.contains(&name) => {
                    ready.insert(name);
                    pools.handle(now, PoolsEvent::Ready(id));
                }
                1 | 2 if alive.remove(&name) => {
                    ready.remove(&name);
                    pools.handle(now, PoolsEvent::Ended(id, Exit::Code(i32::from(what - 1))));
                }
                3 => pools.handle(now, PoolsEvent::Queued(id)),
                4 => pools.handle(now, if pause % 2 == 0 { USR2 } else { HUP }),
                5 => pools.handle(now, PoolsEvent::ProbeReady),
                6 if pause % 2 == 0 => pools.handle(now, PoolsEvent::PoolUpgraded(id)),
                6 => pools.handle(now, reports(id, pause, pause % 3 == 0, ReloadEnd::Done)),
                7 if pause == 0 => pools.handle(now, PoolsEvent::Requested(Request::StopNow)),
                8 => pools.handle(now, PoolsEvent::PoolNotUpgraded(id)),
                _ => pools.advance(now),
            }
            while let Some(action) = pools.next_action() {
                prop_assert!(!over, "{action:?} after the end");
                let of = |id: PoolId| named[id.0 as usize].name.clone();
                match action {
                    PoolsAction::Start(id, _) => {
                        prop_assert!(alive.insert(of(id)), "{} twice", of(id));
                        ready.remove(&of(id));
                        pools.handle(now, PoolsEvent::Started(id));
                    }
                    PoolsAction::Stop(id, Rung::Kill) => {
                        prop_assert!(alive.remove(&of(id)));
                        let exit = Exit::Signal { number: 9, core_dumped: false };
                        pools.handle(now, PoolsEvent::Ended(id, exit));
                    }
                    PoolsAction::Stop(id, _) | PoolsAction::Replace(id) => {
                        prop_assert!(alive.contains(&of(id)));
                    }
                    PoolsAction::UpgradePool(id) => {
                        prop_assert!(alive.contains(&of(id)) && ready.contains(&of(id)));
                    }
                    PoolsAction::Upgrade => {
                        let wanted = identities(programs.next().expect("it goes round"));
                        let left: Vec<_> = (0..).map(PoolId).zip(&named).map(|(id, identity)| {
                            pools.hand_over(id, identity.clone())
                        }).collect();
                        let as_new = if pause % 4 == 0 { AdoptedAs::SameProgram } else { AdoptedAs::NewProgram };
                        let wanted = if as_new == AdoptedAs::SameProgram {
                            // It has the pools that it had.
                            left.iter().map(|it| (it.identity.clone(), Presence::Always)).collect()
                        } else {
                            wanted
                        };
                        let (again, change) = (pools.wishes(), pools.change().expect("one is made"));
                        let adoption = Adoption { again, change, ..adoption(&wanted, &left, as_new) };
                        let adopted = Pools::adopt(now, adoption);
                        let wanted = wanted.into_iter().map(|(identity, _)| identity);
                        let gone = adopted.were[wanted.len()..].iter();
                        let gone = gone.map(|was| left[was.expect("it was there")].identity.clone());
                        named = wanted.chain(gone).collect();
                        pools = adopted.pools;
                        prop_assert_eq!(pools.awake(), alive.len());
                    }
                    PoolsAction::Exit(_) => {
                        prop_assert!(alive.is_empty());
                        over = true;
                    }
                    PoolsAction::ReloadPool(id) => prop_assert!(alive.contains(&of(id))),
                    PoolsAction::Ready
                    | PoolsAction::Report(..)
                    | PoolsAction::Probe
                    | PoolsAction::EndProbe
                    | PoolsAction::Show(_)
                    | PoolsAction::Trouble(_)
                    | PoolsAction::Ceiling(..)
                    | PoolsAction::Log(_) => {}
                }
            }
            prop_assert_eq!(pools.awake(), alive.len());
        }
    }
}
