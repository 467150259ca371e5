//! Programs that know nothing of prefork, under `prefork run`: what holds for any of them.

mod ends;
mod handed;
mod inetd;
mod limits;
mod load;
mod ready;

use std::fs;

use prefork_tests::{Launch, PATIENCE, Scene, wait_until};

/// Prepares to run the plain server with these arguments, two children of it, with further settings as they stand in a file.
fn run<'a>(scene: &'a Scene, arguments: &[&str], settings: &str) -> Launch<'a> {
    let program = env!("CARGO_BIN_EXE_plain");
    let command: Vec<String> =
        [program].iter().chain(arguments).map(|word| format!("{word:?}")).collect();
    let command = command.join(", ");
    fs::write(scene.path("app.toml"), format!("command = [{command}]\n{settings}"))
        .expect("written");
    let file = scene.path("app.toml");
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run"]).args([file]);
    // Variables stand between the file and flags that a test adds.
    let launch = launch.variable("PREFORK_RUN_LISTEN", scene.address().to_string());
    launch.args(["--name", "app"]).variable("PREFORK_RUN_PREFORK", "2").board()
}

/// Waits until no process of this number is there.
#[track_caller]
fn wait_until_gone(pid: u32) {
    let path = format!("/proc/{pid}");
    wait_until(PATIENCE, &format!("process {pid} is gone"), || !fs::exists(&path).unwrap_or(true));
}
