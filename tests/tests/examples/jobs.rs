//! Jobs from a real Redis.

use std::{collections::BTreeMap, os::unix::net::UnixStream, path::PathBuf};

use prefork_tests::{Census, PATIENCE, Running, Scene, asked, require_tool, scene, wait_until};
use redis::{Commands, Connection};
use rustix::process::Signal;
use tempfile::TempDir;

/// Where the workers write that are the second program of a scene.
const LOG: &str = "2.stderr";

/// What a Redis has left of what it has acknowledged, when it was killed.
#[derive(Clone, Copy, Debug)]
enum Keeps {
    All,
    Nothing,
}

/// A Redis of the test's own, on a UNIX socket.
struct Redis<'a> {
    scene: &'a Scene,
    server: Running<'a>,
    keeps: Keeps,
    url: String,
    connection: Connection,
    /// The path of a UNIX socket has room for 107 bytes, which the directory of a test may not leave.
    directory: TempDir,
}

impl<'a> Redis<'a> {
    fn start(scene: &'a Scene, keeps: Keeps) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (server, url) = Self::serve(scene, keeps, &directory);
        let connection = Self::connect(&url);
        Self { scene, server, keeps, url, connection, directory }
    }

    /// Starts a server, and waits until it answers.
    fn serve(scene: &'a Scene, keeps: Keeps, directory: &TempDir) -> (Running<'a>, String) {
        let path: PathBuf = directory.path().join("socket");
        let appends = match keeps {
            Keeps::All => "yes",
            Keeps::Nothing => "no",
        };
        let server = scene
            .tool("redis-server")
            // With `everysec` a write waits for a disk that is busy, after its answer. The machine goes on: `no` is enough.
            .args(["--appendfsync", "no"])
            .args(["--port", "0", "--save", "", "--appendonly", appends, "--dir"])
            .args([directory.path()])
            .args(["--unixsocket"])
            .args([&path])
            .start();
        wait_until(PATIENCE, "Redis listens", || {
            assert_eq!(server.end(), None, "Redis has ended");
            UnixStream::connect(&path).is_ok()
        });
        (server, format!("redis+unix://{}", path.display()))
    }

    fn connect(url: &str) -> Connection {
        let client = redis::Client::open(url).expect("a URL");
        client.get_connection().expect("it answers")
    }

    fn kill(&self) {
        self.server.signal(Signal::KILL);
        let _ = self.server.finish();
    }

    fn start_again(&mut self) {
        (self.server, self.url) = Self::serve(self.scene, self.keeps, &self.directory);
        self.connection = Self::connect(&self.url);
        wait_until(PATIENCE, "Redis has read its file", || {
            redis::cmd("PING").exec(&mut self.connection).is_ok()
        });
    }

    /// Starts workers for the queue `jobs`, and waits until they are there.
    fn start_jobs(&self, scene: &'a Scene) -> Running<'a> {
        let running = scene.tool(env!("CARGO_BIN_EXE_jobs")).args([&self.url, "jobs"]).start();
        wait_until(PATIENCE, "children are there", || {
            assert_eq!(running.end(), None, "the daemon has ended");
            !running.living().is_empty()
        });
        running
    }

    /// The jobs that workers have in hand: a list each, by the list's name, which begins with the pid.
    fn in_hand(&mut self) -> BTreeMap<String, Vec<String>> {
        let lists: Vec<String> = self.connection.keys("jobs:taken:*").expect("it answers");
        let read = |list: String| {
            let jobs: Vec<String> = self.connection.lrange(&list, 0, -1).expect("it answers");
            (list, jobs)
        };
        lists.into_iter().map(read).filter(|(_, jobs)| !jobs.is_empty()).collect()
    }

    /// Kills a worker, which may have left in order before; returns what it had in hand.
    fn kill_worker(&mut self, pid: u32) -> Vec<String> {
        let mut in_hand = || self.in_hand().into_iter().filter(move |(list, _)| owner(list) == pid);
        // The one before is put back by others very soon, and there may have been another since then.
        let before = in_hand().collect::<Vec<_>>();
        let _ = prefork_tests::kill(pid, Signal::KILL);
        before.into_iter().chain(in_hand()).flat_map(|(_, jobs)| jobs).collect()
    }

    /// All entries of a list.
    fn all(&mut self, list: &str) -> Vec<String> {
        self.connection.lrange(list, 0, -1).expect("it answers")
    }
}

/// Redis writes its title over its environment, so the scene does not know it as its own.
impl Drop for Redis<'_> {
    fn drop(&mut self) {
        self.server.signal(Signal::KILL);
    }
}

/// The pid of the worker of a list.
fn owner(list: &str) -> u32 {
    let name = list.rsplit(':').next().expect("a name");
    name.split('.').next().and_then(|pid| pid.parse().ok()).expect("it begins with the pid")
}

/// How often each entry is there.
fn counted(entries: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    entries.into_iter().fold(BTreeMap::new(), |mut counts, entry| {
        *counts.entry(entry).or_default() += 1;
        counts
    })
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
    let mut redis = Redis::start(&scene, Keeps::Nothing);
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
            workers.living().first().is_some_and(|child| prefork_tests::kill(*child, Signal::KILL))
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
    server.stop_in_order();
}

/// What a daemon has left that was killed as a whole, the next one does.
#[test]
fn jobs_of_a_daemon_that_was_killed_are_done_by_the_next() {
    if !require_tool("redis-server") {
        return;
    }
    let scene = scene!();
    let mut redis = Redis::start(&scene, Keeps::Nothing);
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
    redis.server.stop_in_order();
}

/// A Redis that is killed and started again costs no job, no job is done twice, and the pool is no larger than jobs ask for.
#[test]
fn jobs_in_hand_outlive_an_outage_of_redis() {
    if !require_tool("redis-server") {
        return;
    }
    let scene = scene!();
    let mut redis = Redis::start(&scene, Keeps::All);
    let workers = redis.start_jobs(&scene);
    let census = Census::begin(workers.pid());
    for number in 0..3 {
        let () = redis.connection.lpush("jobs", format!("sleep 150{number}")).expect("pushed");
    }
    wait_until(PATIENCE, "all are in hand", || redis.in_hand().len() == 3);
    redis.kill();
    // All have their results by now, and nowhere to store them; and nobody has ended.
    wait_until(PATIENCE, "all wait for Redis", || {
        scene.lines_with(LOG, "jobs: waiting for Redis: ").len() >= workers.living().len()
    });
    redis.start_again();
    wait_until(PATIENCE, "all are done", || length(&mut redis.connection, "jobs:done") >= 3);
    let () = redis.connection.lpush("jobs", "upper last").expect("pushed");
    wait_until(PATIENCE, "it goes on", || length(&mut redis.connection, "jobs:done") >= 4);
    let mut done = redis.all("jobs:done");
    done.sort_unstable();
    assert_eq!(done, ["LAST", "slept 1500", "slept 1501", "slept 1502"]);
    let most = census.end().most;
    assert!(most <= 5, "{most} children for 3 jobs");
    assert_eq!(scene.lines_with(LOG, "parent error: "), [""; 0], "no child has ended");
    workers.signal(Signal::TERM);
    assert!(workers.finish().end.is_success());
    redis.server.stop_in_order();
}

/// A Redis that has lost all that was in it gets the results of what was in hand, and next jobs.
#[test]
fn jobs_in_hand_outlive_a_redis_that_keeps_nothing() {
    if !require_tool("redis-server") {
        return;
    }
    let scene = scene!();
    let mut redis = Redis::start(&scene, Keeps::Nothing);
    let workers = redis.start_jobs(&scene);
    // Each worker's number of jobs is not 1, so that it can be taken for stored.
    for round in ["FIRST", "SECOND"] {
        for number in 0..3 {
            let () = redis.connection.lpush("jobs", format!("sleep 150{number}")).expect("pushed");
        }
        wait_until(PATIENCE, "all are in hand", || redis.in_hand().len() == 3);
        redis.kill();
        redis.start_again();
        wait_until(PATIENCE, "all are done", || length(&mut redis.connection, "jobs:done") >= 3);
        let () = redis.connection.lpush("jobs", format!("upper {round}")).expect("pushed");
        wait_until(PATIENCE, "it goes on", || length(&mut redis.connection, "jobs:done") >= 4);
        let mut done = redis.all("jobs:done");
        done.sort_unstable();
        assert_eq!(done, [round, "slept 1500", "slept 1501", "slept 1502"]);
    }
    workers.signal(Signal::TERM);
    assert!(workers.finish().end.is_success());
    redis.server.stop_in_order();
}

/// What is restarted in the middle of jobs.
#[derive(Clone, Copy, Debug)]
enum Restart {
    Redis,
    OneChild,
    AllChildren,
    Daemon,
    Upgrade,
}

const RESTARTS: [Restart; 9] = {
    use Restart::{AllChildren, Daemon, OneChild, Redis, Upgrade};
    [Redis, OneChild, Redis, AllChildren, Redis, Daemon, Redis, Upgrade, Redis]
};

/// Jobs that are pushed for each restart.
const BATCH: usize = 100;

/// Whatever is restarted, every job is done, and twice only those that a child had in hand when it was killed.
///
/// `PREFORK_RESTARTS=36` makes so many restarts instead of 9, of which 5 in 9 are of Redis.
#[test]
fn no_restart_costs_a_job() {
    if !require_tool("redis-server") {
        return;
    }
    let restarts = asked("PREFORK_RESTARTS").unwrap_or(RESTARTS.len());
    let scene = scene!();
    let mut redis = Redis::start(&scene, Keeps::All);
    let mut workers = redis.start_jobs(&scene);
    let (mut wanted, mut cut_off) = (Vec::new(), Vec::new());
    for (round, restart) in RESTARTS.into_iter().cycle().take(restarts).enumerate() {
        for number in 0..BATCH {
            let (text, result) = match number % 2 {
                0 => (format!("upper job {round}.{number}"), format!("JOB {round}.{number}")),
                _ => (format!("sleep {}", 10 + number), format!("slept {}", 10 + number)),
            };
            let () = redis.connection.lpush("jobs", text).expect("pushed");
            wanted.push(result);
        }
        wait_until(PATIENCE, "jobs are in hand", || redis.in_hand().len() > 2);
        match restart {
            Restart::Redis => {
                redis.kill();
                redis.start_again();
            }
            Restart::OneChild => {
                let (list, _) = redis.in_hand().pop_first().expect("jobs are in hand");
                cut_off.extend(redis.kill_worker(owner(&list)));
            }
            Restart::AllChildren => {
                for child in workers.living() {
                    cut_off.extend(redis.kill_worker(child));
                }
            }
            Restart::Daemon => {
                workers.signal(Signal::KILL);
                let _ = workers.finish();
                cut_off.extend(redis.in_hand().into_values().flatten());
                workers = redis.start_jobs(&scene);
            }
            Restart::Upgrade => workers.signal(Signal::USR2),
        }
        workers.signal(Signal::HUP);
    }
    wait_until(PATIENCE * 3, "all jobs are done", || {
        // One that is put back between two questions is seen by neither of them.
        (0..2).all(|_| length(&mut redis.connection, "jobs") == 0 && redis.in_hand().is_empty())
    });
    workers.signal(Signal::TERM);
    assert!(workers.finish().end.is_success());
    // A job that was in the hand of three children that were killed is put aside.
    let aside: Vec<String> = redis.all("jobs:failed");
    let done = counted(redis.all("jobs:done").into_iter().chain(aside.iter().map(|it| result(it))));
    let cut_off = counted(cut_off.iter().map(|it| result(it)));
    for (job, times) in counted(wanted) {
        let (done, cut_off) = (done.get(&job).copied().unwrap_or(0), cut_off.get(&job).copied());
        assert!(done >= times, "{job:?} was done {done} times of {times}");
        let most = times + cut_off.unwrap_or(0);
        assert!(done <= most, "{job:?} was done {done} times of {times}, cut off: {cut_off:?}");
    }
    redis.server.stop_in_order();
}

/// The result of a job.
fn result(job: &str) -> String {
    match job.split_once(' ') {
        Some(("upper", text)) => text.to_uppercase(),
        Some(("sleep", ms)) => format!("slept {ms}"),
        _ => panic!("no such job: {job}"),
    }
}
