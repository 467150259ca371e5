//! `hello --config`: settings in a file, under flags.

mod reload;
mod sources;

use std::fs;

use prefork_tests::{End, PATIENCE, scene};

#[test]
fn the_file_says_what_flags_do_not() {
    let scene = scene!();
    let text = format!(
        "listen = [\"{}\"]\n[daemon]\ndaemonize = true\nprefork = 5\ngraceful_timeout = \"20s\"\n\
         pid_path = \"pid\"\nerror_log_path = \"error.log\"\naccess_log_path = \"access.log\"\n",
        scene.address()
    );
    fs::write(scene.path("hello.toml"), text).expect("written");
    for (flags, children) in [(&[][..], 5), (&["--prefork", "2"], 2)] {
        let hello = scene.tool(env!("CARGO_BIN_EXE_hello")).path("--config", "hello.toml");
        let launcher = hello.args(flags).finish();
        assert!(launcher.end.is_success(), "{launcher:?}");
        let daemon = prefork_tests::Daemon::of_pid_file(&scene);
        daemon.wait_for_children(PATIENCE, children, &[]);
        daemon.get("/").expect("it serves where the file says");
        daemon.stop_in_order();
    }
}

/// A flag that needs a board looks for one in the file as well, and one that names a board goes before
/// what the file says.
#[test]
fn flags_and_the_file_agree_on_one_board() {
    let board = "[daemon]\nscoreboard_path = \"scoreboard\"\n";
    let in_memory = "[daemon]\nscoreboard_in_memory = true\n";
    let cancel = "[daemon]\non_client_disconnect = \"cancel\"\nscoreboard_in_memory = true\n";
    for (text, flags) in [
        (board, &["--cancel-on-disconnect"][..]),
        (in_memory, &["--cancel-on-disconnect"]),
        (in_memory, &["--scoreboard-path", "scoreboard"]),
        (cancel, &["--netwatch-interval", "0.5"]),
        ("", &["--cancel-on-disconnect"]),
    ] {
        let scene = scene!();
        fs::write(scene.path("hello.toml"), text).expect("written");
        let hello = scene.hello().path("--config", "hello.toml").args(flags);
        let daemon = hello.foreground();
        daemon.get("/").expect("it serves");
        let wants_file = text == board || flags.contains(&"scoreboard");
        assert_eq!(scene.path("scoreboard").exists(), wants_file, "{text:?} {flags:?}");
        daemon.stop_in_order();
    }
}

/// What the file says of children has no effect where there are none, and is named.
#[test]
fn a_file_made_for_many_children_serves_without_any_too() {
    let scene = scene!();
    let text = "[daemon]\nmax_children = 32\nmin_spare = 1\nmax_requests = 9\nrequest_timeout = 60\n\
                status_listen = \":1\"\n";
    fs::write(scene.path("hello.toml"), text).expect("written");
    let hello = scene.hello().path("--config", "hello.toml").args(["--prefork", "0"]);
    let daemon = hello.foreground();
    assert_eq!(daemon.get("/").expect("it serves").status, 200);
    daemon.stop_in_order();
    let warned = scene.lines_with("error.log", "parent warning: ");
    let warning = "parent warning: prefork is 0, so there are no children: status_listen, max_children, max_requests, \
                   request_timeout have no effect";
    assert!(warned.len() == 1 && warned[0].ends_with(warning), "{warned:#?}");
}

/// A program that picks single values out of its settings starts with no wrong ones either.
#[test]
fn what_is_wrong_is_reported_also_where_settings_are_not_passed_on() {
    let scene = scene!();
    let path = scene.path("settings");
    fs::write(&path, "prefrok = 3\n").expect("written");
    let end = scene.probe().path("--settings", "settings").paths().finish();
    let wrong = "prefrok: unknown key; did you mean `prefork`?";
    assert_eq!(end.stderr, format!("probe: invalid arguments: {}:1:1: {wrong}\n", path.display()));
    assert_eq!(end.end, End::Exited(WRONG_SETTINGS));
}

/// `EX_CONFIG` in `sysexits.h`.
const WRONG_SETTINGS: i32 = 78;

/// V4: also by the exit status, for a service manager that would start it again.
#[test]
fn what_is_wrong_with_the_file_is_reported() {
    for (text, expected) in [
        (
            "[daemon]\n  max_childern = 9\nprefork = \"many\"\n",
            &[
                "hello: invalid arguments:",
                "PATH:2:3: max_childern: unknown key; did you mean `max_children`?",
                "PATH:3:1: prefork: must be a whole number from 0 to 4294967295, not \"many\"",
            ][..],
        ),
        (
            "[daemon]\nprefork = 9\nmax_children = 3\n",
            &["hello: invalid arguments: PATH:2:1: prefork: 9 is greater than max_children (3)"],
        ),
        (
            "lisen = []\n",
            &[
                "hello: settings PATH: TOML parse error at line 1, column 1",
                "unknown field `lisen`, expected `listen` or `daemon`",
            ],
        ),
        ("[daemon\n", &["hello: settings PATH: TOML parse error at line 1, column 8"]),
        // The daemon's are not forgotten where the program's own are wrong.
        (
            "[daemon]\nprefork = -1\n[demon]\n",
            &[
                "unknown field `demon`, expected `listen` or `daemon`",
                "PATH:2:1: prefork: must be a whole number from 0 to 4294967295, not -1",
            ],
        ),
    ] {
        let scene = scene!();
        let path = scene.path("hello.toml");
        fs::write(&path, text).expect("written");
        let end = scene.hello().path("--config", "hello.toml").finish();
        for line in expected {
            let line = line.replace("PATH", &path.display().to_string());
            assert!(end.stderr.lines().any(|it| it == line), "{line}\n{}", end.stderr);
        }
        assert_eq!(end.end, End::Exited(WRONG_SETTINGS), "{text}");
    }
    let scene = scene!();
    let end = scene.hello().path("--config", "missing.toml").finish();
    end.assert_refused("cannot read ");
    end.assert_refused("No such file");
    assert_eq!(end.end, End::Exited(WRONG_SETTINGS));
    // What may be mended by another try has another status.
    let taken = std::net::TcpListener::bind(scene.address()).expect("bound");
    assert_eq!(scene.hello().finish().end, End::Exited(1));
    drop(taken);
}
