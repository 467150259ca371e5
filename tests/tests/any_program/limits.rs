//! Limits for a program: time of a request, memory, requests, resources.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use prefork_tests::{PATIENCE, get, records, scene, wait_for_in_hand, wait_until};

use super::run;

#[test]
fn one_that_hangs_is_ended_with_the_name_of_its_client() {
    for waits in ["accept", "epoll"] {
        let scene = scene!();
        let settings = "request_timeout = \"1s\"\n";
        let daemon = run(&scene, &["--fd", "{fd}", "--waits", waits], settings).daemon();
        let mut hung = TcpStream::connect(scene.address()).expect("connected");
        hung.write_all(b"GET /late?ms=60000 HTTP/1.0\r\n\r\n").expect("sent");
        let client = hung.local_addr().expect("it is bound").to_string();
        wait_until(PATIENCE, "it is named", || {
            scene
                .lines_with("error.log", "has been at one request for")
                .iter()
                .any(|line| line.contains(&client))
        });
        assert!(!matches!(hung.read(&mut [0]), Ok(1)), "it is ended");
        daemon.wait_for_children(PATIENCE, 2, &[]);
        daemon.stop_in_order();
    }
}

#[test]
fn one_that_grows_is_replaced() {
    let scene = scene!();
    let settings = "max_memory = \"64M\"\nprefork = 1\nmax_children = 1\n";
    let daemon = run(&scene, &["--fd", "{fd}"], settings).args(["--prefork", "1"]).daemon();
    let first = get(scene.address(), "/sleep?ms=3000").expect("answered").number();
    get(scene.address(), "/grow?mb=100").expect("answered");
    wait_until(PATIENCE, "there is another", || {
        get(scene.address(), "/sleep?ms=60").is_ok_and(|reply| reply.number() != first)
    });
    assert!(scene.logged("MiB of memory, of 64 MiB (max_memory)") >= 1);
    daemon.stop_in_order();
}

#[test]
fn what_it_says_that_it_has_in_hand_is_believed() {
    let scene = scene!();
    let settings = "concurrency = 8\n";
    let daemon = run(&scene, &["--fd", "{fd}"], settings).args(["--prefork", "1"]).daemon();
    get(scene.address(), "/notify?X_PREFORK_IN_HAND=3").expect("answered");
    wait_for_in_hand(&scene, 3);
    get(scene.address(), "/notify?STATUS=three-of-four").expect("answered");
    wait_until(PATIENCE, "its words are shown", || {
        records(&scene).iter().any(|record| record.label() == "three-of-four")
    });
    get(scene.address(), "/notify?X_PREFORK_IN_HAND=0").expect("answered");
    wait_for_in_hand(&scene, 0);
    daemon.stop_in_order();
}

#[test]
fn what_takes_children_that_accept_by_the_library_is_refused() {
    for (settings, name) in [
        ("queue_limit = \"1s\"\n", "queue_limit"),
        ("queue_time = true\n", "queue_time"),
        ("queue_target = \"1s\"\n", "queue_target"),
    ] {
        let scene = scene!();
        let expected =
            format!("{name}: cannot be kept by a program that accepts its clients itself");
        run(&scene, &["--fd", "{fd}"], settings).finish().assert_refused(&expected);
    }
}

#[test]
fn its_resources_are_limited() {
    let scene = scene!();
    let settings = "[limits]\nnofile = 77\ncore = 0\n";
    let daemon = run(&scene, &["--fd", "{fd}"], settings).daemon();
    let limits = get(scene.address(), "/limits").expect("answered").body;
    let of = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("Max open files"), ["77", "77"]);
    assert_eq!(of("Max core file size"), ["0", "0"]);
    daemon.stop_in_order();
}
