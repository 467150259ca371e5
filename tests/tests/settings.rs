//! `hello --config`: settings in a file, under flags.

use std::fs;

use prefork_tests::{PATIENCE, scene};

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

#[test]
fn what_is_wrong_with_the_file_is_said() {
    for (text, expected) in [
        (
            "[daemon]\nmax_childern = 9\nprefork = \"many\"\n",
            &[
                "hello.toml: ",
                "unknown key `max_childern`; did you mean `max_children`?",
                "prefork: must be a whole number from 0 to 4294967295, not \"many\"",
            ][..],
        ),
        ("[daemon]\nprefork = 9\nmax_children = 3\n", &["invalid arguments: prefork: "]),
        ("lisen = []\n", &["unknown field `lisen`"]),
        ("[daemon\n", &["hello.toml: ", "line 1"]),
    ] {
        let scene = scene!();
        fs::write(scene.path("hello.toml"), text).expect("written");
        let end = scene.hello().path("--config", "hello.toml").finish();
        expected.iter().for_each(|words| end.assert_refused(words));
    }
    let scene = scene!();
    let end = scene.hello().path("--config", "missing.toml").finish();
    end.assert_refused("cannot read ");
    end.assert_refused("No such file");
}
