//! The harness for programs of users, `prefork::testing`, tried on daemons that misbehave and on itself.
//!
//! Nothing here makes a scene: the harness of these tests reaps whatever ends, and the one under test must be alone.

mod changes;
mod chaos;
mod clearing;
mod clients;
mod deploy;
mod starting;

use prefork_testing::{Daemon, Launch};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// Prepares to start the example, with all files that a daemon can have.
fn hello() -> Launch {
    Launch::new(HELLO)
        .args(["--listen", "{address}", "--prefork", "2", "--max-children", "2"])
        .args(["--pid-path", "{pid_file}", "--scoreboard-path", "{board}"])
        .args(["--error-log-path", "{error_log}", "--log-level", "debug"])
        .args(["--access-log-path", "{access_log}"])
}

/// Returns the pids of a daemon and of its children.
fn pids(daemon: &Daemon) -> Vec<u32> {
    let children = daemon.children().into_iter().map(|child| child.pid);
    children.chain([daemon.pid()]).collect()
}
