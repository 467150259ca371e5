//! The page for newcomers, as it stands there.

use std::{fs, path::Path};

use prefork_tests::{require_tool, scene};

use super::prefork;

/// All blocks of the page in this language, in their order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("\n```{language}\n");
    let after = page.split(&*begin).skip(1);
    after.map(|text| text.split("```").next().unwrap_or_default()).collect()
}

/// A newcomer who types what the page has sees what it promises.
#[test]
fn every_command_of_the_page_works() {
    if !(require_tool("python3") && require_tool("curl") && require_tool("bash")) {
        return;
    }
    let scene = scene!();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = fs::read_to_string(root.join("prefork/docs/run.md")).expect("there is a page");
    let page = page.replace("127.0.0.1:8000", &scene.address().to_string());
    let [app] = blocks(&page, "python")[..] else { panic!("one application") };
    let [file] = blocks(&page, "toml")[..] else { panic!("one file") };
    let launch = prefork(&scene);
    fs::write(scene.path("app.py"), app).expect("written");
    fs::write(scene.path("app.toml"), file).expect("written");
    let is_in_terminal = |line: &str| line.starts_with("prefork run ") && !line.contains("--check");
    let mut script = format!(
        "set -euo pipefail\nprefork() {{ {:?} \"$@\"; }}\n",
        env!("CARGO_BIN_EXE_prefork-command")
    );
    let lines = blocks(&page, "sh").into_iter().flat_map(str::lines);
    for line in lines {
        script.push_str(line);
        if is_in_terminal(line) {
            let url = format!("http://{}/", scene.address());
            script.push_str(&format!(" &\nuntil curl -sf {url} >/dev/null; do sleep 0.05; done"));
        }
        script.push('\n');
    }
    // Its daemons are in the background of this shell.
    script.push_str("wait\n");
    let shell = scene.tool("bash").args(["-c", &script]);
    let shell = shell.variable("RUNTIME_DIRECTORY", scene.path("run"));
    let finished = shell.variable("PREFORK_PATH", scene.path("run")).finish();
    drop(launch);
    assert!(finished.end.is_success(), "{finished:?}\n{script}");
    for promised in [
        "hello from ",
        "good evening from ",
        "# app: the settings are right",
        "2 children of 2 to 8",
    ] {
        assert!(finished.stdout.contains(promised), "{promised}: {finished:?}");
    }
    assert!(!finished.stdout.contains("good morning from"), "{finished:?}");
    scene.assert_nothing_is_left();
}
