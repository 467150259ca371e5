//! The service that does not care.

use std::time::Duration;

use prefork_tests::{Load, PATIENCE, get, get_patiently, scene, wait_until};

use crate::said;

/// A client that asks for trouble has it, and no other.
#[test]
fn other_clients_notice_nothing_of_crashes() {
    let scene = scene!();
    let address = scene.address();
    let daemon = scene.tool(env!("CARGO_BIN_EXE_crashy")).args([address.to_string()]).start();
    assert_eq!(get_patiently(address, "/").body, "hello");
    let load = Load::start(2, address, "/");
    for round in 1..=2 {
        for path in ["/abort", "/overflow", "/memory", "/hang"] {
            get(address, path).expect_err("trouble is not answered");
        }
        // Each has ended a child.
        wait_until(PATIENCE, "the log names them", || {
            said(&scene, "was ended by SIGABRT").len() == 3 * round
                && said(&scene, "has been at one request for").len() == round
        });
    }
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    wait_until(PATIENCE, "as many children as ever", || daemon.living().len() >= 4);
    daemon.stop_in_order();
}

/// Children that leak are replaced before they have grown large, and their clients are answered.
#[test]
fn children_that_leak_are_replaced() {
    let scene = scene!();
    let address = scene.address();
    let daemon = scene.tool(env!("CARGO_BIN_EXE_crashy")).args([address.to_string()]).start();
    assert_eq!(get_patiently(address, "/").body, "hello");
    let before = daemon.living();
    // 60 leaks of 20 MiB: more than four children could hold that may have 512 MiB at the most, were it
    // not that those are replaced which have more than 64.
    let tally = Load::bounded(2, 60, address, "/leak").finish();
    assert_eq!((tally.answered, tally.failures), (120, vec![]));
    wait_until(Duration::from_secs(10), "all first children are replaced", || {
        let now = daemon.living();
        now.len() >= 4 && !before.iter().any(|pid| now.contains(pid))
    });
    daemon.stop_in_order();
}
