//! The examples do what they say.

mod crashy;
mod first;
mod jobs;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
};

use prefork_tests::{PATIENCE, Scene, require_tool, scene, wait_until};

/// Returns the lines of the daemon's standard error that contain `text`.
fn said(scene: &Scene, text: &str) -> Vec<String> {
    scene.lines_with("1.stderr", text)
}

/// The access log of hello is one that programs read which make reports of such logs.
#[test]
fn the_access_log_is_read_by_goaccess() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    for path in ["/", "/pid", "/nowhere?a=%22b%22", "/", "/sleep?ms=1"] {
        daemon.get(path).expect("it answers");
    }
    daemon.stop_in_order();
    let log = scene.read("access.log");
    assert_eq!(log.lines().count(), 5, "{log}");
    let shape = |line: &str| {
        let (client, rest) = line.split_once(" - - [").expect("a client");
        let (time, exchange) = rest.split_once(" +0000] ").expect("a time");
        assert!(client.parse::<std::net::IpAddr>().is_ok(), "{line}");
        assert_eq!((time.len(), time.matches(['/', ':']).count()), (20, 5), "{line}");
        exchange.to_owned()
    };
    let exchanges: Vec<_> = log.lines().map(shape).collect();
    assert!(exchanges.contains(&"\"GET / HTTP/1.1\" 200 6".to_owned()), "{log}");
    if !require_tool("goaccess") {
        return;
    }
    let goaccess = scene.tool("goaccess").args(["access.log", "--no-global-config"]);
    let report = goaccess.args(["--log-format=COMMON", "-o", "report.json"]).finish();
    assert!(report.end.is_success(), "{report:?}");
    let report: serde_json::Value =
        serde_json::from_str(&scene.read("report.json")).expect("a report");
    let general = &report["general"];
    assert_eq!((&general["valid_requests"], &general["failed_requests"]), (&5.into(), &0.into()));
    let first = &report["requests"]["data"][0];
    assert_eq!((&first["data"], &first["hits"]["count"]), (&"/".into(), &2.into()), "{first}");
}

/// What comes in at either socket goes out again, and a client that stays does not keep a daemon that
/// is to stop.
#[test]
fn echo_answers_at_both_sockets() {
    let scene = scene!();
    // The path of a UNIX socket has room for 107 bytes, which the directory of a test may not leave.
    let directory = tempfile::tempdir().expect("a directory");
    let (address, path) = (scene.address().to_string(), directory.path().join("socket"));
    let echo = scene.tool(env!("CARGO_BIN_EXE_echo")).args([&address]).args([&path]).start();
    wait_until(PATIENCE, "it is ready", || !said(&scene, "ready").is_empty());
    for _ in 0..10 {
        let mut tcp = TcpStream::connect(scene.address()).expect("it listens");
        let mut unix = UnixStream::connect(&path).expect("it listens");
        let text = vec![b'x'; 100_000];
        let mut answers = [Vec::new(), Vec::new()];
        // In pieces that no buffer is too small for.
        for piece in text.chunks(2000) {
            for (client, answer) in
                [&mut tcp as &mut dyn ReadWrite, &mut unix].into_iter().zip(&mut answers)
            {
                client.write_all(piece).expect("sent");
                let mut back = vec![0; piece.len()];
                client.read_exact(&mut back).expect("it comes back");
                answer.extend(back);
            }
        }
        tcp.shutdown(Shutdown::Write).expect("half closed");
        unix.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(tcp.read(&mut [0]).expect("closed in order"), 0);
        assert_eq!(unix.read(&mut [0]).expect("closed in order"), 0);
        assert!(answers.iter().all(|answer| *answer == text));
    }
    let mut stays = TcpStream::connect(scene.address()).expect("it listens");
    stays.write_all(b"hello").expect("sent");
    stays.read_exact(&mut [0; 5]).expect("it comes back");
    echo.stop_in_order();
    assert_eq!(stays.read(&mut [0]).expect("closed in order"), 0);
    assert!(!path.exists(), "the socket is left");
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}
