//! What a person does at a terminal, and what becomes of a daemon in the foreground and of requests in hand.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    thread::{self, JoinHandle},
    time::Duration,
};

use prefork_tests::{
    Daemon, PATIENCE, Running, Scene, Terminal, find_process, get, holds_for, kill,
    require_hangups, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// A shell that controls a terminal, and a script `start` of a daemon for it.
struct Session<'a> {
    scene: &'a Scene,
    terminal: &'a Terminal,
    shell: Running<'a>,
}

/// The daemons under test.
const FAMILY: &str = env!("CARGO_BIN_EXE_family");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

impl<'a> Session<'a> {
    /// `None` if there is no such shell here.
    fn begin(
        scene: &'a Scene,
        terminal: &'a Terminal,
        program: &str,
        arguments: &str,
    ) -> Option<Self> {
        if !require_tool("setsid") || !require_tool("bash") || !require_hangups() {
            return None;
        }
        let start = format!(
            "#!/bin/sh\nexec {program} --listen {} --pid-path pid --error-log-path error.log {arguments}\n",
            scene.address()
        );
        fs::write(scene.path("start"), start).expect("written");
        fs::set_permissions(scene.path("start"), fs::Permissions::from_mode(0o755)).expect("set");
        let shell = ["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"];
        let shell = scene.tool("setsid").args(shell).variable("HISTFILE", "/dev/null");
        let shell = shell.variable("PS1", "prompt: ").on(terminal).start();
        Some(Self { scene, terminal, shell })
    }

    /// A pool of two whose requests take as long as is wished.
    fn family(scene: &'a Scene, terminal: &'a Terminal) -> Option<Self> {
        let files = "--access-log-path access.log --witness witness --prefork 2";
        Self::begin(scene, terminal, FAMILY, files)
    }

    /// Types a command that starts the daemon, and waits until it serves.
    #[track_caller]
    fn start(&self, command: &str) -> Daemon<'a> {
        self.terminal.press(&format!("{command}\n"));
        wait_until(PATIENCE, "the daemon is ready", || {
            !self.scene.lines_with("error.log", "parent info: ready").is_empty()
        });
        Daemon::of_pid_file(self.scene)
    }

    /// Begins a request that takes a while.
    #[track_caller]
    fn request(&self) -> JoinHandle<bool> {
        let address = self.scene.address();
        let client = thread::spawn(move || get(address, "/sleep/1500").is_ok());
        wait_until(PATIENCE, "the request is in hand", || {
            !self.scene.lines_with("witness", "sleeps").is_empty()
        });
        client
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str) {
        wait_until(PATIENCE, &format!("the log says {text:?}"), || {
            !self.scene.lines_with("error.log", text).is_empty()
        });
    }

    /// Waits until the daemon has gone with all that is its own, and closes the window.
    #[track_caller]
    fn end(self) {
        wait_until(PATIENCE, "the daemon has gone", || !self.scene.path("pid").exists());
        self.terminal.close();
        self.shell.finish();
        self.scene.wait_until_deserted(PATIENCE);
        self.scene.assert_nothing_is_left();
    }
}

#[track_caller]
fn wait_until_stopped(daemon: &Daemon<'_>) {
    wait_until(PATIENCE, "the parent is stopped", || {
        find_process(daemon.pid()).is_some_and(|process| process.state == 'T')
    });
}

/// Kills a child, and waits until another has taken its place.
#[track_caller]
fn replace_one(daemon: &Daemon<'_>) {
    let before = daemon.living();
    assert!(kill(before[0], Signal::KILL));
    wait_until(PATIENCE, "a child that has ended is replaced", || {
        let now = daemon.living();
        now.len() == before.len() && !now.contains(&before[0])
    });
}

/// Asserts that a reload is one.
#[track_caller]
fn reload(session: &Session<'_>, daemon: &Daemon<'_>, generation: u32) {
    daemon.signal(Signal::HUP);
    session.wait_for_log(&format!("all children are of generation {generation} now"));
    assert!(daemon.get("/").is_ok());
}

/// I2: Ctrl-C and Ctrl-\ stop at once, by what the parent does: children are not reached by the keys.
#[test]
fn ctrl_c_stops_at_once() {
    for (key, name) in [("\u{3}", "SIGINT"), ("\u{1c}", "SIGQUIT")] {
        let (scene, terminal) = (scene!(), Terminal::new(100, 40));
        let Some(session) = Session::family(&scene, &terminal) else { return };
        session.start("./start");
        let request = session.request();
        session.terminal.press(key);
        session.wait_for_log(&format!("{name} from the terminal"));
        assert!(!request.join().expect("no panic"), "the request is cut");
        assert_eq!(scene.lines_with("error.log", " error: "), [""; 0]);
        session.end();
    }
}

/// I2: a second Ctrl-C is for those who do not end by the first.
#[test]
fn a_second_ctrl_c_kills() {
    let (scene, terminal) = (scene!(), Terminal::new(100, 40));
    let probe = env!("CARGO_BIN_EXE_probe");
    let deaf = "--main-loop deaf --witness witness --prefork 2";
    let Some(session) = Session::begin(&scene, &terminal, probe, deaf) else { return };
    session.start("./start");
    wait_until(PATIENCE, "they are deaf", || scene.lines_with("witness", "deaf").len() == 2);
    session.terminal.press("\u{3}");
    wait_until(PATIENCE, "it stops", || !scene.lines_with("error.log", "SIGINT from").is_empty());
    session.terminal.press("\u{3}");
    session.end();
    let ended = scene.lines_with("error.log", "SIGINT from the terminal");
    assert!(!ended.is_empty(), "{ended:?}");
}

/// I2: Ctrl-Z stops the parent alone: children serve, and what it has missed it does after `fg` or `bg`.
#[test]
fn ctrl_z_costs_no_request() {
    for resume in ["fg", "bg"] {
        let (scene, terminal) = (scene!(), Terminal::new(100, 40));
        let Some(session) = Session::family(&scene, &terminal) else { return };
        let daemon = session.start("./start");
        let request = session.request();
        session.terminal.press("\u{1a}");
        wait_until_stopped(&daemon);
        assert!(request.join().expect("no panic"), "the request is answered");
        assert!(daemon.get("/").is_ok(), "children serve on");
        let before = daemon.living();
        assert!(kill(before[0], Signal::KILL));
        // A connection for which it is woken while it is being killed would wait for another child.
        wait_until(PATIENCE, "it has ended", || {
            find_process(before[0]).is_none_or(|child| child.is_zombie())
        });
        assert!(daemon.get("/").is_ok(), "the other one serves");
        session.terminal.press(&format!("{resume}\n"));
        wait_until(PATIENCE, "the child is replaced", || {
            let now = daemon.living();
            now.len() == 2 && !now.contains(&before[0])
        });
        // A reload that a person asks the shell for is one.
        if resume == "bg" {
            session.terminal.press("kill -HUP %1\n");
            session.wait_for_log("all children are of generation 2 now");
        }
        daemon.signal(Signal::TERM);
        session.end();
    }
}

/// I2: a window is closed, or ssh has gone: a daemon in the foreground, of a job in the background, or of one that is
/// stopped, finishes what it has in hand and ends.
#[test]
fn a_daemon_ends_in_order_with_its_terminal() {
    for (command, key) in [("./start", ""), ("./start &", ""), ("./start", "\u{1a}")] {
        let (scene, terminal) = (scene!(), Terminal::new(100, 40));
        let Some(session) = Session::family(&scene, &terminal) else { return };
        let daemon = session.start(command);
        let request = session.request();
        if !key.is_empty() {
            session.terminal.press(key);
            wait_until_stopped(&daemon);
        }
        session.terminal.close();
        assert!(request.join().expect("no panic"), "{command}: the request is answered");
        session.wait_for_log("the terminal has gone; ending with it");
        session.shell.finish();
        scene.wait_until_deserted(PATIENCE);
        scene.assert_nothing_is_left();
        assert_eq!(scene.lines_with("error.log", "error: "), [""; 0], "{command}");
        assert_eq!(scene.lines_with("error.log", "replacing all"), [""; 0], "{command}");
    }
}

/// I2: with `nohup` it outlives its terminal, and SIGHUP is nothing to children, of the next program too; what asks for a
/// reload still gets one.
#[test]
fn nohup_outlives_the_terminal() {
    let (scene, terminal) = (scene!(), Terminal::new(100, 40));
    let Some(session) = Session::family(&scene, &terminal) else { return };
    let daemon = session.start("nohup ./start >/dev/null 2>&1 </dev/null &");
    let request = session.request();
    session.terminal.close();
    session.wait_for_log("the terminal has gone; serving on without it");
    assert!(request.join().expect("no panic"), "the request is answered");
    session.shell.finish();
    let unmoved = |children: Vec<u32>| {
        for child in &children {
            assert!(kill(*child, Signal::HUP));
        }
        holds_for(Duration::from_millis(200), "they live", || daemon.living() == children);
    };
    unmoved(daemon.living());
    replace_one(&daemon);
    reload(&session, &daemon, 2);
    daemon.signal(Signal::USR2);
    session.wait_for_log("all children are of generation 3 now");
    daemon.wait_for_children(PATIENCE, 2, &[]);
    unmoved(daemon.living());
    reload(&session, &daemon, 4);
    daemon.signal(Signal::TERM);
    scene.wait_until_deserted(PATIENCE);
    scene.assert_nothing_is_left();
}

/// I2: what the shell has disowned, or what is in a session of its own, does not learn that the terminal has gone, and
/// serves on; what asks for a reload gets one.
#[test]
fn what_is_disowned_outlives_the_terminal() {
    for command in ["./start & disown", "setsid ./start &", "(setsid ./start &)"] {
        let (scene, terminal) = (scene!(), Terminal::new(100, 40));
        let Some(session) = Session::family(&scene, &terminal) else { return };
        let daemon = session.start(command);
        let request = session.request();
        session.terminal.close();
        session.shell.finish();
        assert!(request.join().expect("no panic"), "{command}: the request is answered");
        replace_one(&daemon);
        reload(&session, &daemon, 2);
        daemon.signal(Signal::USR2);
        session.wait_for_log("all children are of generation 3 now");
        reload(&session, &daemon, 4);
        daemon.signal(Signal::TERM);
        scene.wait_until_deserted(PATIENCE);
        scene.assert_nothing_is_left();
    }
}

/// I2: the next program knows that it has a terminal, and ends with it too.
#[test]
fn a_daemon_that_was_upgraded_ends_with_its_terminal() {
    let (scene, terminal) = (scene!(), Terminal::new(100, 40));
    let Some(session) = Session::family(&scene, &terminal) else { return };
    let daemon = session.start("./start &");
    daemon.signal(Signal::USR2);
    session.wait_for_log("all children are of generation 2 now");
    let request = session.request();
    session.terminal.close();
    assert!(request.join().expect("no panic"), "the request is answered");
    session.wait_for_log("the terminal has gone; ending with it");
    session.shell.finish();
    scene.wait_until_deserted(PATIENCE);
    scene.assert_nothing_is_left();
}

/// I2: with `stty tostop`, what a job in the background prints stops nobody of the daemon's, and resizes nothing.
#[test]
fn tostop_stops_nobody() {
    let (scene, terminal) = (scene!(), Terminal::new(100, 40));
    let flags = "--access-log-path /dev/stdout --prefork 2";
    let Some(session) = Session::begin(&scene, &terminal, HELLO, flags) else { return };
    session.terminal.press("stty tostop\n");
    let daemon = session.start("./start &");
    session.terminal.wait_for(PATIENCE, "Serving at ");
    for round in 1..4 {
        assert_eq!(daemon.get(&format!("/tostop-{round}")).expect("it serves").status, 404);
        session.terminal.wait_for(PATIENCE, &format!("/tostop-{round}"));
    }
    daemon.signal(Signal::USR2);
    session.wait_for_log("all children are of generation 2 now");
    assert!(daemon.get("/tostop-4").is_ok());
    session.terminal.wait_for(PATIENCE, "/tostop-4");
    assert_eq!(scene.lines_with("error.log", "prefork is now"), [""; 0]);
    daemon.signal(Signal::TERM);
    session.end();
}

/// I2: a daemon without children ends with its terminal, unless it was started so as to outlive it.
#[test]
fn a_daemon_without_children_does_the_same() {
    for (command, outlives) in [("./start", false), ("nohup ./start >/dev/null 2>&1 &", true)] {
        let (scene, terminal) = (scene!(), Terminal::new(100, 40));
        let flags = "--access-log-path access.log --prefork 0";
        let Some(session) = Session::begin(&scene, &terminal, HELLO, flags) else { return };
        let daemon = session.start(command);
        session.terminal.close();
        session.shell.finish();
        if outlives {
            session.wait_for_log("the terminal has gone; serving on without it");
            assert!(daemon.get("/").is_ok());
            daemon.signal(Signal::TERM);
        } else {
            session.wait_for_log("the terminal has gone; ending with it");
        }
        scene.wait_until_deserted(PATIENCE);
        scene.assert_nothing_is_left();
    }
}
