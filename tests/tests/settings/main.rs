//! `hello --config`: settings in a file, under flags.

mod reload;

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

/// What the file says of children is refused where there are none.
#[test]
fn what_the_file_says_in_vain_is_named() {
    let scene = scene!();
    let text = "[daemon]\nmax_children = 32\nmin_spare = 1\nmax_requests = 9\n";
    fs::write(scene.path("hello.toml"), text).expect("written");
    let end = scene.hello().path("--config", "hello.toml").args(["--prefork", "0"]).finish();
    for argument in ["max_children", "max_requests"] {
        end.assert_refused(&format!("{argument}: does nothing with prefork 0"));
    }
    assert!(!end.stderr.contains("min_spare"), "{end:?}");
}

/// `EX_CONFIG` in `sysexits.h`.
const WRONG_SETTINGS: i32 = 78;

/// V4: also by the exit status, for a service manager that would start it again.
#[test]
fn what_is_wrong_with_the_file_is_reported() {
    for (text, expected) in [
        (
            "[daemon]\nmax_childern = 9\nprefork = \"many\"\n",
            &[
                "hello.toml: line 2: unknown key `max_childern`; did you mean `max_children`?; ",
                "line 3: prefork: must be a whole number from 0 to 4294967295, not \"many\"",
            ][..],
        ),
        (
            "[daemon]\nprefork = 9\nmax_children = 3\n",
            &["invalid arguments: prefork: ", "hello.toml, line 2)"],
        ),
        ("lisen = []\n", &["unknown field `lisen`"]),
        ("[daemon\n", &["hello.toml: ", "line 1"]),
    ] {
        let scene = scene!();
        fs::write(scene.path("hello.toml"), text).expect("written");
        let end = scene.hello().path("--config", "hello.toml").finish();
        expected.iter().for_each(|words| end.assert_refused(words));
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
