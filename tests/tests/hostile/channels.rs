//! Nothing between parent and children carries a descriptor to the parent.

use std::fs;

use prefork_tests::{PATIENCE, require_root, scene, wait_until};
use rustix::process::Signal;

use crate::siege::{Siege, fixture};

/// A2: no child has a socket over which its parent can be reached, nor anything else that takes a descriptor.
#[test]
fn there_is_nothing_over_which_a_descriptor_can_be_sent_to_the_parent() {
    let scene = scene!();
    if !require_root() {
        return;
    }
    let page = format!("{}:9000", scene.address().ip());
    let daemon = fixture(&scene).args(["--status-listen", &page]).board().daemon();
    let siege = Siege::of(&scene, daemon);
    let (mut attacker, victim) = (siege.puppet(), siege.puppet());
    let outcome = attacker.order("descriptors");
    let open = |kind: &str| {
        let entries = outcome.iter().filter(|(call, _)| call.starts_with("open "));
        entries.filter(|(call, _)| call.ends_with(kind)).count()
    };
    assert_eq!(open(" listener"), 1, "not that of the status page: {outcome:?}");
    assert_eq!(open(" connection"), 2, "of the test's, twice: {outcome:?}");
    assert_eq!(open(" socket"), 0, "{outcome:?}");
    assert_eq!(open(" handout"), 1, "where logs come from: {outcome:?}");
    let refused =
        outcome.iter().filter(|(call, gave)| call.ends_with(" handout") && *gave == "EPIPE");
    assert_eq!(refused.count(), 2, "{outcome:?}");
    for (call, gave) in outcome.iter().filter(|(call, _)| call.starts_with("send ")) {
        // Over a connection of TCP the kernel passes over what it cannot send.
        let is_own = call.ends_with(" connection");
        assert!(is_own || gave.starts_with('E'), "{call}: {gave}");
    }
    siege.assert_replaced(victim, "after descriptors were sent everywhere");
    drop(attacker);
    siege.assert_stops();
}

/// A2: a child that spoils what new logs come by does its siblings out of them, and they are replaced.
#[test]
fn siblings_that_find_no_new_logs_are_replaced() {
    for how in ["take", "shut"] {
        let scene = scene!();
        let Some(siege) = Siege::begin(&scene) else { return };
        let rotate = |number: u32| {
            let (from, to) = (scene.path("access.log"), scene.path(&format!("access.{number}")));
            fs::rename(from, to).expect("renamed");
            siege.daemon.signal(Signal::USR1);
            wait_until(PATIENCE, "there is a new log", || scene.path("access.log").exists());
        };
        rotate(1);
        let mut attacker = siege.puppet();
        assert_eq!(attacker.order(&format!("handout/{how}")).iter().count(), 1);
        let siblings = siege.daemon.living();
        let siblings: Vec<_> = siblings.iter().filter(|pid| **pid != attacker.pid).collect();
        rotate(2);
        // What was taken away before is given again, and what was shut has to be made again.
        if how == "shut" {
            wait_until(PATIENCE, "the siblings are replaced", || {
                !siege.daemon.living().iter().any(|pid| siblings.contains(&pid))
            });
            assert_eq!(siege.logged(&["new logs cannot be handed to the children"]).len(), 1);
        }
        let before = siege.daemon.living();
        rotate(3);
        wait_until(PATIENCE, "they are all there", || siege.daemon.living().len() >= 4);
        let now = siege.daemon.living();
        let stayed = before.iter().filter(|pid| now.contains(pid)).count();
        assert!(stayed >= 3, "{before:?} became {now:?}");
        drop(attacker);
        siege.assert_stops();
    }
}
