//! New programs that fail when it is too late for a probe to notice, and old ones that fail on the way back.

use std::{fs, time::Duration};

use prefork_tests::{Daemon, Load, PATIENCE, Program, Scene, holds_for, kill, scene, wait_until};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};

use super::{upgrade, wait_for_lines, wait_for_version};

/// A daemon of four whose programs fail as the file `sabotage` says.
fn daemon<'a>(program: &Program<'a>, further: &[&str]) -> Daemon<'a> {
    let size = ["--prefork", "4", "--max-children", "4"];
    let launch = program.launch().board().args(size).args(further).path("--sabotage", "sabotage");
    launch.daemon()
}

fn sabotage(scene: &Scene, lines: &str) {
    fs::write(scene.path("sabotage"), lines).expect("written");
}

/// Asks for an upgrade to a version that fails as `lines` say.
fn try_upgrade(scene: &Scene, daemon: &Daemon<'_>, program: &Program<'_>, lines: &str) {
    sabotage(scene, lines);
    program.install("--version 2");
    daemon.signal(Signal::USR2);
}

/// L2: whatever ends a program that takes over, wherever: the old one goes on with the same children.
#[test]
fn a_program_that_ends_while_it_takes_over_is_left_for_the_old_one() {
    let scene = scene!();
    let program = scene.program();
    let daemon = daemon(&program, &["--start-timeout", "1500"]);
    let before = daemon.living();
    let load = Load::start(4, scene.address(), "/version");
    let cases = [
        ("start exit", "it exited"),
        ("start panic", "it exited"),
        ("start fail", "it exited"),
        ("start abort", "it was ended by SIGABRT"),
        ("start trap", "it was ended by SIGTRAP"),
        ("start hang", "it was not ready in time"),
        ("init exit", "it exited"),
        ("init panic", "after_init failed: panicked: sabotaged"),
        ("init fail", "after_init failed: sabotaged"),
        ("init abort", "it was ended by SIGABRT"),
        ("init crash", "it was ended by SIGSEGV"),
        ("init overflow", "it was ended by SIGSEGV"),
        ("init hang", "it was not ready in time"),
    ];
    for (round, (deed, reason)) in cases.into_iter().enumerate() {
        try_upgrade(&scene, &daemon, &program, &format!("successor {deed}"));
        wait_for_lines(&scene, "goes on with 4 children already serving", round + 1);
        let failed = scene.lines_with("error.log", "failed to take over: ");
        assert_eq!(failed.len(), round + 1, "{deed}: {failed:?}");
        let line = &failed[round];
        assert!(line.ends_with(&format!("{reason}; the old one goes on")), "{deed}: {line}");
        wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
        assert_eq!(daemon.get("/version").expect("it serves").body, "1", "{deed}");
    }
    sabotage(&scene, "");
    upgrade(&daemon, &program, 3);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    daemon.stop_in_order();
}

/// L2: whatever ends a program before it reaches the library ends the probe, and nothing else.
#[test]
fn a_program_that_ends_before_it_reaches_the_library_ends_as_a_probe() {
    let scene = scene!();
    let program = scene.program();
    let daemon = daemon(&program, &["--start-timeout", "1500"]);
    let before = daemon.living();
    let cases = [
        ("exit", "the new program exited with status 3"),
        ("abort", "the new program was ended by SIGABRT"),
        ("trap", "the new program was ended by SIGTRAP"),
        ("crash", "the new program was ended by SIGSEGV"),
        ("overflow", "the new program was ended by SIGABRT"),
        ("hang", "the new program was not ready in 1.5 s"),
    ];
    for (deed, reason) in cases {
        let line = format!("upgrade refused: {reason}");
        let refused = scene.lines_with("error.log", &line).len();
        try_upgrade(&scene, &daemon, &program, &format!("probe start {deed}"));
        wait_for_lines(&scene, &line, refused + 1);
        wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
        assert_eq!(daemon.get("/version").expect("it serves").body, "1", "{deed}");
    }
    sabotage(&scene, "");
    upgrade(&daemon, &program, 3);
    daemon.stop_in_order();
}

/// L2, I1: what cannot be printed for the next program cannot for the probe either, so nothing comes of it; and once
/// the daemon is left for good by its reader, it serves on.
#[test]
fn a_program_that_panics_at_a_closed_output_is_found_out_by_the_probe() {
    let scene = scene!();
    let program = scene.program();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    let running = program.launch().args(["--greets"]).stdout(writer).paths().start();
    let daemon = running.ready();
    drop(reader);
    for round in 1..4 {
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "upgrade refused: after_init failed: panicked: ", round);
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    }
    assert_eq!(scene.lines_with("error.log", "failed to take over"), [""; 0]);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}

/// L2: an old program that fails on the way back goes on with the children that it has, stops in order, and gets well
/// with the next program.
#[test]
fn an_old_program_that_fails_on_the_way_back_serves_on() {
    for deed in ["fail", "panic"] {
        let scene = scene!();
        let program = scene.program();
        let daemon = daemon(&program, &[]);
        let before = daemon.living();
        let load = Load::start(4, scene.address(), "/version");
        let both = format!("successor init panic\nreturned init {deed}");
        for round in 1..3 {
            try_upgrade(&scene, &daemon, &program, &both);
            wait_for_lines(&scene, "the old program cannot start children: after_init", round);
            wait_for_lines(&scene, "goes on with 4 children already serving", round);
            wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
        }
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
        sabotage(&scene, "");
        upgrade(&daemon, &program, 3);
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
        daemon.stop_in_order();
    }
}

/// L2: what has ended the old program on the way back is not run again; nor is it before children can be reached.
#[test]
fn an_old_program_that_ends_on_the_way_back_is_executed_again() {
    for deed in ["exit", "abort"] {
        let scene = scene!();
        let program = scene.program();
        let daemon = daemon(&program, &[]);
        let before = daemon.living();
        let load = Load::start(4, scene.address(), "/version");
        let both = format!("successor init panic\nreturned init {deed}");
        try_upgrade(&scene, &daemon, &program, &both);
        wait_for_lines(&scene, "the old program cannot start children; those that are left", 1);
        wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
        // Where it cannot even come so far, it is tried again until it can.
        try_upgrade(
            &scene,
            &daemon,
            &program,
            &format!("successor init panic\nreturned start {deed}"),
        );
        wait_for_lines(&scene, "failed to take over: after_init failed: panicked", 2);
        holds_for(Duration::from_millis(1500), "the children serve", || {
            daemon.get("/version").is_ok_and(|reply| reply.body == "1")
        });
        sabotage(&scene, "");
        wait_for_lines(&scene, "the old program has failed to go on: it ", 2);
        wait_for_lines(&scene, "goes on with 4 children already serving", 2);
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
        daemon.stop_in_order();
    }
}

/// H1: where no program goes on, a stop is a stop: the children finish what they have in hand.
#[test]
fn a_daemon_without_a_program_can_be_stopped() {
    let scene = scene!();
    let program = scene.program();
    let daemon = daemon(&program, &[]);
    try_upgrade(&scene, &daemon, &program, "successor start exit\nreturned start exit");
    wait_for_lines(&scene, "the new program works", 1);
    wait_until(PATIENCE, "it is on the way back", || {
        let has_title =
            |process: prefork_tests::Process| process.command_line().contains("[parent]");
        prefork_tests::find_process(daemon.pid()).is_some_and(|process| !has_title(process))
    });
    let request = prefork_tests::InHand::at(scene.address(), "/hold");
    daemon.signal(Signal::TERM);
    let asked = || daemon.get("/version").is_err();
    wait_until(PATIENCE, "nobody is let in any more", asked);
    assert!(request.release().is_ok(), "what is in hand is answered");
    let end = daemon.wait_for_end(PATIENCE);
    assert!(!end.is_success(), "{end}");
    scene.wait_until_deserted(PATIENCE);
}

/// L2: a parent that cannot start children tries again by itself once it needs one.
#[test]
fn a_parent_that_cannot_start_children_gets_well_by_itself() {
    let scene = scene!();
    let program = scene.program();
    let daemon = daemon(&program, &[]);
    let before = daemon.living();
    try_upgrade(&scene, &daemon, &program, "successor init fail\nreturned init fail");
    wait_for_lines(&scene, "the old program cannot start children", 1);
    wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
    assert!(kill(before[0], Signal::KILL));
    wait_for_lines(&scene, "cannot start a child", 1);
    assert_eq!(daemon.get("/version").expect("the others serve").body, "1");
    sabotage(&scene, "");
    // After 10 s.
    wait_for_lines(&scene, "generation 2 now", 1);
    // By what runs, and not by what was put in its place.
    wait_for_version(&daemon, 1);
    daemon.wait_for_children(PATIENCE, 4, &before);
    daemon.stop_in_order();
}
