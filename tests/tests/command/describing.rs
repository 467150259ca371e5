//! What the command says of itself.

use std::fs;

use prefork_tests::{Scene, require_tool, scene};

use crate::run;

/// All commands, as the help lists them.
fn commands(scene: &Scene) -> Vec<String> {
    let help = run(scene, "--help", 0).stdout;
    let (_, list) = help.split_once("\nCommands:\n").expect("a list");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_ascii_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Shells and man(1) get what they need.
#[test]
fn it_describes_itself() {
    let scene = scene!();
    assert!(run(&scene, "completions bash", 0).stdout.contains("_prefork"));
    assert!(run(&scene, "man", 0).stdout.contains(".TH prefork 1"));
    assert!(run(&scene, "man stop", 0).stdout.contains("SIGKILL"));
    let help = run(&scene, "--help", 0).stdout;
    assert!(help.contains("Exit codes:"), "{help}");
    run(&scene, "man nonsense", 2);
    run(&scene, "", 2);
}

/// The pages of all commands are installed by one line.
#[test]
fn all_manual_pages_are_written_to_a_directory() {
    let scene = scene!();
    let mut pages: Vec<_> =
        commands(&scene).into_iter().map(|name| format!("prefork-{name}.1")).collect();
    pages.push("prefork.1".to_owned());
    let written = run(&scene, "man -v --install @share/man1", 0).stdout;
    let directory = scene.path("share/man1").display().to_string();
    assert_eq!(written, format!("{} pages written to {directory}\n", pages.len()));
    for page in pages {
        let text = scene.read(&format!("share/man1/{page}"));
        let title = page.trim_end_matches(".1");
        assert!(text.starts_with(&format!(".TH {title} 1 ")), "{page}: {text}");
    }
    fs::write(scene.path("file"), "").expect("written");
    let refused = run(&scene, "man --install @file", 1).stderr;
    let expected = format!(
        "prefork: cannot write {}: File exists (os error 17)\n",
        scene.path("file").display()
    );
    assert_eq!(refused, expected);
}

/// man(1) shows every page, and has nothing to say against it.
#[test]
fn manual_pages_are_well_formed() {
    if !require_tool("mandoc") {
        return;
    }
    let scene = scene!();
    let commands = commands(&scene);
    assert!(commands.len() >= 12, "{commands:?}");
    for page in commands.iter().map(|name| format!("man {name}")).chain(["man".to_owned()]) {
        let path = scene.path("page.1");
        fs::write(&path, run(&scene, &page, 0).stdout).expect("written");
        let linted =
            scene.tool("mandoc").args(["-T", "lint", "-W", "warning"]).args([&path]).finish();
        // It has no date, as it is made when it is asked for; the breaks around lists of values change nothing.
        let harmless = ["missing date", "skipping paragraph macro: br"];
        let is_harmless = |line: &&str| harmless.iter().any(|it| line.contains(it));
        let said = linted.stdout.lines().filter(|line| !is_harmless(line));
        assert_eq!(said.collect::<Vec<_>>(), [""; 0], "{page}");
        let shown = scene.tool("mandoc").args(["-T", "ascii"]).args([&path]).finish().stdout;
        let shown = shown.replace('\u{8}', "");
        for section in ["EEXXIITT", "FFIILLEESS", "EEXXAAMMPPLLEESS"] {
            assert!(shown.contains(section), "{page}: {section} in {shown}");
        }
    }
}

/// Who presses the tabulator behind a command that takes a file is offered files, and behind a dash flags.
#[test]
fn bash_offers_files_first() {
    if !require_tool("bash") {
        return;
    }
    let scene = scene!();
    fs::write(scene.path("prefork.bash"), run(&scene, "completions bash", 0).stdout)
        .expect("written");
    for name in ["board-of-hello", "pid-of-hello"] {
        fs::write(scene.path(name), "").expect("written");
    }
    // What bash would execute, should it expand it.
    let list = "printf '%s\\n' 'NAME PID' 'hello 1' '- 2' '$(touch expanded) 3' '`touch expanded` 4' 'jobs-2.x 5'";
    let offered = |words: &str| {
        let script = format!(
            "prefork() {{ {list}; }}; source prefork.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _prefork prefork \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let done = scene.tool("bash").args(["-c", &script]).finish();
        assert!(done.end.is_success(), "{done:?}");
        done.stdout.trim().to_owned()
    };
    assert_eq!(offered("prefork status h"), "hello");
    assert_eq!(offered("prefork stop jo"), "jobs-2.x");
    let all = offered("prefork check \"\"");
    assert!(all.contains("board-of-hello ") && all.ends_with(" hello jobs-2.x"), "{all}");
    assert!(!scene.path("expanded").exists(), "a name of a daemon was executed");
    for command in ["status", "top", "check", "reload", "stop", "metrics"] {
        assert_eq!(offered(&format!("prefork {command} board")), "board-of-hello", "{command}");
        let flags = offered(&format!("prefork {command} --"));
        assert!(flags.contains("--help") && !flags.contains("hello"), "{command}: {flags}");
    }
    assert_eq!(offered("prefork reload --wait pid"), "pid-of-hello");
    assert_eq!(offered("prefork sta"), "status");
}
