//! The messages to the service manager, from the start to the end.

use std::{fs, time::Duration};

use prefork_tests::{Daemon, Launch, Mailbox, PATIENCE, Scene, holds_for, scene, wait_until};
use rustix::process::Signal;

/// Starts it in the foreground under a manager, and reads its messages until it is ready.
#[track_caller]
fn start<'a>(launch: Launch<'a>, mailbox: &Mailbox, size: &str) -> Daemon<'a> {
    let daemon = launch.variable("NOTIFY_SOCKET", mailbox.path()).foreground();
    mailbox.expect(&[
        &format!("MAINPID={} STATUS=starting {size}", daemon.pid()),
        &format!("READY=1 MAINPID={} STATUS=serving, {size}", daemon.pid()),
    ]);
    daemon
}

#[track_caller]
fn stop(daemon: &Daemon<'_>, mailbox: &Mailbox, microseconds: u64) {
    daemon.stop_in_order();
    let stopping = format!("STOPPING=1 EXTEND_TIMEOUT_USEC={microseconds} STATUS=stopping");
    assert_eq!(mailbox.drain(), [stopping]);
}

/// The time of the monotonic clock in a message, in microseconds.
#[track_caller]
fn time(message: &str) -> u64 {
    let time = message.split(' ').find_map(|part| part.strip_prefix("MONOTONIC_USEC="));
    time.and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("no time in {message:?}"))
}

fn now() -> u64 {
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    uptime.tv_sec.unsigned_abs() * 1_000_000 + uptime.tv_nsec.unsigned_abs() / 1000
}

#[track_caller]
fn reload(daemon: &Daemon<'_>, mailbox: &Mailbox, signal: Signal) {
    let before = now();
    daemon.signal(signal);
    let reloading = mailbox.next();
    assert!(reloading.starts_with("RELOADING=1 MONOTONIC_USEC="), "{reloading:?}");
    assert!((before..=now()).contains(&time(&reloading)), "{reloading:?} at {before}");
    if signal == Signal::HUP {
        assert!(reloading.ends_with("STATUS=reading the settings again"), "{reloading:?}");
        mailbox.expect(&["STATUS=replacing all children"]);
    }
    mailbox.expect(&[&format!("READY=1 MAINPID={} STATUS=serving, ", daemon.pid())]);
}

#[test]
fn a_whole_life_is_reported() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let daemon = start(scene.hello(), &mailbox, "3 children");
    reload(&daemon, &mailbox, Signal::HUP);
    // Nobody is replaced for logs, and nothing that clients do is reported.
    daemon.signal(Signal::USR1);
    for _ in 0..20 {
        daemon.get("/").expect("it serves");
    }
    assert_eq!(mailbox.drain(), [""; 0]);
    stop(&daemon, &mailbox, (30 + 1 + 5 + 5) * 1_000_000);
}

/// The messages come from the parent, not the launcher, and do not name the parent as long as it is the launcher's child.
#[test]
fn a_daemon_in_the_background_reports_it_too() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let launch = scene.hello().board().args(["--graceful-timeout", "2"]);
    let daemon = launch.variable("NOTIFY_SOCKET", mailbox.path()).daemon();
    mailbox.expect(&[
        "STATUS=starting 3 to 150 children",
        "READY=1 STATUS=serving, 3 to 150 children",
    ]);
    daemon.signal(Signal::TTIN);
    mailbox.expect(&["STATUS=serving, 4 to 150 children"]);
    stop(&daemon, &mailbox, (2 + 1 + 5 + 5) * 1_000_000);
}

#[test]
fn a_reload_that_fails_is_over_too() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let daemon = start(scene.probe().path("--spoiled-by", "spoiled"), &mailbox, "3 children");
    fs::write(scene.path("spoiled"), "").expect("written");
    daemon.signal(Signal::HUP);
    mailbox.expect(&["RELOADING=1 MONOTONIC_USEC="]);
    // Each of the children that end before they have worked is reported, until that proves enough.
    let said: Vec<_> = (0..4).map(|_| mailbox.next()).collect();
    let ready = format!(
        "READY=1 MAINPID={} STATUS=serving; generation 2 did not work, old children stay",
        daemon.pid()
    );
    assert!(said.contains(&ready), "{said:?}");
    daemon.stop_in_order();
}

#[test]
fn an_upgrade_is_a_reload_to_the_manager() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let program = scene.program();
    let daemon = start(program.launch(), &mailbox, "3 children");
    for version in 2..4 {
        program.install(&format!("--version {version}"));
        daemon.signal(Signal::USR2);
        let ready = format!("READY=1 MAINPID={} STATUS=serving, 3 children", daemon.pid());
        let probing = mailbox.next();
        assert!(probing.starts_with("RELOADING=1"), "{probing:?}");
        assert!(probing.ends_with("STATUS=trying the new program"), "{probing:?}");
        mailbox.expect(&["STATUS=becoming the new program", "RELOADING=1", &ready]);
    }
    // The probe has gone as well.
    daemon.wait_for_children(PATIENCE, 3, &[]);
    // Its two hooks may take 30 s each.
    stop(&daemon, &mailbox, (30 + 1 + 5 + 2 * 30 + 5) * 1_000_000);
}

/// However a new program fails, as a probe or after it was executed.
#[test]
fn an_upgrade_that_fails_is_over_too() {
    for (manner, steps) in [("refuses", &[][..]), ("betrays", &["STATUS=becoming the new program"])]
    {
        let scene = scene!();
        let mailbox = Mailbox::new();
        let program = scene.program();
        let daemon = start(program.launch(), &mailbox, "3 children");
        program.install(&format!("--manner {manner}"));
        daemon.signal(Signal::USR2);
        mailbox.expect(&["RELOADING=1 MONOTONIC_USEC="]);
        mailbox.expect(steps);
        mailbox.expect(&[&format!(
            "READY=1 MAINPID={} STATUS=serving; the last upgrade was refused",
            daemon.pid()
        )]);
        daemon.wait_for_children(PATIENCE, 3, &[]);
        daemon.stop_in_order();
    }
}

#[test]
fn a_daemon_without_children_reports_it_too() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let launch = scene.hello().args(["--prefork", "0"]);
    let daemon = launch.variable("NOTIFY_SOCKET", mailbox.path()).foreground();
    mailbox.expect(&[&format!("READY=1 MAINPID={} STATUS=serving, no child", daemon.pid())]);
    for signal in [Signal::HUP, Signal::USR1] {
        daemon.signal(signal);
        let message = mailbox.next();
        assert!(message.starts_with("RELOADING=1") && message.contains(" READY=1 "), "{message:?}");
    }
    stop(&daemon, &mailbox, (30 + 1 + 5 + 5) * 1_000_000);
}

/// With a watchdog there are signs of life, before and after an upgrade, and in the background.
#[test]
fn signs_of_life_go_on_through_an_upgrade() {
    for in_background in [false, true] {
        let scene = scene!();
        let mailbox = Mailbox::new();
        let program = scene.program();
        let launch = program
            .launch()
            .variable("NOTIFY_SOCKET", mailbox.path())
            .variable("WATCHDOG_USEC", "400000")
            .after_shell("export WATCHDOG_PID=$$");
        let daemon = if in_background { launch.daemon() } else { launch.foreground() };
        let first = if in_background { "STATUS=starting" } else { "MAINPID=" };
        mailbox.expect(&[first, "READY=1"]);
        (0..3).for_each(|_| mailbox.expect_beat());
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        mailbox.expect(&["RELOADING=1", "STATUS=becoming", "RELOADING=1", "READY=1"]);
        (0..3).for_each(|_| mailbox.expect_beat());
        daemon.wait_for_children(PATIENCE, 3, &[]);
        daemon.stop_in_order();
    }
}

#[test]
fn signs_of_life_come_without_children_too() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let launch = scene.hello().args(["--prefork", "0"]).variable("WATCHDOG_USEC", "400000");
    let daemon = launch.variable("NOTIFY_SOCKET", mailbox.path()).foreground();
    mailbox.expect(&["READY=1"]);
    (0..3).for_each(|_| mailbox.expect_beat());
    daemon.stop_in_order();
}

/// A watchdog that was set for another process is none of ours, and nothing wakes the parent then.
#[test]
fn without_a_watchdog_there_is_no_sign_and_no_wakeup() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let launch = scene.hello().variable("WATCHDOG_USEC", "400000").variable("WATCHDOG_PID", "1");
    let daemon = start(launch, &mailbox, "3 children");
    let switches = || {
        let status =
            fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it lives");
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.map(str::to_owned)
    };
    // What children report of their first moments.
    daemon.wait_for_rest();
    let at_rest = switches();
    holds_for(Duration::from_secs(1), "the parent sleeps", || switches() == at_rest);
    assert_eq!(mailbox.drain(), [""; 0]);
    daemon.stop_in_order();
}

/// The way to the manager is the parent's alone: no process that it or a child starts has it.
#[test]
fn children_do_not_have_the_way_to_the_manager() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let launch = scene.probe().variable("WATCHDOG_USEC", "60000000");
    let daemon = start(launch, &mailbox, "3 children");
    let reply = daemon.get("/environment").expect("it serves").body;
    let mine = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
    let kept: Vec<_> = reply.split(' ').filter(|name| mine.contains(name)).collect();
    assert_eq!(kept, [""; 0]);
    assert!(reply.contains("PATH"), "{reply:?}");
    daemon.stop_in_order();
}

/// A manager that is not there, or whose address makes no sense, keeps nobody from serving.
#[test]
fn a_manager_that_is_not_there_is_no_trouble() {
    for (address, warnings) in [("/no-such-folder/notify", 1), ("nonsense", 0), ("", 0)] {
        let scene = scene!();
        let daemon = scene.hello().variable("NOTIFY_SOCKET", address).foreground();
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE, "the reload is over", || reloaded(&scene));
        daemon.stop_in_order();
        let said = scene.lines_with("error.log", "cannot notify the service manager");
        assert_eq!(said.len(), warnings, "{address:?}: {said:?}");
    }
}

/// Starts a daemon of two pools, one of which sleeps, and a role.
fn pools<'a>(scene: &'a Scene, mailbox: &Mailbox) -> Daemon<'a> {
    fs::write(scene.path("settings"), "request_timeout = 30\n").expect("written");
    let [at, other] = [scene.address(), scene.other_address()];
    let launch = scene.tool(env!("CARGO_BIN_EXE_pools"));
    let launch = launch.args(["--pool", &format!("web={at}=2=4")]);
    let launch = launch.args(["--pool", &format!("asleep={other}=0=4"), "--role", "cron"]);
    let launch = launch.path("--witness", "witness").path("--settings", "settings");
    start(launch, mailbox, "3 pools")
}

/// The parents of pools say nothing; the arbiter does for all of them.
#[test]
fn a_whole_life_of_several_pools_is_reported() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let daemon = pools(&scene, &mailbox);
    for text in ["request_timeout = 31\n", "request_timeout = \"nonsense\"\n"] {
        fs::write(scene.path("settings"), text).expect("written");
        let before = now();
        daemon.signal(Signal::HUP);
        let reloading = mailbox.next();
        assert!(reloading.starts_with("RELOADING=1 MONOTONIC_USEC="), "{reloading:?}");
        assert!((before..=now()).contains(&time(&reloading)), "{reloading:?} at {before}");
        let ready = format!("READY=1 MAINPID={} STATUS=serving", daemon.pid());
        let refused = "the settings were refused, the old ones stay in force";
        let expected = if text.contains("nonsense") {
            format!("{ready}; {refused}")
        } else {
            assert_eq!(mailbox.next(), "STATUS=reloading all pools");
            format!("{ready}, 3 pools")
        };
        assert_eq!(mailbox.next(), expected);
    }
    // Once more with what is good.
    fs::write(scene.path("settings"), "").expect("written");
    daemon.signal(Signal::HUP);
    mailbox.expect(&["RELOADING=1", "STATUS=reloading all pools"]);
    let ready = mailbox.next();
    assert!(ready.starts_with("READY=1 ") && ready.ends_with("STATUS=serving, 3 pools"), "{ready}");
    // What happens within a pool is no news, nor that one wakes.
    daemon.signal(Signal::USR1);
    daemon.get("/").expect("it serves");
    prefork_tests::get(scene.other_address(), "/").expect("it is woken");
    assert_eq!(mailbox.drain(), [""; 0]);
    stop(&daemon, &mailbox, (30 + 1 + 5 + 5 + 5) * 1_000_000);
}

/// A reload is over when the children of all pools have been replaced, not when pools have begun to.
#[test]
fn a_reload_of_several_pools_is_over_when_new_children_serve() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let daemon = pools(&scene, &mailbox);
    for _ in 0..5 {
        let web = prefork_tests::children(daemon.pid());
        let old: Vec<_> = web.iter().flat_map(|it| prefork_tests::children(it.pid)).collect();
        assert_eq!(old.len(), 3, "{old:?}");
        daemon.signal(Signal::HUP);
        mailbox.expect(&["RELOADING=1", "STATUS=reloading all pools", "READY=1"]);
        for _ in 0..4 {
            let body = daemon.get("/").expect("it serves").body;
            let is_old = old.iter().any(|old| body == format!("web {}", old.pid));
            assert!(!is_old, "an old child has answered: {body}");
        }
    }
    daemon.stop_in_order();
}

/// That a pool is not there stands in the status until it is back.
#[test]
fn a_pool_whose_parent_has_ended_stands_in_the_status() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let daemon = pools(&scene, &mailbox);
    let title = "pools/web [parent]";
    let parents = prefork_tests::children(daemon.pid());
    let web = parents.iter().find(|it| it.command_line().contains(title)).expect("it is there");
    assert!(prefork_tests::kill(web.pid, Signal::KILL));
    mailbox
        .expect(&["STATUS=serving, 3 pools; pool web: its parent has ended and is started again"]);
    assert_eq!(mailbox.next(), "STATUS=serving, 3 pools");
    daemon.stop_in_order();
}

/// A sign of life is the arbiter's, and goes on through an upgrade of all pools, which is over when their children are replaced.
#[test]
fn an_upgrade_of_several_pools_is_a_reload_to_the_manager() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let program = scene.program_of(env!("CARGO_BIN_EXE_several"));
    let [jobs, asleep] = [scene.other_address(), scene.page()].map(|it| it.to_string());
    let launch = program.launch().args(["--jobs", &jobs, "--asleep", &asleep]);
    let daemon = start(launch, &mailbox, "5 pools");
    for version in ["2", "3"] {
        program.install(&format!("--version {version}"));
        daemon.signal(Signal::USR2);
        let ready = format!("READY=1 MAINPID={} STATUS=serving, 5 pools", daemon.pid());
        mailbox.expect(&["RELOADING=1", "STATUS=becoming the new program", "RELOADING=1", &ready]);
        for address in [scene.address(), scene.other_address()] {
            let reply = prefork_tests::get(address, "/").expect("it serves");
            assert_eq!(reply.body, version, "an old child has answered");
        }
    }
    daemon.stop_in_order();
}

fn reloaded(scene: &Scene) -> bool {
    !scene.lines_with("error.log", "all children are of generation 2").is_empty()
}

/// A manager that takes nothing holds nobody up for long.
#[test]
fn a_manager_that_does_not_listen_holds_nobody_up() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let sender = std::os::unix::net::UnixDatagram::unbound().expect("made");
    sender.set_nonblocking(true).expect("set");
    while sender.send_to(b"STATUS=full", mailbox.path()).is_ok() {}
    let daemon = scene.hello().variable("NOTIFY_SOCKET", mailbox.path()).foreground();
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
    assert_eq!(scene.lines_with("error.log", "cannot notify the service manager").len(), 1);
}

/// A manager that has room keeps the listening sockets for the next start: from the first moment to the last, over upgrades
/// those at which the program listens, and not one that the daemon has ended with.
#[test]
fn listening_sockets_are_kept_while_the_daemon_listens_there() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let program = scene.program();
    let launch = program.launch().path("--error-log-path", "error.log");
    let daemon =
        launch.variable("FDSTORE", "2").variable("NOTIFY_SOCKET", mailbox.path()).foreground();
    mailbox.expect(&["MAINPID="]);
    let kept = mailbox.next();
    let name =
        kept.strip_prefix("FDSTORE=1 FDNAME=").and_then(|rest| rest.strip_suffix(" FDPOLL=0"));
    let name = name.unwrap_or_else(|| panic!("{kept:?}")).to_owned();
    mailbox.expect(&["READY=1"]);
    // The same socket.
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    mailbox.expect(&["RELOADING=1", "STATUS=becoming"]);
    assert_eq!(mailbox.next(), kept);
    mailbox.expect(&["RELOADING=1", "READY=1"]);
    // Another.
    program.install(&format!("--listen {}", scene.other_address()));
    daemon.signal(Signal::USR2);
    mailbox.expect(&["RELOADING=1", "STATUS=becoming"]);
    assert_eq!(mailbox.next(), format!("FDSTOREREMOVE=1 FDNAME={name}"));
    let other = mailbox.next();
    assert!(other.starts_with("FDSTORE=1 FDNAME=prefork-listener-") && other != kept, "{other:?}");
    mailbox.expect(&["RELOADING=1", "READY=1"]);
    daemon.stop_in_order();
    let said = mailbox.drain();
    let removed = other.replace("FDSTORE=1", "FDSTOREREMOVE=1").replace(" FDPOLL=0", "");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("STOPPING=1") && said[1] == removed, "{said:?}");
}

/// Without room nothing is sent: the manager would say so at every start.
#[test]
fn a_manager_without_room_is_sent_no_sockets() {
    for room in ["0", "none"] {
        let scene = scene!();
        let mailbox = Mailbox::new();
        let daemon = start(scene.hello().variable("FDSTORE", room), &mailbox, "3 children");
        stop(&daemon, &mailbox, 41_000_000);
    }
}

/// A reload of several pools is one to the manager, whether settings are read for it or not, and so is one that is refused.
#[test]
fn a_reload_of_several_pools_is_reported_as_one() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    let pool = format!("web={}=1=1", scene.address());
    let launch = scene.tool(env!("CARGO_BIN_EXE_pools")).path("--witness", "witness");
    let daemon = start(launch.args(["--pool", &pool]), &mailbox, "1 pool");
    daemon.signal(Signal::HUP);
    mailbox.expect(&["RELOADING=1 MONOTONIC_USEC=", "READY=1 MAINPID="]);
    daemon.stop_in_order();

    let scene = scene!();
    let mailbox = Mailbox::new();
    let write = |name: &str, text: &str| {
        fs::create_dir_all(scene.path("conf.d")).expect("made");
        let text = format!("command = [\"sleep\", \"600\"]\nready = \"after:1ms\"\n{text}");
        fs::write(scene.path("conf.d").join(name), text).expect("written");
    };
    write("a.toml", "prefork = 1\n");
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run"]);
    let launch = launch.args([scene.path("conf.d")]).args(["--name", "app"]);
    let daemon = start(launch, &mailbox, "1 pool");
    write("b.toml", "prefork = 1\n");
    let reading = |mailbox: &Mailbox| {
        let message = mailbox.next();
        assert!(message.starts_with("RELOADING=1 "), "{message}");
        assert!(message.ends_with("STATUS=reading the settings again"), "{message}");
    };
    daemon.signal(Signal::HUP);
    reading(&mailbox);
    let ready = |rest: &str| format!("READY=1 MAINPID={} STATUS=serving{rest}", daemon.pid());
    mailbox.expect(&["STATUS=reloading all pools", &ready(", 2 pools")]);
    write("b.toml", "max_childern = 1\n");
    daemon.signal(Signal::HUP);
    reading(&mailbox);
    mailbox.expect(&[&ready("; the settings were refused, the old ones stay in force")]);
    daemon.stop_in_order();
}
