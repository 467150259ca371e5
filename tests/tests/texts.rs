//! What our texts show of texts from outside.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use prefork_tests::{Running, scene};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Texts in errors that are our own words.
const OUR_OWN: [&str; 4] = ["kind", "what", "last", "reason"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries
        .map(|entry| entry.path())
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The sources of all crates and of the examples.
fn all_sources() -> Vec<PathBuf> {
    let crates = fs::read_dir(ROOT).expect("it can be read").flatten().map(|entry| entry.path());
    let crates = crates.filter(|path| path.file_name() != Some(OsStr::new("tests")));
    crates
        .flat_map(|path| {
            ["src", "cli/src", "log/src", "sockets/src", "view/src"]
                .map(|of| sources(&path.join(of)))
        })
        .flatten()
        .chain(sources(&Path::new(ROOT).join("prefork/examples")))
        .filter(|path| !path.ends_with("tests.rs"))
        .collect()
}

/// The code of a file that is neither documentation nor a test.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it can be read");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The fields of a file that hold what comes from outside.
fn fields(code: &str) -> BTreeSet<&str> {
    let fields = code.lines().filter_map(|line| line.trim().split_once(": "));
    let fields = fields.filter(|(_, kind)| ["PathBuf,", "String,", "OsString,"].contains(kind));
    fields.map(|(name, _)| name.trim_start_matches("pub ")).collect()
}

/// A path may be called anything. Errors, logs and commands show it by `one_line`.
#[test]
fn no_code_shows_a_path_as_it_is() {
    let all = all_sources();
    assert!(all.len() > 100, "{all:?}");
    let mut wrong = Vec::new();
    for path in all {
        let code = code(&path);
        let shown = code.lines().filter(|line| line.contains(".display()"));
        wrong.extend(shown.map(|line| format!("{path:?}: {line}")));
        let fields = fields(&code);
        for error in code.split("#[error(").skip(1) {
            let error = error.split(")]\n").next().unwrap_or_default();
            let raw = fields.iter().filter(|name| {
                !OUR_OWN.contains(name)
                    && error.contains(&format!("{{{name}}}"))
                    && !error.contains(&format!("{name} = "))
            });
            wrong.extend(raw.map(|name| format!("{path:?}: {{{name}}} in {error}")));
        }
    }
    assert!(wrong.is_empty(), "show these by one_line:\n{}", wrong.join("\n"));
}

/// What begins advice in an error. More of them may come; none is a noun that can be a cause.
const ADVICE: [&str; 24] = [
    "add", "ask", "call", "choose", "correct", "create", "give", "have", "install", "let", "make",
    "mount", "name", "open", "raise", "remove", "restart", "run", "send", "set", "start", "stop",
    "try", "use",
];

/// `: ` comes before a cause alone, which [`prefork::ErrorChain`] adds, and what to do about it stands behind `; `: so one can
/// be distinguished from the other, and no cause is in a text of its own.
#[test]
fn advice_is_separated_from_causes() {
    let mut wrong = Vec::new();
    let mut errors = 0;
    for path in all_sources() {
        let code = code(&path);
        for error in code.split("#[error(").skip(1) {
            let error = error.split(")]\n").next().unwrap_or_default().replace("\\\n", "");
            let words: Vec<_> = error.split_whitespace().collect();
            errors += 1;
            let is_advice = |pair: &[&str]| pair[0].ends_with(':') && ADVICE.contains(&pair[1]);
            if words.windows(2).any(is_advice) || error.contains("{source}") {
                wrong.push(format!("{path:?}: {error}"));
            }
        }
    }
    assert!(errors > 100, "{errors} errors were found");
    assert!(
        wrong.is_empty(),
        "advice behind a colon, or a cause in the text:\n{}",
        wrong.join("\n")
    );
}

/// A `main` that returns an error prints it by `Debug`: in words, with its causes, and without the names of variants.
#[test]
fn a_main_that_returns_an_error_prints_it_in_words() {
    let scene = scene!();
    let done = scene.tool(env!("CARGO_BIN_EXE_returns")).start().finish();
    assert!(!done.end.is_success(), "{done:?}");
    let words = "Error: after_init failed: Not a directory (os error 20)\n";
    assert_eq!(done.stderr, words);
}

/// X4: whatever files are called, standard error, the log and the output of the command are text.
#[test]
fn names_of_files_send_nothing_to_a_terminal() {
    let scene = scene!();
    let folder = scene.path("").join(OsStr::from_bytes(b"\x1b[31m\n\xe2\x80\xaeevil\xff"));
    let inside = |name: &str| folder.join(name).into_os_string();
    let missing = |flags: &[&str]| {
        let start = scene.probe().args(flags);
        ["--pid-path", "--error-log-path", "--access-log-path"]
            .iter()
            .fold(start, |start, flag| start.args([OsStr::new(flag), &inside("file")]))
            .start()
    };
    assert_clean(&missing(&["--daemonize"]));
    assert_clean(&missing(&["--scoreboard-path", "x"]));
    for command in ["status", "metrics", "check", "stop", "reload", "running"] {
        let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args([command]);
        assert_clean(&command.args([inside("file")]).start());
    }
    let odd = scene.tool(env!("CARGO_BIN_EXE_prefork-command"));
    assert_clean(&odd.args([inside("file"), inside("file")]).start());
    fs::create_dir(&folder).expect("made");
    fs::create_dir(inside("error.log")).expect("made");
    for (flag, name) in [("--error-log-path", "error.log"), ("--listen-unix", "error.log")] {
        let start = scene.probe().args(["--prefork", "1"]).args([OsStr::new(flag), &inside(name)]);
        assert_clean(&start.start());
    }
}

/// Waits for a failure, and asserts that it can be shown to anybody.
#[track_caller]
fn assert_clean(running: &Running<'_>) {
    let done = running.finish();
    assert!(!done.end.is_success(), "{done:?}");
    let text = done.stderr.clone() + &done.stdout;
    assert!(text.contains("evil"), "it names the file: {done:?}");
    let is_wrong = |char: char| char == '\u{202e}' || (char.is_control() && char != '\n');
    assert!(!text.contains(is_wrong), "{done:?}");
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{done:?}");
}
