//! The live view, on a terminal.

use prefork_tests::{
    End, InHand, Load, PATIENCE, Running, Scene, Terminal, kill, scene, wait_until,
};
use rustix::process::Signal;

use crate::{command, run};

fn top<'a>(scene: &'a Scene, terminal: &'a Terminal) -> Running<'a> {
    let top =
        command(scene, "top -i 0.1 @scoreboard").variable("TERM", "xterm").on(terminal).start();
    terminal.wait_for(PATIENCE, "space pause");
    assert!(terminal.is_raw() && terminal.is_taken_over());
    top
}

/// Asserts that it has ended so, and that the terminal is as it was.
#[track_caller]
fn assert_given_back(top: &Running<'_>, terminal: &Terminal, modes: &str, end: End) {
    // Looked at all the time: a terminal that nobody reads holds a writer up.
    wait_until(PATIENCE, "it ends", || {
        let _ = terminal.text();
        top.end().is_some()
    });
    let finished = top.finish();
    assert_eq!(finished.end, end, "{finished:?}");
    assert_eq!(finished.stderr, "");
    assert_eq!(terminal.modes(), modes, "the modes are not restored");
    assert!(!terminal.is_taken_over() && terminal.has_cursor(), "the screen is not restored");
}

/// It shows which children are busy with what, follows what changes, obeys its keys, and gives the terminal back.
#[test]
fn top_shows_a_busy_child_and_quits() {
    let scene = scene!();
    let daemon = scene.hello().args(["--max-children", "3"]).board().daemon();
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    for keys in ["q", "\x1b", "\x03"] {
        let top = top(&scene, &terminal);
        terminal.wait_for(PATIENCE, &format!(", pid {}, up ", daemon.pid()));
        terminal.wait_for(PATIENCE, "3 idle, 0 busy");
        let load = Load::bounded(1, 1, scene.address(), "/sleep?ms=60000");
        terminal.wait_for(PATIENCE, "2 idle, 1 busy");
        terminal.wait_for(PATIENCE, "GET /sleep");
        terminal.wait_for(PATIENCE, "127.");
        assert!(!terminal.text().contains("longest -"), "{}", terminal.text());
        terminal.press("p");
        terminal.wait_for(PATIENCE, "PID\u{25bc}");
        terminal.press("r");
        terminal.wait_for(PATIENCE, "PID\u{25b2}");
        terminal.press(" ");
        terminal.wait_for(PATIENCE, "PAUSED");
        let children = daemon.living();
        assert!(children.iter().all(|child| kill(*child, Signal::KILL)));
        daemon.wait_for_children(PATIENCE, 3, &children);
        assert_eq!(load.finish().answered, 0);
        assert!(terminal.text().contains("1 busy"), "it goes on though paused");
        terminal.press(" ");
        terminal.wait_for(PATIENCE, "3 idle, 0 busy");
        terminal.press(keys);
        assert_given_back(&top, &terminal, &modes, End::Exited(0));
    }
    daemon.stop_in_order();
}

/// Whatever ends it gives the terminal back, and the signal is seen from outside.
#[test]
fn signals_give_the_terminal_back() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let top = top(&scene, &terminal);
        top.signal(signal);
        assert_given_back(&top, &terminal, &modes, End::Killed(signal.as_raw()));
    }
    daemon.stop_in_order();
}

/// While stopped it leaves the terminal alone, and afterwards has it again.
#[test]
fn a_stop_lends_the_terminal_out() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    type Stop = fn(&Terminal, &Running<'_>);
    let by_key: Stop = |terminal, _| terminal.press("\x1a");
    let by_signal: Stop = |_, top| top.signal(Signal::TSTP);
    for stop in [by_key, by_signal] {
        stop(&terminal, &top);
        wait_until(PATIENCE, "it is stopped", || {
            prefork_tests::find_process(top.pid()).is_some_and(|process| process.state == 'T')
        });
        assert_eq!(terminal.modes(), modes);
        assert!(!terminal.is_taken_over());
        top.signal(Signal::CONT);
        wait_until(PATIENCE, "it is back", || terminal.is_taken_over() && terminal.is_raw());
        terminal.wait_for(PATIENCE, "3 idle");
    }
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    daemon.stop_in_order();
}

/// A board that vanishes is waited for; its successor is shown, and that it is another one.
#[test]
fn a_restart_of_the_daemon_is_lived_through() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_for_end(PATIENCE), End::Exited(0));
    terminal.wait_for(PATIENCE, "gone; waiting for the next daemon (");
    let next = scene.hello().args(["--prefork", "2"]).board().daemon();
    terminal.wait_for(PATIENCE, &format!("the board was replaced by process {}", next.pid()));
    terminal.wait_for(PATIENCE, "2 idle, 0 busy");
    terminal.wait_for(PATIENCE, &format!(", pid {}, up ", next.pid()));
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    next.stop_in_order();
}

/// Any size will do.
#[test]
fn a_terminal_may_change_its_size() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    for (columns, rows) in [(200, 50), (40, 10), (1, 1), (3, 2), (80, 24), (120, 30)] {
        terminal.resize(columns, rows);
        top.signal(Signal::WINCH);
        if columns >= 40 {
            // Redrawn as a whole, in the place that there is.
            terminal.wait_for(PATIENCE, "q quit");
            terminal.wait_for(PATIENCE, "3 idle");
        }
    }
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    daemon.stop_in_order();
}

/// A terminal that is closed ends it.
#[test]
fn a_terminal_that_is_closed_is_left() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(80, 24);
    let top = command(&scene, "top -i 0.1 @scoreboard").variable("TERM", "xterm").on(&terminal);
    let top = top.start();
    terminal.wait_for(PATIENCE, "space pause");
    // Paused, it would not notice by drawing.
    terminal.press(" ");
    terminal.wait_for(PATIENCE, "PAUSED");
    terminal.close();
    let finished = top.finish();
    assert_eq!(finished.end, End::Exited(1), "{finished:?}");
    assert!(finished.stderr.contains("cannot use the terminal"), "{finished:?}");
    daemon.stop_in_order();
}

/// Who looks for one child finds it, among those that have something to do.
#[test]
fn top_shows_those_who_are_looked_for() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "4"]).board().daemon();
    let terminal = Terminal::new(120, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    let request = InHand::at(scene.address(), "/sleep?ms=60001");
    let other = InHand::at(scene.address(), "/sleep?ms=60002");
    terminal.wait_for(PATIENCE, "ms=60002");
    terminal.press("?");
    terminal.wait_for(PATIENCE, "hide those that are idle, show them again");
    terminal.press("?");
    let rows = |terminal: &Terminal| {
        let text = terminal.text();
        text.lines()
            .filter(|line| [" idle ", " writing "].iter().any(|state| line.starts_with(state)))
            .count()
    };
    wait_until(PATIENCE, "all are shown", || rows(&terminal) == 4);
    terminal.press("i");
    wait_until(PATIENCE, "the idle ones are hidden", || rows(&terminal) == 2);
    terminal.press("/SLEEP?MS=60001");
    terminal.wait_for(PATIENCE, "show those with: SLEEP?MS=60001_");
    wait_until(PATIENCE, "one is left", || rows(&terminal) == 1);
    terminal.press("\r");
    terminal.wait_for(PATIENCE, "shown: with \"SLEEP?MS=60001\", not idle; ");
    let text = terminal.text();
    let row = text.lines().find(|line| line.contains("ms=60001")).expect("a row");
    let words: Vec<_> = row.split_ascii_whitespace().collect();
    assert_eq!((words[0], words[2], words[3]), ("writing", "GET", "/sleep?ms=60001"));
    assert_eq!(words[5], request.worker().pid.to_string(), "{row}");
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    request.reset();
    other.reset();
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

/// A child is sent what was chosen, after a question; one that has ended meanwhile, and what has its place, nothing.
#[test]
fn top_signals_the_child_that_was_chosen() {
    let scene = scene!();
    let args = ["--prefork", "2", "--max-children", "2"];
    let daemon = scene.hello().args(args).board().daemon();
    let terminal = Terminal::new(100, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let pid = request.worker().pid;
    let slot = request.worker().slot;
    terminal.wait_for(PATIENCE, "GET /sleep");
    let question = format!("child {pid} in slot {slot}:  t SIGTERM  i SIGINT");
    terminal.press("k");
    terminal.wait_for(PATIENCE, &question);
    terminal.press("n");
    wait_until(PATIENCE, "the question is gone", || !terminal.text().contains(&question));
    assert!(daemon.living().contains(&pid), "{}", terminal.text());
    terminal.press("k");
    terminal.wait_for(PATIENCE, &question);
    terminal.press("i");
    terminal.wait_for(PATIENCE, &format!("sent SIGINT to child {pid}"));
    wait_until(PATIENCE, "it is replaced", || {
        let living = daemon.living();
        living.len() == 2 && !living.contains(&pid)
    });
    let request = InHand::at(scene.address(), "/sleep?ms=60003");
    let pid = request.worker().pid;
    terminal.wait_for(PATIENCE, "ms=60003");
    terminal.press("k");
    terminal.wait_for(PATIENCE, &format!("child {pid} in slot"));
    assert!(kill(pid, Signal::KILL));
    wait_until(PATIENCE, "it is replaced", || {
        let living = daemon.living();
        living.len() == 2 && !living.contains(&pid)
    });
    let before = daemon.living();
    terminal.press("k");
    terminal.wait_for(PATIENCE, &format!("nothing was sent to child {pid}: it has ended"));
    assert_eq!(daemon.living(), before);
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    daemon.stop_in_order();
}

/// A board whose daemon was killed is nobody's, until there is another daemon.
#[test]
fn top_waits_for_the_daemon_after_one_that_was_killed() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let terminal = Terminal::new(120, 24);
    let modes = terminal.modes();
    let top = top(&scene, &terminal);
    daemon.signal(Signal::KILL);
    let _ = daemon.wait_for_end(PATIENCE);
    terminal.wait_for(PATIENCE, "gone; waiting for the next daemon (");
    let left = format!(", pid {}, has ended without removing its board", daemon.pid());
    terminal.wait_for(PATIENCE, &left);
    let next = scene.hello().board().daemon();
    terminal.wait_for(PATIENCE, &format!("the board was replaced by process {}", next.pid()));
    terminal.press("q");
    assert_given_back(&top, &terminal, &modes, End::Exited(0));
    next.stop_in_order();
}

/// Without a terminal, or without a board, it does not begin.
#[test]
fn top_needs_a_terminal_and_a_board() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    run(&scene, "top @scoreboard", 2).assert_refused("needs a terminal");
    let terminal = Terminal::new(80, 24);
    let modes = terminal.modes();
    for kind in ["dumb", ""] {
        let top = command(&scene, "top @scoreboard").variable("TERM", kind).on(&terminal);
        let refused = top.finish();
        assert_eq!(refused.end, End::Exited(2));
        refused.assert_refused("needs a terminal whose cursor it can move");
    }
    let top = command(&scene, "top @nothing").variable("TERM", "xterm").on(&terminal);
    let refused = top.finish();
    assert_eq!(refused.end, End::Exited(3));
    refused.assert_refused("not running: there is no board or pid file ");
    assert_eq!(terminal.modes(), modes);
    daemon.stop_in_order();
}
