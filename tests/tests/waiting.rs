//! The parent sleeps in its one wait, and nowhere else.

use std::{fs::File, time::Duration};

use prefork_tests::{Daemon, PATIENCE, kill, require_tool, scene, wait_until};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};

/// No call of the parent takes longer, on a machine with all cores busy and under `strace`. What it must never wait for
/// takes three seconds or more, or for ever.
const LONGEST: Duration = Duration::from_millis(1500);

/// With a log that nobody reads, hooks that hang, children that are killed and that are stopped: through reload, reopening
/// of logs, upgrade and stop.
#[test]
fn no_call_of_the_parent_takes_long_but_its_one_wait() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    let trace = scene.path("trace").display().to_string();
    let running = scene
        .probe()
        .board()
        .path("--pid-path", "pid")
        .args(["--prefork", "3", "--hanging", "on-child-exit", "--hook-timeout", "3000"])
        .args(["--on-client-disconnect", "slow", "--netwatch-interval", "100"])
        .under(["strace", "-qq", "-T", "-o", &trace])
        .stderr(writer.try_clone().expect("copied"))
        .start();
    wait_until(PATIENCE, "it serves", || prefork_tests::get(scene.address(), "/").is_ok());
    let daemon = Daemon::of_pid_file(&scene);
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("set");
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).expect("set");

    let replaced = |all: &[u32], what: &str| {
        wait_until(PATIENCE, what, || {
            let now = daemon.living();
            now.len() >= 3 && !now.iter().any(|pid| all.contains(pid))
        });
    };
    let victim = daemon.living()[0];
    assert!(kill(victim, Signal::KILL));
    replaced(&[victim], "one was replaced");
    daemon.signal(Signal::USR1);
    for request in [Signal::HUP, Signal::USR2] {
        let before = daemon.living();
        daemon.signal(request);
        replaced(&before, &format!("all were replaced on {request:?}"));
    }
    assert!(kill(daemon.living()[0], Signal::STOP));
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::INT);
    // The pid is that of strace's child.
    assert!(running.finish().end.is_success());
    drop(File::from(reader));

    let trace = scene.read("trace");
    let served = trace.lines().skip_while(|line| !line.starts_with("clone"));
    let slow: Vec<&str> =
        served.filter(|line| !is_the_wait(line) && took(line) > LONGEST).collect();
    assert_eq!(slow, [""; 0]);
    assert!(trace.lines().any(is_the_wait), "nothing was seen");
}

/// A child that was killed is replaced before anything is found out or logged about that.
#[test]
fn nothing_is_read_or_written_for_the_log_between_a_death_and_the_replacement() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let trace = scene.path("trace").display().to_string();
    let running = scene
        .probe()
        .board()
        .path("--pid-path", "pid")
        .args(["--prefork", "3"])
        .under(["strace", "-qq", "-s", "200", "-o", &trace])
        .start();
    wait_until(PATIENCE, "it serves", || prefork_tests::get(scene.address(), "/").is_ok());
    let daemon = Daemon::of_pid_file(&scene);
    // One that has worked, whose death is no reason to wait.
    let victim = daemon.get("/").expect("it serves").worker().pid;
    assert!(kill(victim, Signal::KILL));
    daemon.wait_for_children(PATIENCE, 3, &[victim]);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());

    let trace = scene.read("trace");
    let reaped = format!("wait4({victim}, ");
    let since: Vec<&str> = trace.lines().skip_while(|line| !line.starts_with(&reaped)).collect();
    let find = |what: &str| since.iter().position(|line| line.contains(what)).expect(what);
    let forked = find("clone");
    assert!(find("/proc/self/cgroup") > forked, "{since:#?}");
    assert!(find(&format!("child {victim} (slot")) > forked, "{since:#?}");
}

fn is_the_wait(line: &str) -> bool {
    line.starts_with("ppoll(") || line.starts_with("poll(")
}

/// How long a call took, as `strace -T` has it at the end of the line: `<0.000123>`.
fn took(line: &str) -> Duration {
    let time = line.rsplit_once('<').and_then(|(_, time)| time.strip_suffix('>')?.parse().ok());
    Duration::from_secs_f64(time.unwrap_or(0.0))
}
