//! The first program of each page.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use prefork_tests::{PATIENCE, require_tool, scene, wait_until};

use super::stop_in_order;

const FIXTURE: &str = include_str!("../../fixtures/first.rs");

/// Returns the first program in a page.
fn program(page: &str) -> &str {
    let (_, program) = page.split_once("use prefork::{Args, Prefork};").expect("a program");
    program.split_once("```").expect("its end").0.trim()
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
    let answer = || -> io::Result<String> {
        let mut connection = TcpStream::connect(scene.address())?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        io::read_to_string(connection)
    };
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
    stop_in_order(&first, &scene);
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
