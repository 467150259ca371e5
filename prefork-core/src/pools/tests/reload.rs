//! Reloads: what becomes of which pool.

use super::{
    upgrade::{handed, identity},
    *,
};
use crate::{AdoptedAs, ChangeNotice, Progress, Refusal, Reread};

const HUP: PoolsEvent = PoolsEvent::Requested(Request::Reload);
const USR2: PoolsEvent = PoolsEvent::Requested(Request::Upgrade);

const fn report(state: ChangeState) -> PoolsAction {
    PoolsAction::Report(PoolsChange::Reload, state)
}

/// What comes last after so many milliseconds, when all have followed but so many.
fn end(counts: [usize; 3], ms: u64) -> [PoolsAction; 3] {
    let [reloaded, started, refused] = counts;
    let state = if refused == 0 { ChangeState::Done } else { ChangeState::InPart { refused } };
    let shown = PoolsAction::Show(Progress::Reloaded);
    let took = Duration::from_millis(ms);
    let logged = PoolsNotice::Reloaded { reloaded, started, refused, took };
    [PoolsAction::Log(logged), shown, report(state)]
}

/// A daemon that reads its settings again, with these pools.
fn reading(presences: &[Presence]) -> Pools {
    let mut pools = serving(presences);
    pools.config.reread = Reread::AtReload;
    pools
}

/// One pool after a reload: what it was made of, how far its process is, and what it is made of now.
struct Case {
    name: &'static str,
    was: Option<(&'static str, HandedStage, Option<u64>)>,
    now: Option<(&'static str, Presence, MadeOf)>,
}

/// What a program that was executed for a reload goes on with, and what it does first.
fn adopt(cases: &[Case]) -> (Pools, Vec<PoolsAction>) {
    let handed: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let (address, stage, runs) = case.was?;
            Some(HandedPool { runs, ..handed(case.name, &[address], stage) })
        })
        .collect();
    let now = || cases.iter().filter_map(|case| Some((case.name, case.now?)));
    let wanted: Vec<_> = now()
        .map(|(name, (address, presence, _))| (identity(name, &[address]), presence))
        .collect();
    let made_of: Vec<_> = now().map(|(_, (.., made_of))| made_of).collect();
    let adoption = Adoption {
        config: PoolsConfig::default(),
        wanted: &wanted,
        made_of: &made_of,
        shared: None,
        handed: &handed,
        adopted_as: AdoptedAs::NewProgram,
        change: PoolsChange::Reload,
        again: Wishes::default(),
    };
    let mut pools = Pools::adopt(at(5_000), adoption).pools;
    let done = all_actions(&mut pools);
    (pools, done)
}

/// What the process of a pool is made of, if that is known.
fn runs(pools: &Pools, id: PoolId) -> Option<u64> {
    pools.pools[id.0 as usize].runs
}

fn serves() -> HandedStage {
    HandedStage::Serving { since: at(1) }
}

#[test]
fn without_settings_to_read_all_that_are_awake_are_reloaded_at_once() {
    let mut pools = serving(&[Presence::Always, Presence::OnDemand, Presence::Always]);
    pools.handle(at(10), HUP);
    let [a, b] = [PoolId(0), PoolId(2)];
    let begun = [
        report(ChangeState::Begun),
        PoolsAction::Log(PoolsNotice::Reloading { pools: 2 }),
        PoolsAction::Show(Progress::Reloading),
        PoolsAction::ReloadPool(a),
        PoolsAction::ReloadPool(b),
    ];
    assert_eq!(all_actions(&mut pools), begun);
    pools.handle(at(20), reports(b, 1, false, ReloadEnd::Done));
    pools.handle(at(21), reports(b, 1, false, ReloadEnd::Done));
    assert_eq!(all_actions(&mut pools), [], "an answer counts once");
    pools.handle(at(30), reports(a, 1, false, ReloadEnd::Failed));
    let refused = PoolsAction::Log(PoolsNotice::NotReloaded(a));
    let kind = TroubleKind::ReloadFailed;
    let trouble = PoolsAction::Trouble(Some(PoolsTrouble { kind, pool: a, others: 0 }));
    let [x, y, z] = end([1, 0, 1], 20);
    assert_eq!(all_actions(&mut pools), [refused, x, trouble, y, z]);
    assert_eq!(pools.deadline(), None, "at rest nobody is to wake");
}

/// Nothing is compared there: a reload is one of each pool, as its own parent's is.
#[test]
fn without_settings_to_read_it_does_not_matter_what_a_pool_is_made_of() {
    for made_of in [MadeOf::Settings(1), MadeOf::Unreadable] {
        let mut pools = Pools::new(PoolsConfig::default());
        let a = pools.add(Presence::Always);
        pools.made_of(a, made_of);
        pools.handle(at(0), PoolsEvent::Start);
        pools.handle(at(1), PoolsEvent::Started(a));
        pools.handle(at(2), PoolsEvent::Ready(a));
        all_actions(&mut pools);
        pools.handle(at(10), HUP);
        let actions = all_actions(&mut pools);
        assert!(actions.contains(&PoolsAction::ReloadPool(a)), "{made_of:?}: {actions:?}");
    }
}

#[test]
fn settings_are_read_by_the_running_program_before_anything_changes() {
    let mut pools = reading(&[Presence::Always]);
    pools.handle(at(10), HUP);
    let begun = [
        report(ChangeState::Begun),
        PoolsAction::Log(PoolsNotice::Change(ChangeNotice::ReadingSettings)),
        PoolsAction::Show(Progress::ReadingSettings),
        PoolsAction::Probe,
    ];
    assert_eq!(all_actions(&mut pools), begun);
    assert_eq!(pools.change(), Some(PoolsChange::Reload));
    let mut good = pools.clone();
    good.handle(at(20), PoolsEvent::ProbeReady);
    assert_eq!(all_actions(&mut good), [PoolsAction::Upgrade]);
    assert_eq!(good.change(), Some(PoolsChange::Reload));
    let by = Refusal::Reported;
    let refused =
        [PoolsAction::Show(Progress::SettingsRefused { by }), report(ChangeState::Refused(by))];
    good.handle(at(21), PoolsEvent::UpgradeFailed);
    assert_eq!(all_actions(&mut good), refused);
    let mut bad = pools.clone();
    bad.handle(at(20), PoolsEvent::ProbeFailed);
    assert_eq!(all_actions(&mut bad), refused);
    let limit = PoolsConfig::default().start_timeout;
    pools.advance(at(10) + limit);
    let by = Refusal::TimedOut { limit };
    let late = [
        PoolsAction::EndProbe,
        PoolsAction::Log(PoolsNotice::Change(ChangeNotice::SettingsTimedOut { limit })),
        PoolsAction::Show(Progress::SettingsRefused { by }),
        report(ChangeState::Refused(by)),
    ];
    assert_eq!(all_actions(&mut pools), late);
    for pools in [good, bad, pools] {
        assert_eq!((pools.deadline(), pools.wishes()), (None, Wishes::default()));
    }
}

/// Each way in which a pool can be there before and after, and what is done about it.
#[test]
fn a_reload_touches_those_pools_alone_that_are_others_now() {
    use HandedStage::Down;
    use MadeOf::{Settings, Unreadable, Unsaid};
    let always = Presence::Always;
    let same = Some((":1", serves(), Some(7)));
    let reload = [PoolsAction::ReloadPool(PoolId(0))];
    let start = [PoolsAction::Start(PoolId(0), None)];
    let changed = [
        PoolsAction::Log(PoolsNotice::Changed(PoolId(0))),
        PoolsAction::Stop(PoolId(0), Rung::Retire),
    ];
    let gone = [
        PoolsAction::Log(PoolsNotice::Gone(PoolId(0))),
        PoolsAction::Stop(PoolId(0), Rung::Retire),
    ];
    let sleeps = Presence::OnDemand;
    for (was, now, expected) in [
        (same, Some((":1", always, Settings(7))), &[][..]),
        (same, Some((":1", always, Unreadable)), &[]),
        (same, Some((":1", always, Settings(8))), &reload),
        (same, Some((":1", always, Unsaid)), &reload),
        // What it runs is not known for certain, as it has refused the last time.
        (Some((":1", serves(), None)), Some((":1", always, Settings(7))), &reload),
        (
            Some((":1", HandedStage::Starting { since: at(1) }, None)),
            Some((":1", always, Settings(7))),
            &reload,
        ),
        (same, Some((":2", always, Settings(7))), &changed),
        (same, None, &gone),
        (None, Some((":1", always, Settings(7))), &start),
        (None, Some((":1", sleeps, Settings(7))), &[]),
        (Some((":1", Down, None)), Some((":1", sleeps, Settings(7))), &[]),
        (Some((":1", Down, None)), None, &[]),
    ] {
        let (_, done) = adopt(&[Case { name: "a", was, now }]);
        let done: Vec<_> = done
            .into_iter()
            .filter(|action| {
                use PoolsAction::{Log, Report, Show};
                let is_told = matches!(
                    action,
                    Log(PoolsNotice::Reloading { .. } | PoolsNotice::Reloaded { .. })
                );
                !is_told && !matches!(action, Report(..) | Show(_))
            })
            .collect();
        assert_eq!(done, expected, "{was:?} {now:?}");
    }
}

#[test]
fn it_is_done_when_those_that_were_asked_have_answered_and_those_that_are_new_serve() {
    let always = Presence::Always;
    let (mut pools, first) = adopt(&[
        Case {
            name: "a",
            was: Some((":1", serves(), Some(1))),
            now: Some((":1", always, MadeOf::Settings(1))),
        },
        Case {
            name: "b",
            was: Some((":2", serves(), Some(1))),
            now: Some((":2", always, MadeOf::Settings(2))),
        },
        Case { name: "c", was: None, now: Some((":3", always, MadeOf::Settings(1))) },
        Case {
            name: "d",
            was: Some((":4", serves(), Some(1))),
            now: Some((":5", always, MadeOf::Settings(1))),
        },
        Case { name: "e", was: Some((":6", serves(), Some(1))), now: None },
    ]);
    assert!(!first.contains(&report(ChangeState::Done)), "{first:?}");
    assert!(first.contains(&PoolsAction::ReloadPool(PoolId(1))), "{first:?}");
    let [b, c, d] = [1, 2, 3].map(PoolId);
    pools.handle(at(6_000), reports(b, 1, false, ReloadEnd::Done));
    assert_eq!((runs(&pools, PoolId(0)), runs(&pools, b)), (Some(1), Some(2)));
    pools.handle(at(6_000), PoolsEvent::Started(c));
    pools.handle(at(6_001), PoolsEvent::Ended(d, Exit::Code(0)));
    pools.handle(at(6_001), PoolsEvent::Started(d));
    pools.handle(at(6_002), PoolsEvent::Ready(d));
    assert!(!all_actions(&mut pools).contains(&report(ChangeState::Done)));
    // Nobody waits for the one that leaves.
    pools.handle(at(6_003), PoolsEvent::Ready(c));
    assert_eq!(all_actions(&mut pools), end([1, 2, 0], 1_003));
    assert_eq!(runs(&pools, c), Some(1));
}

#[test]
fn a_new_pool_that_does_not_come_up_and_one_that_never_answers_are_counted() {
    let always = Presence::Always;
    let cases = [
        Case {
            name: "a",
            was: Some((":1", serves(), Some(1))),
            now: Some((":1", always, MadeOf::Settings(2))),
        },
        Case { name: "b", was: None, now: Some((":2", always, MadeOf::Settings(1))) },
    ];
    let (mut pools, _) = adopt(&cases);
    let [a, b] = [0, 1].map(PoolId);
    pools.handle(at(6_000), PoolsEvent::Started(b));
    pools.handle(at(6_001), PoolsEvent::Ended(b, Exit::Code(78)));
    all_actions(&mut pools);
    let late = pools.deadline().expect("it is started again");
    pools.advance(late);
    assert_eq!(all_actions(&mut pools), [PoolsAction::Start(b, None)]);
    pools.handle(late, PoolsEvent::Started(b));
    pools.handle(late, PoolsEvent::Ready(b));
    assert_eq!(all_actions(&mut pools), [PoolsAction::Trouble(None)], "it was counted before");
    let limit = Duration::from_secs(45 + 2 * 60 + 60);
    assert_eq!(pools.deadline(), Some(at(5_000) + limit));
    pools.advance(at(5_000) + limit);
    let late = PoolsAction::Log(PoolsNotice::ReloadUnanswered { pool: a, limit });
    let [x, y, z] = end([0, 0, 2], 225_000);
    assert_eq!(all_actions(&mut pools), [late, x, y, z]);
    assert_eq!(runs(&pools, a), None, "so that the next reload asks it again");
}

#[test]
fn a_pool_that_ends_instead_of_answering_is_waited_for_if_it_is_always_there() {
    let (mut pools, _) = adopt(&[
        Case {
            name: "a",
            was: Some((":1", serves(), Some(1))),
            now: Some((":1", Presence::Always, MadeOf::Settings(2))),
        },
        Case {
            name: "b",
            was: Some((":2", serves(), Some(1))),
            now: Some((":2", Presence::OnDemand, MadeOf::Settings(2))),
        },
    ]);
    let [a, b] = [0, 1].map(PoolId);
    pools.handle(at(6_000), PoolsEvent::Ended(b, Exit::Code(0)));
    pools.handle(at(6_000), PoolsEvent::Ended(a, Exit::Code(1)));
    all_actions(&mut pools);
    pools.handle(at(6_001), PoolsEvent::Started(a));
    pools.handle(at(6_002), PoolsEvent::Ready(a));
    let [x, y, z] = end([0, 1, 0], 1_002);
    assert_eq!(all_actions(&mut pools), [x, PoolsAction::Trouble(None), y, z]);
    assert_eq!(runs(&pools, a), Some(2));
}

#[test]
fn an_upgrade_and_a_reload_that_were_asked_for_together_come_one_after_the_other() {
    let mut pools = reading(&[Presence::Always]);
    pools.handle(at(10), HUP);
    pools.handle(at(11), HUP);
    pools.handle(at(12), USR2);
    all_actions(&mut pools);
    assert_eq!(pools.wishes(), Wishes { reload: true, upgrade: true });
    pools.handle(at(20), PoolsEvent::ProbeFailed);
    assert_eq!(all_actions(&mut pools).last(), Some(&PoolsAction::Probe));
    assert_eq!(pools.change(), Some(PoolsChange::Upgrade));
    pools.handle(at(30), PoolsEvent::ProbeFailed);
    assert_eq!(all_actions(&mut pools).last(), Some(&PoolsAction::Probe));
    assert_eq!((pools.change(), pools.wishes()), (Some(PoolsChange::Reload), Wishes::default()));
    pools.handle(at(40), PoolsEvent::ProbeFailed);
    all_actions(&mut pools);
    assert_eq!((pools.change(), pools.deadline()), (None, None));
}

/// One that is reloaded while the last reload has not ended is not waited for twice.
#[test]
fn a_reload_begins_while_pools_are_at_the_last_one() {
    let mut pools = serving(&[Presence::Always]);
    for time in [10, 20] {
        pools.handle(at(time), HUP);
        assert_eq!(all_actions(&mut pools).last(), Some(&PoolsAction::ReloadPool(PoolId(0))));
    }
    pools.handle(at(29), reports(PoolId(0), 1, false, ReloadEnd::Done));
    assert_eq!(all_actions(&mut pools), [], "it is not about the second one");
    pools.handle(at(30), reports(PoolId(0), 2, false, ReloadEnd::Done));
    assert_eq!(all_actions(&mut pools), end([1, 0, 0], 10));
    pools.handle(at(40), HUP);
    pools.handle(at(50), PoolsEvent::Requested(Request::StopGracefully));
    pools.handle(at(60), reports(PoolId(0), 3, false, ReloadEnd::Done));
    let done = all_actions(&mut pools);
    assert!(!done.contains(&report(ChangeState::Done)), "{done:?}");
}

/// One whose children take their time is waited for as long as it is at it: its own limits are what bounds that.
#[test]
fn a_pool_that_has_taken_the_request_in_is_waited_for_longer_than_one_that_has_not() {
    let mut pools = serving(&[Presence::Always, Presence::Always]);
    let [slow, silent] = [0, 1].map(PoolId);
    pools.handle(at(0), HUP);
    pools.handle(at(10), reports(slow, 1, true, ReloadEnd::Done));
    all_actions(&mut pools);
    let limit = pools.deadline().expect("the other one is waited for");
    pools.advance(limit);
    let late = limit.since(at(0));
    let late = PoolsNotice::ReloadUnanswered { pool: silent, limit: late };
    assert_eq!(all_actions(&mut pools), [PoolsAction::Log(late)]);
    assert_eq!(pools.deadline(), None, "nobody wakes to wait");
    pools.handle(at(400_000), reports(slow, 1, false, ReloadEnd::Done));
    assert_eq!(all_actions(&mut pools), end([1, 0, 1], 400_000));
}

/// It may have read settings that nobody here has, even if those are gone by the next reload.
#[test]
fn a_pool_that_somebody_else_has_reloaded_is_asked_again() {
    let made = Some((":1", Presence::Always, MadeOf::Settings(7)));
    let cases = [Case { name: "a", was: Some((":1", serves(), Some(7))), now: made }];
    let (mut pools, _) = adopt(&cases);
    let a = PoolId(0);
    assert_eq!(runs(&pools, a), Some(7));
    pools.handle(at(6_000), reports(a, 0, true, ReloadEnd::Done));
    pools.handle(at(6_010), reports(a, 0, false, ReloadEnd::Done));
    assert_eq!(runs(&pools, a), None);
}
