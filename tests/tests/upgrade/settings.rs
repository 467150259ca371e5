//! New programs that want something else than the old one.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use prefork_tests::{Load, PATIENCE, get, require_root, scene, wait_until};
use rustix::process::Signal;

use super::{upgrade, wait_for_lines, wait_for_version};

/// A pool of other limits takes shape by the usual rules, up and down.
#[test]
fn other_limits_hold_from_then_on() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().args(["--prefork", "8"]).daemon();
    let load = Load::start(4, scene.address(), "/");
    for (version, prefork, max_children) in [(2, 2, 3), (3, 20, 30), (4, 1, 1), (5, 3, 150)] {
        program.install(&format!(
            "--version {version} --prefork {prefork} --max-children {max_children}"
        ));
        daemon.signal(Signal::USR2);
        wait_for_version(&daemon, version);
        wait_until(PATIENCE, &format!("at least {prefork} children"), || {
            (prefork..=max_children).contains(&daemon.living().len())
        });
    }
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    // The board has been made again for every size, in its place, and is in use.
    let pages = fs::metadata(scene.path("scoreboard")).expect("there").len() / 4096;
    assert_eq!(pages, 1 + 150 + 1);
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    daemon.stop_in_order();
}

/// An address that is given up is closed when its last child has left, and the new one serves.
#[test]
fn another_address_is_bound_and_the_old_one_closed() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    let next: SocketAddr = scene.other_address();
    program.install(&format!("--version 2 --listen {next}"));
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "the new address answers", || {
        get(next, "/version").is_ok_and(|reply| reply.body == "2")
    });
    wait_until(PATIENCE, "the old address is closed", || {
        TcpStream::connect_timeout(&scene.address(), Duration::from_secs(1)).is_err()
    });
    daemon.stop_in_order();
}

/// A UNIX socket that is new: neither the probe nor a program that has failed leaves one in the way.
#[test]
fn a_new_unix_socket_is_not_in_its_own_way() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    let socket = scene.socket("socket");
    let with = |arguments: &str| format!("--unix {} {arguments}", socket.display());
    for (manner, said) in [("refuses", "upgrade refused"), ("betrays", "has failed to take over")] {
        program.install(&with(&format!("--manner {manner}")));
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, &format!("{said}: after_init failed"), 1);
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
        assert!(!socket.exists(), "{manner}");
    }
    for version in 2..4 {
        program.install(&with(&format!("--version {version}")));
        daemon.signal(Signal::USR2);
        wait_for_version(&daemon, version);
        assert!(UnixStream::connect(&socket).is_ok(), "{version}");
    }
    daemon.stop_in_order();
}

/// Port 0 stays the port that it became.
#[test]
fn a_port_that_the_kernel_chose_is_kept() {
    let scene = scene!();
    let program = scene.program();
    let listen = format!("{}:0", scene.address().ip());
    let daemon = program.launch().args(["--listen", &listen]).daemon();
    let port = || {
        let listening = daemon.listening_ports();
        assert_eq!(listening.len(), 1, "{listening:?}");
        listening[0]
    };
    let before = port();
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "generation 2 now", 1);
    assert_eq!(port(), before);
    assert_eq!(
        get((scene.address().ip(), before).into(), "/version").expect("it serves").body,
        "2"
    );
    daemon.stop_in_order();
}

/// Other places for the pid file and the board: the new ones are made, and the old ones removed.
#[test]
fn other_files_take_the_place_of_the_old_ones() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    let (pid, board) = (scene.path("pid2"), scene.path("board2"));
    program.install(&format!(
        "--version 2 --pid-path {} --scoreboard-path {}",
        pid.display(),
        board.display()
    ));
    daemon.signal(Signal::USR2);
    wait_for_version(&daemon, 2);
    assert_eq!(scene.read("pid2"), format!("{}\n", daemon.pid()));
    assert!(board.exists());
    assert!(!scene.path("pid").exists() && !scene.path("scoreboard").exists());
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(PATIENCE).is_success());
    assert!(!pid.exists() && !board.exists());
}

/// Files that the new program cannot have are found by the probe.
#[test]
fn files_that_cannot_be_made_are_found_by_the_probe() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    program.install("--pid-path /no-such-folder/pid");
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "upgrade refused: cannot create pid file", 1);
    assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()));
    daemon.stop_in_order();
}

/// X1: children of another user, and a parent that has become that user too.
#[test]
fn privileges_are_what_they_were() {
    if !require_root() {
        return;
    }
    for parent in [&[][..], &["--drop-parent"]] {
        let scene = scene!();
        let program = scene.program();
        let daemon = program.launch().args(["--user", "nobody"]).args(parent).daemon();
        upgrade(&daemon, &program, 2);
        upgrade(&daemon, &program, 3);
        for child in daemon.living() {
            let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it lives");
            let ids = status.lines().find(|line| line.starts_with("Uid:")).expect("there");
            assert_eq!(ids, "Uid:\t65534\t65534\t65534\t65534");
        }
        daemon.signal(Signal::TERM);
        daemon.wait_for_end(PATIENCE);
    }
}
