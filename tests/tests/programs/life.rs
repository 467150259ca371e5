//! What happens to programs, whatever they are written in.

use std::thread;

use prefork_tests::{
    Census, Daemon, Load, PATIENCE, Scene, Sent, find_process, get, get_patiently, wait_until,
    waiting_at,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::runtime::{Runtime, Served};

/// Reloads three times under load, and stops with requests in hand.
pub(crate) fn rollout(scene: &Scene, runtime: Runtime) {
    // One after the other is replaced, and puma takes seconds to start and to leave on a machine that is busy.
    let most = if matches!(runtime, Runtime::Puma) { "2" } else { "8" };
    let Some(served) = runtime.start(scene, &["--max-children", most]) else { return };
    let daemon = served.daemon;
    assert_eq!(get_patiently(served.address(), "/").status, 200);
    let load = Load::start(3, served.address(), "/");
    for _ in 0..3 {
        let old = daemon.living();
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE * 3, "all children are new", || {
            let living = daemon.living();
            living.len() >= 2 && old.iter().all(|pid| !living.contains(pid))
        });
    }
    let tally = load.stop();
    assert!(tally.answered > 0, "{tally:?}");
    assert!(tally.failures.is_empty(), "{} lost: {:?}", tally.failures.len(), tally.failures);
    stop(served, &daemon);
}

/// Stops while requests are in hand, all of which are answered.
fn stop(served: Served<'_>, daemon: &Daemon<'_>) {
    let ask = |_| Sent::to(served.address(), "/sleep?ms=700").expect("sent");
    let sent: Vec<Sent> = (0..2).map(ask).collect();
    wait_until(PATIENCE, "a program has each", || {
        waiting_at(served.address()) + waiting_at(served.listens()) == 0
    });
    daemon.signal(Signal::TERM);
    for sent in sent {
        let reply = sent.answer().expect("it is answered before the end");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    served.assert_ends_in_order();
}

/// Asks for more at once than two programs can do one by one.
pub(crate) fn burst(scene: &Scene, runtime: Runtime) {
    let flags = ["--max-children", "6", "--calm-time", "500ms", "--retire-pace", "50ms"];
    let Some(served) = runtime.start(scene, &flags) else { return };
    let (daemon, address) = (served.daemon, served.address());
    assert_eq!(get_patiently(address, "/").status, 200);
    let census = Census::begin(daemon.pid());
    let clients: Vec<_> =
        (0..8).map(|_| thread::spawn(move || get(address, "/sleep?ms=600"))).collect();
    for client in clients {
        let reply = client.join().expect("it does not panic").expect("it is answered");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    wait_until(PATIENCE, "there are two again", || daemon.living().len() == 2);
    let most = census.end().most;
    // One program may take all of them, where it can.
    let fewest = if runtime.takes_one_at_a_time() { 4 } else { 2 };
    assert!((fewest..=6).contains(&most), "at the most {most} children for 8 requests");
    assert_eq!(get(address, "/").expect("it is answered").status, 200);
    daemon.signal(Signal::TERM);
    served.assert_ends_in_order();
}

/// Kills a program.
pub(crate) fn death(scene: &Scene, runtime: Runtime) {
    let Some(served) = runtime.start(scene, &["--max-children", "2"]) else { return };
    let daemon = served.daemon;
    let worker = get_patiently(served.address(), "/").number();
    let (child, program) = family(&daemon, worker);
    // Not by the harness, which knows its own by an environment over which Perl and Ruby write their titles.
    let pid = i32::try_from(program).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it is there");
    daemon.wait_for_children(PATIENCE, 2, &[child]);
    // A worker of it outlives it by a moment, in which it may answer.
    wait_until(PATIENCE, "all of the program is gone", || {
        [program, worker].into_iter().all(|pid| find_process(pid).is_none())
    });
    // Whoever answers, it is nobody of the old child.
    for _ in 0..4 {
        let (other, _) = family(&daemon, get_patiently(served.address(), "/").number());
        assert_ne!(other, child);
    }
    scene.wait_for_line("was ended by SIGKILL");
    daemon.signal(Signal::TERM);
    served.assert_ends_in_order();
}

/// Returns the child of the daemon, and the first process of the program, of which `pid` is one.
#[track_caller]
fn family(daemon: &Daemon<'_>, pid: u32) -> (u32, u32) {
    let (mut child, mut program) = (pid, pid);
    loop {
        let process = find_process(child).unwrap_or_else(|| panic!("{child} is not there"));
        if process.parent == daemon.pid() {
            assert_ne!(child, program, "a program is no child of the daemon");
            return (child, program);
        }
        (child, program) = (process.parent, child);
    }
}
