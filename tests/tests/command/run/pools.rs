//! `prefork run` of a directory: a pool for each file in it.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, time::Duration};

use nix::{sys::stat::Mode, unistd::mkfifo};
use prefork_tests::{
    Daemon, End, Launch, Load, PATIENCE, Scene, children, get, holds_for, require_tool, scene,
    status_of, turns, wait_until,
};
use rustix::process::Signal;
use serde_json::Value;

use super::prefork;
use crate::run;

/// Writes the file of a pool that runs the program of these tests.
pub(super) fn pool(scene: &Scene, name: &str, at: SocketAddr, more: &str) {
    let app = scene.path("app.py");
    let text = format!("command = [\"python3\", {app:?}, \"{{fd}}\"]\nlisten = \"{at}\"\n{more}");
    fs::create_dir_all(scene.path("conf.d")).expect("made");
    fs::write(scene.path("conf.d").join(format!("{name}.toml")), text).expect("written");
}

pub(super) fn directory(scene: &Scene) -> Launch<'_> {
    prefork(scene).args([scene.path("conf.d")])
}

pub(super) fn daemon(scene: &Scene) -> Daemon<'_> {
    directory(scene).args(["--name", "app"]).daemon()
}

/// The pools of the daemon, each with whether it has a process.
pub(super) fn presences(scene: &Scene) -> Vec<(String, String)> {
    let shown: Value =
        serde_json::from_str(&run(scene, "status --json @pid", 0).stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let pools = shown["pools"].as_array().expect("a list");
    pools.iter().map(|pool| (text(&pool["name"]), text(&pool["presence"]))).collect()
}

pub(super) fn body(at: SocketAddr) -> String {
    get(at, "/").expect("it is answered").body
}

/// Each file is a pool, called by the name of the file, with the program and the variables of that; one that has none at rest
/// sleeps until a client comes.
#[test]
fn each_file_of_a_directory_is_a_pool() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let (web, reports) = (scene.address(), scene.other_address());
    pool(&scene, "web", web, "prefork = 1\n[env]\nGREETING = \"web\"\n");
    pool(
        &scene,
        "reports",
        reports,
        "prefork = 0\nsleep_after = 1\n[env]\nGREETING = \"reports\"\n",
    );
    fs::write(scene.path("conf.d/README"), "no file of settings").expect("written");
    let daemon = daemon(&scene);
    let owned =
        |states: [[&str; 2]; 2]| states.map(|it| it.map(str::to_owned)).map(|[a, b]| (a, b));
    assert_eq!(presences(&scene), owned([["reports", "asleep"], ["web", "awake"]]));
    assert_eq!(children(daemon.pid()).len(), 1, "of the pool that sleeps there is no process");
    assert_eq!((body(web), body(reports)), ("web".to_owned(), "reports".to_owned()));
    assert_eq!(presences(&scene), owned([["reports", "awake"], ["web", "awake"]]));
    wait_until(PATIENCE, "it sleeps again", || presences(&scene)[0].1 == "asleep");
    assert_eq!(body(reports), "reports");
    daemon.stop_in_order();
    scene.wait_until_deserted(PATIENCE);
}

/// A pool reads its own file again, and no other pool is touched.
#[test]
fn a_reload_of_a_pool_reads_its_file_again() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let (web, mail) = (scene.address(), scene.other_address());
    pool(&scene, "web", web, "prefork = 1\n[env]\nGREETING = \"old\"\n");
    pool(&scene, "mail", mail, "prefork = 1\n[env]\nGREETING = \"mail\"\n");
    let daemon = daemon(&scene);
    assert_eq!(body(web), "old");
    pool(&scene, "web", web, "prefork = 1\n[env]\nGREETING = \"new\"\n");
    // Nobody reads this one.
    pool(&scene, "mail", mail, "prefork = \"many\"\n");
    let load = Load::start(2, web, "/");
    run(&scene, "reload --wait @pid.web", 0);
    let tally = load.stop();
    assert!(tally.failures.is_empty() && tally.answered > 0, "{tally:?}");
    assert_eq!((body(web), body(mail)), ("new".to_owned(), "mail".to_owned()));
    let refused = run(&scene, "reload --wait @pid.mail", 78);
    refused.assert_refused("conf.d/mail.toml");
    assert_eq!(body(mail), "mail");
    daemon.stop_in_order();
}

/// All that is wrong is named with file, line and key, and nothing starts; or it is left out, as chosen.
#[test]
fn one_bad_file_is_refused_or_left_out() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let (web, other) = (scene.address(), scene.other_address());
    pool(&scene, "web", web, "prefork = 1\n[env]\nGREETING = \"web\"\n");
    pool(&scene, "bad", other, "max_childern = 3\n");
    pool(&scene, "worse", other, "max_requests = 0\nname = \"x\"\n");
    fs::write(scene.path("conf.d/worst.toml"), "command = [\n").expect("written");
    fs::write(scene.path("conf.d/No Name.toml"), "").expect("written");
    mkfifo(&scene.path("conf.d/pipe.toml"), Mode::S_IRWXU).expect("made");
    symlink("nothing", scene.path("conf.d/gone.toml")).expect("made");
    let refused = directory(&scene).args(["--check"]).finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    for text in [
        "conf.d/bad.toml:3:1: max_childern: unknown key; did you mean `max_children`?",
        "conf.d/worse.toml:3:1: max_requests: must be at least 1",
        "conf.d/worse.toml:4:1: name: is the whole daemon's; set it in the arguments that all pools have in common",
        "conf.d/worst.toml",
        "conf.d/No Name.toml: the file's name is that of the pool",
        "conf.d/pipe.toml: is no file",
        "conf.d/gone.toml: cannot be read: No such file or directory",
    ] {
        assert!(refused.stderr.contains(text), "{text:?} in {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("web.toml"), "{refused:?}");
    assert_eq!(directory(&scene).finish().end, End::Exited(78));

    let running = directory(&scene).args(["--skip-bad", "--name", "app"]).foreground();
    assert_eq!(body(web), "web");
    let said: Vec<_> = presences(&scene).into_iter().map(|(name, _)| name).collect();
    assert_eq!(said, ["web"]);
    running.signal(Signal::TERM);
    assert_eq!(running.wait_for_end(PATIENCE), End::Exited(0));
    let checked = directory(&scene).args(["--check", "--skip-bad"]).finish();
    assert_eq!(checked.end, End::Exited(0), "{checked:?}");
    for name in ["bad", "worse", "worst", "No Name", "pipe", "gone"] {
        let line = format!("prefork: pool {name} is left out: ");
        assert!(checked.stderr.contains(&line), "{line} in {}", checked.stderr);
    }
}

/// What pools can be wrong about together is found before anything starts.
#[test]
fn two_files_cannot_have_one_address() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    pool(&scene, "a", scene.address(), "");
    pool(&scene, "b", scene.address(), "");
    let refused = directory(&scene).finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    assert!(refused.stderr.contains("b.listen: "), "{refused:?}");
    assert!(refused.stderr.contains("is where the pool a listens"), "{refused:?}");
    pool(&scene, "b", scene.other_address(), "");
    let refused = directory(&scene).args(["--ceiling", "5", "--check"]).finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    assert!(refused.stderr.contains("ceiling"), "{refused:?}");
    assert_eq!(directory(&scene).args(["--ceiling", "6", "--check"]).finish().end, End::Exited(0));
    let needs = directory(&scene).args(["--memory-ceiling", "60M", "--check"]).finish();
    assert!(needs.stderr.contains("a.child_memory: is not set"), "{needs:?}");
    for (name, address) in [("a", scene.address()), ("b", scene.other_address())] {
        pool(&scene, name, address, "child_memory = \"10M\"\n");
    }
    let refused = directory(&scene).args(["--memory-ceiling", "59M", "--check"]).finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    let below = "memory_ceiling: the memory ceiling (59M) is less than the minimums of all pools take together (60M)";
    assert!(refused.stderr.contains(below), "{refused:?}");
    let right = directory(&scene).args(["--memory-ceiling", "60M", "--check"]).finish();
    assert_eq!(right.end, End::Exited(0), "{right:?}");
    let row = right.stdout.lines().find(|line| line.starts_with("child_memory = \"10M\" "));
    assert!(row.is_some_and(|row| row.ends_with("conf.d/a.toml:3:1")), "{row:?}");
    // Or in the file of all.
    fs::write(scene.path("common.toml"), "child_memory = \"10M\"\n").expect("written");
    for (name, address) in [("a", scene.address()), ("b", scene.other_address())] {
        pool(&scene, name, address, "");
    }
    let common = directory(&scene).path("--common", "common.toml");
    let refused = common.args(["--memory-ceiling", "59M", "--check"]).finish();
    assert!(refused.stderr.contains(below), "{refused:?}");
    let refused = directory(&scene).args(["--listen", ":1"]).finish();
    assert!(refused.stderr.contains("--listen: belongs to one pool"), "{refused:?}");
    fs::remove_dir_all(scene.path("conf.d")).expect("removed");
    fs::create_dir(scene.path("conf.d")).expect("made");
    let refused = directory(&scene).finish();
    assert!(refused.stderr.contains("there is no file of settings, NAME.toml, in "), "{refused:?}");
    let refused = prefork(&scene).args(["--skip-bad", "--", "true"]).finish();
    assert_eq!(refused.end, End::Exited(2), "{refused:?}");
}

/// What all have in common goes behind what a file says.
#[test]
fn what_pools_have_in_common_stands_in_a_file_of_its_own() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let (web, mail) = (scene.address(), scene.other_address());
    pool(&scene, "web", web, "");
    pool(&scene, "mail", mail, "prefork = 2\n[env]\nGREETING = \"mail\"\n");
    let common = "name = \"app\"\nprefork = 1\nmax_children = 3\n[env]\nGREETING = \"all\"\n";
    fs::write(scene.path("common.toml"), common).expect("written");
    let checked = directory(&scene).path("--common", "common.toml").args(["--check"]).finish();
    assert_eq!(checked.end, End::Exited(0), "{checked:?}");
    for text in
        ["# pool mail, by ", "# pool web, by ", "\n# app: the settings of 2 pools are right\n"]
    {
        assert!(checked.stdout.contains(text), "{text:?} in {}", checked.stdout);
    }
    let daemon = directory(&scene).path("--common", "common.toml").daemon();
    assert_eq!((body(web), body(mail)), ("all".to_owned(), "mail".to_owned()));
    let text = run(&scene, "status @pid", 0).stdout;
    assert!(text.contains("app/web, pid ") && text.contains(" 1 to 3, "), "{text}");
    assert!(text.contains("app/mail, pid ") && text.contains(" 2 to 3, "), "{text}");
    daemon.stop_in_order();
}

/// The file of a UNIX socket has the permissions that its pool's file says, before the pool has a process.
#[test]
fn the_socket_of_a_pool_that_sleeps_has_its_permissions() {
    if !require_tool("python3") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let scene = scene!();
    let socket = scene.socket("app");
    pool(&scene, "web", scene.address(), "");
    let text = format!(
        "command = [\"sleep\", \"60\"]\nlisten = {socket:?}\nlisten_mode = \"0606\"\nprefork = 0\n"
    );
    fs::write(scene.path("conf.d/web.toml"), text).expect("written");
    let daemon = daemon(&scene);
    let mode = fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o606, "{mode:o}");
    daemon.stop_in_order();
    assert!(!socket.exists());
}

/// An upgrade of the daemon, be it to the same program, takes in files that are new and leaves those that are gone.
#[test]
fn an_upgrade_takes_in_new_files_and_leaves_those_that_are_gone() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let (web, mail) = (scene.address(), scene.other_address());
    let text = |name: &str| format!("prefork = 1\n[env]\nGREETING = \"{name}\"\n");
    pool(&scene, "web", web, &text("web"));
    pool(&scene, "old", scene.page(), &text("old"));
    let daemon = daemon(&scene);
    pool(&scene, "mail", mail, &text("mail"));
    fs::remove_file(scene.path("conf.d/old.toml")).expect("it was there");
    let load = Load::start(2, web, "/");
    run(&scene, "upgrade @pid", 0);
    let both = [["mail", "awake"], ["web", "awake"]].map(|it| it.map(str::to_owned));
    let both = both.map(|[name, presence]| (name, presence));
    wait_until(PATIENCE, "there are the new pools", || presences(&scene) == both);
    wait_until(PATIENCE, "it answers", || get(mail, "/").is_ok_and(|reply| reply.body == "mail"));
    let tally = load.stop();
    assert!(tally.failures.is_empty() && tally.answered > 0, "{tally:?}");
    wait_until(PATIENCE, "nobody is at the old address", || get(scene.page(), "/").is_err());
    assert_eq!(Daemon::of_pid_file(&scene).pid(), daemon.pid(), "it is the same process");
    daemon.stop_in_order();
    assert!(!scene.path("pid.pools").exists());
}

/// At rest a daemon of a hundred pools is one process that is never woken, and has little memory of its own.
#[test]
fn a_hundred_pools_at_rest_are_one_process_that_sleeps() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    for number in 0..100 {
        let at = SocketAddr::new(scene.address().ip(), 20_000 + number);
        pool(&scene, &format!("site{number}"), at, "prefork = 0\n");
    }
    let daemon = daemon(&scene);
    assert_eq!(scene.processes().len(), 1, "{:?}", scene.processes());
    let before = turns(daemon.pid());
    holds_for(Duration::from_secs(2), "at rest", || turns(daemon.pid()) == before);
    let own = status_of(daemon.pid(), "RssAnon").expect("it is there");
    let own: u32 = own.trim_end_matches(" kB").parse().expect("a number");
    assert!(own < 4096, "{own} kB");
    let last = SocketAddr::new(scene.address().ip(), 20_099);
    assert_eq!(get(last, "/").expect("it wakes").status, 200);
    let awake = presences(&scene).into_iter().filter(|(_, presence)| presence == "awake");
    assert_eq!(awake.map(|(name, _)| name).collect::<Vec<_>>(), ["site99"]);
    daemon.stop_in_order();
}
