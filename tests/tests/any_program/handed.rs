//! What a program is handed: its sockets, in every way that programs know, and nothing else.

use std::collections::BTreeSet;

use prefork_tests::{PATIENCE, Scene, get, scene, status_of, wait_until};

use super::run;

fn body(scene: &Scene, path: &str) -> String {
    get(scene.address(), path).expect("answered").body
}

#[test]
fn its_sockets_are_named_in_every_way_that_programs_know() {
    let scene = scene!();
    let other = scene.other_address().to_string();
    let socket = scene.socket("socket");
    let settings = format!(
        "listen = [{:?}, \"admin={other}\", {socket:?}]\n[env]\nMINE = \"slot {{slot}}, {{fd:admin}}\"\n",
        scene.address().to_string(),
    );
    let arguments = ["--fd", "{fd}", "--print", "{path}", "--print", "{pid} of {slot}"];
    // The flag would go before the file.
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run"]);
    drop(run(&scene, &arguments, &settings));
    let daemon = launch.args([scene.path("app.toml")]).args(["--prefork", "1"]).board().daemon();
    let variable = |name: &str| body(&scene, &format!("/environment?{name}"));
    let pid = variable("LISTEN_PID");
    assert_eq!(pid, body(&scene, "/pid"), "LISTEN_PID is the pid of the program");
    assert_eq!(variable("LISTEN_FDS"), "3");
    assert_eq!(variable("LISTEN_FDNAMES"), "socket0:admin:socket2");
    let place = socket.display();
    let address = scene.address();
    assert_eq!(variable("SERVER_STARTER_PORT"), format!("{address}=3;{other}=4;{place}=5"));
    assert_eq!(variable("EINHORN_FD_COUNT"), "3");
    let numbers: Vec<_> = (0..3).map(|n| variable(&format!("EINHORN_FD_{n}"))).collect();
    assert_eq!(numbers, ["3", "4", "5"]);
    assert_eq!(variable("MINE"), "slot 0, 4");
    assert_eq!(variable("PREFORK_SLOT"), "0");
    assert_eq!(
        body(&scene, "/arguments").split_once(" --fd").map(|(_, rest)| rest.to_owned()),
        Some(format!(" 3 --print {address} --print {pid} of 0"))
    );
    daemon.stop_in_order();
}

/// What a child holds of the daemon's is not the program's: it could do harm with it, or keep it open for ever.
#[test]
fn it_has_nothing_else_of_the_daemon() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").daemon();
    let pid: u32 = body(&scene, "/pid").parse().expect("a number");
    let open = body(&scene, "/descriptors");
    // Its own connection, the copy of its socket, and the directory that it reads are its own.
    let targets: BTreeSet<&str> = open
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, target)| {
            target.split([':', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).next()
        })
        .map(Option::unwrap_or_default)
        .collect();
    assert_eq!(targets, BTreeSet::from(["/dev/null", "/proc/", "pipe", "socket"]), "{open}");
    let of = |name| status_of(pid, name).expect("it lives");
    assert_eq!(of("SigBlk"), "0000000000000000");
    // Rust itself has SIGPIPE ignored, there and here, and two are of the C library.
    let ignored = u64::from_str_radix(&of("SigIgn"), 16).expect("a number");
    assert_eq!(ignored & 0x7fff_ffff, 0x1000);
    let value = body(&scene, "/environment?NOTIFY_SOCKET");
    assert!(value.starts_with("@prefork-exec/"), "{value}");
    daemon.stop_in_order();
}

/// A program that signals its own group must not reach its child, and one that ends, nobody else.
#[test]
fn it_leads_a_group_of_its_own() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").daemon();
    let pid: u32 = body(&scene, "/pid").parse().expect("a number");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let (parent, group, session) = (fields[1], fields[2], fields[3]);
    assert_eq!(group, pid.to_string());
    assert_eq!(session, parent, "the session is its child's");
    assert!(daemon.living().contains(&parent.parse().expect("a number")));
    daemon.stop_in_order();
}

#[test]
fn what_it_prints_is_in_the_logs_with_its_last_words() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}", "--print", "hello"], "").daemon();
    let pid = body(&scene, "/print?words");
    assert_eq!(pid, "words");
    // Standard output goes to the access log, as it is, and standard error to the error log, with the pid.
    wait_until(PATIENCE, "it is there", || !scene.lines_with("access.log", "words").is_empty());
    let printed = || scene.lines_with("access.log", "hello").len();
    let logged = || scene.logged("] program: hello (error)");
    wait_until(PATIENCE, "both have said so", || (printed(), logged()) == (2, 2));
    for number in 0..5 {
        // The last line before the end is not lost with the process.
        let _ = get(scene.address(), &format!("/print?last-{number}"));
        let _ = get(scene.address(), "/leave");
        wait_until(PATIENCE, "the last words", || {
            !scene.lines_with("access.log", &format!("last-{number}")).is_empty()
        });
    }
    daemon.stop_in_order();
}
