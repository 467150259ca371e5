//! Nothing between parent and children carries a descriptor.

use prefork_tests::{require_root, scene};

use crate::siege::{Siege, fixture};

/// A2: no child has a socket to its parent, nor anything else that takes a descriptor.
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
    for (call, gave) in outcome.iter().filter(|(call, _)| call.starts_with("send ")) {
        // Over a connection of TCP the kernel passes over what it cannot send.
        let is_own = call.ends_with(" connection");
        assert!(is_own || gave.starts_with('E'), "{call}: {gave}");
    }
    siege.assert_replaced(victim, "after descriptors were sent everywhere");
    drop(attacker);
    siege.assert_stops();
}
