//! What an old kernel does not know, or a sandbox does not allow: the daemon does without, or ends and names
//! the call.

use prefork_tests::{PATIENCE, Scene, require_tool, scene, wait_until};
use rustix::process::Signal;

/// What the kernel answers to a call that it does not know, and a sandbox to one that it does not allow.
const ERRORS: [&str; 2] = ["ENOSYS", "EPERM"];

/// Calls without which it serves, and what it then logs, if anything is missing.
const DISPENSABLE: [(&str, &str); 15] = [
    ("close_range", ""),
    ("connect", ""),
    ("getrandom", ""),
    ("getsockopt", "cannot be closed to newcomers"),
    ("inotify_add_watch", "is not watched"),
    ("inotify_init1", "is not watched"),
    ("kill", ""),
    ("prlimit64", "will not be ended with it: prlimit64(2)"),
    ("readlink", "is not ended with them"),
    ("sched_getaffinity", ""),
    ("setitimer", ""),
    ("statfs", ""),
    ("statx", ""),
    ("sysinfo", ""),
    ("unlink", "cannot remove"),
];

/// Calls without which it ends before it has served anybody, and how it names them.
const INDISPENSABLE: [(&str, &str); 28] = [
    ("bind", "bind(2)"),
    ("clone", "cannot fork"),
    ("epoll_create1", "epoll_create1(2)"),
    ("epoll_ctl", "epoll_ctl(2)"),
    ("epoll_pwait", "epoll_pwait(2)"),
    ("eventfd2", "eventfd2(2)"),
    ("fallocate", "fallocate(2)"),
    ("fchmod", "for appending"),
    ("flock", "cannot lock"),
    ("fsync", "cannot write pid file"),
    ("ftruncate", "cannot open pid file"),
    ("listen", "listen(2)"),
    ("lseek", "cannot write pid file"),
    ("madvise", "madvise(2)"),
    ("memfd_create", "memfd_create(2)"),
    ("pidfd_open", "pidfd_open(2)"),
    ("pidfd_send_signal", "pidfd_send_signal(2)"),
    ("ppoll", "ppoll(2)"),
    ("prctl", "prctl(2)"),
    ("pwrite64", "cannot write scoreboard"),
    ("rename", "cannot rename scoreboard"),
    ("setsid", "setsid(2)"),
    ("setsockopt", "setsockopt(2)"),
    ("signalfd4", "signalfd4(2)"),
    ("socket", "socket(2)"),
    ("shutdown", "shutdown(2)"),
    ("socketpair", "socketpair(2)"),
    ("waitid", "waitid(2)"),
];

/// Starts the daemon with all that it has, where the kernel refuses a call; it may take `seconds` to be ready.
fn refused<'a>(
    scene: &'a Scene,
    (call, error): (&str, &str),
    seconds: &str,
) -> prefork_tests::Launch<'a> {
    let (trace, rule) = (format!("trace={call}"), format!("inject={call}:error={error}"));
    let strace =
        ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &rule];
    let page = scene.page().to_string();
    let hello = scene.hello().args(["--start-timeout", seconds, "--status-listen", &page]);
    hello.board().paths().under(strace)
}

/// F7: such as watching files, or closing the door.
#[test]
fn what_it_can_do_without_it_does_without() {
    if !require_tool("strace") {
        return;
    }
    for (call, logged) in DISPENSABLE {
        for error in ERRORS {
            println!("{call}: {error}");
            let scene = scene!();
            let running = refused(&scene, (call, error), "60").start();
            let daemon = running.ready();
            let victim = daemon.get("/").expect("it serves").worker().pid;
            assert!(prefork_tests::kill(victim, Signal::KILL));
            // The status process is one too.
            daemon.wait_for_children(PATIENCE, 4, &[victim]);
            prefork_tests::get(scene.page(), "/metrics").expect("the status page answers");
            daemon.signal(Signal::HUP);
            wait_until(PATIENCE, "new children serve", || {
                daemon.get("/").expect("it serves").worker().generation == 2
            });
            daemon.signal(Signal::TERM);
            assert!(running.finish().end.is_success(), "{call}: {error}");
            scene.wait_until_deserted(PATIENCE);
            let log = scene.read("error.log");
            assert!(log.contains(logged), "{call}: {error}: {log}");
        }
    }
}

/// F7: nothing is left behind either.
#[test]
fn what_it_needs_is_named_and_nobody_is_served() {
    if !require_tool("strace") {
        return;
    }
    for (call, named) in INDISPENSABLE {
        for error in ERRORS {
            println!("{call}: {error}");
            let scene = scene!();
            let finished = refused(&scene, (call, error), "2").finish();
            assert!(!finished.end.is_success(), "{call}: {error}");
            let said = format!("{}{}", finished.stderr, scene.read("error.log"));
            assert!(said.contains(named), "{call}: {error}: {said}");
            scene.wait_until_deserted(PATIENCE);
        }
    }
}

/// F7: one that is refused once it serves ends it by name, with its children.
#[test]
fn a_call_that_is_refused_later_ends_it_by_name() {
    if !require_tool("strace") {
        return;
    }
    for error in ERRORS {
        let scene = scene!();
        let running = refused(&scene, ("wait4", error), "60").start();
        let daemon = running.ready();
        let victim = daemon.get("/").expect("it serves").worker().pid;
        assert!(prefork_tests::kill(victim, Signal::KILL));
        wait_until(PATIENCE, "it ends", || running.end().is_some());
        assert!(!running.finish().end.is_success());
        assert!(scene.read("error.log").contains("wait4(2)"), "{}", scene.read("error.log"));
        scene.wait_until_deserted(PATIENCE);
    }
}
