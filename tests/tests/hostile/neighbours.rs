//! What a child can do to its parent, and what to another child of the same user.

use prefork_tests::{holds_for, scene};
use std::time::Duration;

use crate::siege::{Siege, measured};

/// What everybody may do to everybody.
const HARMLESS: [&str; 1] = ["pidfd_open"];

/// A9: nothing that a child tries on its parent succeeds; what succeeds on another child of the same user is
/// printed, and is in `docs/security.md`.
#[test]
fn a_child_can_do_nothing_to_its_parent() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let (mut attacker, sibling, victim) = (siege.puppet(), siege.puppet(), siege.puppet());
    for (call, gave) in attacker.order(&format!("neighbour/{}", siege.daemon.pid())).iter() {
        let is_refused = gave.starts_with('E') || HARMLESS.contains(&call);
        assert!(is_refused, "{call} on the parent gave {gave}");
    }
    let on_sibling = attacker.order(&format!("neighbour/{}", sibling.pid));
    let on = |refused: bool| {
        let calls = on_sibling.iter().filter(|(_, gave)| gave.starts_with('E') == refused);
        calls.map(|(call, gave)| format!("{call} {gave}")).collect::<Vec<_>>().join(", ")
    };
    measured(&format!("on a sibling succeed: {}", on(false)));
    measured(&format!("on a sibling fail: {}", on(true)));
    // As a child that has changed its user is not dumpable, its memory and its descriptors are its own.
    for call in ["pidfd_getfd", "process_vm_", "/proc/PID/", "ptrace"] {
        for gave in on_sibling.of(call) {
            assert!(["EPERM", "EACCES"].contains(&gave), "{call} on a sibling gave {gave}");
        }
    }
    siege.assert_replaced(victim, "after everything was tried on the parent");
    drop((attacker, sibling));
    siege.assert_stops();
}

/// A9: a child that signals its process group reaches itself alone.
#[test]
fn a_child_that_signals_its_group_reaches_nobody_else() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let (mut attacker, victim) = (siege.puppet(), siege.puppet());
    let before = siege.daemon.living();
    let outcome = attacker.order("everybody");
    assert_eq!(outcome.of("kill 0"), ["0"], "{outcome:?}");
    holds_for(Duration::from_millis(500), "the children that there were", || {
        siege.daemon.living() == before
    });
    siege.assert_replaced(victim, "after a child has signalled its group");
    drop(attacker);
    siege.assert_stops();
}
