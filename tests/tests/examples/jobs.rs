//! Jobs from a real Redis.

use std::os::unix::net::UnixStream;

use prefork_tests::{PATIENCE, Running, Scene, require_tool, scene, wait_until};
use redis::{Commands, Connection};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{living, stop_in_order};

/// A Redis of the test's own, on a UNIX socket.
struct Redis<'a> {
    server: Running<'a>,
    url: String,
    connection: Connection,
    /// The path of a UNIX socket has room for 107 bytes, which the directory of a test may not leave.
    _directory: TempDir,
}

impl<'a> Redis<'a> {
    fn start(scene: &'a Scene) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let server = scene
            .tool("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .args([&path])
            .start();
        wait_until(PATIENCE, "Redis listens", || {
            assert_eq!(server.end(), None, "Redis has ended");
            UnixStream::connect(&path).is_ok()
        });
        let url = format!("redis+unix://{}", path.display());
        let client = redis::Client::open(url.as_str()).expect("a URL");
        let connection = client.get_connection().expect("it answers");
        Self { server, url, connection, _directory: directory }
    }

    /// Starts workers for the queue `jobs`.
    fn start_jobs(&self, scene: &'a Scene) -> Running<'a> {
        scene.tool(env!("CARGO_BIN_EXE_jobs")).args([&self.url, "jobs"]).start()
    }
}

/// Redis writes its title over its environment, so the scene does not know it as its own.
impl Drop for Redis<'_> {
    fn drop(&mut self) {
        self.server.signal(Signal::KILL);
    }
}

/// The number of entries of a list.
fn length(redis: &mut Connection, list: &str) -> usize {
    redis.llen(list).expect("it answers")
}

/// Whatever ends a child in the middle of a job, the job is done in the end; what ends every child is
/// put aside.
#[test]
fn no_job_is_lost() {
    if !require_tool("redis-server") {
        return;
    }
    let scene = scene!();
    let mut redis = Redis::start(&scene);
    let workers = redis.start_jobs(&scene);
    let server = &redis.server;
    let redis = &mut redis.connection;
    let () = redis.lpush("jobs", "crash always").expect("pushed");
    for number in 0..200 {
        let () = redis.lpush("jobs", format!("upper job {number}")).expect("pushed");
    }
    for number in 0..10 {
        let () = redis.lpush("jobs", format!("sleep 20{number}")).expect("pushed");
    }
    // Twice, so that no job can have met it three times.
    for _ in 0..2 {
        wait_until(PATIENCE, "somebody is at a job", || {
            redis.keys::<_, Vec<String>>("jobs:taken:*").is_ok_and(|lists| !lists.is_empty())
        });
        // The first may just have ended by the job that ends every child.
        wait_until(PATIENCE, "a child is killed", || {
            living(&workers).first().is_some_and(|child| prefork_tests::kill(*child, Signal::KILL))
        });
    }
    wait_until(PATIENCE, "all jobs are done", || {
        length(redis, "jobs:done") >= 210 && length(redis, "jobs:failed") >= 1
    });
    let mut done: Vec<String> = redis.lrange("jobs:done", 0, -1).expect("it answers");
    done.sort_unstable();
    done.dedup();
    let mut wanted: Vec<String> = (0..200).map(|number| format!("JOB {number}")).collect();
    wanted.extend((0..10).map(|number| format!("slept 20{number}")));
    wanted.sort_unstable();
    assert_eq!(done, wanted);
    let failed: Vec<String> = redis.lrange("jobs:failed", 0, -1).expect("it answers");
    assert_eq!(failed, ["crash always"]);
    // A child that is asked to leave finishes the job in hand.
    let () = redis.lpush("jobs", "sleep 999").expect("pushed");
    wait_until(PATIENCE, "it is taken", || length(redis, "jobs") == 0);
    workers.signal(Signal::TERM);
    assert!(workers.finish().end.is_success());
    let last: String = redis.lindex("jobs:done", 0).expect("it is done");
    assert_eq!(last, "slept 999");
    let left: Vec<String> = redis.keys("jobs:taken:*").expect("it answers");
    assert!(left.is_empty(), "{left:?}");
    stop_in_order(server, &scene);
}

/// What a daemon has left that was killed as a whole, the next one does.
#[test]
fn jobs_of_a_daemon_that_was_killed_are_done_by_the_next() {
    if !require_tool("redis-server") {
        return;
    }
    let scene = scene!();
    let mut redis = Redis::start(&scene);
    let first = redis.start_jobs(&scene);
    let () = redis.connection.lpush("jobs", "sleep 1500").expect("pushed");
    wait_until(PATIENCE, "it is taken", || {
        redis.connection.keys::<_, Vec<String>>("jobs:taken:*").is_ok_and(|lists| !lists.is_empty())
    });
    first.signal(Signal::KILL);
    let _ = first.finish();
    let second = redis.start_jobs(&scene);
    wait_until(PATIENCE, "it is done", || length(&mut redis.connection, "jobs:done") == 1);
    second.signal(Signal::TERM);
    assert!(second.finish().end.is_success());
    stop_in_order(&redis.server, &scene);
}
