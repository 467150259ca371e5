//! The example that runs what strangers send: what they try, and what it costs others.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use prefork_tests::{Lack, PATIENCE, Running, Scene, require_tool, scene, skip, wait_until};
use rustix::process::Signal;

/// An answer.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|it| it == line)
    }
}

/// Sends a program, and returns the connection.
fn send(to: SocketAddr, language: &str, code: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let length = code.len();
    write!(stream, "POST /{language} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{code}")
        .expect("sent");
    stream
}

#[track_caller]
fn receive(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    Answer { head: head.to_owned(), body: body.to_owned() }
}

#[track_caller]
fn run(scene: &Scene, language: &str, code: &str) -> Answer {
    receive(send(scene.address(), language, code))
}

/// Starts it, and waits until it has said which limits there are, and answers.
fn runner(scene: &Scene) -> Running<'_> {
    let program = env!("CARGO_BIN_EXE_runner");
    let running = scene.tool(program).args([scene.address().to_string()]).start();
    wait_until(PATIENCE, "it is ready", || scene.read("1.stderr").contains("info: ready, with"));
    running
}

fn stop(running: &Running<'_>) {
    running.signal(Signal::TERM);
    wait_until(PATIENCE, "it has ended", || running.end().is_some());
    assert!(running.end().is_some_and(prefork_tests::End::is_success));
}

/// Whether a process with this in its arguments is there.
fn is_there(text: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).any(|line| line.contains(text))
}

#[test]
fn programs_are_answered_with_their_output_and_their_end() {
    let scene = scene!();
    let running = runner(&scene);
    for (code, status, body) in [
        ("echo hello; echo there >&2", "0", "hello\nthere\n"),
        ("exit 7", "7", ""),
        ("kill -SEGV $$", "signal 11", ""),
        ("echo $HOME $PREFORK_TESTS", "0", "/tmp\n"),
        ("exec >&- 2>&-; exit 3", "3", ""),
    ] {
        let answer = run(&scene, "sh", code);
        assert!(answer.has(&format!("Exit-Status: {status}")), "{code}: {answer:?}");
        assert_eq!(answer.body, body, "{code}");
        assert!(!answer.head.contains("Limit:"), "{code}: {answer:?}");
    }
    stop(&running);
}

/// Each ends at a limit that is named, and nobody else notices.
#[test]
fn what_takes_too_much_is_ended_at_its_limit() {
    let scene = scene!();
    let running = runner(&scene);
    let address = scene.address();
    let file = format!("runner-{}", running.pid());
    let fill = format!("ulimit -c 0; exec head -c 1G /dev/zero > {file}");
    let tried = [
        ("while :; do :; done", "time"),
        ("sleep 1000 & exec sleep 1000", "time"),
        ("exec >&-; exec 2>&-; sleep 1000", "time"),
        ("yes", "output"),
        (&*fill, "file size"),
    ];
    let sent = tried.map(|(code, _)| send(address, "sh", code));
    assert_eq!(run(&scene, "sh", "echo still here").body, "still here\n");
    for (sent, (code, limit)) in sent.into_iter().zip(tried) {
        let answer = receive(sent);
        assert!(answer.has(&format!("Limit: {limit}")), "{code}: {answer:?}");
    }
    // Where it has no /tmp of its own.
    let _ = fs::remove_file(format!("/tmp/{file}"));
    if require_tool("python3") {
        let answer = run(&scene, "python", "x = bytearray(10 << 30)");
        assert!(answer.body.contains("MemoryError"), "{answer:?}");
    }
    stop(&running);
}

#[test]
fn all_that_a_program_has_started_is_gone_with_it() {
    let scene = scene!();
    let running = runner(&scene);
    // A number that nobody else sleeps for.
    let time = 100_000 + running.pid();
    let code = format!("setsid sleep {time} >&- 2>&- & sleep {time} >&- 2>&- & echo started");
    assert_eq!(run(&scene, "sh", &code).body, "started\n");
    wait_until(PATIENCE, "both are gone", || !is_there(&format!("sleep\0{time}")));
    // One that starts others as fast as it can, each in a session of its own.
    let bomb = format!("while :; do setsid sleep {time} & done");
    let answer = run(&scene, "sh", &bomb);
    assert!(answer.head.contains("Exit-Status:"), "{answer:?}");
    wait_until(PATIENCE, "all of it is gone", || !is_there(&format!("{time}")));
    wait_until(PATIENCE, "others can be run again", || {
        let mut text = String::new();
        let read = send(scene.address(), "sh", "echo again").read_to_string(&mut text);
        read.is_ok() && text.ends_with("again\n")
    });
    stop(&running);
}

/// Where the kernel can count each child's processes.
#[test]
fn a_program_that_starts_all_it_can_keeps_no_other_from_starting_any() {
    let scene = scene!();
    let running = runner(&scene);
    if scene.read("1.stderr").contains("child_process_limit is not possible here") {
        return skip(Lack::Platform("no control group for each child"));
    }
    let time = 200_000 + running.pid();
    let bomb = format!("while :; do setsid sleep {time} & done; echo");
    let bombs: Vec<_> = (0..8).map(|_| send(scene.address(), "sh", &bomb)).collect();
    wait_until(PATIENCE, "they have begun", || is_there(&format!("sleep\0{time}")));
    for _ in 0..20 {
        let answer = run(&scene, "sh", "for i in 1 2 3; do sh -c 'echo started'; done");
        assert_eq!(answer.body, "started\nstarted\nstarted\n", "{answer:?}");
    }
    drop(bombs);
    wait_until(PATIENCE, "all of it is gone", || !is_there(&format!("{time}")));
    stop(&running);
}

#[test]
fn a_program_reaches_neither_its_neighbours_nor_the_network() {
    let scene = scene!();
    if !require_tool("python3") {
        return;
    }
    let running = runner(&scene);
    let isolation = scene.read("1.stderr");
    let address = scene.address();
    let connect = format!(
        "import socket\nsocket.create_connection(({:?}, {}))",
        address.ip().to_string(),
        address.port()
    );
    let answer = run(&scene, "python", &connect);
    assert!(answer.body.contains("PermissionError"), "{answer:?}");
    if isolation.contains("not possible here") && isolation.contains("signals (") {
        println!("SKIPPED: this kernel holds no signals back: {isolation}");
    } else {
        // It reaches all that it may signal: itself, and the child that has started it.
        let other = send(address, "sh", "sleep 1; echo unharmed");
        std::thread::sleep(Duration::from_millis(300));
        let killed =
            send(address, "sh", "kill -KILL -1; echo alive").read_to_string(&mut String::new());
        assert!(killed.is_ok_and(|length| length == 0), "its own child is gone");
        assert_eq!(receive(other).body, "unharmed\n");
    }
    stop(&running);
}
