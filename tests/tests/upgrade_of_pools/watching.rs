//! What the daemon watches for all pools.

use prefork_tests::holds_for;

use super::*;

/// A new program is one upgrade of the whole, and not one of each pool by itself.
#[test]
fn a_new_program_is_one_upgrade_of_the_whole() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--watch-every", "100"]);
    let [web, jobs, asleep] = addresses(&scene);
    let parents = ["web", "jobs", "scheduler"].map(|name| pool(&scene, name));
    let load = Load::start(2, web, "/");
    program.install("--version 2");
    for address in [web, jobs] {
        wait_for_version(address, 2);
    }
    wait_for_lines(&scene, "that go on with the old one: 0", 1);
    assert_eq!(version(asleep), "2", "it is started as what the arbiter runs");
    // The arbiter's probe, and one of each pool that is awake.
    let tried = scene.logged("trying the program");
    assert_eq!(tried, 4, "{:?}", scene.lines_with("error.log", "trying the program"));
    assert_eq!(["web", "jobs", "scheduler"].map(|name| pool(&scene, name)), parents);
    holds_for(std::time::Duration::from_millis(500), "once", || {
        scene.logged("trying the program") == tried
    });
    assert_none_lost(load);
    // And it still watches, as the new program.
    program.install("--version 3");
    wait_for_version(jobs, 3);
    daemon.stop_in_order();
}

/// One that does not work is refused once, and is not tried again until it is another one.
#[test]
fn a_broken_program_is_tried_once() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--watch-every", "100"]);
    let [web, ..] = addresses(&scene);
    program.install("--bogus");
    scene.wait_for_line("upgrade refused: the new program exited with status 2");
    holds_for(std::time::Duration::from_millis(500), "it is not tried again", || {
        scene.logged("trying the program") == 1
    });
    assert_eq!(version(web), "1");
    program.install("--version 2");
    wait_for_version(web, 2);
    daemon.stop_in_order();
}

/// Other files that are all pools' affair have all of them reloaded, once.
#[test]
fn a_file_that_all_pools_have_in_common_is_one_reload_of_the_whole() {
    let scene = scene!();
    let program = program(&scene);
    fs::write(scene.path("common"), "1").expect("written");
    let path = scene.path("common");
    let path = path.to_str().expect("UTF-8");
    let daemon = daemon(&program, &["--watch-every", "100", "--watch-file", path]);
    let [web, ..] = addresses(&scene);
    let load = Load::start(2, web, "/");
    fs::write(scene.path("common"), "another").expect("written");
    scene.wait_for_line("reloaded; pools that have replaced their children: 3, that were started: 0, that have not followed: 0");
    let generations = scene.logged("replacing all children by generation 2");
    assert_eq!(generations, 3, "each pool that is awake, once");
    holds_for(std::time::Duration::from_millis(500), "once", || {
        scene.logged("reloaded; pools") == 1
    });
    assert_none_lost(load);
    daemon.stop_in_order();
}
