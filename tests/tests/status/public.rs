//! What everybody may ask: at an address of its own, and no more than that.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use prefork_tests::{InHand, PATIENCE, Scene, check_metrics, scene, wait_until};
use rustix::process::Signal;

use crate::{Answer, count, exchange, get, json, wait_for_count};

/// Asks at the address for everybody, as a machine that knows this one by a name.
#[track_caller]
fn ask(address: SocketAddr, path: &str, accept: &str) -> Answer {
    let connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: hello.default.svc:9100\r\nAccept: {accept}\r\n\r\n");
    exchange(connection, &request).expect("it answers")
}

fn arguments(scene: &Scene) -> [String; 4] {
    let [page, public] = [scene.page(), scene.public()].map(|address| address.to_string());
    ["--status-listen".to_owned(), page, "--metrics-listen".to_owned(), public]
}

/// Figures and probes, and neither pages nor anything of clients.
#[test]
fn everybody_gets_figures_and_nothing_of_clients() {
    let scene = scene!();
    let daemon = scene.hello().board().args(arguments(&scene)).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let client = request.client().to_string();
    wait_until(PATIENCE, "the page names the client and what it wants", || {
        let shown = json(&scene).to_string();
        shown.contains("GET /sleep") && shown.contains(&client)
    });
    let public = |path| ask(scene.public(), path, "*/*");
    let (classic, open) = (
        public("/metrics"),
        ask(scene.public(), "/metrics", "application/openmetrics-text; version=1.0.0"),
    );
    assert!(classic.body.contains("\nprefork_children{name=\"hello\",state=\"writing\"} 1\n"));
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    check_metrics(&scene, &classic.body, &open.body);
    for path in ["/metrics", "/ready", "/live", "/status", "/status.json", "/"] {
        let text = public(path).body;
        let ip = client.split(':').next().expect("an address");
        assert!(!text.contains("/sleep") && !text.contains(ip), "{path}: {text}");
    }
    for (path, status) in
        [("/ready", 200), ("/live", 200), ("/status", 404), ("/status.json", 404), ("/", 404)]
    {
        assert_eq!(public(path).status, status, "{path}");
    }
    assert_eq!(get(&scene, "/status").status, 200);
    request.reset();
    daemon.signal(Signal::INT);
    daemon.wait_for_end(PATIENCE);
}

/// Alone, and at all addresses of the machine.
#[test]
fn any_address_will_do_where_it_is_asked_for() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--metrics-listen", "0.0.0.0:0"]).daemon();
    let ports = daemon.listening_ports();
    let port = ports.iter().find(|port| **port != scene.address().port()).expect("another");
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 200, 0, 1)] {
        let address = SocketAddr::from((ip, *port));
        wait_until(PATIENCE, "it is ready", || ask(address, "/ready", "*/*").status == 200);
        assert!(ask(address, "/metrics", "*/*").body.contains("prefork_busy_ratio"));
    }
    daemon.stop_in_order();
    let refused = scene.hello().args(["--status-listen", "0.0.0.0:0"]).finish();
    refused.assert_refused("metrics_listen serves what is");
}

/// Whoever fills the one address keeps nobody from the other.
#[test]
fn strangers_keep_no_operator_waiting() {
    let scene = scene!();
    let daemon = scene.hello().board().args(arguments(&scene)).daemon();
    wait_until(PATIENCE, "it is ready", || get(&scene, "/ready").status == 200);
    let begun = std::time::Instant::now();
    let mut silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(scene.public()).expect("it listens")).collect();
    for _ in 0..20 {
        assert_eq!(get(&scene, "/status").status, 200);
    }
    assert!(begun.elapsed().as_secs() < 4, "they were waited for: {:?}", begun.elapsed());
    // The first are given up by then.
    silent[0].set_read_timeout(Some(PATIENCE)).expect("set");
    assert_eq!(silent[0].read(&mut [0; 8]).expect("closed in order"), 0);
    drop(silent);
    wait_until(PATIENCE, "others are served", || {
        ask(scene.public(), "/ready", "*/*").status == 200
    });
    daemon.stop_in_order();
}

/// Over upgrades it stays where it is, moves, and goes, and nobody is refused meanwhile.
#[test]
fn the_address_for_everybody_outlives_upgrades() {
    let scene = scene!();
    let program = scene.program_of(env!("CARGO_BIN_EXE_probe"));
    let arguments = arguments(&scene);
    let daemon = program.launch().board().args(&arguments[..2]).args(&arguments[2..]).daemon();
    assert_eq!(ask(scene.public(), "/live", "*/*").status, 200);
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "it was upgraded", || {
        assert_eq!(ask(scene.public(), "/live", "*/*").status, 200);
        count(&scene, "upgrades") == 1
    });
    let moved = scene.other_address();
    program.install(&format!("--metrics-listen {moved}"));
    daemon.signal(Signal::USR2);
    wait_for_count(&scene, "upgrades", 2);
    assert_eq!(ask(moved, "/live", "*/*").status, 200);
    TcpStream::connect(scene.public()).expect_err("nobody listens there any more");
    daemon.stop_in_order();
}
