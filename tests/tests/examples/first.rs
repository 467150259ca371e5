//! The first program of each page.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
};

use prefork_tests::{End, PATIENCE, Scene, kill, require_tool, scene, wait_until};
use rustix::process::Signal;

const FIXTURE: &str = include_str!("../../fixtures/first.rs");

/// Returns the first program in a page.
fn program(page: &str) -> &str {
    let (_, program) = page.split_once("use prefork::{Args, Prefork};").expect("a program");
    program.split_once("```").expect("its end").0.trim()
}

/// Returns what is answered to this.
fn ask(scene: &Scene, request: &[u8]) -> io::Result<String> {
    let mut connection = TcpStream::connect(scene.address())?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(request)?;
    connection.shutdown(Shutdown::Write)?;
    io::read_to_string(connection)
}

/// Returns what ten clients are answered, who do not all do what a browser does.
fn ask_ten(scene: &Scene) -> Vec<io::Result<String>> {
    wait_until(PATIENCE, "it serves", || ask(scene, b"first").is_ok());
    let requests: [&[u8]; 10] = [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        b"GET",
        b"\r\n",
        b"\0\xff",
        b"",
        &[b'x'; 4096],
        b"QUIT\n",
    ];
    requests.iter().map(|request| ask(scene, request)).collect()
}

/// The script runs by a stand-in for its module, which does what that documents.
#[test]
fn a_perl_script_and_its_port_answer_ten_clients_alike() {
    let page = include_str!("../../../prefork/docs/perl.md");
    let (program_run, _) =
        include_str!("../../fixtures/ported.rs").split_once("\n/// What stands").expect("a helper");
    let shown = program_run.replace("&*given(\"127.0.0.1:8080\")", "\"127.0.0.1:8080\"");
    let mut parts = shown.split("given(\"").collect::<Vec<_>>().join("\"");
    for name in ["error.log", "access.log", "pid", "board"] {
        parts = parts.replace(&format!("/{name}\"))"), &format!("/{name}\")"));
    }
    assert_eq!(program(page), program(&format!("{parts}```")), "it is the one that is run");

    let scene = scene!();
    let address = scene.address().to_string();
    let directory = scene.path("x").parent().expect("a directory").display().to_string();
    scene.tool(env!("CARGO_BIN_EXE_ported")).args([&directory, &address]).finish();
    let ported: Vec<_> = ask_ten(&scene).into_iter().map(|it| it.expect("answered")).collect();
    assert_eq!(ported, vec!["HTTP/1.0 200 OK\r\n\r\nhello\n"; 10]);
    let pid = scene.read("pid").trim().parse().expect("a pid");
    assert!(kill(pid, Signal::TERM), "it is there");
    scene.wait_until_deserted(PATIENCE);
    assert!(scene.read("error.log").contains("stopping"), "{}", scene.read("error.log"));

    if !require_tool("perl") {
        return;
    }
    let (_, script) = page.split_once("```perl\n").expect("a script");
    let script = script.split_once("```").expect("its end").0.replace("127.0.0.1:8080", &address);
    let path = scene.path("hello.pl");
    std::fs::write(&path, script).expect("written");
    let module = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/fixtures/perl");
    let perl = scene.tool("perl").args([module.as_ref(), path.as_os_str()]).start();
    let original: Vec<_> = ask_ten(&scene).into_iter().map(|it| it.expect("answered")).collect();
    assert_eq!(ported, original);
    perl.signal(Signal::TERM);
    assert!(perl.finish().stderr.contains("stopping"));
    scene.wait_until_deserted(PATIENCE);
}

#[test]
fn the_control_script_of_the_page_controls_the_port() {
    let page = include_str!("../../../prefork/docs/perl.md");
    let (_, script) = page.split_once("```sh\n").expect("a script");
    let scene = scene!();
    let directory = scene.path("x").parent().expect("a directory").display().to_string();
    let start = format!("{} {directory} {} ;;", env!("CARGO_BIN_EXE_ported"), scene.address());
    let script = script
        .split_once("```")
        .expect("its end")
        .0
        .replace("/usr/local/bin/hello ;;", &start)
        .replace("/run/hello/pid", &format!("{directory}/pid"))
        .replace("prefork ", &format!("{} ", env!("CARGO_BIN_EXE_prefork-command")))
        .replace("\n  ", "\n");
    let path = scene.path("control");
    std::fs::write(&path, script.trim_start()).expect("written");
    let run = |word: &str, status| {
        let finished = scene.tool("sh").args([path.as_os_str(), word.as_ref()]).finish();
        assert_eq!(finished.end, End::Exited(status), "{word}: {finished:?}");
        finished.stdout
    };
    let answer = || ask(&scene, b"GET / HTTP/1.0\r\n\r\n").expect("answered");
    run("stop", 0);
    run("status", 3);
    run("start", 0);
    assert!(answer().ends_with("hello\n"));
    run("reload", 0);
    let generations = run("status", 0);
    assert!(generations.contains("last reload: done "), "{generations}");
    let pid = scene.read("pid");
    run("restart", 0);
    assert!(answer().ends_with("hello\n") && scene.read("pid") != pid);
    run("stop", 0);
    run("nothing", 2);
    scene.wait_until_deserted(PATIENCE);
}

#[test]
fn the_first_program_of_readme_and_crate_page_answers_curl() {
    let (program_run, _) = FIXTURE.split_once("\nfn address()").expect("a helper");
    let shown = program_run.replace("&*address()", "\"127.0.0.1:8080\"");
    for page in [include_str!("../../../README.md"), include_str!("../../../prefork/README.md")] {
        assert_eq!(program(page), program(&format!("{shown}```")), "it is the one that is run");
    }
    let scene = scene!();
    let address = scene.address().to_string();
    let first = scene.tool(env!("CARGO_BIN_EXE_first")).args([&address]).start();
    let answer = || ask(&scene, b"GET / HTTP/1.0\r\n\r\n");
    wait_until(PATIENCE, "it answers", || answer().is_ok_and(|it| it.ends_with("\r\n\r\nhello\n")));
    if require_tool("curl") {
        let curl = scene.tool("curl").args(["-sSf", &format!("http://{address}/")]).finish();
        assert!(curl.end.is_success(), "{curl:?}");
        assert_eq!(curl.stdout, "hello\n", "{curl:?}");
    }
    // What is wrong is printed in words.
    let second = scene.tool(env!("CARGO_BIN_EXE_first")).args([&address]).finish();
    let last = second.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("Error: ") && last.contains("in use"), "{second:?}");
    assert!(last.contains("cannot listen on") && !last.contains('{'), "{second:?}");
    first.stop_in_order();
}

#[test]
fn the_crate_page_is_short() {
    let words = include_str!("../../../prefork/README.md").split_whitespace().count();
    assert!(words <= 800, "{words} words");
}

#[test]
fn the_last_line_of_each_page_says_what_to_do_next() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/docs");
    let pages = std::fs::read_dir(docs).expect("read").map(|entry| entry.expect("read").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|it| it == "md"));
    // What `prefork/docs/pictures/make` writes is no page.
    let mut pages: Vec<_> = pages.filter(|path| !path.ends_with("session.md")).collect();
    pages.push(concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/README.md").into());
    for path in pages {
        let page = std::fs::read_to_string(&path).expect("read");
        let (_, last) = page.trim_end().rsplit_once("\n\n").expect("paragraphs");
        assert!(last.starts_with("What to do next: "), "{}: {last}", path.display());
    }
}
