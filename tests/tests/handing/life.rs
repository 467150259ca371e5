//! What comes and goes while connections are handed over: reloads, upgrades, deaths, stops.

use std::fs;

use prefork_tests::{InHand, Load, PATIENCE, Sent, require_tool, scene, wait_until};
use rustix::{fs::fstat, process::Signal};

use super::{Way, answered_by, heavy, kill_each, light};

/// A receiver that is killed costs what it has in hand, and nothing that waits.
#[test]
fn killed_children_cost_no_more_than_what_they_have_in_hand() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).args(["--prefork", "4", "--max-children", "4"]).daemon();
    let back = heavy(&scenes.1, &way).daemon();
    let load = Load::start(8, scenes.0.address(), "/to-heavy/sleep/3");
    let kills = kill_each(&back, 60);
    let tally = load.stop();
    assert!(kills >= 20, "only {kills} children were killed");
    assert!(tally.answered > 100, "{tally:?}");
    let failures = tally.failures.len();
    assert!(failures <= kills, "{kills} kills cost {failures} requests: {tally:?}");
    println!("{kills} kills cost {failures} of {} requests", tally.answered + failures);
    back.wait_for_children(PATIENCE, 2, &[]);
    front.stop_in_order();
    back.stop_in_order();
}

/// Reloads of both pools under load lose nothing.
#[test]
fn reloads_of_both_lose_nothing() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let (front, back) = (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).daemon());
    let load = Load::start(8, scenes.0.address(), "/to-heavy/sleep/1");
    for round in 1..=5 {
        for (daemon, scene) in [(&front, &scenes.0), (&back, &scenes.1)] {
            let before = daemon.living();
            daemon.signal(Signal::HUP);
            wait_until(PATIENCE, &format!("reload {round} is over"), || {
                let now = daemon.living();
                now.len() == 2 && !now.iter().any(|pid| before.contains(pid))
            });
            assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
        }
    }
    let tally = load.stop();
    assert!(tally.answered > 100 && tally.failures.is_empty(), "{tally:?}");
    println!("{} answers during 10 reloads", tally.answered);
    front.stop_in_order();
    back.stop_in_order();
}

/// Both ends are still there in the next program, and in its children.
#[test]
fn upgrades_of_both_lose_nothing() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let (front, back) = (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).daemon());
    let load = Load::start(4, scenes.0.address(), "/to-heavy/sleep/1");
    for round in 1..=2 {
        for (daemon, scene) in [(&front, &scenes.0), (&back, &scenes.1)] {
            let before = daemon.living();
            daemon.signal(Signal::USR2);
            wait_until(PATIENCE, &format!("upgrade {round} is over"), || {
                let now = daemon.living();
                now.len() == 2 && !now.iter().any(|pid| before.contains(pid))
            });
            assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
            assert_eq!(scene.lines_with("error.log", "opened before the fork"), [""; 0]);
            assert_eq!(scene.lines_with("error.log", "is not used"), [""; 0]);
        }
    }
    let tally = load.stop();
    assert!(tally.answered > 20 && tally.failures.is_empty(), "{tally:?}");
    front.stop_in_order();
    back.stop_in_order();
}

/// And in the old program again, when the next one has failed.
#[test]
fn a_return_from_an_upgrade_keeps_both_ends() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).path("--spoil", "spoil").daemon();
    let back = heavy(&scenes.1, &way).path("--spoil", "spoil").daemon();
    let load = Load::start(2, scenes.0.address(), "/to-heavy/sleep/1");
    for (daemon, scene) in [(&front, &scenes.0), (&back, &scenes.1)] {
        fs::write(scene.path("spoil"), "").expect("written");
        daemon.signal(Signal::USR2);
        wait_until(PATIENCE, "the next program has failed", || !scene.path("spoil").exists());
        wait_until(PATIENCE, "the old one is back", || scene.logged("as asked") > 0);
        // Children that this one forks.
        let before = daemon.living();
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE, "all are replaced", || {
            let now = daemon.living();
            now.len() == 2 && !now.iter().any(|pid| before.contains(pid))
        });
        assert!(back.living().contains(&answered_by(&scenes.0)));
    }
    let tally = load.stop();
    assert!(tally.answered > 20 && tally.failures.is_empty(), "{tally:?}");
    front.stop_in_order();
    back.stop_in_order();
}

/// What was handed over before a stop is answered, and what comes after it by the next start.
#[test]
fn what_waits_is_answered_at_a_stop_and_after_it() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let size = ["--prefork", "1", "--max-children", "1"];
    let back = heavy(&scenes.1, &way).args(size).daemon();
    let held = InHand::at(scenes.0.address(), "/to-heavy/hold");
    let worker = held.worker();
    let waiting: Vec<_> =
        (0..5).map(|_| Sent::to(scenes.0.address(), "/to-heavy/").expect("sent")).collect();
    wait_until(PATIENCE, "all of them wait", || queued(&way) == 5);
    back.signal(Signal::TERM);
    wait_until(PATIENCE, "it stops", || scenes.1.logged("stopping gracefully") > 0);
    held.release().expect("it is answered");
    for request in waiting {
        assert_eq!(request.answer().expect("it is answered").number(), worker.pid);
    }
    back.assert_ends_in_order(PATIENCE);

    let later = Sent::to(scenes.0.address(), "/to-heavy/").expect("sent");
    wait_until(PATIENCE, "it waits", || queued(&way) == 1);
    let back = heavy(&scenes.1, &way).args(size).daemon();
    let pid = later.answer().expect("the next start answers").number();
    assert!(back.living().contains(&pid));
    front.stop_in_order();
    back.stop_in_order();
}

/// How many requests to `/to-heavy/` of the harness wait in the way, by their bytes.
fn queued(way: &Way) -> u64 {
    let bytes = rustix::io::ioctl_fionread(&way.takes).expect("a socket");
    // Each has between 88 and 105, by the pid of this program and the number of the request.
    bytes / 88
}

/// However much goes from child to child, the parents neither receive nor send any of it.
#[test]
fn the_parents_have_no_part_in_it() {
    if !require_tool("strace") {
        return;
    }
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let log = scenes.1.path("strace").display().to_string();
    let strace = ["strace", "-qq", "-y", "-o", &log];
    let running = heavy(&scenes.1, &way).paths().under(strace).start();
    let back = running.ready();
    for _ in 0..20 {
        assert!(back.living().contains(&answered_by(&scenes.0)));
    }
    back.signal(Signal::HUP);
    assert!(answered_by(&scenes.0) > 0);
    back.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    front.stop_in_order();
    let trace = scenes.1.read("strace");
    let served = trace.lines().skip_while(|line| !line.starts_with("clone"));
    let receives = |line: &&str| {
        ["recvmsg(", "recvmmsg(", "recvfrom(", "read(", "sendmsg("]
            .iter()
            .any(|call| line.starts_with(call))
    };
    // As strace shows what a descriptor leads to.
    let end = format!("<socket:[{}]>", fstat(&way.takes).expect("a socket").st_ino);
    let touched: Vec<&str> = served.filter(receives).filter(|line| line.contains(&end)).collect();
    assert_eq!(touched, [""; 0]);
    assert!(
        trace.contains(&format!("{end}, FIONREAD")),
        "the parent only looks whether something waits"
    );
}
