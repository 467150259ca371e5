//! Programs whose file gives them privileges that the user who starts them does not have.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::{
        fd::AsRawFd,
        unix::fs::{PermissionsExt, chown},
    },
    process,
};

use prefork_tests::{
    Lack, Launch, PATIENCE, Scene, require_root, require_tool, scene, skip, wait_until,
};
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    process::Signal,
};

use super::{wait_for_lines, wait_for_version};

/// What another user does before starting a program.
const AS_NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Prepares to start a set-user-ID program of root's as nobody; `None` where that has no effect.
fn set_user_id(scene: &Scene) -> Option<Launch<'_>> {
    let program = scene.program();
    chown(program.path(), Some(0), Some(0)).expect("root's");
    fs::set_permissions(program.path(), Permissions::from_mode(0o4755)).expect("set");
    let path = program.path().to_str()?.to_owned();
    // Where set-user-ID is not heeded, or nobody cannot come here, this is not a test.
    let tried = scene.tool(&path).args(["--help"]).under(AS_NOBODY).finish();
    if !tried.end.is_success() {
        skip(Lack::Platform("nobody cannot run the program where it is"));
        return None;
    }
    Some(program.launch().under(AS_NOBODY))
}

#[test]
fn a_set_user_id_program_does_not_upgrade() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let Some(launch) = set_user_id(&scene) else { return };
    let daemon = launch.daemon();
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "its file gives it privileges", 1);
    assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    daemon.stop_in_order();
}

/// The user who starts such a program could write a handover, by which it would execute any file.
#[test]
fn a_forged_handover_is_not_believed() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let Some(launch) = set_user_id(&scene) else { return };
    let parent = process::id();
    let mut memory: File =
        memfd_create("forged", MemfdFlags::ALLOW_SEALING).expect("a memory file").into();
    let bytes = |text: &str| format!("{{\"Unix\":{:?}}}", text.as_bytes());
    let program = bytes("/bin/true");
    write!(
        memory,
        "{{\"format\":1,\"parent\":{parent},\"content\":{{\"parent\":{parent},\"program\":{program},\
         \"in_background\":false,\"listeners\":[],\"error_log_path\":null,\"access_log\":null,\
         \"pid_path\":null,\"scoreboard_path\":null,\"has_board\":false,\"pool\":null}}}}"
    )
    .expect("written");
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&memory, seals).expect("sealed");
    let message = format!("probe:{}:-1", memory.as_raw_fd());
    let running =
        launch.path("--witness", "witness").variable("PREFORK_HANDOVER", message).paths().start();
    let daemon = running.ready();
    assert_eq!(scene.lines_with("witness", "of a probe"), [""; 0]);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}

/// L7: a script that is root's own may not lead to a program that others can change.
#[test]
fn a_script_that_executes_what_others_can_change_is_not_followed() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    let real = scene.path("real");
    fs::write(&real, program.content("--version 2")).expect("written");
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", real.display());
    program.install_bytes(script.as_bytes(), 0o755);
    let refused = "upgrade refused: root does not run what others can change";
    for (round, mode) in [0o777, 0o757].into_iter().enumerate() {
        fs::set_permissions(&real, Permissions::from_mode(mode)).expect("set");
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, refused, round + 1);
        let line = &scene.lines_with("error.log", refused)[round];
        assert!(line.contains(&*real.to_string_lossy()), "{line}");
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    }
    fs::set_permissions(&real, Permissions::from_mode(0o755)).expect("set");
    daemon.signal(Signal::USR2);
    super::wait_for_version(&daemon, 2);
    daemon.stop_in_order();
}

/// A probe that tries to be what children are to be has rights no more, and by then no socket that leads to the parent.
#[test]
fn a_probe_without_rights_has_no_socket_to_the_parent() {
    if !require_root() || !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    // It waits until the parent has executed what it runs.
    let late = ["-e", "trace=execveat", "-e", "inject=execveat:delay_enter=5000000"];
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null"].into_iter().chain(late);
    let daemon = program.launch().args(["--user", "nobody"]).under(strace).foreground();
    let before = daemon.living();
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    let is_nobodys = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("Uid:\t65534\t65534\t65534\t65534"))
    };
    let probe = || {
        let mut others = scene.processes().into_iter().map(|process| process.pid);
        others.find(|pid| !before.contains(pid) && is_nobodys(pid))
    };
    wait_until(PATIENCE, "the probe has no rights any more", || probe().is_some());
    let probe = probe().expect("it waits for seconds");
    let table = fs::read_to_string("/proc/net/unix").expect("there is one");
    let inodes: Vec<_> = table.lines().filter_map(|line| line.split_whitespace().nth(6)).collect();
    let held = fs::read_dir(format!("/proc/{probe}/fd")).expect("it is there");
    let held: Vec<_> = held
        .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .collect();
    assert!(held.iter().any(|held| held.starts_with("pipe:")), "{held:?}");
    for socket in held.iter().filter_map(|held| held.strip_prefix("socket:[")) {
        assert!(!inodes.contains(&socket.trim_end_matches(']')), "{held:?}");
    }
    wait_for_version(&daemon, 2);
    daemon.signal(Signal::TERM);
    scene.wait_until_deserted(PATIENCE);
}
