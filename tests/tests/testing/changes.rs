//! Reloads and upgrades.

use std::{fs, time::Duration};

use prefork_testing::{ChangeError, Child, Daemon, Launch, PATIENCE, wait_until};

use crate::{HELLO, hello};

#[test]
fn reloads_replace_all_children_and_lose_nothing() {
    let daemon = hello().start();
    let load = daemon.load(4, "/");
    for generation in 2..5 {
        daemon.reload().wait();
        load.wait_for_answers(1);
        daemon.wait_for_children(2);
        let children = daemon.children();
        let is_new = children.iter().all(|child| child.generation == Some(generation));
        assert!(is_new, "{children:?}");
    }
    load.stop().assert_all_answered();
    daemon.stop();
}

/// The example of the documentation has failed once in 918 runs: it killed an old child, which nobody replaced.
#[test]
fn an_old_child_with_a_request_in_hand_is_none_of_the_first_to_be_killed() {
    let daemon = Daemon::start(HELLO, ["--listen", "{address}", "--prefork", "2"]);
    let load = daemon.clients(1).requests(1).late_after(PATIENCE).ask("/sleep?ms=1500");
    wait_until(PATIENCE, "it is in hand", || {
        daemon.reload().wait();
        daemon.children().len() > 2
    });
    let children = daemon.children();
    let (new, leaving) = children.split_at(2);
    assert!(leaving.iter().all(Child::is_leaving), "{children:?}");
    let killed = daemon.kill(0);
    assert_eq!(killed, new[0]);
    daemon.wait_for_replacement(&killed);
    load.finish().assert_all_answered();
    daemon.stop();
}

#[test]
fn a_reload_that_is_refused_is_an_error() {
    let daemon = Launch::new(HELLO)
        .file("app.toml", "[daemon]\nprefork = 2\n")
        .args(["--listen", "{address}", "--config", "{path:app.toml}"])
        .start();
    fs::write(daemon.path("app.toml"), "[daemon]\nprefork = \"many\"\n")
        .expect("it can be written");
    let error = daemon.reload().outcome(PATIENCE).expect_err("the settings are wrong");
    let ChangeError::Refused { log, .. } = error else { panic!("{error}") };
    assert!(log.contains("app.toml"), "{log}");
    fs::write(daemon.path("app.toml"), "[daemon]\nprefork = 3\n").expect("it can be written");
    daemon.reload().wait();
    daemon.wait_for_children(3);
    daemon.stop();
}

#[test]
fn an_upgrade_goes_on_as_another_program() {
    let daemon = hello().start();
    let (pid, load) = (daemon.pid(), daemon.load(2, "/"));
    // Of the same daemon, another file.
    let next = daemon.path("next");
    fs::copy(HELLO, &next).expect("it can be copied");
    daemon.upgrade(&next).wait();
    let runs = fs::read_link(format!("/proc/{pid}/exe")).expect("it is the same process");
    assert_eq!(runs, next);
    load.wait_for_answers(1);
    load.stop().assert_all_answered();
    daemon.stop();
}

#[test]
fn an_upgrade_to_a_program_that_does_not_work_is_an_error() {
    let daemon = hello().start();
    let load = daemon.load(2, "/");
    let error = daemon.upgrade("/bin/false").outcome(PATIENCE).expect_err("it fails");
    assert!(matches!(error, ChangeError::Refused { .. }), "{error}");
    load.stop().assert_all_answered();
    // And the next one works.
    daemon.upgrade(HELLO).wait();
    daemon.stop();
}

#[test]
fn a_change_that_is_not_over_in_time_is_an_error() {
    let daemon = hello().start();
    let outcome = daemon.reload().outcome(Duration::ZERO);
    assert!(matches!(outcome, Err(ChangeError::NotOver { .. })), "{outcome:?}");
}
