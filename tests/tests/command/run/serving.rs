//! Daemons that run a program, as their operators meet them.

use std::fs;

use prefork_tests::{End, PATIENCE, Scene, get, require_tool, scene, wait_until};

use super::{prefork, script};
use crate::command;

/// Asks the program, which is there.
#[track_caller]
fn body(scene: &Scene) -> String {
    let reply = get(scene.address(), "/").unwrap_or_else(|error| panic!("nobody answers: {error}"));
    assert_eq!(reply.status, 200);
    reply.body
}

fn settings(scene: &Scene, rest: &str) {
    let text = format!(
        "command = [\"python3\", \"app.py\", \"{{fd}}\"]\nlisten = \"{}\"\nname = \"my-app\"\n{rest}",
        scene.address()
    );
    fs::write(scene.path("app.toml"), text).expect("written");
}

/// One line runs a program, and its operator finds it by its name; nothing is left when it has stopped.
#[test]
fn a_daemon_is_found_by_its_name_and_leaves_nothing() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    settings(&scene, "prefork = 2\nerror_log_path = \"error.log\"\n[env]\nGREETING = \"{slot}\"\n");
    let running = prefork(&scene).args(["app.toml"]).start();
    scene.wait_for_line("parent info: ready, with 2 children");
    assert!(["0", "1"].contains(&&*body(&scene)));
    let places = scene.path("run");
    let named = |words: &str| command(&scene, words).variable("PREFORK_PATH", &places).finish();
    let status = named("status my-app");
    assert!(status.stdout.contains("2 children of 2,"), "{status:?}");
    let again = prefork(&scene).args(["--name", "my-app", "--", "python3", "app.py"]).finish();
    assert_eq!(again.end, End::Exited(1), "{again:?}");
    let expected = "prefork: a daemon of this name runs already; give this one another by --name: already running (pid ";
    assert!(again.stderr.starts_with(expected), "{again:?}");
    assert_eq!(named("reload my-app --wait").end, End::Exited(0));
    let _ = body(&scene);
    assert_eq!(named("stop my-app").end, End::Exited(0));
    running.assert_ends_in_order();
    assert!(!places.exists(), "its directory is left");
}

/// What runs is named with what runs it, in the first line of the log and by `status`: after a reload, what runs by then.
#[test]
fn the_program_is_named_where_operators_look() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    for name in ["first", "second"] {
        script(&scene, name, "#!/bin/sh\nexec python3 app.py \"$1\"\n", 0o755);
    }
    let path = |name: &str| scene.path(name).display().to_string();
    let set = |name: &str| {
        settings(&scene, "prefork = 1\nerror_log_path = \"error.log\"\n");
        let text =
            scene.read("app.toml").replace("\"python3\", \"app.py\"", &format!("{:?}", path(name)));
        fs::write(scene.path("app.toml"), text).expect("written");
    };
    let named =
        |words: &str| command(&scene, words).variable("PREFORK_PATH", scene.path("run")).finish();
    set("first");
    let running = prefork(&scene).args(["app.toml"]).start();
    scene.wait_for_line("parent info: ready, with 1 child");
    let run_by = env!("CARGO_BIN_EXE_prefork-command");
    let expected = format!(": program {}, run by {run_by}; settings ", path("first"));
    assert_eq!(scene.logged(&expected), 1);
    let line = |name: &str| format!("; program {}, run by {run_by}; settings ", path(name));
    let status = named("status my-app");
    assert!(status.stdout.contains(&line("first")), "{status:?}");
    set("second");
    assert_eq!(named("reload my-app --wait").end, End::Exited(0));
    let status = named("status my-app");
    assert!(status.stdout.contains(&line("second")), "{status:?}");
    running.stop_in_order();
}

/// In the background the launcher returns when the program serves, and one log is enough.
#[test]
fn a_program_goes_to_the_background() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    settings(
        &scene,
        "daemonize = true\npid_path = \"pid\"\nerror_log_path = \"error.log\"\n[env]\nGREETING = \"hi\"\n",
    );
    let launcher = prefork(&scene).args(["app.toml"]).finish();
    assert_eq!(launcher.end, End::Exited(0), "{launcher:?}");
    let daemon = prefork_tests::Daemon::of_pid_file(&scene);
    assert_eq!(body(&scene), "hi");
    daemon.stop_in_order();
    wait_until(PATIENCE, "its directory is gone", || !scene.path("run").exists());
}

/// A changed file has the children replaced.
#[test]
fn files_that_are_watched_have_the_children_replaced() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    settings(&scene, "prefork = 1\nerror_log_path = \"error.log\"\nwatch = \"app.py\"\n");
    let running = prefork(&scene).args(["app.toml"]).start();
    scene.wait_for_line("parent info: ready, with 1 child");
    assert_eq!(body(&scene), "");
    let app = scene.read("app.py").replace("os.environ.get(\"GREETING\", \"\")", "\"changed\"");
    fs::write(scene.path("app.py"), app).expect("written");
    wait_until(PATIENCE, "the new program answers", || body(&scene) == "changed");
    running.stop_in_order();
}

/// A reload runs what the file says by then, in the same process; where to listen takes an upgrade, which is named, and done.
#[test]
fn a_reload_runs_what_the_file_says_by_then() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let rest = "prefork = 2\nmax_children = 4\nerror_log_path = \"error.log\"\n[env]\nGREETING = \"one\"\n";
    settings(&scene, rest);
    let running = prefork(&scene).args(["app.toml"]).start();
    scene.wait_for_line("parent info: ready, with 2 children");
    assert_eq!(body(&scene), "one");
    let reload = |words: &str, rest: &str| {
        settings(&scene, rest);
        command(&scene, words).variable("PREFORK_PATH", scene.path("run")).finish()
    };
    // What is waited for is that the old ones were asked to leave, and their programs may have taken one client more.
    let wait_until_gone = |old: &[u32]| {
        wait_until(PATIENCE, "the old ones are gone", || {
            running.living().iter().all(|child| !old.contains(child))
        });
    };

    fs::copy(scene.path("app.py"), scene.path("other.py")).expect("copied");
    let other = rest.replace("one", "two").replace("max_children = 4", "max_children = 5");
    let old = running.living();
    assert_eq!(reload("reload my-app --wait", &other).end, End::Exited(0));
    wait_until_gone(&old);
    assert_eq!(body(&scene), "two");
    scene.wait_for_line("settings read again: max_children 5, was 4; another env");
    assert_eq!(scene.logged("takes an upgrade"), 0);

    // A wrong one changes nothing, and has its reason.
    let wrong = reload("reload my-app --wait", &other.replace("two", "{fdd}"));
    assert_eq!(wrong.end, End::Exited(78), "{wrong:?}");
    assert!(wrong.stderr.contains("env: GREETING: {fdd} stands for nothing"), "{wrong:?}");
    assert_eq!(body(&scene), "two");

    let text = scene.read("app.toml").replace("{fdd}", "three").replace("app.py", "other.py");
    let more = text.replace("listen = \"", &format!("listen = [\"{}\", \"", scene.other_address()));
    let more = more.replace("\"\nname", "\"]\nname").replace("\"{fd}\"", "\"{fd:1}\"");
    fs::write(scene.path("app.toml"), &more).expect("written");
    let named =
        |words: &str| command(&scene, words).variable("PREFORK_PATH", scene.path("run")).finish();
    let old = running.living();
    let upgraded = named("upgrade my-app --wait");
    assert_eq!(upgraded.end, End::Exited(0), "{upgraded:?}");
    wait_until_gone(&old);
    assert_eq!(body(&scene), "three");
    let pid = running.pid().to_string();
    assert_eq!(named("running my-app").stdout.trim(), pid, "it is the same process");

    // One socket fewer: children that are started meanwhile still have both.
    fs::write(scene.path("app.toml"), text.replace("\"{fd}\"", "\"{fd:0}\"")).expect("written");
    assert_eq!(named("reload my-app --wait").end, End::Exited(0));
    scene.wait_for_line("settings that have changed and take an upgrade (SIGUSR2): listen; what was set before stays in force");
    running.stop_in_order();
}

/// Workers that listen nowhere are as many as the jobs that wait ask for.
#[test]
fn workers_follow_what_a_file_says_of_jobs() {
    let scene = scene!();
    fs::write(scene.path("waiting"), "20\n").expect("written");
    let flags =
        ["--name", "workers", "--prefork", "1", "--max-children", "4", "--demand-every", "0.1"];
    let running = prefork(&scene)
        .args(flags)
        .args(["--calm-time", "0.3", "--retire-pace", "0.1", "--demand-file", "waiting"])
        .path("--error-log-path", "error.log")
        .args(["--", "/bin/sh", "-c", "while :; do sleep 0.1; done"])
        .start();
    let status = || {
        let status = command(&scene, "status workers").variable("PREFORK_PATH", scene.path("run"));
        status.finish().stdout
    };
    wait_until(PATIENCE, "there are as many workers as may be", || {
        status().contains(": 4 children of 1 to 4")
    });
    fs::write(scene.path("waiting"), "0\n").expect("written");
    wait_until(PATIENCE, "there is one again", || status().contains(": 1 child of 1 to 4"));
    running.stop_in_order();
}
