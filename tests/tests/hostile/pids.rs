//! A pid that was a child's a moment ago.

use prefork_tests::{
    End, Lack, PATIENCE, find_process, holds_for, require_root, require_tool, scene, skip,
    wait_until,
};
use rustix::process::Signal;
use std::time::Duration;

use crate::{
    puppet::Puppet,
    siege::{fixture, now},
};

/// A3: a child has it reported that it is to be signalled, and ends; while its parent is busy between reaping it and
/// reading that, a process of root's is given its pid. That lives.
#[test]
fn a_process_that_has_the_pid_of_a_child_that_was_reaped_is_not_signalled() {
    /// Starts a process that has this pid, as soon as it can be had.
    const USURPER: &str = r#"
until echo $((PID - 1)) > /proc/sys/kernel/ns_last_pid || exit 77; sleep 1000 & [ $! = "$PID" ]; do
    kill $!
    wait $!
done
: > "$TAKEN"
wait "$PID"
echo $? > "$ENDED"
"#;
    if !require_root() || !require_tool("unshare") || !require_tool("nsenter") {
        return;
    }
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let trace = scene.path("strace").display().to_string();
    // The parent alone, after it has reaped somebody.
    let busy = ["-e", "signal=none", "-e", "trace=wait4,kill,tkill,tgkill,pidfd_send_signal"];
    let busy = busy.into_iter().chain(["-e", "inject=wait4:delay_exit=1500000", "-o", &trace]);
    let launch = fixture(&scene).paths();
    let launch = launch.under(["strace"].into_iter().chain(busy));
    let running = launch.under(["unshare", "-pfm", "--mount-proc", "--kill-child"]).start();
    let daemon = running.ready();

    let mut attacker = Puppet::take(scene.address()).expect("a child serves");
    let pid = attacker.pid;
    let parent = daemon.pid().to_string();
    let usurper = scene.tool("nsenter").args(["-t", &parent, "-p", "-m", "sh", "-c", USURPER]);
    let usurper = usurper.variable("PID", pid.to_string());
    let usurper = usurper.variable("TAKEN", scene.path("taken"));
    let usurper = usurper.variable("ENDED", scene.path("ended")).start();
    // So that it reads what the child has reported when that is reaped already.
    daemon.signal(Signal::STOP);
    let state = || find_process(daemon.pid()).map(|parent| parent.state);
    // A traced process is stopped at each system call, but for a moment.
    let mut looks = 0;
    wait_until(PATIENCE, "the parent is stopped", || {
        looks = if matches!(state(), Some('T' | 't')) { looks + 1 } else { 0 };
        looks > 100
    });
    let ordered = now();
    attacker.order("say-and-exit");
    attacker.wait_for_end();
    daemon.signal(Signal::CONT);
    wait_until(PATIENCE, "somebody else has the pid", || {
        scene.path("taken").exists() || usurper.end().is_some()
    });
    if usurper.end() == Some(End::Exited(77)) {
        return skip(Lack::Platform("the numbers of processes cannot be chosen"));
    }
    // The parent has read it all when it has forked another.
    let mut others = Vec::new();
    wait_until(PATIENCE, "the child is replaced", || {
        let Ok(puppet) = Puppet::take(scene.address()) else { return false };
        let is_new = puppet.born > ordered;
        others.push(puppet);
        is_new
    });
    holds_for(Duration::from_millis(500), "the process alive that has the pid", || {
        !scene.path("ended").exists() && usurper.end().is_none()
    });
    let by_number = scene.read("strace");
    let by_number: Vec<_> = by_number.lines().filter(|line| line.contains("kill(")).collect();
    assert_eq!(by_number, [""; 0], "signalled by a number");
    drop(others);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    scene.wait_until_deserted(PATIENCE);
}
