//! Programs that listen nowhere.

use prefork_tests::{Daemon, PATIENCE, Scene, require_tool, scene, wait_until};
use redis::{Commands, Connection};
use rustix::process::Signal;

use crate::runtime::{PROGRAMS, prefork, require_module, write_recipe};

/// A list of jobs is worked off by programs that finish the job in hand when they are sent `SIGTERM`: no reload and no stop
/// loses a job, or does one twice.
#[test]
fn workers_of_a_queue_lose_no_job() {
    if !require_tool("redis-server") || !require_module("redis") {
        return;
    }
    let scene = scene!();
    let (mut redis, server) = start_redis(&scene);
    write_recipe(&scene, "A worker of a queue", PROGRAMS);
    let address = scene.other_address();
    let variables =
        [format!("REDIS_HOST={}", address.ip()), format!("REDIS_PORT={}", address.port())];
    let prefork = prefork(&scene).args(variables.iter().flat_map(|it| ["--env", it]));
    // The system's Python, which has the module.
    let prefork = prefork.variable("PATH", "/usr/bin:/bin");
    let running = prefork.args(["app.toml"]).start();
    let daemon: Daemon<'_> = running.ready();
    for _ in 0..40 {
        let () = redis.lpush("jobs", "50").expect("pushed");
    }
    for done in [5, 15] {
        wait_until(PATIENCE, "jobs are done", || length(&mut redis, "done") >= done);
        let old = daemon.living();
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE, "the workers are new", || {
            let living = daemon.living();
            living.len() == 2 && old.iter().all(|pid| !living.contains(pid))
        });
    }
    wait_until(PATIENCE, "all jobs are done", || length(&mut redis, "done") >= 40);
    // One that is in hand when the daemon stops.
    let () = redis.lpush("jobs", "500").expect("pushed");
    wait_until(PATIENCE, "it is taken", || length(&mut redis, "jobs") == 0);
    daemon.stop_in_order();
    assert_eq!(length(&mut redis, "done"), 41);
    server.signal(Signal::KILL);
}

fn start_redis(scene: &Scene) -> (Connection, prefork_tests::Running<'_>) {
    let address = scene.other_address();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let server = scene.tool("redis-server").args(["--bind", &ip, "--port", &port]);
    let server = server.args(["--save", "", "--appendonly", "no", "--dir", "."]).start();
    let client = redis::Client::open(format!("redis://{address}")).expect("an address");
    let mut connection = None;
    wait_until(PATIENCE, "Redis answers", || {
        connection = client.get_connection().ok();
        connection.is_some()
    });
    (connection.expect("it answers"), server)
}

fn length(redis: &mut Connection, list: &str) -> usize {
    redis.llen(list).expect("it answers")
}
