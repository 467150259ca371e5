//! Workers that take jobs from a Redis queue, one process a job, and lose none.
//!
//! ```text
//! prefork/examples/jobs/with-redis.sh
//! ```
//!
//! starts a Redis of its own beside it and says what to try. With a Redis that is there already, and that keeps
//! what it has acknowledged (`appendonly yes`, `appendfsync always`):
//!
//! ```text
//! cargo run --example jobs -- redis://127.0.0.1/ jobs
//! redis-cli LPUSH jobs 'upper hello'
//! redis-cli LRANGE jobs:done 0 -1
//! ```
//!
//! A job goes from the queue to a list of the child that works on it, in one step, and leaves that when its result
//! is stored, in one step too (`queue.rs`). Whatever ends a child, those that live put the job back, once its process
//! is gone (`worker.rs`); a job that has ended children three times is put aside, in `QUEUE:failed`. Redis may end and
//! start again at any moment: children wait for it, with what they have in hand.
//!
//! So a job is done at least once, and twice only if its child was killed in the middle of it. One daemon serves
//! a queue.

mod queue;
mod worker;

use std::{
    env,
    io::{self, Write},
    process,
    process::ExitCode,
    thread,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};

use crate::queue::{Hand, Queue};

/// How long a child waits before it connects again to a Redis that has gone.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "jobs: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "redis://127.0.0.1/".to_owned());
    let name = arguments.next().unwrap_or_else(|| "jobs".to_owned());
    let queue = Queue::new(&server, name)?;
    let (asked, mut redis) = (queue.clone(), None);
    let args = Args::new()
        .name("jobs")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .max_children(20)
        // Between two reports the pool does not know how many jobs wait. Growing by one, it has one child too many at most.
        .spawn_step(1)
        .demand(move || Ok(asked.waiting(&mut redis)?))
        // What jobs leave in memory is gone with the process.
        .max_requests(1000)
        .after_init(move |init| {
            // A wrong address is to fail the start. No connection is kept: children that share one would read each
            // other's answers. An upgrade need not wait for a Redis that is away.
            if !init.is_upgrade() {
                queue.connect()?;
            }
            Ok(queue)
        })
        .main_loop(work);
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Works until asked to leave, and for as long as a result is not stored.
///
/// While Redis is away the child stays, and waits: what it has in hand is not lost, and a child that has nothing
/// in hand counts as idle, so that the pool does not grow.
fn work(child: &mut Child, queue: &Queue) -> prefork::Result {
    let mut hand = Hand::new(queue, &worker::own_name()?);
    let mut logged = false;
    loop {
        match connected(child, &mut hand, &mut logged) {
            Ok(()) => return Ok(()),
            Err(_) if child.should_stop() && hand.is_empty() => return Ok(()),
            Err(error) => {
                if !std::mem::replace(&mut logged, true) {
                    let _ = writeln!(io::stderr(), "jobs: waiting for Redis: {error}");
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Works with one connection, until asked to leave or it fails.
fn connected(child: &mut Child, hand: &mut Hand<'_>, logged: &mut bool) -> redis::RedisResult<()> {
    let mut redis = hand.connect()?;
    loop {
        // After an outage there may be one that was to be stored by the connection before.
        if hand.store(&mut redis)? {
            child.idle();
        }
        *logged = false;
        if child.should_stop() {
            return Ok(());
        }
        hand.put_back_of_others(&mut redis)?;
        if let Some(job) = hand.take(&mut redis)? {
            child.busy(&job);
            let result = perform(&job);
            hand.finish(job, result);
        }
    }
}

/// Does a job.
fn perform(job: &str) -> String {
    match job.split_once(' ') {
        Some(("upper", text)) => text.to_uppercase(),
        Some(("sleep", ms)) => {
            thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
            format!("slept {ms}")
        }
        // Code that was written in another language, long ago, does that.
        Some(("crash", _)) => process::abort(),
        _ => format!("no such job: {job}"),
    }
}
