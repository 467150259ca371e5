//! How the page looks, in a browser.

use std::{fs, io::Write, net::TcpStream};

use prefork_tests::{InHand, PATIENCE, Scene, kill, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::{get, json, wait_for_count};

/// What a browser sees of a saved page: colours and width of the window, and one line for each fault.
#[track_caller]
fn seen(scene: &Scene, page: &str, (scheme, width): (&str, u32)) -> String {
    let path = scene.path(&format!("{scheme}{width}.html"));
    let page = format!("{page}<script>{}</script>", include_str!("seen.js"));
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    // No window of the browser's is as narrow as a telephone.
    let frame = format!("<iframe width=\"{width}\" height=\"900\" srcdoc=\"{page}\"></iframe>");
    fs::write(&path, frame).expect("written");
    let dark = if scheme == "dark" { 0 } else { 1 };
    let browser = scene
        .tool("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args([
            format!("--user-data-dir={}", scene.path("browser").display()),
            format!("--blink-settings=preferredColorScheme={dark}"),
            "--window-size=1400,1000".to_owned(),
            "--dump-dom".to_owned(),
            format!("file://{}", path.display()),
        ])
        .variable("HOME", scene.path("."));
    let dumped = browser.finish();
    let (_, rest) = dumped
        .stdout
        .split_once("<pre id=\"seen\">")
        .unwrap_or_else(|| panic!("the script has not run: {dumped:?}"));
    rest.split_once("</pre>").expect("its end").0.to_owned()
}

/// Every text can be read, and what a child does is in sight, in wide windows and on telephones, by day and by night.
#[test]
fn everybody_can_read_the_page() {
    if !require_tool("chromium") {
        return;
    }
    let scene = scene!();
    let page = scene.page().to_string();
    let args = ["--prefork", "4", "--max-children", "6", "--status-listen", &page];
    let daemon = scene.hello().board().args(args).daemon();
    // All colours: what went wrong, who is at work, who waits, and whose process is gone.
    let killed = InHand::at(scene.address(), "/sleep?ms=60000");
    assert!(kill(killed.worker().pid, Signal::KILL));
    wait_for_count(&scene, "deaths_killed", 1);
    let request = InHand::at(scene.address(), &format!("/sleep?ms={:0>70}", 60_000));
    wait_until(PATIENCE, "it is shown", || get(&scene, "/status").body.contains("000000060000"));
    let html = get(&scene, "/status?all").body;
    let html = html.replacen("<tr><td", "<tr class=\"gone\"><td", 1);
    for scheme in ["light", "dark"] {
        for width in [1280, 390] {
            let seen = seen(&scene, &html, (scheme, width));
            let (first, faults) = seen.split_once('\n').expect("lines");
            assert!(first.starts_with(&format!("{scheme} {width} texts ")), "{seen}");
            assert_eq!(faults.trim(), "", "{seen}");
            println!("{first}");
        }
    }
    request.reset();
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

/// A child that waits for a client that sends nothing does not work on anything yet.
#[test]
fn a_child_that_waits_for_its_client_is_reading() {
    let scene = scene!();
    let page = scene.page().to_string();
    let args = ["--prefork", "2", "--max-children", "2", "--status-listen", &page];
    let daemon = scene.hello().board().args(args).daemon();
    let mut client = TcpStream::connect(scene.address()).expect("it listens");
    let states = || {
        let children = json(&scene)["children"].clone();
        let states = children.as_array().expect("a list").iter();
        let mut states: Vec<_> = states.map(|it| it["state"].to_string()).collect();
        states.sort();
        states.join(" ")
    };
    wait_until(PATIENCE, "one is reading", || states() == "\"idle\" \"reading\"");
    client.write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    wait_until(PATIENCE, "it is at work", || states() == "\"idle\" \"writing\"");
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}
