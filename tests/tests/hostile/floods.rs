//! A child that floods its parent pays for it, and nobody else does.

use std::time::Duration;

use prefork_tests::{PATIENCE, scene, wait_until};

use crate::siege::{Siege, measured};

/// How long a flood lasts, unless it is ended.
const FLOOD: Duration = Duration::from_secs(3);

/// How much of a processor the parent may use meanwhile.
const SHARE: f64 = 0.2;

/// What becomes of the flooder.
enum Fate {
    /// It is ended, and named in one line with this text.
    Named(&'static str),
    /// What it does costs nobody anything.
    Ignored,
}

#[track_caller]
fn assert_endured(siege: Siege<'_>, kind: &str, fate: &Fate) {
    let (mut attacker, victim) = (siege.puppet(), siege.puppet());
    let pid = attacker.pid;
    attacker.order(&format!("flood/{kind}/{}", FLOOD.as_millis()));
    siege.assert_replaced(victim, &format!("while a child floods: {kind}"));
    let share = siege.share(FLOOD);
    measured(&format!("the parent used {:.2} % of a core: {kind}", share * 100.0));
    assert!(share < SHARE, "{share} of a processor: {kind}");
    match fate {
        Fate::Named(text) => {
            siege.assert_named_once(pid, text);
            let living = || siege.daemon.living();
            wait_until(PATIENCE, "the flooder is retired", || !living().contains(&pid));
        }
        Fate::Ignored => assert_eq!(siege.logged(&["does little but wake"]), [""; 0]),
    }
    drop(attacker);
    siege.daemon.wait_for_rest();
    siege.assert_stops();
}

/// A6: a child that does nothing but ring its bell is killed.
#[test]
fn a_flood_of_bells_ends_the_flooder() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "bell", &Fate::Named("does little but wake the parent"));
}

/// A6: a child that takes back and repeats everything it has ever reported is killed.
#[test]
fn a_flood_of_reports_ends_the_flooder() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "reports", &Fate::Named("does little but wake the parent"));
}

/// A6: reports that are taken back and repeated, no more often than a child may ring, cost next to nothing.
#[test]
fn a_polite_flood_of_reports_costs_nothing() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "politely", &Fate::Ignored);
}

/// A6: a child that has its parent look at all others as often as it may costs next to nothing.
#[test]
fn forged_rounds_cost_nothing() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "rounds", &Fate::Ignored);
}

/// A6: a record that is being written for ever retires the child whose it is.
#[test]
fn half_written_records_end_the_flooder() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "half-written", &Fate::Named("whole record"));
}

/// A6, A8: a listening socket that is shut down without end is as before when that ends, and the parent does not wear itself
/// out over it.
#[test]
fn a_listener_that_is_shut_down_without_end_costs_little() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "listener", &Fate::Ignored);
    let said = scene.lines_with("error.log", "did not listen any more").len();
    assert!((1..=3).contains(&said), "said {said} times");
}

/// A6: a child that is stopped and continued without end wakes nobody.
#[test]
fn stops_and_continues_do_not_wake_the_parent() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "stops", &Fate::Ignored);
}

/// A6: orphans that a child leaves without end do not keep the parent from anything.
#[test]
fn a_flood_of_orphans_is_endured() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "orphans", &Fate::Ignored);
}

/// A6: a child that has ended can leave its bell to another process, whose rings count for nobody.
#[test]
fn a_bell_that_outlives_its_child_is_endured() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    assert_endured(siege, "heir", &Fate::Ignored);
}
