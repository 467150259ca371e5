//! V1 and V4: the shipped units under a live systemd, of Debian 13 and 12.
//!
//! - `pools.rs`: a daemon of several pools.

mod pools;

use std::path::Path;

use prefork_tests::{Machine, PATIENCE, wait_until};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/deploy");

/// The Debian whose systemd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    /// 257
    Trixie,
    /// 252
    Bookworm,
}

/// Four clients, one request after the other; what curl says of each stands in `/tmp/codes`. Goes on once some were
/// answered.
const LOAD: &str = r#"
rm -f /tmp/stop /tmp/codes
for client in 1 2 3 4; do
    (while [ ! -e /tmp/stop ]; do
        curl -s -m 30 -o /dev/null "URL"
        echo $? >> /tmp/codes
    done) &
done
for step in $(seq 600); do
    [ $(grep -c '^0$' /tmp/codes) -gt 10 ] && break
    sleep 0.1
done 2> /dev/null
"#;

/// Lets clients ask while `script` runs; returns what curl says of those that were not answered, each once.
#[track_caller]
fn under_load(machine: &Machine, script: &str) -> Vec<String> {
    under_load_at(machine, "http://127.0.0.1:8080/sleep?ms=30", script)
}

/// The same for clients that ask for `url`, in which `$client` is the number of each.
#[track_caller]
fn under_load_at(machine: &Machine, url: &str, script: &str) -> Vec<String> {
    let load = LOAD.replace("URL", url);
    let all =
        format!("{load}\n({script})\nstatus=$?\nsleep 0.3\ntouch /tmp/stop\nwait\nexit $status");
    machine.must(&all);
    let answered = machine.must("grep -c '^0$' /tmp/codes");
    assert!(answered.trim().parse::<u32>().is_ok_and(|count| count > 10), "{answered}");
    machine.run("grep -v '^0$' /tmp/codes | sort -u").1.lines().map(str::to_owned).collect()
}

/// Asks three times for what takes longer than `script`, which begins when that is in hand; all have to be answered.
#[track_caller]
fn with_requests_in_hand(machine: &Machine, script: &str) {
    let ask = "curl -s -m 30 'http://127.0.0.1:8080/sleep?ms=1500' >> /tmp/answers &";
    let all = format!(
        "rm -f /tmp/answers\n{ask}\n{ask}\n{ask}\nsleep 0.7\n{script}\nstatus=$?\nwait\nexit $status"
    );
    machine.must(&all);
    assert_eq!(machine.must("cat /tmp/answers"), "hello\nhello\nhello\n", "{script}");
}

fn show(machine: &Machine, unit: &str, property: &str) -> String {
    machine.must(&format!("systemctl show -P {property} {unit}")).trim().to_owned()
}

fn restarts(machine: &Machine, unit: &str) -> u32 {
    show(machine, unit, "NRestarts").parse().expect("a number")
}

#[track_caller]
fn assert_serves(machine: &Machine, unit: &str) {
    // The first children serve those who have waited at the socket before the last one is ready.
    wait_until(PATIENCE, "it is active", || {
        machine.run(&format!("systemctl is-active {unit}")).1 == "active\n"
    });
    assert_eq!(machine.must("curl -s -m 10 http://127.0.0.1:8080/"), "hello\n");
}

/// Kills the parent, which is started again.
#[track_caller]
fn assert_comes_back(machine: &Machine, unit: &str) {
    let pid = show(machine, unit, "MainPID");
    machine.must(&format!("kill -9 {pid}"));
    wait_until(PATIENCE, "it is started again", || {
        let is_active = machine.run(&format!("systemctl is-active {unit}")).1 == "active\n";
        is_active && ![&*pid, "0"].contains(&&*show(machine, unit, "MainPID"))
    });
    assert_serves(machine, unit);
}

/// Kills the parent again and again while clients come: requests that children have in hand are lost with these, and nobody is
/// refused, as systemd has the socket.
#[track_caller]
fn assert_death_refuses_nobody(machine: &Machine, unit: &str) {
    for _ in 0..3 {
        assert_eq!(show(machine, unit, "NFileDescriptorStore"), "1");
        let before = restarts(machine, unit);
        let pid = show(machine, unit, "MainPID");
        // Until it has been started again, and some more.
        let kill = format!(
            "kill -9 {pid}; for step in $(seq 200); do sleep 0.1; \
             [ $(systemctl show -P NRestarts {unit}) -gt {before} ] && systemctl -q is-active {unit} && break; done"
        );
        let failed = under_load(machine, &kill);
        assert!(!failed.contains(&"7".to_owned()), "refused: {failed:?}");
        assert!(restarts(machine, unit) > before);
        assert_serves(machine, unit);
    }
}

fn install(machine: &Machine, units: &[&str]) {
    for unit in units {
        machine.install(Path::new(DEPLOY).join(unit), &format!("/etc/systemd/system/{unit}"));
    }
    machine.install(env!("CARGO_BIN_EXE_hello"), "/usr/local/bin/hello");
    machine.must("systemctl daemon-reload");
}

fn boot(suite: Suite) -> Option<Machine> {
    let name = match suite {
        Suite::Trixie => "trixie",
        Suite::Bookworm => "bookworm",
    };
    Machine::boot(env!("CARGO_TARGET_TMPDIR"), name)
}

#[track_caller]
fn assert_forking_unit_works(suite: Suite) {
    let Some(machine) = boot(suite) else { return };
    let unit = "hello-forking";
    install(&machine, &["hello-forking.service"]);
    machine.must(&format!("systemctl start {unit}"));
    assert_serves(&machine, unit);
    let pid = machine.must("cat /run/hello/hello.pid").trim().to_owned();
    assert_eq!(show(&machine, unit, "MainPID"), pid);
    assert_eq!(show(&machine, unit, "StatusText"), "serving, 3 to 150 children");
    assert_eq!(show(&machine, unit, "OOMPolicy"), "continue");
    assert_eq!(under_load(&machine, &format!("systemctl reload {unit}")), [""; 0]);
    let upgrade = format!("systemctl kill -s USR2 --kill-who=main {unit}; sleep 1");
    assert_eq!(under_load(&machine, &upgrade), [""; 0]);
    assert_eq!(show(&machine, unit, "MainPID"), pid);
    with_requests_in_hand(&machine, &format!("systemctl restart {unit}"));
    assert_serves(&machine, unit);
    with_requests_in_hand(&machine, &format!("systemctl stop {unit}"));
    assert_eq!(show(&machine, unit, "Result"), "success");
    // Newcomers are refused, and nobody is cut off.
    machine.must(&format!("systemctl start {unit}"));
    assert_eq!(under_load(&machine, &format!("systemctl stop {unit}")), ["7"]);
    assert_eq!(show(&machine, unit, "NFileDescriptorStore"), "0", "all are given up");
    machine.must(&format!("systemctl start {unit}"));
    assert_comes_back(&machine, unit);
    assert_death_refuses_nobody(&machine, unit);
    // So many starts in so short a time are refused.
    machine.must(&format!("systemctl reset-failed {unit}"));
    // V4
    let before = restarts(&machine, unit);
    machine.must("mkdir -p /etc/systemd/system/hello-forking.service.d");
    let wrong = "[Service]\\nEnvironment=X=1\\nExecStart=\\nExecStart=/usr/local/bin/hello --daemonize --prefork 5 --max-children 4";
    machine.must(&format!(
        "printf '{wrong}\\n' > /etc/systemd/system/hello-forking.service.d/wrong.conf; \
         systemctl daemon-reload; ! systemctl restart {unit}; sleep 3"
    ));
    assert!(restarts(&machine, unit) <= before, "a storm of restarts");
    assert!(machine.must(&format!("journalctl -u {unit}")).contains("invalid arguments"));
}

/// V1, V4: in the background, with a pid file; children are nobody's.
#[test]
fn the_unit_that_forks_loses_no_request_under_systemd_257() {
    assert_forking_unit_works(Suite::Trixie);
}

/// V1, V4: in the background, with a pid file; children are nobody's.
#[test]
fn the_unit_that_forks_loses_no_request_under_systemd_252() {
    assert_forking_unit_works(Suite::Bookworm);
}

#[track_caller]
fn assert_unit_with_socket_works(suite: Suite) {
    let Some(machine) = boot(suite) else { return };
    install(&machine, &["hello.service", "hello.socket"]);
    machine.install(Path::new(DEPLOY).join("hello.toml"), "/etc/hello/hello.toml");
    if suite == Suite::Bookworm {
        // As the unit says of older ones.
        machine.must(
            "cd /etc/systemd/system; sed -i 's/notify-reload/notify/; /ReloadSignal/d; \
             /^Type/aExecReload=kill -HUP $MAINPID' hello.service; systemctl daemon-reload",
        );
    }
    machine.must("systemctl start hello.socket");
    assert_serves(&machine, "hello.socket");
    assert_serves(&machine, "hello");
    assert_eq!(show(&machine, "hello", "StatusText"), "serving, 4 to 32 children");
    assert_eq!(show(&machine, "hello", "OOMPolicy"), "continue");
    assert_has_what_the_unit_gives(&machine);
    let upgrade = "systemctl kill -s USR2 --kill-who=main hello; sleep 1";
    let again = "systemctl stop hello; sleep 0.3; systemctl start hello";
    for script in ["systemctl reload hello; sleep 0.5", upgrade, "systemctl restart hello", again] {
        assert_eq!(under_load(&machine, script), [""; 0], "{script}");
        assert_serves(&machine, "hello");
    }
    assert_reload_reads_settings(&machine);
    assert_watchdog_ends_a_daemon_that_hangs(&machine);
    with_requests_in_hand(&machine, "systemctl stop hello.socket hello");
    assert_eq!(show(&machine, "hello", "Result"), "success");
    machine.must("systemctl start hello.socket hello");
    assert_comes_back(&machine, "hello");
    // Time and name are the journal's.
    let lines = machine.must("journalctl -u hello -o cat");
    assert!(!lines.contains("Z hello["), "time and name are there twice: {lines}");
    assert!(lines.contains("info: ready, with 4 children"), "{lines}");
    // V4: one try, and the socket stays.
    let before = restarts(&machine, "hello");
    machine.must(
        "echo 'max_childern = 3' >> /etc/hello/hello.toml; ! systemctl restart hello; sleep 3",
    );
    assert_eq!(show(&machine, "hello", "ExecMainStatus"), "78");
    assert!(restarts(&machine, "hello") <= before, "a storm of restarts");
    assert_eq!(machine.must("systemctl is-active hello.socket"), "active\n");
    assert!(machine.must("journalctl -u hello -o cat").contains("did you mean `max_children`?"));
    machine.must("sed -i /childern/d /etc/hello/hello.toml");
    assert_serves(&machine, "hello.socket");
}

/// Asserts that a reload is over when the settings are in force, or were refused.
#[track_caller]
fn assert_reload_reads_settings(machine: &Machine) {
    let pid = show(machine, "hello", "MainPID");
    let edit = |from: u32, to: u32| {
        let edit = format!("sed -i 's/^prefork = {from}/prefork = {to}/' /etc/hello/hello.toml");
        machine.must(&format!("{edit}; systemctl reload hello; sleep 0.5"));
        show(machine, "hello", "StatusText")
    };
    assert_eq!(edit(4, 5), "serving, 5 to 32 children");
    assert_eq!(edit(5, 50), "serving; the settings were refused, the old ones stay in force");
    assert_eq!(edit(50, 4), "serving, 4 to 32 children");
    assert_eq!(show(machine, "hello", "MainPID"), pid);
}

/// Asserts that it runs as a user of systemd's making, whose directories they are.
#[track_caller]
fn assert_has_what_the_unit_gives(machine: &Machine) {
    let pid = show(machine, "hello", "MainPID");
    let status = machine.must(&format!("awk '/^Uid:/ {{ print $2, $3, $4 }}' /proc/{pid}/status"));
    let users: Vec<u32> = status.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    // Those of DynamicUser=.
    assert!(users.len() == 3 && (61184..=65519).contains(&users[0]), "{status}");
    assert!(users.iter().all(|user| *user == users[0]), "{status}");
    for folder in ["/run/hello", "/var/lib/hello", "/var/log/hello"] {
        let owner = machine.must(&format!("stat -L -c %u {folder}"));
        assert_eq!(owner.trim(), users[0].to_string(), "{folder}");
    }
    assert_eq!(machine.must("stat -c %u /run/hello/scoreboard").trim(), users[0].to_string());
}

/// Asserts that a parent that hangs is killed and another one started, and one that has much to do is left alone; the unit
/// has a shorter patience for that.
#[track_caller]
fn assert_watchdog_ends_a_daemon_that_hangs(machine: &Machine) {
    machine.must(
        "mkdir -p /etc/systemd/system/hello.service.d; \
         printf '[Service]\\nWatchdogSec=2s\\n' > /etc/systemd/system/hello.service.d/watchdog.conf; \
         systemctl daemon-reload; systemctl restart hello",
    );
    let (pid, before) = (show(machine, "hello", "MainPID"), restarts(machine, "hello"));
    let busy = "for round in 1 2 3 4 5 6 7 8; do systemctl reload hello; sleep 0.6; done";
    assert_eq!(under_load(machine, busy), [""; 0]);
    assert_eq!(
        (show(machine, "hello", "MainPID"), restarts(machine, "hello")),
        (pid.clone(), before)
    );
    let children = machine.must(&format!("cat /proc/{pid}/task/{pid}/children"));
    machine.must(&format!("kill -STOP {pid}"));
    wait_until(PATIENCE, "it is killed and started again", || {
        restarts(machine, "hello") > before
            && machine.run("systemctl is-active hello").1 == "active\n"
    });
    assert_serves(machine, "hello");
    assert!(machine.must("journalctl -u hello -o cat").contains("Watchdog timeout (limit 2s)"));
    let left =
        machine.run(&format!("cd /proc; cat $(printf '%s/comm ' {children}) 2> /dev/null")).1;
    assert_eq!(left, "", "children of the one that hung are left");
    machine.must("rm -r /etc/systemd/system/hello.service.d; systemctl daemon-reload; systemctl restart hello");
}

/// The unit that the page of recipes has for all, word by word.
fn unit_of_the_recipes() -> String {
    let page = include_str!("../../../prefork/docs/recipes.md");
    let (_, rest) = page.split_once("```ini\n").expect("there is a unit");
    let (unit, _) = rest.split_once("```").expect("it has an end");
    unit.replace("/etc/app/app.toml", "/etc/hello/app.toml")
}

/// V1: a program that knows nothing of prefork, with the unit of the recipes and a socket of systemd's.
#[track_caller]
fn assert_unit_of_the_recipes_works(suite: Suite) {
    let Some(machine) = boot(suite) else { return };
    let mut unit = unit_of_the_recipes();
    if suite == Suite::Bookworm {
        // As the unit says of older ones.
        unit = unit.replace("Type=notify-reload", "Type=notify\nExecReload=kill -HUP $MAINPID");
    }
    machine.install(env!("CARGO_BIN_EXE_prefork-command"), "/usr/local/bin/prefork");
    machine.install(env!("CARGO_BIN_EXE_plain"), "/usr/local/bin/plain");
    let socket = "[Socket]\nListenStream=127.0.0.1:8080\n";
    let settings = "listen = \"127.0.0.1:8080\"\nprefork = 2\nmax_children = 8\n\
                    command = [\"/usr/local/bin/plain\", \"--fd\", \"{fd}\", \"--waits\", \"epoll\"]\n";
    for (path, text) in [
        ("/etc/systemd/system/app.service", &*unit),
        ("/etc/systemd/system/app.socket", socket),
        ("/etc/hello/app.toml", settings),
    ] {
        let quoted = text.replace('\'', "'\\''");
        machine.must(&format!("mkdir -p $(dirname {path}); printf '%s' '{quoted}' > {path}"));
    }
    machine.must("systemctl daemon-reload; systemctl start app.socket");
    let assert_answers = || {
        wait_until(PATIENCE, "it is active", || {
            machine.run("systemctl is-active app").1 == "active\n"
        });
        machine.must("curl -s -f -m 10 http://127.0.0.1:8080/");
    };
    // The first client has it started.
    machine.must("curl -s -f -m 10 http://127.0.0.1:8080/");
    assert_answers();
    assert_eq!(show(&machine, "app", "StatusText"), "serving, 2 to 8 children");
    let pid = show(&machine, "app", "MainPID");
    let upgrade = "systemctl kill -s USR2 --kill-who=main app; sleep 1";
    for script in ["systemctl reload app; sleep 0.5", upgrade] {
        assert_eq!(under_load(&machine, script), [""; 0], "{script}");
        assert_answers();
        assert_eq!(show(&machine, "app", "MainPID"), pid, "{script}");
    }
    for script in ["systemctl restart app", "systemctl stop app; sleep 0.3; systemctl start app"] {
        assert_eq!(under_load(&machine, script), [""; 0], "{script}");
        assert_answers();
    }
    assert_eq!(show(&machine, "app", "Result"), "success");
    assert_comes_back_answering(&machine, &assert_answers);
    let lines = machine.must("journalctl -u app -o cat");
    assert!(
        lines.contains("program /usr/local/bin/plain, run by /usr/local/bin/prefork;"),
        "{lines}"
    );
    assert!(!lines.contains("has ended on SIGTERM with"), "requests were cut off: {lines}");
    let before = restarts(&machine, "app");
    machine
        .must("echo 'max_childern = 3' >> /etc/hello/app.toml; ! systemctl restart app; sleep 3");
    assert_eq!(show(&machine, "app", "ExecMainStatus"), "78");
    assert!(restarts(&machine, "app") <= before, "a storm of restarts");
    machine.must("systemctl stop app.socket app");
    assert_eq!(machine.run("pgrep -x plain").1, "", "programs are left");
}

#[track_caller]
fn assert_comes_back_answering(machine: &Machine, assert_answers: &dyn Fn()) {
    let pid = show(machine, "app", "MainPID");
    machine.must(&format!("kill -9 {pid}"));
    wait_until(PATIENCE, "it is started again", || {
        ![&*pid, "0"].contains(&&*show(machine, "app", "MainPID"))
    });
    assert_answers();
}

/// V1, V4: any program, in the foreground, with a socket of systemd's.
#[test]
fn the_unit_of_the_recipes_loses_no_request_under_systemd_257() {
    assert_unit_of_the_recipes_works(Suite::Trixie);
}

/// V1, V4: any program, in the foreground, with a socket of systemd's.
#[test]
fn the_unit_of_the_recipes_loses_no_request_under_systemd_252() {
    assert_unit_of_the_recipes_works(Suite::Bookworm);
}

/// V1, V4, L10: in the foreground, with a socket of systemd's, a watchdog, and a user who has nothing.
#[test]
fn the_unit_with_a_socket_loses_no_request_under_systemd_257() {
    assert_unit_with_socket_works(Suite::Trixie);
}

/// V1, V4: in the foreground, with a socket of systemd's, a watchdog, and a user who has nothing.
#[test]
fn the_unit_with_a_socket_loses_no_request_under_systemd_252() {
    assert_unit_with_socket_works(Suite::Bookworm);
}
