//! The command `prefork`, beside a daemon that somebody else has written.

mod control;
mod describing;
mod glance;
mod handles;
mod pools;
mod reading;
mod run;
mod strangers;
mod top;
mod why;
mod wrong;

use prefork_tests::{End, Finished, Launch, Scene};

/// Prepares to run the command with words and paths of the scene: `@pid` is the file `pid` in it.
fn command<'a>(scene: &'a Scene, words: &str) -> Launch<'a> {
    let words = words.split_ascii_whitespace().map(|word| match word.strip_prefix('@') {
        Some(file) => scene.path(file).into_os_string(),
        None => word.into(),
    });
    // The environment of the tests may ask for colours or not.
    scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(words).variable("NO_COLOR", "")
}

/// Runs the command, which has to end with this status.
#[track_caller]
fn run(scene: &Scene, words: &str, status: i32) -> Finished {
    let finished = command(scene, words).finish();
    assert_eq!(finished.end, End::Exited(status), "prefork {words}: {finished:?}");
    assert!(!finished.stderr.contains("panicked"), "prefork {words}: {finished:?}");
    finished
}
