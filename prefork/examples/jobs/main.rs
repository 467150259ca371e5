//! Workers that take jobs from a Redis queue, one process a job, and lose none.
//!
//! ```text
//! prefork/examples/jobs/with-redis.sh
//! ```
//!
//! starts a Redis of its own beside it and says what to try. With a Redis that is there already:
//!
//! ```text
//! cargo run --example jobs -- redis://127.0.0.1/ jobs
//! redis-cli LPUSH jobs 'upper hello'
//! redis-cli LRANGE jobs:done 0 -1
//! ```
//!
//! A job goes from the queue to a list of the child that works on it, in one step (`BLMOVE`), and leaves
//! that only when its result is there. If the child ends first, however it ends, the parent puts the job
//! back; a job that has ended children three times is put aside, in `QUEUE:failed`. So a job is done at
//! least once, and may be done twice.
//!
//! One daemon serves a queue: its lists are named by slots, which are unique within one daemon.

use std::{
    env,
    io::{self, Write},
    process,
    process::ExitCode,
    thread,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};
use redis::{Commands, Connection, Direction};

/// How long a child waits for a job before it looks whether it is to leave, in seconds.
const WAIT: f64 = 0.5;

/// How long the parent, which has other things to do, waits for Redis.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a job may end a child.
const TRIES: u32 = 3;

/// Where the jobs are.
#[derive(Clone, Debug)]
struct Queue {
    client: redis::Client,
    name: String,
}

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
    let queue = Queue { client: redis::Client::open(server)?, name };
    let of_parent = queue.clone();
    let args = Args::new()
        .name("jobs")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .max_children(20)
        // What jobs leave in memory is gone with the process.
        .max_requests(1000)
        .after_init(move |init| {
            // No connection is kept: children that share one would read each other's answers.
            let mut redis = queue.connect()?;
            // After a crash of the whole daemon. In an upgrade the old children are still at work.
            if !init.is_upgrade() {
                for list in redis.keys::<_, Vec<String>>(format!("{}:taken:*", queue.name))? {
                    queue.put_back(&mut redis, &list)?;
                }
            }
            Ok(queue)
        })
        .on_child_exit(move |exit| {
            Ok(of_parent.put_back(&mut of_parent.connect()?, &of_parent.taken_by(exit.slot))?)
        })
        .main_loop(work);
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Works until asked to leave. An error, such as a Redis that has gone, ends the child; the next ones
/// are started ever more slowly until one works.
fn work(child: &mut Child, queue: &Queue) -> prefork::Result {
    let mut redis = queue.client.get_connection()?;
    let taken = queue.taken_by(child.slot());
    while !child.should_stop() {
        let (from, to) = (Direction::Right, Direction::Left);
        let job: Option<String> = redis.blmove(&queue.name, &taken, from, to, WAIT)?;
        let Some(job) = job else { continue };
        child.busy(&job);
        let result = perform(&job);
        redis::pipe()
            .atomic()
            .lpush(format!("{}:done", queue.name), result)
            .lrem(&taken, 1, &job)
            .hdel(format!("{}:tries", queue.name), &job)
            .exec(&mut redis)?;
        child.idle();
    }
    Ok(())
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

impl Queue {
    /// Connects, for a short talk of the parent's.
    fn connect(&self) -> redis::RedisResult<Connection> {
        let redis = self.client.get_connection_with_timeout(PATIENCE)?;
        redis.set_read_timeout(Some(PATIENCE))?;
        redis.set_write_timeout(Some(PATIENCE))?;
        Ok(redis)
    }

    /// The list of the child in this slot. No other living child has the same.
    fn taken_by(&self, slot: u32) -> String {
        format!("{}:taken:{slot}", self.name)
    }

    /// Puts what is on the list of a child that has ended back to where it came from.
    fn put_back(&self, redis: &mut Connection, taken: &str) -> redis::RedisResult<()> {
        while let Some(job) = redis.lindex::<_, Option<String>>(taken, -1)? {
            let tries: u32 = redis.hincr(format!("{}:tries", self.name), &job, 1)?;
            let (end, side) = if tries < TRIES {
                (self.name.clone(), Direction::Right)
            } else {
                (format!("{}:failed", self.name), Direction::Left)
            };
            // Moved in one step, so that it is never nowhere.
            let _: Option<String> = redis.lmove(taken, end, Direction::Right, side)?;
        }
        Ok(())
    }
}
