//! Each wrong input has a clear error and its exit status, and nothing is left behind.

use std::{fs, net::TcpListener, os::unix::fs::symlink};

use prefork_tests::{End, Finished, Scene, require_root, require_tool, scene};

use super::{prefork, script};

/// Runs it to its end, which has this status; nothing of it is left.
#[track_caller]
fn refused(scene: &Scene, args: &[&str], status: i32) -> Finished {
    let finished = prefork(scene).args(args).finish();
    assert_eq!(finished.end, End::Exited(status), "{args:?}: {finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    assert!(!scene.path("run").exists(), "{args:?}: the directory of the daemon is left");
    scene.assert_nothing_is_left();
    finished
}

/// Asserts what the error says, in one line without what stands before it.
#[track_caller]
fn assert_says(finished: &Finished, expected: &str) {
    let said = finished.stderr.trim_end();
    assert_eq!(said, format!("prefork: {expected}"), "{finished:?}");
}

#[test]
fn a_program_that_cannot_be_executed_is_refused_before_anything_starts() {
    let scene = scene!();
    script(&scene, "plain.py", "print(1)\n", 0o644);
    script(&scene, "headless", "print(1)\n", 0o755);
    script(&scene, "orphan", "#!/no/such/python\n", 0o755);
    script(&scene, "windows", "#!/bin/sh\r\n", 0o755);
    script(&scene, "empty", "", 0o755);
    symlink("nowhere", scene.path("link")).expect("made");
    for (program, expected) in [
        ("./nothing", "there is no file ./nothing"),
        ("./", "./ is a directory, no program"),
        ("./link", "./link is a symbolic link to nowhere, which is not there"),
        ("./empty", "./empty is empty"),
        (
            "./plain.py",
            "./plain.py is not executable; run `chmod +x ./plain.py`, or run it by its interpreter: python3 \
                 ./plain.py",
        ),
        (
            "./headless",
            "./headless is neither a program nor a script that begins with #! and its interpreter; give it such a \
                 line, or run it by its interpreter",
        ),
        (
            "./orphan",
            "./orphan cannot be executed by its first line: there is no file /no/such/python",
        ),
        (
            "./windows",
            "./windows cannot be executed by its first line: it ends with a carriage return, as files of Windows \
                 do; run `sed -i 's/\\r$//'` on the file",
        ),
    ] {
        let finished = refused(&scene, &["--", program], 78);
        assert_says(&finished, &format!("invalid arguments: command: {expected}"));
    }
    let finished = prefork(&scene).args(["--", "nonesuch"]).variable("PATH", "/a:/b").finish();
    let expected = "there is no program nonesuch in PATH (/a:/b); install it, or give its path";
    assert_says(&finished, &format!("invalid arguments: command: {expected}"));
}

#[test]
fn a_program_that_the_user_may_not_execute_is_refused() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    script(&scene, "app", "#!/bin/sh\nexec sleep 100\n", 0o700);
    let finished = refused(&scene, &["--user", "nobody", "--", "./app"], 78);
    assert!(finished.stderr.contains("command: user nobody may not "), "{finished:?}");
}

#[test]
fn wrong_usage_has_its_own_status_and_says_where_a_program_stands() {
    let scene = scene!();
    let expected = "nothing to run; give a program behind --, as `prefork run --listen :8000 -- uvicorn app:app --fd {fd}`, \
                    or a file";
    assert_says(&refused(&scene, &[], 2), expected);
    let expected = "there is no file of settings uvicorn; a program stands behind --: `prefork run -- uvicorn`";
    assert_says(&refused(&scene, &["uvicorn"], 2), expected);
    let finished = refused(&scene, &["--lisden", ":80", "--", "x"], 2);
    assert!(finished.stderr.contains("a similar argument exists: '--listen'"), "{finished:?}");
    let finished = refused(&scene, &["nothing.toml"], 78);
    let expected = format!(
        "cannot read settings {}: No such file or directory (os error 2)",
        scene.path("nothing.toml").display()
    );
    assert_says(&finished, &expected);
}

#[test]
fn all_that_is_wrong_is_named_at_once_wherever_it_was_said() {
    let scene = scene!();
    let file = "command = \"sh app.sh {fdd}\"\nlistne = \":80\"\nmax_childern = 3\nprefork = \"many\"\n\
                netwatch_interval = 1\n[env]\nA = [1]\n[limits]\nnofiles = 3\n[daemon]\nuser = \"x\"\n";
    fs::write(scene.path("app.toml"), file).expect("written");
    fs::write(scene.path("env"), "A=1\nB\n").expect("written");
    let launch = prefork(&scene)
        .args([
            "app.toml",
            "--ready",
            "soon",
            "--listen",
            "99",
            "--min-spare",
            "x",
            "--env-file",
            "env",
        ])
        .variable("PREFORK_RUN_MAX_REQUESTS", "few")
        .variable("PREFORK_RUN_OUTPUT", "file")
        .variable("PREFORK_RUN_LISTNE", ":80")
        .variable("PREFORK_RUN_MAX_CHILDERN", "5");
    let finished = launch.finish();
    assert_eq!(finished.end, End::Exited(78), "{finished:?}");
    let path = scene.path("app.toml").display().to_string();
    let mut said: Vec<&str> = finished.stderr.trim_end().lines().collect();
    assert_eq!(said.remove(0), "prefork: invalid arguments:");
    let mut expected = vec![
        format!("{path}:2:1: listne: unknown key; did you mean `listen`?"),
        format!("{path}:3:1: max_childern: unknown key; did you mean `max_children`?"),
        format!("{path}:4:1: prefork: must be a whole number from 0 to 4294967295, not \"many\""),
        format!(
            "{path}:5:1: netwatch_interval: is no setting of a program that is run: a program has to notice itself that its \
             clients have gone"
        ),
        format!("{path}:6:2: env: A: must be a text, not a list"),
        format!(
            "{path}:8:2: limits: \"nofiles\" is no limit; there are as, core, cpu, data, fsize, memlock, msgqueue, nofile, \
             nproc, rtprio, stack"
        ),
        format!(
            "{path}:10:2: daemon: unknown table; all settings stand in one, above [env] and [limits]: move them there"
        ),
        "env:2: is not NAME=VALUE".to_owned(),
        "--ready: must be auto, notify, accept, tcp:ADDR, http://ADDR/PATH or after:TIME, not \"soon\"".to_owned(),
        "--listen: cannot listen on \"99\": it is no address; write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or \
         /run/x.sock"
            .to_owned(),
        "--min-spare: must be a whole number from 0 to 4294967295, not \"x\"".to_owned(),
        "PREFORK_RUN_MAX_REQUESTS: must be a whole number from 0 to 18446744073709551615, not \"few\"".to_owned(),
        "PREFORK_RUN_OUTPUT: must be log, inherit or discard, not \"file\"".to_owned(),
        "PREFORK_RUN_LISTNE: is no setting; did you mean PREFORK_RUN_LISTEN?".to_owned(),
        "PREFORK_RUN_MAX_CHILDERN: is no setting; did you mean PREFORK_RUN_MAX_CHILDREN?".to_owned(),
        format!(
            "{path}:1:1: command: argument 2 ({{fdd}}): {{fdd}} stands for nothing; did you mean {{fd}}? write {{{{fdd}}}} \
             if it is to stay as it is"
        ),
    ];
    said.sort_unstable();
    expected.sort();
    assert_eq!(said, expected);
}

#[test]
fn a_start_that_fails_leaves_nothing_and_says_why() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let taken = TcpListener::bind(scene.address()).expect("it is free");
    let address = scene.address().to_string();
    let app = ["--listen", &address, "--", "python3", "app.py", "{fd}"];
    let finished = refused(&scene, &app, 1);
    let expected = format!(
        "prefork: cannot make the program's sockets: cannot listen on {address}: Address already in use (os error 98)\n"
    );
    assert!(finished.stderr.ends_with(&expected), "{finished:?}");
    drop(taken);

    let gone = ["--listen", &address, "--", "/bin/sh", "-c", "echo broken >&2; exit 3"];
    let finished = refused(&scene, &gone, 1);
    assert!(finished.stderr.contains(": broken\n"), "{finished:?}");
    assert!(finished.stderr.contains("exited with status 3 before it was ready"), "{finished:?}");
    let expected = "prefork: 3 children ended before the daemon was ready; the last one exited with status 3\n";
    assert!(finished.stderr.ends_with(expected), "{finished:?}");

    // It ignores the socket.
    let deaf = ["--listen", &address, "--start-timeout", "1", "--", "/bin/sleep", "100"];
    let finished = refused(&scene, &deaf, 1);
    let expected = "prefork: only 0 of 3 children were ready within 1 s\n";
    assert!(finished.stderr.ends_with(expected), "{finished:?}");
    // Others can have the port.
    drop(TcpListener::bind(scene.address()).expect("it is free again"));
}
