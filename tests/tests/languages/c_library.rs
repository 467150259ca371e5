//! A library written in C, with a fault.

use prefork_tests::{Load, PATIENCE, get, scene, wait_until};

use crate::{require, said, wait_for_ready};

#[test]
fn a_fault_in_a_c_library_costs_one_request() {
    let Some(program) = require("c_library") else { return };
    let scene = scene!();
    let address = scene.address();
    let daemon = scene.tool(&program).args([address.to_string()]).start();
    wait_for_ready(&scene);
    assert_eq!(get(address, "/one/two").expect("an answer").body, "2 words");
    let load = Load::start(2, address, "/one");
    for round in 1..=3 {
        get(address, "/crash").expect_err("the child has died");
        let line = "was ended by SIGSEGV (a crash)";
        wait_until(PATIENCE, "the log names it", || said(&scene, line).len() == round);
    }
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    let lines = said(&scene, "was ended by SIGSEGV (a crash)");
    assert!(lines.iter().all(|line| line.contains(": /crash")), "{lines:?}");
    daemon.stop_in_order();
}
