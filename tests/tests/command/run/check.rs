//! `prefork run --check`: what would be run.

use std::fs;

use prefork_tests::{End, scene};

use super::{prefork, script};

/// Flags go before variables, and these before the file; each setting says where it comes from.
#[test]
fn each_setting_says_where_it_comes_from() {
    let scene = scene!();
    script(&scene, "app", "#!/bin/sh\n", 0o755);
    let file = "command = \"./app --fd {fd}\"\nlisten = \":1\"\nprefork = 4\nmax_memory = \"300M\"\nready = \"notify\"\n\
                [env]\nA = 1\nB = \"file\"\n";
    fs::write(scene.path("app.toml"), file).expect("written");
    fs::write(scene.path("secrets"), "TOKEN=do-not-show\n").expect("written");
    let launch = prefork(&scene)
        .args([
            "app.toml",
            "--check",
            "--listen",
            "http=:2",
            "--env",
            "B=flag",
            "--env-file",
            "secrets",
        ])
        .variable("PREFORK_RUN_LISTEN", ":3,:4")
        .variable("PREFORK_RUN_PREFORK", "5")
        .variable("PREFORK_RUN_OUTPUT", "discard")
        // Of a service that is called so.
        .variable("PREFORK_RUN_SERVICE_HOST", "10.0.0.1");
    let finished = launch.finish();
    assert_eq!(finished.end, End::Exited(0), "{finished:?}");
    assert_eq!(finished.stderr, "");
    let path = scene.path("app.toml").display().to_string();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    for line in [
        "# runs, in slot 0: ./app --fd 3".to_owned(),
        "# descriptor 3: :2 (http)".to_owned(),
        "# variables from files, not shown: TOKEN".to_owned(),
        format!("{:48} # {path}:1:1", "command = [\"./app\", \"--fd\", \"{fd}\"]"),
        format!("{:48} # --listen", "listen = [\"http=:2\"]"),
        format!("{:48} # {path}:5:1", "ready = \"notify\""),
        format!("{:48} # PREFORK_RUN_OUTPUT", "output = \"discard\""),
        format!("{:48} # PREFORK_RUN_PREFORK", "prefork = 5"),
        format!("{:48} # {path}:4:1", "max_memory = \"300M\""),
        format!("{:48} # the program", "max_children = 5"),
        format!("{:48} # the program", "name = \"app\""),
        format!("{:48} # default", "graceful_timeout = \"30s\""),
        format!("{:48} # {path}:6:2", "A = \"1\""),
        format!("{:48} # --env", "B = \"flag\""),
        "# app: the settings are right".to_owned(),
    ] {
        assert!(lines.contains(&&*line), "{line}\n{}", finished.stdout);
    }
    assert!(!finished.stdout.contains("do-not-show"), "{}", finished.stdout);
    assert!(!finished.stdout.contains("netwatch"), "{}", finished.stdout);
    assert!(!scene.path("run").exists(), "a check makes nothing");
}

/// What is printed is a file that says the same.
#[test]
fn a_command_line_becomes_a_file() {
    let scene = scene!();
    script(&scene, "app", "#!/bin/sh\n", 0o755);
    let flags = [
        "--check",
        "--listen",
        "/run/x.sock",
        "--listen",
        "b=:1",
        "--listen-mode",
        "0660",
        "--stdin-socket",
        "--env",
        "A='\"x y",
        "--limit",
        "nofile=64",
        "--stop-command",
        "kill -QUIT {pid}",
        "--watch",
        "*.py",
        "--directory",
        ".",
        "--max-children",
        "9",
        "--",
        "./app",
        "it's",
        "{slot}",
        "",
    ];
    let printed = prefork(&scene).args(flags).finish();
    assert_eq!((printed.end, &*printed.stderr), (End::Exited(0), ""));
    fs::write(scene.path("app.toml"), &printed.stdout).expect("written");
    let again = prefork(&scene).args(["--check", "app.toml"]).finish();
    assert_eq!((again.end, &*again.stderr), (End::Exited(0), ""));
    let settings = |text: &str| {
        let rows = text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim_end());
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(settings(&again.stdout), settings(&printed.stdout));
    assert!(printed.stdout.contains("auto_reload_handler = \"reload\""), "{}", printed.stdout);
}

/// The faults are named behind what would be run.
#[test]
fn a_check_has_the_status_of_a_start() {
    let scene = scene!();
    let finished = prefork(&scene)
        .args(["--check", "--prefork", "9", "--max-children", "3", "--", "nonesuch"])
        .finish();
    assert_eq!(finished.end, End::Exited(78), "{finished:?}");
    assert!(finished.stdout.starts_with("# runs, in slot 0: nonesuch\n"), "{finished:?}");
    assert!(!finished.stdout.contains("the settings are right"), "{finished:?}");
    assert!(
        finished.stderr.contains("--prefork: 9 is greater than max_children (3)"),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("command: there is no program nonesuch"), "{finished:?}");
}
