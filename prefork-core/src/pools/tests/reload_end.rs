//! When a reload is over, and what is shown to be wrong.

use super::*;
use crate::{AdoptedAs, Progress};

const HUP: PoolsEvent = PoolsEvent::Requested(Request::Reload);

const A: PoolId = PoolId(0);
const B: PoolId = PoolId(1);

const DONE: PoolsAction = PoolsAction::Show(Progress::Reloaded);

const fn begun(pools: usize) -> [PoolsAction; 2] {
    [PoolsAction::Log(PoolsNotice::Reloading { pools }), PoolsAction::Show(Progress::Reloading)]
}

const fn over(reloaded: usize, refused: usize, ms: u64) -> PoolsAction {
    let (started, took) = (0, Duration::from_millis(ms));
    PoolsAction::Log(PoolsNotice::Reloaded { reloaded, started, refused, took })
}

const fn refused(pool: PoolId) -> PoolsAction {
    PoolsAction::Log(PoolsNotice::NotReloaded(pool))
}

fn trouble(kind: TroubleKind, pool: PoolId, others: usize) -> PoolsAction {
    PoolsAction::Trouble(Some(PoolsTrouble { kind, pool, others }))
}

#[test]
fn a_reload_is_over_when_the_last_pool_has_taken_it_in_and_replaced_its_children() {
    let mut pools = serving(&[Presence::Always, Presence::Always, Presence::OnDemand]);
    pools.handle(at(100), HUP);
    let asked = [PoolsAction::ReloadPool(A), PoolsAction::ReloadPool(B)];
    assert_eq!(actions(&mut pools), [begun(2), asked].concat());
    // What one reports that has not taken it in yet is no answer.
    for event in [
        reports(A, 0, false, ReloadEnd::Done),
        reports(A, 1, true, ReloadEnd::Done),
        reports(B, 1, true, ReloadEnd::Done),
        reports(A, 1, false, ReloadEnd::Done),
    ] {
        pools.handle(at(150), event);
        assert_eq!(actions(&mut pools), [], "{event:?}");
    }
    pools.handle(at(200), reports(B, 1, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [over(2, 0, 100), DONE]);
    assert_eq!(pools.deadline(), None, "at rest nobody is to wake");
}

#[test]
fn a_request_that_comes_meanwhile_is_passed_on_and_waited_for_as_well() {
    let mut pools = serving(&[Presence::Always]);
    pools.handle(at(100), HUP);
    pools.handle(at(110), reports(A, 1, true, ReloadEnd::Done));
    actions(&mut pools);
    pools.handle(at(120), HUP);
    assert_eq!(actions(&mut pools)[2..], [PoolsAction::ReloadPool(A)]);
    pools.handle(at(130), reports(A, 1, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [], "the second one is on its way");
    pools.handle(at(140), reports(A, 2, true, ReloadEnd::Done));
    pools.handle(at(150), reports(A, 2, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [over(1, 0, 30), DONE]);
}

#[test]
fn where_all_sleep_a_reload_is_over_at_once() {
    let mut pools = serving(&[Presence::OnDemand]);
    pools.handle(at(100), HUP);
    assert_eq!(actions(&mut pools), [&begun(0)[..], &[over(0, 0, 0), DONE]].concat());
}

#[test]
fn a_request_at_the_start_waits_until_the_daemon_serves() {
    let mut pools = Pools::new(PoolsConfig::default());
    pools.add(Presence::Always);
    pools.handle(at(0), PoolsEvent::Start);
    pools.handle(at(0), PoolsEvent::Started(A));
    pools.handle(at(1), HUP);
    assert_eq!(actions(&mut pools), [PoolsAction::Start(A, None)]);
    pools.handle(at(2), PoolsEvent::Ready(A));
    let asked = [PoolsAction::Ready];
    let expected = [&asked[..], &begun(1), &[PoolsAction::ReloadPool(A)]].concat();
    assert_eq!(actions(&mut pools), expected);
}

#[test]
fn a_pool_that_ends_or_is_killed_meanwhile_is_waited_for_until_it_serves_again() {
    let mut pools = serving(&[Presence::Always, Presence::Always]);
    pools.handle(at(2_000), HUP);
    pools.handle(at(2_010), reports(A, 1, true, ReloadEnd::Done));
    pools.handle(at(2_010), reports(B, 1, true, ReloadEnd::Done));
    actions(&mut pools);
    pools.handle(at(2_020), PoolsEvent::Ended(A, Exit::Code(1)));
    pools.handle(at(2_020), PoolsEvent::Started(A));
    pools.handle(at(2_030), reports(B, 1, false, ReloadEnd::Done));
    let done = actions(&mut pools);
    assert!(!done.contains(&DONE), "{done:?}");
    pools.handle(at(2_040), PoolsEvent::Ready(A));
    let (reloaded, started, refused, took) = (1, 1, 0, Duration::from_millis(40));
    let over = PoolsAction::Log(PoolsNotice::Reloaded { reloaded, started, refused, took });
    assert_eq!(actions(&mut pools), [over, PoolsAction::Trouble(None), DONE]);
}

#[test]
fn what_is_wrong_is_shown_the_worst_first_and_until_it_is_mended() {
    let mut pools = serving(&[Presence::Always, Presence::Always, Presence::Always]);
    pools.handle(at(2_000), HUP);
    actions(&mut pools);
    let by = ReloadEnd::SettingsRefused;
    pools.handle(at(2_010), reports(A, 1, false, ReloadEnd::Failed));
    assert_eq!(actions(&mut pools), [refused(A), trouble(TroubleKind::ReloadFailed, A, 0)]);
    pools.handle(at(2_010), reports(B, 1, false, by));
    assert_eq!(actions(&mut pools), [refused(B), trouble(TroubleKind::SettingsRefused, B, 0)]);
    pools.handle(at(2_010), reports(PoolId(2), 1, false, by));
    let c = refused(PoolId(2));
    let expected = [c, over(0, 3, 10), trouble(TroubleKind::SettingsRefused, B, 1), DONE];
    assert_eq!(actions(&mut pools), expected, "shown before the reload is over");
    pools.handle(at(3_000), PoolsEvent::Ended(PoolId(2), Exit::Code(1)));
    let done = actions(&mut pools);
    assert!(done.contains(&trouble(TroubleKind::Lost, PoolId(2), 0)), "{done:?}");
    pools.handle(at(3_000), PoolsEvent::Started(PoolId(2)));
    assert_eq!(actions(&mut pools), [], "it does not serve yet");
    pools.handle(at(3_001), PoolsEvent::Ready(PoolId(2)));
    assert_eq!(actions(&mut pools), [trouble(TroubleKind::SettingsRefused, B, 0)]);
    pools.handle(at(3_010), reports(B, 2, false, ReloadEnd::Done));
    pools.handle(at(3_010), reports(A, 2, false, ReloadEnd::Done));
    assert_eq!(
        actions(&mut pools),
        [trouble(TroubleKind::ReloadFailed, A, 0), PoolsAction::Trouble(None)]
    );
}

/// The old children of a pool serve on after it has become the new program, until new ones are there.
#[test]
fn an_upgrade_is_over_when_the_pools_have_replaced_their_children() {
    let mut pools = super::upgrade::following(2);
    for (id, next) in [(A, Some(PoolsAction::UpgradePool(B))), (B, None)] {
        pools.handle(at(6_000), reports(id, 0, true, ReloadEnd::Done));
        pools.handle(at(6_000), PoolsEvent::PoolUpgraded(id));
        let all = PoolsAction::Log(PoolsNotice::Upgraded { upgraded: 2, refused: 0 });
        assert_eq!(actions(&mut pools), [next.unwrap_or(all)]);
    }
    pools.handle(at(6_010), reports(A, 0, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), []);
    pools.handle(at(6_020), reports(B, 0, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [DONE]);
}

#[test]
fn a_reload_in_the_middle_of_an_upgrade_comes_after_it() {
    let mut pools = super::upgrade::following(1);
    pools.handle(at(6_000), HUP);
    assert_eq!(actions(&mut pools), [], "the upgrade is not over");
    pools.handle(at(6_020), PoolsEvent::PoolNotUpgraded(A));
    let ended = [
        PoolsAction::Log(PoolsNotice::NotUpgraded(A)),
        PoolsAction::Log(PoolsNotice::Upgraded { upgraded: 0, refused: 1 }),
        trouble(TroubleKind::NotUpgraded, A, 0),
        DONE,
    ];
    let expected = [&ended[..], &begun(1), &[PoolsAction::ReloadPool(A)]].concat();
    assert_eq!(actions(&mut pools), expected);
    pools.handle(at(6_030), reports(A, 1, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [over(1, 0, 10), DONE]);
}

#[test]
fn a_reload_while_children_are_replaced_after_an_upgrade_is_over_when_these_are() {
    let mut pools = super::upgrade::following(2);
    for id in [A, B] {
        pools.handle(at(6_000), reports(id, 0, true, ReloadEnd::Done));
        pools.handle(at(6_000), PoolsEvent::PoolUpgraded(id));
    }
    actions(&mut pools);
    pools.handle(at(6_010), HUP);
    actions(&mut pools);
    pools.handle(at(6_020), reports(A, 0, false, ReloadEnd::Done));
    pools.handle(at(6_020), reports(A, 1, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), []);
    pools.handle(at(6_030), reports(B, 1, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [over(2, 0, 20), DONE]);
}

#[test]
fn one_that_goes_on_in_another_program_is_known_by_what_it_has_reported() {
    let state = Reloads { goes_on: true, last: ReloadEnd::Done };
    let reloads = PoolReloads { asked: 7, taken: 7, state };
    let serves = HandedStage::Serving { since: at(1) };
    let handed = [HandedPool { reloads, ..super::upgrade::handed("a", &[], serves) }];
    let wanted = [(handed[0].identity.clone(), Presence::Always)];
    let adoption = super::upgrade::adoption(&wanted, &handed, AdoptedAs::SameProgram);
    let mut pools = Pools::adopt(at(5), adoption).pools;
    pools.handle(at(10), HUP);
    actions(&mut pools);
    pools.handle(at(20), reports(A, 7, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [], "not for this request");
    pools.handle(at(20), reports(A, 8, false, ReloadEnd::Done));
    assert_eq!(actions(&mut pools), [over(1, 0, 10), DONE]);
}

/// A reload is a program in the arbiter's place too, and mends neither.
#[test]
fn what_is_wrong_is_shown_on_by_the_program_that_goes_on_after_a_reload() {
    let mut pools = serving(&[Presence::Always, Presence::Always]);
    pools.handle(at(10), PoolsEvent::Ended(B, Exit::Code(1)));
    pools.with(A, |pool| pool.has_refused = true);
    let identities = ["a", "b"].map(|name| super::upgrade::identity(name, &[]));
    let wanted = identities.clone().map(|identity| (identity, Presence::Always));
    let [a, b] = identities;
    let handed = [pools.hand_over(A, a), pools.hand_over(B, b)];
    for (change, next) in [
        (PoolsChange::Reload, Some(trouble(TroubleKind::NotUpgraded, A, 0))),
        // It is asked to become this program.
        (PoolsChange::Upgrade, None),
    ] {
        let adoption = super::upgrade::adoption(&wanted, &handed, AdoptedAs::NewProgram);
        let mut pools = Pools::adopt(at(20), Adoption { change, ..adoption }).pools;
        let first = actions(&mut pools);
        assert!(first.contains(&trouble(TroubleKind::Lost, B, 0)), "{first:?}");
        pools.handle(at(30), PoolsEvent::Started(B));
        pools.handle(at(31), PoolsEvent::Ready(B));
        let then = actions(&mut pools);
        let shown = next.unwrap_or(PoolsAction::Trouble(None));
        assert!(then.contains(&shown), "{change:?} {then:?}");
    }
}
