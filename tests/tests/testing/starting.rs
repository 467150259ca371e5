//! Starting, and what a daemon is given.

use std::{io::ErrorKind, net::TcpStream, time::Duration};

use prefork_testing::{Daemon, End, Launch, Level, StartError, proc};

use crate::{HELLO, hello};

#[test]
fn a_daemon_is_started_with_two_words_and_stopped() {
    let daemon = Daemon::start(HELLO, ["--listen", "{address}"]);
    assert_eq!(daemon.get("/").expect("it serves").body, "hello\n");
    assert_eq!(daemon.children().len(), 3, "without a board the kernel shows them");
    let address = daemon.address();
    daemon.stop();
    let error = TcpStream::connect(address).expect_err("it has stopped");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// The example of the documentation, in ten lines.
#[test]
fn a_reload_and_a_crash_cost_nobody_a_request() {
    let daemon = Daemon::start(HELLO, ["--listen", "{address}"]);
    let load = daemon.load(4, "/");
    daemon.reload().wait();
    load.stop().assert_all_answered();
    let killed = daemon.kill(0);
    daemon.wait_for_replacement(&killed);
    daemon.stop();
}

#[test]
fn settings_come_by_the_environment_and_by_a_file() {
    let daemon = Launch::new(HELLO)
        .file("app.toml", "[daemon]\nerror_log_path = \"{error_log}\"\nprefork = 2\n")
        .args(["--config", "{path:app.toml}"])
        .variable("HELLO_LISTEN", "{address}")
        .variable("HELLO_PID_PATH", "{pid_file}")
        .start();
    assert!(daemon.path("pid").exists() && daemon.path("error.log").exists());
    assert_eq!(daemon.children().len(), 2);
    daemon.stop();
}

#[test]
fn a_second_address_is_its_own() {
    let daemon = hello().args(["--status-listen", "{address:page}"]).start();
    let page = daemon.address_of("page");
    assert_ne!(page, daemon.address());
    let reply = prefork_testing::get(page, "/", Duration::from_secs(20)).expect("a page");
    assert_eq!(reply.status, 200);
    daemon.stop();
}

#[test]
fn a_daemon_in_the_background_is_found_and_stopped() {
    let daemon = hello().args(["--daemonize"]).start();
    let parent = proc::find(daemon.pid()).expect("it is there");
    assert!(parent.command_line().contains("[parent]"), "{parent:?}");
    assert_eq!(daemon.children().len(), 2);
    daemon.reload().wait();
    daemon.stop();
}

#[test]
fn a_start_that_fails_says_why() {
    let first = hello().start();
    let taken = first.address().to_string();
    let Err(StartError::Ended { end, log, .. }) =
        Launch::new(HELLO).args(["--listen", &taken]).try_start()
    else {
        panic!("the address is taken")
    };
    assert!(end != End::Exited(0) && log.contains(&taken), "{end}: {log}");
    // In the background, it is the launcher that fails.
    let error = Launch::new(HELLO)
        .args(["--listen", &taken, "--daemonize", "--error-log-path", "{error_log}"])
        .args(["--pid-path", "{pid_file}", "--access-log-path", "{access_log}"])
        .try_start()
        .expect_err("the address is taken");
    assert!(error.to_string().contains("before it was ready"), "{error}");
    first.stop();
}

#[test]
fn a_program_that_never_is_ready_is_given_up() {
    let limit = Duration::from_millis(200);
    let error = Launch::new("/bin/sleep").args(["60"]).ready_within(limit).try_start();
    assert!(matches!(error, Err(StartError::NotReady { .. })), "{error:?}");
    let error = Launch::new("/bin/true").try_start();
    assert!(matches!(error, Err(StartError::Ended { end: End::Exited(0), .. })), "{error:?}");
    let error = Launch::new("/nonexistent/app").try_start();
    assert!(matches!(error, Err(StartError::NotRun { .. })), "{error:?}");
}

#[test]
fn the_log_is_values() {
    let daemon = hello().start();
    let ready = daemon.wait_for_log("ready, with");
    assert_eq!((ready.level, ready.pid), (Some(Level::Info), Some(daemon.pid())));
    assert_eq!(ready.role.as_deref(), Some("parent"));
    assert!(ready.time.is_some_and(|time| time.elapsed().is_ok_and(|it| it.as_secs() < 60)));
    assert!(daemon.logs().iter().any(|line| line.level == Some(Level::Debug)));
    daemon.stop();
}
