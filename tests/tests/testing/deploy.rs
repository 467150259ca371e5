//! A deploy of the example that serves axum, as somebody would test theirs.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use prefork::testing::Daemon;

const EXAMPLE: &str = env!("CARGO_BIN_EXE_axum_example");
const BROKEN: &str = env!("CARGO_BIN_EXE_axum_broken");

/// The test: from one program to another under load, and a reload, without a request lost.
fn deploys(daemon: Daemon, to: &str) {
    let load = daemon.load(8, "/sleep?ms=200");
    load.wait_for_answers(8);
    daemon.upgrade(to).wait();
    daemon.reload().wait();
    load.wait_for_answers(8);
    load.stop().assert_all_answered();
    daemon.stop();
}

#[test]
fn a_deploy_of_the_example_loses_nothing() {
    deploys(Daemon::start(EXAMPLE, ["{address}"]), EXAMPLE);
}

/// Returns what the test of a deploy says of programs of which it must not pass.
fn failure(from: &'static str, to: &'static str) -> String {
    let daemon = Daemon::start(from, ["{address}"]);
    let directory = daemon.path("");
    let deploy = AssertUnwindSafe(move || deploys(daemon, to));
    let failed = catch_unwind(deploy).expect_err("the test of the deploy has passed");
    fs::remove_dir_all(directory).expect("it was kept");
    failed.downcast_ref::<String>().cloned().expect("it has said why")
}

#[test]
fn a_deploy_of_the_example_fails_when_that_is_broken_on_purpose() {
    let failure = failure(BROKEN, EXAMPLE);
    assert!(failure.starts_with("not all requests were answered"), "{failure}");
}

#[test]
fn a_deploy_of_a_program_that_does_not_start_fails() {
    let failure = failure(EXAMPLE, "/bin/false");
    assert!(failure.starts_with("the upgrade has failed"), "{failure}");
}
