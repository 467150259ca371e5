//! `prefork init`: each file is read by the program that it is for.

use std::fs;

use prefork_tests::{End, Lack, Scene, require_tool, scene, skip};

/// Writes settings with a name, logs and a directory that are those of a service, and what `init` makes of them.
fn made(scene: &Scene, kind: &str, name: &str) -> String {
    let settings = "command = [\"python3\", \"app.py\"]\nname = \"app\"\nlisten = \"0.0.0.0:8000\"\ngraceful_timeout = \"50s\"\n\
                    pid_path = \"/run/app/pid\"\nscoreboard_path = \"/run/app/board\"\n\
                    error_log_path = \"/var/log/app/error.log\"\n";
    fs::write(scene.path("app.toml"), settings).expect("written");
    let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command"));
    let finished = command.args(["init", kind, "app.toml"]).finish();
    assert_eq!((finished.end, &*finished.stderr), (End::Exited(0), ""), "{finished:?}");
    fs::write(scene.path(name), &finished.stdout).expect("written");
    finished.stdout
}

#[test]
fn systemd_accepts_the_unit() {
    if !require_tool("systemd-analyze") {
        return;
    }
    let scene = scene!();
    let unit = made(&scene, "systemd", "app.service");
    assert!(unit.contains("\nTimeoutStopSec=60s\n"), "{unit}");
    // Debian 12 has 252.
    fs::write(scene.path("app.service"), unit.replace("=notify-reload", "=notify"))
        .expect("written");
    let verify = scene.tool("systemd-analyze").args(["--man=no", "verify"]);
    let verified = verify.args([scene.path("app.service")]).finish();
    let of_ours: Vec<_> = verified.stderr.lines().filter(|line| line.contains("app")).collect();
    assert!(verified.end.is_success() && of_ours.is_empty(), "{verified:?}");
}

#[test]
fn logrotate_accepts_its_file() {
    if !require_tool("logrotate") {
        return;
    }
    let scene = scene!();
    made(&scene, "logrotate", "app.logrotate");
    let state = scene.path("state");
    let logrotate = scene.tool("logrotate").args(["--debug", "--state"]);
    let read = logrotate.args([state, scene.path("app.logrotate")]).finish();
    assert!(read.end.is_success() && !read.stderr.contains("error:"), "{read:?}");
    assert!(read.stderr.contains("considering log /var/log/app/error.log"), "{read:?}");
}

#[test]
fn the_directories_are_made() {
    if !require_tool("systemd-tmpfiles") {
        return;
    }
    let scene = scene!();
    made(&scene, "tmpfiles", "app.conf");
    let root = format!("--root={}", scene.path("root").display());
    fs::create_dir(scene.path("root")).expect("made");
    let create = scene.tool("systemd-tmpfiles").args(["--create", &root]);
    let created = create.args([scene.path("app.conf")]).finish();
    // Only root can have them be root's.
    if rustix::process::geteuid().is_root() {
        assert!(created.end.is_success(), "{created:?}");
    }
    for directory in ["run/app", "var/log/app"] {
        assert!(scene.path("root").join(directory).is_dir(), "{directory} {created:?}");
    }
}

#[test]
fn kubernetes_accepts_the_manifest() {
    if !require_tool("kubernetes-validate") {
        return;
    }
    let scene = scene!();
    let manifest = made(&scene, "kubernetes", "app.yaml");
    let validate = scene.tool("kubernetes-validate").args(["--strict"]);
    let validated = validate.args([scene.path("app.yaml")]).finish();
    assert!(validated.end.is_success(), "{validated:?}");
    const SCRIPT: &str = r#"
import sys, yaml
parts = {part["kind"]: part for part in yaml.safe_load_all(open(sys.argv[1]))}
assert parts["ConfigMap"]["data"]["app.toml"] == open(sys.argv[2]).read()
"#;
    let python = scene.tool("python3");
    if !scene.tool("python3").args(["-c", "import yaml"]).finish().end.is_success() {
        skip(Lack::Missing("python3 has no module yaml"));
        return;
    }
    let same =
        python.args(["-c", SCRIPT]).args([scene.path("app.yaml"), scene.path("app.toml")]).finish();
    assert!(same.end.is_success(), "{same:?}\n{manifest}");
}

#[test]
fn wrong_settings_make_no_file() {
    let scene = scene!();
    fs::write(scene.path("app.toml"), "command = [\"true\"]\nlisten = \"nonsense\"\nprefrok = 3\n")
        .expect("written");
    let init = || scene.tool(env!("CARGO_BIN_EXE_prefork-command"));
    let finished = init().args(["init", "systemd", "app.toml"]).finish();
    assert_eq!((finished.end, &*finished.stdout), (End::Exited(78), ""), "{finished:?}");
    assert!(finished.stderr.contains("prefrok"), "{finished:?}");
    let finished = init().args(["init", "systemd", "missing.toml"]).finish();
    assert!(finished.stderr.contains("missing.toml"), "{finished:?}");
    fs::write(scene.path("app.toml"), "command = [\"true\"]\n").expect("written");
    let finished = init().args(["init", "logrotate", "app.toml"]).finish();
    assert_eq!((finished.end, &*finished.stdout), (End::Exited(1), ""), "{finished:?}");
    assert!(finished.stderr.contains("names no error_log_path"), "{finished:?}");
}
