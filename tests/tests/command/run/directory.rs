//! `SIGHUP` to a daemon of a directory: what becomes of files that are new, changed, gone and bad.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, End, Load, PATIENCE, Scene, children, holds_for, kill, require_tool, scene, wait_until,
};
use rustix::process::Signal;

use super::{
    APP,
    pools::{body, daemon, directory, pool, presences},
    prefork,
};
use crate::run;

/// The addresses of a scene.
fn further(scene: &Scene, number: u16) -> SocketAddr {
    SocketAddr::new(scene.address().ip(), scene.address().port() + number)
}

fn greeting(text: &str) -> String {
    format!("prefork = 1\n[env]\nGREETING = \"{text}\"\n")
}

fn remove(scene: &Scene, name: &str) {
    fs::remove_file(scene.path("conf.d").join(format!("{name}.toml"))).expect("it was there");
}

/// The names of the pools, as the command lists them.
fn names(scene: &Scene) -> Vec<String> {
    presences(scene).into_iter().map(|(name, _)| name).collect()
}

/// The parent of a pool, and its children.
fn family(scene: &Scene, name: &str) -> (u32, Vec<u32>) {
    let pid = scene.read(&format!("pid.{name}")).trim().parse().expect("a pid");
    let mut pids: Vec<_> = children(pid).into_iter().map(|child| child.pid).collect();
    pids.sort_unstable();
    (pid, pids)
}

/// New files are pools, those of files that are gone end, one whose file has changed has new children, and the others keep theirs.
#[test]
fn a_reload_adds_changes_and_removes_pools_and_leaves_the_others_alone() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail, old, new] = [0, 1, 2, 3].map(|number| further(&scene, number));
    pool(&scene, "web", web, &greeting("web"));
    pool(&scene, "mail", mail, &greeting("mail"));
    pool(&scene, "old", old, &greeting("old"));
    let daemon = daemon(&scene);
    let [web_before, mail_before, old_before] = ["web", "mail", "old"].map(|it| family(&scene, it));
    let loads = [web, mail].map(|at| Load::start(2, at, "/"));
    pool(&scene, "mail", mail, &greeting("other"));
    pool(&scene, "new", new, &greeting("new"));
    remove(&scene, "old");
    let said = run(&scene, "reload -v --wait @pid", 0).stdout;
    // At once, without waiting for anything more.
    assert_eq!((body(mail), body(new), body(web)), ("other".into(), "new".into(), "web".into()));
    for line in [
        "pool app/mail has replaced its children: 1 child of generation ",
        "pool app/old is not one of the daemon's any more\n",
        "pool app/web is as it was, or was started again\n",
        "pool app/new is new\n",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    assert_eq!(names(&scene), ["mail", "new", "web"]);
    assert_eq!(family(&scene, "web"), web_before, "its file has not changed");
    let mail_after = family(&scene, "mail");
    assert_eq!(mail_after.0, mail_before.0, "it is the same parent");
    wait_until(PATIENCE, "the old child has left", || {
        !family(&scene, "mail").1.contains(&mail_before.1[0])
    });
    wait_until(PATIENCE, "the pool that is gone has ended", || {
        !Path::new(&format!("/proc/{}", old_before.0)).exists()
    });
    wait_until(PATIENCE, "nobody is at its address", || TcpStream::connect(old).is_err());
    for load in loads {
        let tally = load.stop();
        assert!(tally.failures.is_empty() && tally.answered > 0, "{tally:?}");
    }
    assert_eq!(Daemon::of_pid_file(&scene).pid(), daemon.pid(), "it is the same process");
    // Nothing has changed: nothing happens.
    let (web_before, mail_before) = (family(&scene, "web"), family(&scene, "mail"));
    run(&scene, "reload --wait @pid", 0);
    assert_eq!((family(&scene, "web"), family(&scene, "mail")), (web_before, mail_before));
    daemon.stop_in_order();
    scene.wait_until_deserted(PATIENCE);
}

/// All that is wrong is named, by the command too, and all pools go on as they were; when that was mended, they follow.
#[test]
fn a_bad_file_refuses_the_reload_and_harms_nothing() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail] = [0, 1].map(|number| further(&scene, number));
    pool(&scene, "web", web, &greeting("web"));
    let daemon = daemon(&scene);
    let before = family(&scene, "web");
    pool(&scene, "web", web, &greeting("new"));
    pool(&scene, "mail", mail, "max_childern = 3\n");
    let refused = run(&scene, "reload --wait @pid", 78);
    refused.assert_refused(
        "conf.d/mail.toml:3:1: max_childern: unknown key; did you mean `max_children`?",
    );
    let logged = scene.lines_with("error.log", "reload refused: ");
    assert!(logged.len() == 1 && logged[0].contains("conf.d/mail.toml:3:1"), "{logged:?}");
    pool(&scene, "mail", web, "");
    let refused = run(&scene, "reload --wait @pid", 78);
    refused.assert_refused("is where the pool mail listens");
    fs::write(scene.path("conf.d/mail.toml"), "command = [\n").expect("written");
    run(&scene, "reload --wait @pid", 78).assert_refused("conf.d/mail.toml");
    // No right to bind, or no such address.
    pool(&scene, "mail", "192.0.2.1:1".parse().expect("an address"), "");
    run(&scene, "reload --wait @pid", 78).assert_refused("192.0.2.1:1");
    assert_eq!((family(&scene, "web"), names(&scene)), (before, vec!["web".to_owned()]));
    assert_eq!(body(web), "web");
    fs::rename(scene.path("conf.d"), scene.path("conf.e")).expect("renamed");
    run(&scene, "reload --wait @pid", 78).assert_refused("conf.d");
    fs::rename(scene.path("conf.e"), scene.path("conf.d")).expect("renamed");
    pool(&scene, "mail", mail, &greeting("mail"));
    run(&scene, "reload --wait @pid", 0);
    assert_eq!((body(web), body(mail)), ("new".to_owned(), "mail".to_owned()));
    daemon.stop_in_order();
}

/// With `--skip-bad` a pool whose file is bad goes on as it was, a new one is left out, and the others follow.
#[test]
fn a_bad_file_is_skipped_and_its_pool_goes_on() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail, new] = [0, 1, 2].map(|number| further(&scene, number));
    pool(&scene, "web", web, &greeting("web"));
    pool(&scene, "mail", mail, &greeting("mail"));
    let daemon = directory(&scene).args(["--name", "app", "--skip-bad"]).daemon();
    let before = family(&scene, "mail");
    pool(&scene, "web", web, &greeting("other"));
    pool(&scene, "mail", mail, "max_childern = 3\n");
    pool(&scene, "new", new, "max_childern = 3\n");
    run(&scene, "reload --wait @pid", 0);
    assert_eq!((body(web), body(mail)), ("other".to_owned(), "mail".to_owned()));
    assert_eq!(names(&scene), ["web", "mail"]);
    assert_eq!(family(&scene, "mail"), before);
    for name in ["mail", "new"] {
        let line = format!("conf.d/{name}.toml:3:1: max_childern: unknown key");
        assert!(scene.read("error.log").contains(&line), "{line}");
    }
    // Through an upgrade too.
    let done = scene.logged("upgraded; pools that run the new program now: ");
    run(&scene, "upgrade @pid", 0);
    wait_until(PATIENCE, "it is upgraded", || {
        scene.logged("upgraded; pools that run the new program now: ") > done
    });
    assert_eq!((body(mail), family(&scene, "mail").0), ("mail".to_owned(), before.0));
    pool(&scene, "mail", mail, &greeting("mended"));
    pool(&scene, "new", new, &greeting("new"));
    run(&scene, "reload --wait @pid", 0);
    assert_eq!((body(mail), body(new)), ("mended".to_owned(), "new".to_owned()));
    assert_eq!(family(&scene, "mail").0, before.0, "it is the same parent");
    daemon.stop_in_order();
}

/// One that listens elsewhere now is started again there, and one that is to sleep sleeps.
#[test]
fn a_pool_that_listens_elsewhere_or_is_to_sleep_is_started_again() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail, other] = [0, 1, 2].map(|number| further(&scene, number));
    pool(&scene, "web", web, &greeting("web"));
    pool(&scene, "mail", mail, &greeting("mail"));
    let daemon = daemon(&scene);
    let before = ["web", "mail"].map(|it| family(&scene, it).0);
    pool(&scene, "web", other, &greeting("web"));
    pool(&scene, "mail", mail, "prefork = 0\n[env]\nGREETING = \"mail\"\n");
    let load = Load::start(1, mail, "/");
    run(&scene, "reload --wait @pid", 0);
    assert_eq!(body(other), "web", "at once");
    wait_until(PATIENCE, "nobody is at the old address", || TcpStream::connect(web).is_err());
    wait_until(PATIENCE, "the pool that is to sleep is another process", || {
        fs::read_to_string(scene.path("pid.mail"))
            .is_ok_and(|text| text.trim() != before[1].to_string())
    });
    let tally = load.stop();
    assert!(tally.failures.is_empty() && tally.answered > 0, "{tally:?}");
    assert_ne!(family(&scene, "web").0, before[0]);
    daemon.stop_in_order();
}

/// What a pool refuses, or what does not work in it, is reported with its name, asked again by the next reload, and keeps no other
/// pool from following.
#[test]
fn a_pool_whose_program_does_not_work_goes_on_and_is_tried_again() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail] = [0, 1].map(|number| further(&scene, number));
    let script = scene.path("app.sh");
    let write = |text: &str| {
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("set");
    };
    let app = scene.path("app.py");
    let good = format!("#!/bin/sh\nexec python3 {} \"$1\"\n", app.display());
    write(&good);
    pool(&scene, "web", web, &greeting("web"));
    let mail_of = |text: &str| {
        let text =
            format!("command = [{script:?}, \"{{fd}}\"]\nlisten = \"{mail}\"\n{}", greeting(text));
        fs::write(scene.path("conf.d/mail.toml"), text).expect("written");
    };
    mail_of("mail");
    let daemon = daemon(&scene);
    assert_eq!(body(mail), "mail");
    write("#!/bin/sh\nexit 3\n");
    mail_of("other");
    pool(&scene, "web", web, &greeting("new"));
    let failed = run(&scene, "reload --wait --timeout 60 @pid", 1);
    assert!(failed.stderr.contains("pool app/mail"), "{failed:?}");
    assert_eq!((body(web), body(mail)), ("new".to_owned(), "mail".to_owned()));
    // The file is as it was, but what it names works now.
    write(&good);
    run(&scene, "reload --wait @pid", 0);
    assert_eq!(body(mail), "other");
    daemon.stop_in_order();
}

/// Weight and role are keys of a pool's file, are shown, and are refused with their places where they mean nothing.
#[test]
fn a_file_says_that_its_pool_is_a_role_and_what_weight_it_has() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let web = further(&scene, 0);
    pool(&scene, "web", web, &format!("weight = 3\n{}", greeting("web")));
    let role = |text: &str| {
        let text = format!("command = [\"sh\", \"-c\", \"exec sleep 60\"]\n{text}");
        fs::write(scene.path("conf.d/cron.toml"), text).expect("written");
    };
    role("role = true\nready = \"after:10ms\"\n");
    let checked = directory(&scene).args(["--check", "--ceiling", "9", "--prefork", "4"]).finish();
    let checked_text = &checked.stdout;
    for row in ["weight = 3 ", "role = true "] {
        let line = checked_text.lines().find(|line| line.starts_with(row)).unwrap_or_default();
        let place =
            if row.starts_with("role") { "conf.d/cron.toml:2:1" } else { "conf.d/web.toml:3:1" };
        assert!(line.ends_with(place), "{row} in {checked_text}");
    }
    let cron = checked_text.split("# pool web").next().unwrap_or_default();
    assert!(!cron.contains("prefork = "), "{cron}");
    let daemon = directory(&scene).args(["--ceiling", "9", "--name", "app"]).daemon();
    let listed = scene.read("pid.pools");
    assert!(listed.contains("cron\trole\n") && listed.contains("web\tpool\t"), "{listed}");
    assert_eq!(family(&scene, "cron").1.len(), 1);
    assert!(scene.path("pid.cron.lock").exists(), "it holds the lock of a role");
    daemon.stop_in_order();
    role("role = true\nlisten = \":80\"\nprefork = 2\n");
    let refused = directory(&scene).args(["--check"]).finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    for text in [
        "conf.d/cron.toml:3:1: listen: is for pools; a role is exactly one process",
        "conf.d/cron.toml:4:1: prefork: is about many children, but a role has exactly one process",
        "conf.d/web.toml:3:1: weight: does nothing without a ceiling; give --ceiling or --memory-ceiling too",
    ] {
        assert!(refused.stderr.contains(text), "{text:?} in {}", refused.stderr);
    }
    pool(&scene, "web", web, "weight = 0\n");
    role("role = 1\n");
    let refused = directory(&scene).args(["--check", "--ceiling", "9"]).finish();
    for text in [
        "conf.d/cron.toml:2:1: role: must be true or false, not 1",
        "conf.d/web.toml:3:1: weight: must be a whole number from 1 to 10000, not \"0\"",
    ] {
        assert!(refused.stderr.contains(text), "{text:?} in {}", refused.stderr);
    }
    let alone = prefork(&scene).args([scene.path("conf.d/web.toml")]).finish();
    assert_eq!(alone.end, End::Exited(78), "{alone:?}");
    assert!(
        alone.stderr.contains("web.toml:3:1: weight: is for one of several pools"),
        "{alone:?}"
    );
}

/// Who waits for a reload waits for one that has begun after it was asked for, however many others there are at the time.
#[test]
fn a_reload_that_is_waited_for_is_not_mistaken_for_another() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let web = further(&scene, 0);
    pool(&scene, "web", web, &greeting("web"));
    let daemon = daemon(&scene);
    for round in 0..10 {
        // One that reads the file as it was, or as it will be, and one of the pool by itself.
        daemon.signal(Signal::HUP);
        if round % 2 == 0 {
            assert!(kill(family(&scene, "web").0, Signal::HUP), "it lives");
        }
        // Sooner and later.
        holds_for(Duration::from_millis(10 * round), "it serves", || body(web).starts_with("web"));
        let text = format!("web {round}");
        pool(&scene, "web", web, &greeting(&text));
        run(&scene, "reload --wait @pid", 0);
        assert_eq!(body(web), text, "the old children were asked to leave");
    }
    daemon.stop_in_order();
}

/// What the whole refuses is reported at once, with its reason, to who waits for it.
#[test]
fn an_upgrade_that_is_refused_says_why_at_once() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let web = further(&scene, 0);
    pool(&scene, "web", web, &greeting("web"));
    let daemon = daemon(&scene);
    let before = family(&scene, "web");
    pool(&scene, "web", web, "max_childern = 3\n");
    let begun = Instant::now();
    let refused = run(&scene, "upgrade --wait --timeout 60 @pid", 1);
    assert!(begun.elapsed() < Duration::from_secs(30), "it waits for nothing");
    refused.assert_refused("goes on as it was; upgrade refused: ");
    refused.assert_refused("conf.d/web.toml:3:1: max_childern");
    assert_eq!(family(&scene, "web"), before);
    pool(&scene, "web", web, &greeting("new"));
    let said = run(&scene, "upgrade -v --wait @pid", 0).stdout;
    assert!(
        said.starts_with("pool app/web runs the new program, and has replaced its children: "),
        "{said}"
    );
    assert_eq!(body(web), "new");
    daemon.stop_in_order();
}

/// The program that runs all pools is watched once, and files of a pool by that pool.
#[test]
fn the_command_is_watched_for_all_pools_and_files_by_their_own() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let [web, mail] = [0, 1].map(|number| further(&scene, number));
    fs::write(scene.path("data"), "1").expect("written");
    let watch = format!("watch = [{:?}]\n{}", scene.path("data"), greeting("web"));
    pool(&scene, "web", web, &watch);
    pool(&scene, "mail", mail, &greeting("mail"));
    let program = scene.program_of(env!("CARGO_BIN_EXE_prefork-command"));
    fs::write(scene.path("app.py"), APP).expect("written");
    let command = program.path();
    let daemon =
        scene.tool(command.to_str().expect("UTF-8")).args(["run"]).args([scene.path("conf.d")]);
    let daemon = daemon.args(["--name", "app", "--auto-reload-check-every", "0.1"]).daemon();
    let (web_before, mail_before) = (family(&scene, "web"), family(&scene, "mail"));
    fs::write(scene.path("data"), "another").expect("written");
    wait_until(PATIENCE, "the pool replaces its children", || {
        let (parent, children) = family(&scene, "web");
        parent == web_before.0 && !children.contains(&web_before.1[0])
    });
    assert_eq!(family(&scene, "mail"), mail_before, "it is none of its files");
    assert_eq!(scene.logged("trying the program"), 0);
    program.install("another");
    scene.wait_for_line(
        "upgraded; pools that run the new program now: 2, pools that go on with the old one: 0",
    );
    assert_eq!(
        scene.logged("trying the program"),
        3,
        "by the arbiter, and by each pool that it has asked"
    );
    assert_eq!([family(&scene, "web").0, family(&scene, "mail").0], [web_before.0, mail_before.0]);
    daemon.stop_in_order();
}
