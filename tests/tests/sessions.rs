//! Terminals, process groups, and children that abuse what the kernel reports of them.

use std::time::{Duration, Instant};

use prefork_tests::{
    Daemon, Launch, PATIENCE, Scene, Terminal, find_process, get, kill, require_tool, scene, turns,
    wait_until,
};
use rustix::process::{Signal, geteuid};

fn family(scene: &Scene) -> Launch<'_> {
    let program = env!("CARGO_BIN_EXE_family");
    scene.tool(program).args(["--listen", &scene.address().to_string()])
}

/// The family in the foreground, with a terminal that controls its session.
fn on_terminal<'a>(scene: &'a Scene, terminal: &'a Terminal) -> Launch<'a> {
    let launch = family(scene).args(["--prefork", "1"]);
    // Root may do everything to any terminal.
    let launch = if geteuid().is_root() { launch.args(["--user", "nobody"]) } else { launch };
    launch.on(terminal).under(["setsid", "--ctty", "--wait"])
}

/// Asks for `path`; returns the pid of the child that has answered, and what it has added.
#[track_caller]
fn ask(scene: &Scene, path: &str) -> (u32, String) {
    let body = get(scene.address(), path).expect("an answer").body;
    let (pid, added) = body.split_once(' ').unwrap_or((&body, ""));
    (pid.parse().expect("a pid"), added.to_owned())
}

/// A1: a child types nothing into the terminal from which its daemon was started.
#[test]
fn a_child_cannot_type_into_the_terminal() {
    if !require_tool("setsid") {
        return;
    }
    let (scene, terminal) = (scene!(), Terminal::new(80, 24));
    let daemon = on_terminal(&scene, &terminal).foreground();
    let (_, outcome) = ask(&scene, "/type");
    assert_ne!(outcome, "typed");
    assert!(!terminal.text().contains("typed"), "{:?}", terminal.text());
    // The kernel may forbid that to everybody; what it looks at here is the session.
    assert_ne!(find_process(daemon.pid()).expect("it lives").terminal, 0, "the parent has it");
    assert_own_sessions(&daemon);
    stop(&scene, &daemon);
}

/// Stops a daemon that another process than the test waits for.
#[track_caller]
fn stop(scene: &Scene, daemon: &Daemon<'_>) {
    daemon.signal(Signal::TERM);
    scene.wait_until_deserted(PATIENCE);
    scene.assert_nothing_is_left();
}

/// Every process that the parent has forked leads a session and a group of its own, and has no terminal.
#[test]
fn children_and_helpers_lead_sessions_of_their_own() {
    let scene = scene!();
    let status = std::net::SocketAddr::new(scene.address().ip(), 9000).to_string();
    let daemon = family(&scene).args(["--status-listen", &status]).daemon();
    wait_until(PATIENCE, "there are children and a status page", || daemon.living().len() == 3);
    assert_own_sessions(&daemon);
    let (child, group) = ask(&scene, "/group");
    assert_eq!(group, child.to_string());
    daemon.stop_in_order();
}

#[track_caller]
fn assert_own_sessions(daemon: &Daemon<'_>) {
    let children = daemon.children();
    assert!(!children.is_empty());
    for child in children {
        assert_eq!((child.session, child.terminal), (child.pid, 0), "{}", child.command_line());
    }
}

/// TTIN and TTOU change the size of the pool if a process sends them, and not if a terminal does.
#[test]
fn a_terminal_does_not_resize_the_pool() {
    if !require_tool("setsid") {
        return;
    }
    let (scene, terminal) = (scene!(), Terminal::new(80, 24));
    // A job in the background, of which one process reads from the terminal: all of it is sent SIGTTIN.
    let job = "until_there() { while [ ! -e $1 ]; do sleep 0.01; done; }
        set -m
        (\"$@\" & until_there go; read line </dev/tty; wait) &
        until_there end";
    let shell = ["setsid", "--ctty", "--wait", "bash", "-c", job, "bash"];
    let daemon = family(&scene).args(["--prefork", "2"]).on(&terminal).under(shell).foreground();
    std::fs::write(scene.path("go"), "").expect("written");
    let reader = find_process(daemon.pid()).expect("it lives").parent;
    wait_until(PATIENCE, "the job is stopped by the terminal", || {
        find_process(reader).is_some_and(|process| process.state == 'T')
    });
    daemon.signal(Signal::TTOU);
    wait_until(PATIENCE, "the pool is resized", || !resized(&scene).is_empty());
    assert_eq!(resized(&scene).len(), 1, "{:?}", resized(&scene));
    assert!(resized(&scene)[0].contains("prefork is now 1"), "{:?}", resized(&scene));
    std::fs::write(scene.path("end"), "").expect("written");
    assert!(kill(reader, Signal::KILL));
    stop(&scene, &daemon);
}

fn resized(scene: &Scene) -> Vec<String> {
    scene.lines_with("error.log", "prefork is now")
}

/// A6: a child that is stopped and continued without end does not wake the parent.
#[test]
fn stops_and_continuations_do_not_wake_the_parent() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "1"]).daemon();
    let (child, flooder) = ask(&scene, "/flood");
    let flooder: u32 = flooder.parse().expect("a pid");
    let cpu = || find_process(flooder).expect("it is at it").cpu;
    daemon.wait_for_rest();
    let (before, begun) = (turns(daemon.pid()), cpu());
    wait_until(PATIENCE, "it has flooded for a while", || {
        cpu() - begun > Duration::from_millis(300)
    });
    let woken = turns(daemon.pid()) - before;
    assert!(woken < 20, "the parent was woken {woken} times");
    assert!(kill(child, Signal::KILL));
    wait_until(PATIENCE, "it is replaced", || get(scene.address(), "/").is_ok());
    daemon.stop_in_order();
}

/// A4: a child that has made the parent its tracer is ended like one that is stopped.
#[test]
fn a_child_that_has_itself_traced_ends_within_the_ladder() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "1", "--graceful-timeout", "300"]).daemon();
    let (child, _) = ask(&scene, "/trace-me");
    assert!(kill(child, Signal::USR1));
    wait_until(PATIENCE, "it is held", || {
        find_process(child).is_some_and(|process| process.state == 't')
    });
    daemon.wait_for_rest();
    let begun = Instant::now();
    daemon.stop_in_order();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// A4: a process of the daemon's own that a tracer holds even when it is dead is not waited for.
#[test]
fn a_status_process_that_is_traced_does_not_hold_up_the_stop() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let status = std::net::SocketAddr::new(scene.address().ip(), 9000).to_string();
    let daemon = family(&scene).args(["--status-listen", &status]).daemon();
    let mut found = None;
    wait_until(PATIENCE, "there is a status process", || {
        let children = daemon.children();
        found = children.into_iter().find(|child| child.command_line().contains("[status]"));
        found.is_some()
    });
    let traced = found.expect("just found").pid;
    let tracer = scene.tool("strace").args(["-o", "/dev/null", "-p", &traced.to_string()]).start();
    let is_traced = || {
        let status = std::fs::read_to_string(format!("/proc/{traced}/status")).unwrap_or_default();
        status.contains(&format!("TracerPid:\t{}\n", tracer.pid()))
    };
    wait_until(PATIENCE, "it is traced", is_traced);
    tracer.signal(Signal::STOP);
    let is_stopped = || find_process(tracer.pid()).is_some_and(|process| process.state == 'T');
    wait_until(PATIENCE, "the tracer takes nothing in", is_stopped);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(Duration::from_secs(8)).is_success());
    let logged = format!("process {traced} of the daemon was killed and cannot be reaped");
    assert_eq!(scene.lines_with("error.log", &logged).len(), 1);
    tracer.signal(Signal::KILL);
}
