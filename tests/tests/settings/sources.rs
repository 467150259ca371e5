//! Where settings come from, which of them counts, and looking at them without serving.

use std::fs::{self, File};

use prefork_tests::{
    End, Launch, PATIENCE, Scene, Sent, get, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

const WRONG_SETTINGS: i32 = 78;

/// `hello` with a file, but without its own address.
fn hello<'a>(scene: &'a Scene, daemon: &str) -> Launch<'a> {
    let text = format!("listen = [\"{}\"]\n[daemon]\n{daemon}", scene.address());
    fs::write(scene.path("hello.toml"), text).expect("written");
    scene.tool(env!("CARGO_BIN_EXE_hello")).path("--config", "hello.toml")
}

/// A default gives way to the file, the file to a variable, a variable to a flag; and each says where it comes from.
#[test]
fn flags_go_before_variables_and_these_before_the_file() {
    let scene = scene!();
    let file = "prefork = 4\nmax_children = 40\nmax_memory = \"300M\"\n";
    let hello = hello(&scene, file)
        .variable("HELLO_MAX_CHILDREN", "41")
        .variable("HELLO_MAX_MEMORY", "200MiB")
        .variable("HELLO_REQUEST_TIMEOUT", "5 min")
        .args(["--max-memory", "100M", "--scoreboard-path", "/run/x", "--print-settings"]);
    let finished = hello.finish();
    assert_eq!((finished.end, &*finished.stderr), (End::Exited(0), ""));
    let path = scene.path("hello.toml");
    for (setting, origin) in [
        ("prefork = 4", &*format!("{}:3:1", path.display())),
        ("max_children = 41", "HELLO_MAX_CHILDREN"),
        ("max_memory = \"100M\"", "--max-memory"),
        ("request_timeout = \"5m\"", "HELLO_REQUEST_TIMEOUT"),
        ("graceful_timeout = \"30s\"", "default"),
        ("daemonize = false", "the program"),
        ("# max_lifetime", "default"),
        (&*format!("listen = [\"{}\"]", scene.address()), &*format!("{path:?}")),
    ] {
        let line = format!("{setting:48} # {origin}");
        assert!(finished.stdout.lines().any(|it| it == line), "{line}\n{}", finished.stdout);
    }
}

/// What is printed is a file that sets the same.
#[test]
fn the_settings_as_printed_can_be_read_back() {
    let scene = scene!();
    let flags = ["--prefork", "2", "--max-lifetime", "1d", "--umask", "027"];
    let print = |launch: Launch<'_>| launch.args(["--print-settings"]).finish();
    let printed = print(hello(&scene, "max_memory = \"1.5G\"\n").args(&flags[..4])).stdout;
    let settings = |text: &str| {
        let lines =
            text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim_end());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    fs::write(scene.path("again.toml"), &printed).expect("written");
    let again = scene.tool(env!("CARGO_BIN_EXE_hello")).path("--config", "again.toml");
    let again = print(again);
    assert_eq!((again.end, &*again.stderr), (End::Exited(0), ""));
    assert_eq!(settings(&again.stdout), settings(&printed));
    assert!(printed.contains("max_lifetime = \"1day\""), "{printed}");
}

/// A check says that all is right, or names each fault by its place, a line each; and nothing is started.
#[test]
fn a_check_names_every_fault_wherever_it_was_said() {
    let scene = scene!();
    let right = hello(&scene, "prefork = 2\n").args(["--check"]).finish();
    assert_eq!((right.end, &*right.stdout), (End::Exited(0), "hello: the settings are right\n"));
    assert_eq!(right.stderr, "");

    let file = "prefork = 2\nmax_childern = 4\n  request_timeout = \"soon\"\nmin_spare = 400\n";
    let wrong = hello(&scene, file)
        .variable("HELLO_MAX_MEMORY", "5MB")
        .args(["--max-lifetime", "1x", "--max-spare", "3", "--check"])
        .finish();
    let path = scene.path("hello.toml");
    let path = path.display();
    let time = "must be a number of seconds or a time such as \"30s\", \"5 min\" or \"1d\", not";
    let expected = format!(
        "hello: invalid arguments:\n\
         {path}:4:1: max_childern: unknown key; did you mean `max_children`?\n\
         {path}:5:3: request_timeout: {time} \"soon\"\n\
         HELLO_MAX_MEMORY: must be a number of bytes, or an amount such as \"200M\" or \"1.5GiB\", not \"5MB\"\n\
         --max-lifetime: {time} \"1x\"\n\
         {path}:6:1: min_spare: needs a scoreboard; set scoreboard_path or scoreboard_in_memory\n\
         --max-spare: needs a scoreboard; set scoreboard_path or scoreboard_in_memory\n"
    );
    assert_eq!(wrong.stderr, expected);
    assert_eq!((wrong.end, &*wrong.stdout), (End::Exited(WRONG_SETTINGS), ""));
    // Also where they are printed.
    let printed = hello(&scene, file).args(["--print-settings"]).finish();
    assert!(printed.stdout.lines().any(|line| line.starts_with("prefork = 2 ")), "{printed:?}");
    assert_eq!(printed.end, End::Exited(WRONG_SETTINGS));
    assert!(get(scene.address(), "/").is_err());
    // Hello's own.
    let examples =
        "it is no address; write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock";
    let wrong =
        hello(&scene, "").args(["--listen", "x", "--listen", ":1", "--listen", ":1", "--check"]);
    let expected = format!(
        "hello: --listen: cannot listen on \"x\": {examples}\n--listen: :1 is given twice\n"
    );
    assert_eq!(wrong.finish().stderr, expected);
}

/// A variable that resembles a setting is warned of, by a check and in the log; it stops nothing.
#[test]
fn a_misspelt_variable_is_warned_of() {
    let scene = scene!();
    let warning =
        "HELLO_MAX_CHILDERN is no setting and has no effect; did you mean HELLO_MAX_CHILDREN?";
    let hello = || hello(&scene, "prefork = 2\n").variable("HELLO_MAX_CHILDERN", "5");
    let checked = hello().args(["--check"]).finish();
    assert_eq!(
        (checked.end, &*checked.stdout),
        (End::Exited(0), "hello: the settings are right\n")
    );
    assert_eq!(checked.stderr, format!("warning: {warning}\n"));
    let running = hello().paths().start();
    let daemon = running.ready();
    let lines = scene.lines_with("error.log", "HELLO_MAX_CHILDERN");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].ends_with(&format!("[{}] parent warning: {warning}", daemon.pid())),
        "{lines:?}"
    );
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}

/// A key in the wrong table is refused with the right one, from both sides; a negative number gets the words of the settings.
#[test]
fn a_key_in_the_wrong_table_is_named_with_the_right_one() {
    let scene = scene!();
    let check = |text: &str| {
        fs::write(scene.path("hello.toml"), text).expect("written");
        let hello = scene.tool(env!("CARGO_BIN_EXE_hello")).path("--config", "hello.toml");
        let checked = hello.args(["--check"]).finish();
        assert_eq!(checked.end, End::Exited(WRONG_SETTINGS), "{checked:?}");
        checked.stderr
    };
    let outside = check("max_memory = \"1G\"\n[daemon]\nprefork = 2\n");
    let last = outside.lines().last();
    let advice = "`max_memory` is one of the daemon's settings: move it below [daemon]";
    assert_eq!(last, Some(advice), "{outside}");
    let inside = check("[daemon]\nlisten = [\":8080\"]\n");
    let path = scene.path("hello.toml");
    let expected = format!(
        "hello: invalid arguments: {}:2:1: listen: unknown key, none of the daemon's settings; if it is the program's own, \
         move it above [daemon]\n",
        path.display()
    );
    assert_eq!(inside, expected);

    let negative = scene.tool(env!("CARGO_BIN_EXE_hello")).args(["--prefork", "-1", "--check"]);
    let expected = "hello: invalid arguments: --prefork: must be a whole number from 0 to 4294967295, not \"-1\"\n";
    assert_eq!(negative.finish().stderr, expected);
}

/// A reload and an upgrade have the variables of the start, and these go before a file that has changed.
#[test]
fn variables_of_the_start_hold_over_reloads_and_upgrades() {
    let scene = scene!();
    let launch = hello(&scene, "prefork = 1\nmax_requests = 1000\n");
    let running = launch.paths().variable("HELLO_PREFORK", "3").start();
    let daemon = running.ready();
    daemon.wait_for_children(PATIENCE, 3, &[]);
    drop(hello(&scene, "prefork = 2\nmax_requests = 2000\n"));
    daemon.signal(Signal::HUP);
    scene.wait_for_line("settings read again: max_requests 2000, was 1000");
    scene.wait_for_line("all children are of generation 2 now");
    daemon.wait_for_children(PATIENCE, 3, &[]);
    let before = daemon.living();
    daemon.signal(Signal::USR2);
    scene.wait_for_line("all children are of generation 3 now");
    daemon.wait_for_children(PATIENCE, 3, &before);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}

/// A socket of any kind, and what is none is answered by examples.
#[test]
fn addresses_are_written_as_people_write_them() {
    let scene = scene!();
    // The ports are the system's choice: those of scenes are in use at other addresses.
    for (address, name) in
        [(":0", ["[::]:", "0.0.0.0:"]), ("localhost:0", ["[::1]:", "127.0.0.1:"])]
    {
        let hello = scene.tool(env!("CARGO_BIN_EXE_hello")).args(["--listen", address]);
        let daemon = hello.daemon();
        assert_eq!(daemon.listening_ports().len(), 1, "{address}");
        daemon.stop_in_order();
        let first = scene.lines_with("error.log", "parent info: starting hello ").pop();
        let first = first.expect("it says where it listens");
        let is_there = |name: &&str| first.contains(&format!("; listening on {name}"));
        assert!(name.iter().any(is_there), "{address}: {first}");
    }
    let socket = scene.socket("hello");
    let hello = scene.tool(env!("CARGO_BIN_EXE_hello"));
    let daemon = hello.args(["--listen".as_ref(), socket.as_os_str()]).daemon();
    let stream = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
    let reply = Sent::over(stream, "/pid").expect("asked").answer().expect("answered");
    assert_eq!(reply.status, 200);
    daemon.stop_in_order();

    let nonsense = scene.tool(env!("CARGO_BIN_EXE_hello")).args(["--listen", "8080"]).finish();
    let advice = "write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock";
    nonsense.assert_refused(&format!("cannot listen on \"8080\": it is no address; {advice}"));
    let page = scene.hello().args(["--status-listen", "9000"]).finish();
    assert_eq!(
        page.stderr,
        format!("hello: invalid arguments: --status-listen: \"9000\" is no address; {advice}\n")
    );
}

/// The command that the README prints works where the repository was just cloned, without children too.
#[test]
fn the_settings_command_of_the_readme_works_as_printed() {
    if !require_root() || !require_tool("unshare") || !require_tool("ip") {
        return;
    }
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let readme = fs::read_to_string(format!("{repository}/README.md")).expect("read");
    let command =
        readme.lines().find(|line| line.starts_with("hello --config ")).expect("it is there");
    let file = command.split(' ').nth(2).expect("a file");
    // As a clone that is root's alone, as settings have to be for root.
    let scene = scene!();
    let clone = scene.path("clone");
    let copy = clone.join(file);
    fs::create_dir_all(copy.parent().expect("a folder")).expect("made");
    fs::copy(format!("{repository}/{file}"), &copy).expect("copied");
    // Its port is its own in a network of its own.
    let alone = command.replace("--prefork 8", "--prefork 0");
    for (command, line) in [
        (command, "; 8 to 20 children as uid 0; "),
        (
            &*alone,
            "prefork is 0, so there are no children: max_children, max_memory, request_timeout have no effect\n",
        ),
    ] {
        let script = format!(
            "ip link set lo up && cd '{}' && hello() {{ exec '{}' \"$@\"; }} && {command}",
            clone.display(),
            env!("CARGO_BIN_EXE_hello")
        );
        let output = File::create(scene.path("output")).expect("made");
        let launch = scene.tool("unshare").args(["--net", "sh", "-c", &script]).stdout(output);
        let running = launch.start();
        wait_until(PATIENCE, "it serves", || {
            scene.read("output").contains("Serving at 127.0.0.1:8080 (pid ")
        });
        running.signal(Signal::TERM);
        let finished = running.finish();
        assert!(finished.end.is_success(), "{finished:?}");
        assert!(finished.stderr.contains(line), "{}", finished.stderr);
    }
}
