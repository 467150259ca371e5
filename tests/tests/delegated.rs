//! Control groups of version 2 that systemd has left to a service.

use std::{path::Path, time::Duration};

use prefork_tests::{VirtualMachine, scene};

/// To boot, with two processors that are emulated, and for a few requests.
const EMULATED: Duration = Duration::from_secs(300);

/// A service whose children may have 32 MiB each.
fn limited(kind: &str, args: &str) -> String {
    format!(
        "[Service]\nType={kind}\nDelegate=yes\nPIDFile=/run/%p/pid\nRuntimeDirectory=%p\n\
         RuntimeDirectoryPreserve=yes\nKillMode=mixed\nOOMPolicy=continue\n\
         ExecStart=/usr/local/bin/probe {args} --prefork 3 --max-children 3 --child-memory-limit 32768 \
         --pid-path /run/%p/pid --scoreboard-path /run/%p/board --error-log-path /run/%p/log \
         --access-log-path /run/%p/access\n"
    )
}

/// Three children in turn take all that they may have, while others are asked.
const EATERS: &str = r#"
ask() { curl -s -o /dev/null -m 60 -w '%{http_code}\n' "http://127.0.0.1:$port$1"; }
try() {
    group=/sys/fs/cgroup/system.slice/$1.service
    systemctl start $1
    echo "$1 is $(systemctl is-active $1), with $(ls -d $group/prefork-*-* | wc -l) groups of children"
    for round in 1 2 3; do
        (for count in $(seq 10); do ask /sleep/5; done) > /tmp/answers &
        ask /devour > /tmp/eaten
        wait
        echo "$1 round $round: $(grep -c 200 /tmp/answers) answered, the eater got $(cat /tmp/eaten)"
    done
    echo "$1 is $(systemctl is-active $1), started again $(systemctl show -P NRestarts $1) times"
    echo "$1 has lost $(grep -c 'out of memory: child_memory_limit is 32 MiB' /run/$1/log)"
    systemctl stop $1
    echo "$1 is $(systemctl is-active $1): $(systemctl show -P Result $1)"
    [ ! -e $group ] && echo "$1 has left no group"
    cat /run/$1/log
}
port=8080
try foreground
port=8081
try background
exit 0
"#;

/// K2: under a live systemd in a machine with control groups of version 2, each child has one of its own with a limit, where
/// they are delegated: who uses that up ends alone.
#[test]
fn a_child_that_uses_up_its_group_ends_alone_in_a_unit_to_which_groups_are_delegated() {
    let scene = scene!();
    let folder = env!("CARGO_TARGET_TMPDIR");
    let machine = VirtualMachine::with_systemd_of("trixie", "bullseye", &scene, folder);
    let Some(machine) = machine else { return };
    machine.install_at("/usr/local/bin/probe", Path::new(env!("CARGO_BIN_EXE_probe")));
    for (name, kind, args) in [
        ("foreground", "notify", "--listen 127.0.0.1:8080"),
        ("background", "forking", "--listen 127.0.0.1:8081 --daemonize"),
    ] {
        let path = format!("/etc/systemd/system/{name}.service");
        machine.write(&path, &limited(kind, args));
    }
    let console = machine.run(EATERS, EMULATED);
    println!("{console}");
    for name in ["foreground", "background"] {
        let mut lines = vec![
            format!("{name} is active, with 3 groups of children"),
            format!("{name} is active, started again 0 times"),
            format!("{name} has lost 3"),
            format!("{name} is inactive: success"),
            format!("{name} has left no group"),
        ];
        let round = |round| format!("{name} round {round}: 10 answered, the eater got 000");
        lines.extend((1..=3).map(round));
        for line in lines {
            assert!(console.contains(&line), "there is no {line:?} in\n{console}");
        }
    }
}
