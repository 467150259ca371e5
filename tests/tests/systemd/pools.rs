//! A daemon of several pools: the shipped units, with a program that can be asked to take its time.

use std::path::Path;

use prefork_tests::{Machine, PATIENCE, wait_until};

use crate::{DEPLOY, Suite, boot, restarts, show, under_load_at};

/// Of these clients half ask the pool that is always there, and half the one that sleeps while nobody asks.
const BOTH: &str = "http://127.0.0.1:$((8000 + client % 2))/sleep/30";

/// The command line behind the units, with the names and addresses of the example.
const PROGRAM: &str = "/usr/local/bin/pools --pool web=127.0.0.1:8000=4=16 \
    --pool reports=127.0.0.1:8001=0=4 --role scheduler --witness /run/pools/witness \
    --pid-path /run/pools/pid --error-log-path /dev/stderr --access-log-path /dev/null \
    --settings /etc/pools/settings.toml";

const SERVING: &str = "serving, 3 pools";

/// Installs the shipped units; with the systemd of Debian 12 it is nobody's, and has no user of systemd's making.
fn install(machine: &Machine, suite: Suite) {
    for unit in ["pools.service", "pools-web.socket", "pools-reports.socket"] {
        machine.install(Path::new(DEPLOY).join(unit), &format!("/etc/systemd/system/{unit}"));
    }
    machine.install(env!("CARGO_BIN_EXE_pools"), "/usr/local/bin/pools");
    machine.must("mkdir -p /etc/pools; echo 'request_timeout = 60' > /etc/pools/settings.toml");
    machine.must(&format!(
        "sed -i 's|^ExecStart=.*|ExecStart={PROGRAM}|' /etc/systemd/system/pools.service"
    ));
    if suite == Suite::Bookworm {
        // As the unit says of older ones.
        machine.must(
            "cd /etc/systemd/system; sed -i 's/notify-reload/notify/; /ReloadSignal/d; \
             /^Type/aExecReload=kill -HUP $MAINPID' pools.service; \
             sed -i 's/^DynamicUser=yes/User=nobody/' pools.service",
        );
    }
    machine.must("systemctl daemon-reload; systemctl start pools-web.socket pools-reports.socket");
}

#[track_caller]
fn assert_serves(machine: &Machine) {
    for (port, pool) in [(8000, "web"), (8001, "reports")] {
        let body = machine.must(&format!("curl -s -m 20 http://127.0.0.1:{port}/"));
        assert!(body.starts_with(pool), "{port}: {body}");
    }
    wait_until(PATIENCE, "it is active, and all is well", || {
        machine.run("systemctl is-active pools").1 == "active\n"
            && show(machine, "pools", "StatusText") == SERVING
    });
}

/// The parent of a pool, by its pid file.
fn parent(machine: &Machine, pool: &str) -> String {
    machine.must(&format!("cat /run/pools/pid.{pool}")).trim().to_owned()
}

#[track_caller]
fn assert_pools_work(suite: Suite) {
    let Some(machine) = boot(suite) else { return };
    install(&machine, suite);
    // The first client has it started.
    assert_serves(&machine);
    let pid = show(&machine, "pools", "MainPID");
    assert_eq!(machine.must("cat /run/pools/pid").trim(), pid, "it is the arbiter");
    assert_is_of_whom_the_unit_says(&machine, suite);
    let upgrade = "systemctl kill -s USR2 --kill-who=main pools; sleep 2";
    for script in ["systemctl reload pools; sleep 0.5", upgrade] {
        assert_eq!(under_load_at(&machine, BOTH, script), [""; 0], "{script}");
        assert_serves(&machine);
        assert_eq!(show(&machine, "pools", "MainPID"), pid, "{script}");
    }
    assert_reload_waits_and_reports(&machine, suite);
    assert_a_pool_comes_back_alone(&machine);
    let again = "systemctl stop pools; sleep 0.3; systemctl start pools";
    for script in ["systemctl restart pools", again] {
        assert_eq!(under_load_at(&machine, BOTH, script), [""; 0], "{script}");
        assert_serves(&machine);
    }
    assert_stop_answers_what_is_in_hand(&machine);
    assert_all_end_with_the_arbiter(&machine);
    assert_watchdog_ends_an_arbiter_that_hangs(&machine);
    assert_wrong_arguments_are_tried_once(&machine);
    let lines = machine.must("journalctl -u pools -o cat");
    // Of whoever else spoke to it, systemd says so.
    assert!(!lines.contains("reception only permitted"), "{lines}");
    assert_eq!(machine.run("pgrep -x pools").1, "", "processes are left");
}

#[track_caller]
fn assert_is_of_whom_the_unit_says(machine: &Machine, suite: Suite) {
    let user = machine.must("stat -c %u /run/pools/pid").trim().to_owned();
    match suite {
        Suite::Trixie => {
            assert!(user.parse().is_ok_and(|user| (61184..=65519).contains(&user)), "{user}");
        }
        Suite::Bookworm => assert_eq!(user, "65534"),
    }
    let of_all = machine.must("ps -C pools -o uid= | tr -d ' ' | sort -u");
    assert_eq!(of_all.trim(), user, "all its processes are of one user");
}

/// The old children answer no more when `systemctl reload` returns, and what was refused stands in the status.
#[track_caller]
fn assert_reload_waits_and_reports(machine: &Machine, suite: Suite) {
    let child = "curl -s -m 10 http://127.0.0.1:8000/";
    if suite == Suite::Trixie {
        let old = machine.must(&format!("for i in 1 2 3 4 5 6; do {child}; echo; done"));
        machine.must("systemctl reload pools");
        let new = machine.must(&format!("for i in 1 2 3 4 5 6; do {child}; echo; done"));
        assert!(new.lines().all(|new| !old.lines().any(|old| old == new)), "{old}{new}");
    }
    let expected = "the settings were refused, the old ones stay in force";
    machine.must("echo 'request_timeout = \"x\"' > /etc/pools/settings.toml");
    machine.must("systemctl reload pools");
    wait_until(PATIENCE, "the status says what is wrong", || {
        let status = show(machine, "pools", "StatusText");
        status == format!("serving; {expected}")
    });
    machine.must("echo 'request_timeout = 50' > /etc/pools/settings.toml");
    machine.must("systemctl reload pools");
    assert_serves(machine);
}

/// The parent of a pool is killed: systemd is not bothered, nor are the other pool's clients.
#[track_caller]
fn assert_a_pool_comes_back_alone(machine: &Machine) {
    let before = (show(machine, "pools", "MainPID"), restarts(machine, "pools"));
    for pool in ["web", "scheduler"] {
        let old = parent(machine, pool);
        let other = "http://127.0.0.1:8001/sleep/30";
        let lost = under_load_at(machine, other, &format!("kill -9 {old}; sleep 1"));
        assert_eq!(lost, [""; 0], "of the other pool's");
        wait_until(PATIENCE, "it is back", || parent(machine, pool) != old);
        assert_serves(machine);
    }
    assert_eq!((show(machine, "pools", "MainPID"), restarts(machine, "pools")), before);
}

/// What is in hand is answered at a stop, by both pools.
#[track_caller]
fn assert_stop_answers_what_is_in_hand(machine: &Machine) {
    let ask = |port: u16| {
        let curl = format!("curl -s -S -m 30 http://127.0.0.1:{port}/sleep/1500 2>&1");
        format!("(answer=$({curl}); echo \"$answer\" >> /tmp/answers) &")
    };
    let ask = [8000, 8000, 8001].map(ask).join("\n");
    machine.must(&format!(
        "rm -f /tmp/answers\n{ask}\nsleep 0.7\n\
         systemctl stop pools-web.socket pools-reports.socket pools\nstatus=$?\nwait\nexit $status"
    ));
    let answers = machine.must("sort /tmp/answers");
    let pools: Vec<_> = answers.lines().filter_map(|answer| answer.split(' ').next()).collect();
    assert_eq!(pools, ["reports", "web", "web"], "{answers}");
    assert_eq!(show(machine, "pools", "Result"), "success");
    assert_eq!(machine.run("pgrep -x pools").1, "", "processes are left");
    machine.must("systemctl start pools-web.socket pools-reports.socket pools");
    assert_serves(machine);
}

/// The arbiter is killed: all pools go with it, and systemd starts it again.
#[track_caller]
fn assert_all_end_with_the_arbiter(machine: &Machine) {
    let (pid, before) = (show(machine, "pools", "MainPID"), restarts(machine, "pools"));
    let old = machine.must("pgrep -x pools | tr '\\n' ' '");
    machine.must(&format!("kill -9 {pid}"));
    wait_until(PATIENCE, "it is started again", || restarts(machine, "pools") > before);
    assert_serves(machine);
    let left = machine.run(&format!("ps -o pid= -p '{}'", old.trim())).1;
    assert_eq!(left.trim(), "", "those before are left");
}

/// An arbiter that hangs is ended with all its pools; one that has much to do is left alone.
#[track_caller]
fn assert_watchdog_ends_an_arbiter_that_hangs(machine: &Machine) {
    machine.must(
        "mkdir -p /etc/systemd/system/pools.service.d; \
         printf '[Service]\\nWatchdogSec=3s\\n' > /etc/systemd/system/pools.service.d/watchdog.conf; \
         systemctl daemon-reload; systemctl restart pools",
    );
    let (pid, before) = (show(machine, "pools", "MainPID"), restarts(machine, "pools"));
    let busy = "for round in 1 2 3 4 5 6; do systemctl reload pools; sleep 0.6; done";
    assert_eq!(under_load_at(machine, BOTH, busy), [""; 0]);
    let now = (show(machine, "pools", "MainPID"), restarts(machine, "pools"));
    assert_eq!(now, (pid.clone(), before), "it is alive");
    machine.must(&format!("kill -STOP {pid}"));
    wait_until(PATIENCE, "it is killed and started again", || restarts(machine, "pools") > before);
    assert_serves(machine);
    assert!(machine.must("journalctl -u pools -o cat").contains("Watchdog timeout (limit 3s)"));
    machine.must("rm -r /etc/systemd/system/pools.service.d; systemctl daemon-reload");
}

/// V4: what is wrong with any pool ends the start with 78, and is not tried again; the sockets stay.
#[track_caller]
fn assert_wrong_arguments_are_tried_once(machine: &Machine) {
    let before = restarts(machine, "pools");
    machine.must(
        "sed -i 's/--pool reports=/--pool web=/' /etc/systemd/system/pools.service; \
         systemctl daemon-reload; ! systemctl restart pools; sleep 3",
    );
    assert_eq!(show(machine, "pools", "ExecMainStatus"), "78");
    assert!(restarts(machine, "pools") <= before, "a storm of restarts");
    assert_eq!(machine.must("systemctl is-active pools-web.socket"), "active\n");
}

/// V1, V4, L10: sockets of systemd's for each pool, a watchdog, and a user who has nothing.
#[test]
fn a_daemon_of_several_pools_loses_no_request_under_systemd_257() {
    assert_pools_work(Suite::Trixie);
}

/// V1, V4, L10: the same as nobody.
#[test]
fn a_daemon_of_several_pools_loses_no_request_under_systemd_252() {
    assert_pools_work(Suite::Bookworm);
}
