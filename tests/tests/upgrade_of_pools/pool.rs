//! One pool alone, by `SIGUSR2` to its own parent.

use super::*;

/// A pool becomes the new program alone, and is still one of the arbiter's.
#[test]
fn one_pool_becomes_the_new_program_by_itself() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, asleep] = addresses(&scene);
    let before = pool(&scene, "web").expect("it has a parent");
    let load = Load::start(4, web, "/");
    for version in 2..4 {
        program.install(&format!("--version {version}"));
        assert!(kill(before, Signal::USR2));
        wait_for_version(web, version);
        wait_for_lines(&scene, &format!("generation {version} now"), 1);
        assert_eq!(pool(&scene, "web"), Some(before));
    }
    assert_none_lost(load);
    assert_eq!(version(jobs), "1", "the other pools are left alone");
    // What the arbiter starts is the program that it runs itself.
    assert_eq!(version(asleep), "1");
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    assert_those_who_wait_are_served(&scene, &daemon, 3);
}

/// The way to the arbiter is there again after a new program that has failed when it was too late for a probe to notice.
#[test]
fn the_arbiter_is_still_heard_after_a_pool_has_come_back() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, ..] = addresses(&scene);
    let parent = pool(&scene, "web").expect("it has a parent");
    for (round, deed) in ["exit", "abort"].into_iter().enumerate() {
        sabotage(&scene, &format!("successor web {deed}\n"));
        program.install("--version 2");
        assert!(kill(parent, Signal::USR2));
        wait_for_lines(&scene, "has failed to take over", round + 1);
        wait_for_lines(&scene, "goes on with 2 children already serving", round + 1);
        assert_eq!(version(web), "1");
    }
    sabotage(&scene, "");
    program.install("--version 3");
    assert!(kill(parent, Signal::USR2));
    wait_for_version(web, 3);
    // On a busy machine one of the old may still be there, and be the one to answer.
    wait_for_lines(&scene, "all children are of generation", 1);
    assert_those_who_wait_are_served(&scene, &daemon, 3);
}

/// A program that knows nothing of the pool cannot be that pool.
#[test]
fn a_program_without_the_pool_is_no_good_for_it() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [_, jobs, _] = addresses(&scene);
    let parent = pool(&scene, "jobs").expect("it has a parent");
    program.install("--version 2 --without jobs");
    assert!(kill(parent, Signal::USR2));
    wait_for_lines(&scene, "upgrade refused: ", 1);
    assert_eq!(version(jobs), "1");
    program.install("--version 2 --alone");
    assert!(kill(parent, Signal::USR2));
    wait_for_lines(&scene, "upgrade refused: ", 2);
    assert_eq!(version(jobs), "1");
    daemon.stop_in_order();
}
