//! Programs that are no good.

use std::{fs, os::unix::fs::PermissionsExt};

use prefork_tests::{
    Daemon, Load, PATIENCE, Scene, children, kill, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

use super::{upgrade, wait_for_lines, wait_for_version};

/// Makes the program no good, asks for it, and asserts that nothing comes of it but one line with
/// `reason` in it.
#[track_caller]
fn assert_refused(scene: &Scene, daemon: &Daemon<'_>, reason: &str, spoil: impl FnOnce()) {
    let before = daemon.living();
    let refused = "upgrade refused";
    let lines = scene.lines_with("error.log", refused).len();
    spoil();
    daemon.signal(Signal::USR2);
    wait_for_lines(scene, refused, lines + 1);
    let said = scene.lines_with("error.log", refused);
    assert_eq!(said.len(), lines + 1, "{said:?}");
    assert!(said[lines].contains(reason), "{reason:?} should be in {:?}", said[lines]);
    assert!(said[lines].ends_with("; the running program goes on"), "{:?}", said[lines]);
    assert_eq!(daemon.get("/version").expect("it serves").body, "1", "{reason}");
    wait_until(PATIENCE, "no probe is left", || children(daemon.pid()).len() == before.len());
    assert_eq!(daemon.living(), before, "the children are left alone: {reason}");
}

/// L2: whatever is wrong with a program, the old one serves, one line says so, and the next good one works.
#[test]
fn a_program_that_is_no_good_changes_nothing() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().args(["--start-timeout", "1500"]).daemon();
    let content = program.content("");
    let with = |arguments: &'static str| {
        let program = &program;
        move || program.install(arguments)
    };
    type Case<'a> = (&'a str, Box<dyn FnOnce() + 'a>);
    let cases: [Case<'_>; 14] = [
        ("Permission denied", Box::new(|| program.install_bytes(&content, 0o644))),
        ("Exec format error", Box::new(|| program.install_bytes(b"", 0o755))),
        ("Exec format error", Box::new(|| program.install_bytes(b"garbage\n", 0o755))),
        (
            "the new program was ended by SIG",
            Box::new(|| program.install_bytes(&content[..content.len() / 10], 0o755)),
        ),
        ("cannot execute ", Box::new(|| program.install_bytes(&content[..100], 0o755))),
        ("the new program exited with status 7", Box::new(with("--manner exits"))),
        ("refusing as asked", Box::new(with("--manner refuses"))),
        ("panicked: panicking as asked", Box::new(with("--manner panics"))),
        ("the new program was ended by SIGABRT", Box::new(with("--manner crashes"))),
        ("the new program was not ready in 1.5 s", Box::new(with("--manner hangs"))),
        ("the new program exited with status 2", Box::new(with("--bogus"))),
        ("prefork: 9 is greater than max_children (2)", {
            Box::new(with("--prefork 9 --max-children 2"))
        }),
        ("prefork is 0", Box::new(with("--prefork 0"))),
        ("No such file", Box::new(|| fs::remove_file(program.path()).expect("removed"))),
    ];
    for (reason, spoil) in cases {
        assert_refused(&scene, &daemon, reason, spoil);
    }
    // What it has printed stands where the next program's words would.
    for words in ["exiting as asked", "unexpected argument '--bogus'"] {
        assert_eq!(scene.lines_with("error.log", words).len(), 1, "{words}");
    }
    upgrade(&daemon, &program, 2);
    daemon.stop_in_order();
}

/// L2: a program that knows nothing of the library is given its time, and ended with all that it has
/// started.
#[test]
fn any_other_program_is_no_good_either() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--start-timeout", "1000"]).daemon();
    assert_refused(&scene, &daemon, "the new program exited with status 0", || {
        program.install_bytes(&fs::read("/bin/true").expect("there"), 0o755);
    });
    assert_refused(&scene, &daemon, "the new program was not ready in 1 s", || {
        program.install_bytes(b"#!/bin/sh\nsleep 1000\n", 0o755);
    });
    let executed = format!("upgrade refused: cannot execute {}: ", program.path().display());
    let missing = format!("{executed}the interpreter that it names: No such file");
    assert_refused(&scene, &daemon, &missing, || {
        program.install_bytes(b"#!/no/such/interpreter\n", 0o755);
    });
    // Of another architecture, as the header says.
    assert_refused(&scene, &daemon, &format!("{executed}Exec format error"), || {
        let mut content = program.content("");
        content[18] ^= 0x55;
        program.install_bytes(&content, 0o755);
    });
    assert_refused(&scene, &daemon, "the new program was not ready in 1 s", || {
        program.install("--manner delegates");
    });
    wait_until(PATIENCE, "all that it started is gone", || scene.processes().len() == 4);
    daemon.stop_in_order();
}

/// L2: of a program that is called by its name no path is logged at which it never was, and what is there and may not be
/// executed is named.
#[test]
fn a_program_that_is_gone_from_path_is_named_as_it_was_called() {
    let scene = scene!();
    let program = scene.program();
    let path = program.path();
    let folder = path.parent().expect("it is in one").display().to_string();
    let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
    let start = format!("PATH={folder}:$PATH; shift; exec {name} \"$@\"");
    let daemon = program.launch().under(["/bin/sh", "-c", &start, "sh"]).daemon();
    let log_of = |refusals: usize| {
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "upgrade refused: ", refusals);
        ["trying the program ", "upgrade refused: "].map(|text| {
            let line = scene.lines_with("error.log", text).pop().expect("it is there");
            line.split_once(text).expect("found by that").1.to_owned()
        })
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let shown = path.display();
    assert_eq!(
        log_of(1),
        [
            shown.to_string(),
            format!(
                "{shown} may not be executed; see its mode, and those of the directories above it; the running program goes on"
            ),
        ]
    );
    fs::remove_file(path).expect("it is ours");
    let nowhere = format!("{name} is found nowhere along PATH; the running program goes on");
    assert_eq!(log_of(2), [name, nowhere]);
    daemon.stop_in_order();
}

/// L2: what children are to be is tried by the probe; the program itself would find out too late to go back.
#[test]
fn a_program_whose_children_could_not_change_their_user_is_no_good() {
    if !require_root() || !require_tool("strace") {
        return;
    }
    for parent in ["", " --drop-parent"] {
        let scene = scene!();
        let program = scene.program();
        let refusing = ["-e", "trace=setresuid", "-e", "inject=setresuid:error=EPERM"];
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null"].into_iter().chain(refusing);
        let daemon = program.launch().under(strace).foreground();
        let before = daemon.living();
        assert_refused(&scene, &daemon, "cannot drop privileges", || {
            program.install(&format!("--user nobody{parent}"));
        });
        assert_eq!(daemon.living(), before);
        upgrade(&daemon, &program, 2);
        daemon.signal(Signal::TERM);
        scene.wait_until_deserted(PATIENCE);
    }
}

/// L2: a program that works as a probe, and fails when it counts, is left for the old one again.
#[test]
fn a_program_that_fails_after_all_hands_back() {
    let scene = scene!();
    let program = scene.program();
    let size = ["--prefork", "4", "--max-children", "4"];
    let daemon = program.launch().board().args(size).daemon();
    let before = daemon.living();
    let load = Load::start(4, scene.address(), "/version");
    for round in 1..4 {
        program.install("--manner betrays --version 2");
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "has failed to take over: after_init failed: betraying", round);
        wait_for_lines(&scene, "goes on with 4 children already serving", round);
        // The probe ends by itself, soon.
        wait_until(PATIENCE, "the children are left alone", || daemon.living() == before);
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    }
    upgrade(&daemon, &program, 3);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    daemon.stop_in_order();
}

/// L2: a new program whose children do not work leaves the old children serving, until a better one comes.
#[test]
fn children_of_a_program_whose_children_fail_stay() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--prefork", "4"]).daemon();
    program.install("--main-loop fail --version 2");
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "4 children of the old generation stay", 1);
    assert_eq!(daemon.get("/version").expect("the old ones serve").body, "1");
    program.install("--version 3");
    daemon.signal(Signal::USR2);
    wait_for_version(&daemon, 3);
    daemon.wait_for_children(PATIENCE, 4, &[]);
    daemon.stop_in_order();
}

/// L2: a socket that the program binds by itself cannot be bound twice, and that is logged.
#[test]
fn sockets_bound_by_hand_are_named() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--by-hand"]).daemon();
    assert_refused(&scene, &daemon, "Address already in use", || program.install("--version 2"));
    daemon.stop_in_order();
}

/// L2: the probe can be killed like any process; that is no more than a program that ends.
#[test]
fn a_probe_that_is_killed_is_no_good() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    let before = daemon.living();
    program.install("--manner hangs");
    daemon.signal(Signal::USR2);
    let probe = || daemon.living().into_iter().find(|pid| !before.contains(pid));
    wait_until(PATIENCE, "there is a probe", || probe().is_some());
    assert!(kill(probe().expect("there"), Signal::KILL));
    wait_for_lines(&scene, "upgrade refused: the new program was ended by SIGKILL", 1);
    assert_eq!(daemon.living(), before);
    upgrade(&daemon, &program, 2);
    daemon.stop_in_order();
}
