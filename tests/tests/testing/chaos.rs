//! Faults in an order that can be had again.

use crate::hello;

#[test]
fn a_daemon_survives_what_a_seed_decides() {
    let daemon = hello().start();
    let first = daemon.chaos(25).steps(12).run();
    first.assert_only_killed_requests_failed();
    let second = daemon.chaos(25).steps(12).run();
    second.assert_only_killed_requests_failed();
    assert_eq!(first.faults, second.faults);
    daemon.stop();
}
