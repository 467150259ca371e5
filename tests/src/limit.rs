//! The time that a test may take.
//!
//! What a test waits for has a deadline of its own ([`wait_until`](crate::wait_until)). One that hangs all the same, in a
//! loop or in a call that nobody has thought of, would keep everybody from learning what else has failed.

use std::{
    env,
    io::{self, Write},
    process,
    str::FromStr,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use crate::{Process, scene};

/// How long a scene may last. The longest takes less than a minute, and three times as long on a machine with all cores
/// busy.
const LIMIT: Duration = Duration::from_secs(300);

/// Whether somebody has asked for a test that takes longer.
static IS_LIFTED: AtomicBool = AtomicBool::new(false);

/// Returns what the variable asks a test for: that it takes so long, or has so many rounds. Where anything is asked for,
/// the time of a test has no limit.
///
/// # Panics
///
/// Panics if the variable cannot be read as what is wanted.
#[must_use]
#[track_caller]
pub fn asked<T: FromStr>(variable: &str) -> Option<T> {
    let value = env::var(variable).ok()?;
    IS_LIFTED.store(true, Ordering::Relaxed);
    Some(
        value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not what can be asked for")),
    )
}

/// Ends the test program, and all that it has started, when a scene has lasted too long; until it is dropped.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Nothing is ever sent: the other end learns that it has gone.
    _end: Sender<()>,
}

impl Limit {
    pub(crate) fn start(test: &str) -> Self {
        let (end, ended) = mpsc::channel();
        let test = test.to_owned();
        thread::spawn(move || {
            let has_lasted = ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
            if has_lasted && !IS_LIFTED.load(Ordering::Relaxed) {
                end_all(&test);
            }
        });
        Self { _end: end }
    }
}

/// Says which test it was, and what was there.
fn end_all(test: &str) -> ! {
    // What is printed would be kept until a test has ended.
    let mut stderr = io::stderr();
    let _ = writeln!(
        stderr,
        "{test} has taken {LIMIT:?}: its test program ends, with all that it has started:"
    );
    let mark = format!("{}={}", scene::MARK, process::id());
    for process in scene::marked(&mark) {
        let Process { pid, parent, state, .. } = process;
        let _ = writeln!(stderr, "  {pid} {parent} {state} {}", process.command_line());
    }
    scene::kill_marked(&mark);
    process::exit(101);
}
