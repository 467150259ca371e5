//! Standard output and error that cannot be written to: nobody waits for them, and what was lost is counted.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use prefork_tests::{
    Daemon, Launch, PATIENCE, Running, Scene, Terminal, get, kill, require_tool, scene, wait_until,
};
use rustix::{
    fs::{OFlags, fcntl_setfl, fstat},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::Signal,
    termios::Action,
};

/// A daemon in the foreground whose own lines go to `stderr`.
fn launch(scene: &Scene, stderr: impl Into<OwnedFd>) -> Launch<'_> {
    let page = page(scene).to_string();
    let args = ["--prefork", "2", "--status-listen", &page];
    scene.probe().args(args).path("--pid-path", "pid").stderr(stderr)
}

fn page(scene: &Scene) -> SocketAddr {
    SocketAddr::new(scene.address().ip(), 9000)
}

#[track_caller]
fn daemon<'a>(scene: &'a Scene, running: &Running<'a>) -> Daemon<'a> {
    wait_until(PATIENCE, "it serves", || {
        assert_eq!(running.end(), None, "the daemon ended at the start");
        get(scene.address(), "/").is_ok() && scene.path("pid").exists()
    });
    let daemon = Daemon::of_pid_file(scene);
    // One that serves may stand beside one that has just been forked.
    wait_until(PATIENCE, "both children are there", || workers(&daemon).len() == 2);
    daemon
}

/// The children that serve, without those that answer for the status page.
fn workers(daemon: &Daemon<'_>) -> Vec<u32> {
    let children = daemon.children().into_iter();
    let workers = children.filter(|child| child.command_line().contains("[child]"));
    workers.map(|child| child.pid).collect()
}

fn metrics(scene: &Scene) -> io::Result<String> {
    let mut connection = TcpStream::connect(page(scene))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How many lines the parent could not write, as its metrics have it.
fn lost(scene: &Scene) -> u64 {
    counted(scene, "prefork_log_lines_lost_total")
}

fn counted(scene: &Scene, metric: &str) -> u64 {
    let metrics = metrics(scene).unwrap_or_default();
    let found = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
    found.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}

/// Makes the daemon do what it logs: reap, replace, reload, upgrade.
#[track_caller]
fn exercise(scene: &Scene, daemon: &Daemon<'_>) {
    let before = workers(daemon);
    assert!(kill(before[0], Signal::KILL));
    wait_until(PATIENCE, "it is reaped and replaced", || {
        let gone = !daemon.children().iter().any(|child| child.pid == before[0]);
        gone && workers(daemon).len() >= 2
    });
    for request in [Signal::HUP, Signal::USR2] {
        let before = workers(daemon);
        daemon.signal(request);
        wait_until(PATIENCE, &format!("all were replaced on {request:?}"), || {
            let now = workers(daemon);
            now.len() >= 2 && !now.iter().any(|pid| before.contains(pid))
        });
        assert_eq!(daemon.get("/").expect("it serves").status, 200);
    }
    wait_until(PATIENCE, "lines were lost, and counted", || lost(scene) > 2);
}

#[track_caller]
fn stop(scene: &Scene, daemon: &Daemon<'_>, running: &Running<'_>) {
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success(), "it did not stop in order");
    scene.assert_nothing_is_left();
}

/// Writes until nothing more fits.
fn fill(descriptor: impl AsFd) {
    for size in [4096, 64, 1] {
        while rustix::io::write(&descriptor, &vec![b'x'; size]).is_ok() {}
    }
}

/// Makes a daemon write a line, as its log can be written again.
#[track_caller]
fn wait_for_news(scene: &Scene, daemon: &Daemon<'_>, mut text: impl FnMut() -> String) {
    // Reading makes room.
    let mut all = text();
    daemon.signal(Signal::TTIN);
    wait_until(PATIENCE, "it says what was lost", || {
        all.push_str(&text());
        all.contains("lines lost: ") && all.contains("prefork is now 3")
    });
    assert!(lost(scene) > 2);
}

fn read_what_is_there(from: &mut impl Read) -> String {
    let mut all = Vec::new();
    let mut space = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut space) {
        all.extend_from_slice(&space[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// I1: a pipe that nobody reads.
#[test]
fn a_pipe_that_nobody_reads_stops_nobody() {
    let scene = scene!();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    let running = launch(&scene, writer.try_clone().expect("copied")).start();
    let daemon = daemon(&scene, &running);
    // As a child could, which shares the description; and then what it could leave behind.
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("set");
    fill(&writer);
    fcntl_setfl(&writer, OFlags::empty()).expect("set");
    exercise(&scene, &daemon);
    fcntl_setfl(&reader, OFlags::NONBLOCK).expect("set");
    let mut reader = File::from(reader);
    wait_for_news(&scene, &daemon, || read_what_is_there(&mut reader));
    stop(&scene, &daemon, &running);
}

/// I1: a pipe whose reader has gone.
#[test]
fn a_pipe_whose_reader_has_gone_stops_nobody() {
    let scene = scene!();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    let running = launch(&scene, writer).start();
    let daemon = daemon(&scene, &running);
    drop(reader);
    exercise(&scene, &daemon);
    stop(&scene, &daemon, &running);
}

/// I1: a terminal that somebody has stopped (Ctrl-S).
#[test]
fn a_stopped_terminal_stops_nobody() {
    let scene = scene!();
    let terminal = Terminal::new(120, 50);
    let running = launch(&scene, terminal.end()).start();
    let daemon = daemon(&scene, &running);
    terminal.flow(Action::OOff);
    exercise(&scene, &daemon);
    terminal.flow(Action::OOn);
    wait_for_news(&scene, &daemon, || terminal.text().replace('\n', ""));
    stop(&scene, &daemon, &running);
}

/// I1: a terminal whose window was closed.
#[test]
fn a_closed_terminal_stops_nobody() {
    let scene = scene!();
    let terminal = Terminal::new(120, 50);
    let running = launch(&scene, terminal.end()).start();
    let daemon = daemon(&scene, &running);
    terminal.close();
    exercise(&scene, &daemon);
    stop(&scene, &daemon, &running);
}

/// I1: a disk that is full.
#[test]
fn a_full_disk_stops_nobody() {
    let scene = scene!();
    let full = File::options().write(true).open("/dev/full").expect("there");
    let running = launch(&scene, full).start();
    let daemon = daemon(&scene, &running);
    exercise(&scene, &daemon);
    stop(&scene, &daemon, &running);
}

/// I1: logs that have reached the limit of file size, by which the kernel ends a writer (SIGXFSZ).
#[test]
fn logs_at_the_limit_of_file_size_stop_nobody() {
    if !require_tool("prlimit") {
        return;
    }
    const LIMIT: u64 = 64 << 20;
    let scene = scene!();
    let path = scene.path("error.log");
    let log = File::create(&path).expect("made");
    let access_log = File::create(scene.path("access.log")).expect("made");
    let limit = format!("--fsize={LIMIT}");
    let running = launch(&scene, log.try_clone().expect("copied"))
        .path("--access-log-path", "access.log")
        .under(["prlimit", &limit])
        .start();
    let daemon = daemon(&scene, &running);
    assert!(!daemon.get("/log/first").expect("an answer").body.starts_with("not logged"));
    for log in [&log, &access_log] {
        log.set_len(LIMIT).expect("grown");
    }
    let before = workers(&daemon);
    let reply = daemon.get("/log/lost").expect("an answer");
    assert!(reply.body.starts_with("not logged"), "{reply:?}");
    assert_eq!(workers(&daemon), before, "a writer was ended");
    exercise(&scene, &daemon);
    log.set_len(0).expect("cut");
    wait_for_news(&scene, &daemon, || fs::read_to_string(&path).unwrap_or_default());
    stop(&scene, &daemon, &running);
}

/// I1: a socket of the journal whose reader is behind.
#[test]
fn a_full_journal_stops_nobody() {
    let scene = scene!();
    let (mut journal, log) = UnixStream::pair().expect("made");
    let running = launch(&scene, log.try_clone().expect("copied")).start();
    let daemon = daemon(&scene, &running);
    log.set_nonblocking(true).expect("set");
    fill(&log);
    log.set_nonblocking(false).expect("set");
    exercise(&scene, &daemon);
    journal.set_nonblocking(true).expect("set");
    wait_for_news(&scene, &daemon, || read_what_is_there(&mut journal));
    stop(&scene, &daemon, &running);
}

/// I1: a child shuts the journal's socket down for all that share it. The parent finds the journal again.
#[test]
fn a_journal_that_was_shut_down_is_connected_again() {
    let scene = scene!();
    let path = scene.socket("journal");
    let journal = UnixListener::bind(&path).expect("bound");
    let log = UnixStream::connect(&path).expect("connected");
    let running = launch(&scene, log.try_clone().expect("copied")).start();
    let daemon = daemon(&scene, &running);
    log.shutdown(std::net::Shutdown::Both).expect("shut down");
    drop(journal.accept().expect("the first connection"));
    daemon.signal(Signal::TTIN);
    journal.set_nonblocking(true).expect("set");
    let mut text = String::new();
    wait_until(PATIENCE, "it goes on by another connection", || {
        if let Ok((mut connection, _)) = journal.accept() {
            connection.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
            let mut line = [0; 400];
            let count = connection.read(&mut line).unwrap_or(0);
            text.push_str(&String::from_utf8_lossy(&line[..count]));
        }
        text.contains("prefork is now 3")
    });
    stop(&scene, &daemon, &running);
}

/// In the journal each line has its priority, and neither time nor name, which the journal has by itself.
#[test]
fn lines_in_the_journal_begin_with_their_priority() {
    let scene = scene!();
    let (mut journal, log) = UnixStream::pair().expect("made");
    let stat = fstat(&log).expect("open");
    let running = launch(&scene, log.try_clone().expect("copied"))
        .stdout(log.try_clone().expect("copied"))
        .variable("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino))
        .args(["--access-log-path", "/dev/stdout"])
        .start();
    let daemon = daemon(&scene, &running);
    let child = daemon.get("/pid").expect("it serves").number();
    daemon.get("/log/<0>forged").expect("it serves");
    assert!(kill(child, Signal::KILL));
    let (pid, mut text) = (daemon.pid(), String::new());
    journal.set_nonblocking(true).expect("set");
    for line in [
        format!("<6>parent[{pid}] info: ready, with 2 children\n"),
        "<6><0>forged\n".to_owned(),
        format!("<3>parent[{pid}] error: child {child} (slot "),
    ] {
        wait_until(PATIENCE, &format!("{line:?} is there"), || {
            text += &read_what_is_there(&mut journal);
            text.contains(&line)
        });
    }
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
    stop(&scene, &daemon, &running);
}

/// I1: the log of requests goes to a pipe that nobody reads: requests are answered, and the log says what it lost.
#[test]
fn requests_are_answered_while_nobody_reads_their_log() {
    let scene = scene!();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    let errors = scene.path("errors");
    let log = File::create(&errors).expect("made");
    let running = launch(&scene, log)
        .stdout(writer.try_clone().expect("copied"))
        .args(["--access-log-path", "/dev/stdout"])
        .start();
    let daemon = daemon(&scene, &running);
    assert!(!daemon.get("/log/first").expect("an answer").body.starts_with("not logged"));
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("set");
    fill(&writer);
    assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::AGAIN));
    fcntl_setfl(&writer, OFlags::empty()).expect("set");
    for number in 0..50 {
        let reply = daemon.get(&format!("/log/{number}")).expect("an answer");
        assert!(reply.body.starts_with("not logged"), "{reply:?}");
    }
    let lost = || counted(&scene, "prefork_child_log_lines_lost_total");
    wait_until(PATIENCE, "that is counted", || lost() > 0);
    let mut reader = File::from(reader);
    reader.read_exact(&mut [0; 40_000]).expect("read");
    wait_until(PATIENCE, "a child has written a line again", || {
        daemon.get("/log/again").expect("an answer");
        fs::read_to_string(&errors).unwrap_or_default().contains("child warning: access log: ")
    });
    stop(&scene, &daemon, &running);
}

/// I3: lines that the program prints, and the daemon's own, do not overwrite each other in a file that was opened as
/// by `>`.
#[test]
fn a_file_that_was_not_opened_for_appending_keeps_every_line() {
    let scene = scene!();
    let path = scene.path("errors");
    let mut log = File::create(&path).expect("made");
    let running = launch(&scene, log.try_clone().expect("copied")).start();
    let daemon = daemon(&scene, &running);
    let is_ready =
        || String::from_utf8_lossy(&fs::read(&path).expect("read")).contains("ready, with");
    wait_until(PATIENCE, "it has logged", is_ready);
    let before = fs::read(&path).expect("read");
    // By the description that the program has.
    log.write_all(b"printed by the program\n").expect("written");
    daemon.signal(Signal::TTIN);
    let read = || fs::read(&path).expect("read");
    wait_until(PATIENCE, "it has logged more", || {
        String::from_utf8_lossy(&read()).contains("prefork is now 3")
    });
    let after = read();
    assert!(after.starts_with(&before), "a line was overwritten");
    assert!(String::from_utf8_lossy(&after).contains("\nprinted by the program\n"));
    stop(&scene, &daemon, &running);
}

/// I3: both logs and what the program prints in one file that was opened as by `>`, through a start and an upgrade.
#[test]
fn a_file_that_everything_goes_to_keeps_every_line() {
    let scene = scene!();
    let path = scene.path("all.log");
    let log = File::create(&path).expect("made");
    let running = launch(&scene, log.try_clone().expect("copied"))
        .stdout(log)
        .args(["--access-log-path", "/dev/stdout"])
        .start();
    let daemon = daemon(&scene, &running);
    for number in 0..20 {
        assert!(!daemon.get(&format!("/log/{number}")).expect("an answer").body.starts_with("not"));
        if number == 10 {
            let before = workers(&daemon);
            daemon.signal(Signal::HUP);
            wait_until(PATIENCE, "all were replaced", || {
                let now = workers(&daemon);
                now.len() >= 2 && !now.iter().any(|pid| before.contains(pid))
            });
        }
    }
    stop(&scene, &daemon, &running);
    let text = fs::read_to_string(&path).expect("read");
    assert!(!text.contains('\0'), "{text:?}");
    let numbers: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let found: Vec<&str> = text.lines().filter(|line| line.len() < 3).collect();
    assert_eq!(found, numbers, "{text}");
    for event in ["ready, with 2 children", "replacing all children", "stopping gracefully"] {
        assert_eq!(text.lines().filter(|line| line.contains(event)).count(), 1, "{text}");
    }
}

#[test]
fn what_is_lost_is_an_error_for_the_program_too() -> io::Result<()> {
    let scene = scene!();
    let full = File::options().write(true).open("/dev/full")?;
    let running = launch(&scene, full.try_clone()?)
        .stdout(full)
        .args(["--access-log-path", "/dev/stdout"])
        .start();
    let daemon = daemon(&scene, &running);
    let reply = daemon.get("/log/lost")?;
    assert!(reply.body.contains("No space left"), "{reply:?}");
    stop(&scene, &daemon, &running);
    Ok(())
}

/// What whoever starts a daemon has left open may be for the program, but is for nobody that its children execute.
#[test]
fn what_the_starter_has_left_open_is_not_for_programs_of_children() {
    let scene = scene!();
    let program = scene.tool(env!("CARGO_BIN_EXE_loner"));
    let listen = scene.address().to_string();
    let started = program.args(["--listen", &listen]).after_shell("exec 9>>left-open");
    let daemon = started.foreground();
    let answer = daemon.get("/start").expect("answered").body;
    let mut pids = answer.split(' ').map(|pid| pid.parse::<u32>().expect("a pid"));
    let child = pids.next().expect("the child");
    let has = |pid: u32| {
        let open = fs::read_link(format!("/proc/{pid}/fd/9"));
        open.is_ok_and(|path| path == scene.path("left-open"))
    };
    assert!(has(daemon.pid()) && has(child), "the program may use it");
    // The other one is started by a program that may have ended by now.
    let program = pids.next().expect("what it has started");
    assert!(fs::read_dir(format!("/proc/{program}/fd")).is_ok(), "it runs");
    assert!(!has(program));
    daemon.stop_in_order();
}

/// Nor for programs of hooks.
#[test]
fn what_the_starter_has_left_open_is_not_for_programs_of_hooks() {
    let scene = scene!();
    let (script, found) = (scene.path("demand.sh"), scene.path("found"));
    let look = format!("ls -l /proc/self/fd >{0}.new && mv {0}.new {0}\necho 0\n", found.display());
    fs::write(&script, look).expect("written");
    let demand = format!("sh {}", script.display());
    let args = ["run", "--prefork", "1", "--demand-command", &demand, "--", "sleep", "1000"];
    let program = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(args);
    let running = program.after_shell("exec 9>>left-open").start();
    let open = || fs::read_link(format!("/proc/{}/fd/9", running.pid()));
    wait_until(PATIENCE, "the hook has looked", || found.exists());
    assert!(open().is_ok_and(|path| path == scene.path("left-open")), "the parent has it");
    let found = fs::read_to_string(found).expect("read");
    assert!(found.contains(" 1 -> ") && !found.contains("left-open"), "{found}");
    running.stop_in_order();
}
