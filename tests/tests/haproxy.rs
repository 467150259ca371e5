//! Pools behind the real HAProxy, by the example of its configuration in `prefork/deploy`.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, InHand, Load, PATIENCE, Running, Scene, asked, get, require_tool, scene, wait_until,
};
use rustix::process::Signal;

const CONFIGURATION: &str = include_str!("../../prefork/deploy/haproxy.cfg");

/// The children of each pool, and their weights in the example.
const SIZES: [u32; 3] = [8, 16, 32];
const WEIGHTS: [u32; 3] = [64, 128, 256];

/// How often HAProxy asks the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    AsInTheExample,
    /// So that a test need not wait long.
    Often,
}

/// The pools, and HAProxy in front of them.
struct Farm<'a> {
    pools: Vec<Pool<'a>>,
    front: &'a Scene,
    haproxy: Running<'a>,
}

struct Pool<'a> {
    scene: &'a Scene,
    size: u32,
    daemon: Daemon<'a>,
}

impl<'a> Pool<'a> {
    fn start(scene: &'a Scene, size: u32) -> Daemon<'a> {
        let size = size.to_string();
        let launch = scene.hello().board().args(["--prefork", &size, "--max-children", &size]);
        launch.args(["--metrics-listen", &scene.public().to_string()]).daemon()
    }

    /// The part of its children that is at work, as Prometheus would read it.
    fn busy(&self) -> f64 {
        let text = get(self.scene.public(), "/metrics").expect("answered").body;
        let line =
            text.lines().find_map(|line| line.strip_prefix("prefork_busy_ratio{name=\"hello\"} "));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no share in {text}"))
    }
}

impl<'a> Farm<'a> {
    fn start(scenes: &'a [Scene; 3], front: &'a Scene, pace: Pace) -> Self {
        let pool = |(scene, size): (&'a Scene, u32)| Pool {
            scene,
            size,
            daemon: Pool::start(scene, size),
        };
        let pools: Vec<Pool<'a>> = scenes.iter().zip(SIZES).map(pool).collect();
        fs::write(front.path("haproxy.cfg"), configuration(scenes, front, pace)).expect("written");
        let haproxy = front.tool("haproxy").args(["-db", "-f"]).args([front.path("haproxy.cfg")]);
        let farm = Self { pools, front, haproxy: haproxy.start() };
        wait_until(PATIENCE, "HAProxy serves", || get(front.address(), "/").is_ok());
        farm
    }

    /// How many requests each server has had in the whole.
    fn served(&self) -> [f64; 3] {
        ["a", "b", "c"].map(|server| self.shown(server, "stot").parse().expect("a number"))
    }

    fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// What HAProxy shows of a server, by the name of the column.
    fn shown(&self, server: &str, column: &str) -> String {
        let mut connection = UnixStream::connect(self.front.socket("stats")).expect("it listens");
        connection.write_all(b"show stat\n").expect("sent");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("answered");
        let mut rows =
            text.trim_start_matches("# ").lines().map(|line| line.split(',').collect::<Vec<_>>());
        let names = rows.next().expect("a head");
        let index = names.iter().position(|name| *name == column).expect("the column is there");
        let row = rows.find(|row| row.len() > index && row[1] == server);
        row.unwrap_or_else(|| panic!("no {server} in {text}"))[index].to_owned()
    }

    #[track_caller]
    fn wait_for(&self, server: &str, column: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let shown = self.shown(server, column);
            if is_so(&shown) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{column} of {server} is {shown}, not {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(self) {
        self.haproxy.signal(Signal::TERM);
        self.haproxy.finish();
        for pool in &self.pools {
            pool.daemon.stop_in_order();
        }
    }
}

/// The example, at the addresses of the scenes.
fn configuration(scenes: &[Scene; 3], front: &Scene, pace: Pace) -> String {
    let mut text = CONFIGURATION.replace("0.0.0.0:80", &front.address().to_string());
    let socket = front.socket("stats").display().to_string();
    text = text.replace(
        "    maxconn 4096",
        &format!("    maxconn 4096\n    stats socket {socket} mode 600 level admin"),
    );
    if pace == Pace::Often {
        text = text.replace("agent-inter 1s", "agent-inter 200ms");
    }
    for (number, (scene, weight)) in scenes.iter().zip(WEIGHTS).enumerate() {
        let example = format!("192.0.2.{}:8080 weight {weight}", number + 1);
        assert!(text.contains(&example), "{example} in the example");
        let (address, port) = (scene.address(), scene.public().port());
        let ours = format!("{address} weight {weight} port {port} agent-port {port}");
        text = text.replace(&example, &ours);
    }
    text
}

#[test]
fn haproxy_accepts_the_example() {
    if !require_tool("haproxy") {
        return;
    }
    let scene = scene!();
    fs::write(scene.path("haproxy.cfg"), CONFIGURATION).expect("written");
    let checked =
        scene.tool("haproxy").args(["-c", "-f"]).args([scene.path("haproxy.cfg")]).finish();
    assert!(checked.end.is_success() && !checked.stderr.contains("WARNING"), "{checked:?}");
}

/// With weights that are their sizes, all are equally busy; one that is busy with others is sent less.
#[test]
fn pools_of_different_sizes_are_equally_busy() {
    /// Seconds that a request takes, and for how long they are counted.
    const TAKES: f64 = 0.15;
    const SPAN: Duration = Duration::from_secs(12);
    if !require_tool("haproxy") {
        return;
    }
    let (scenes, front) = ([scene!(), scene!(), scene!()], scene!());
    let farm = Farm::start(&scenes, &front, Pace::AsInTheExample);
    let load = Load::start(34, farm.address(), "/sleep?ms=150");
    wait_until(PATIENCE, "all are at work", || farm.pools.iter().all(|pool| pool.busy() > 0.3));
    let begun = Instant::now();
    let before = farm.served();
    wait_until(PATIENCE, "enough are served", || begun.elapsed() > SPAN);
    let (served, span) = (farm.served(), begun.elapsed().as_secs_f64());
    // As each request has a child for that long.
    let shares: Vec<f64> = (0..SIZES.len())
        .map(|it| (served[it] - before[it]) * TAKES / (span * f64::from(SIZES[it])))
        .collect();
    let [least, most] =
        [f64::min, f64::max].map(|pick| shares.iter().copied().reduce(pick).expect("three"));
    println!("busy shares {shares:?}, {:.1} points apart", (most - least) * 100.0);
    // Within 5 points on a machine at rest. Without weights the smallest would have four times the share of the largest.
    assert!(most - least < 0.12, "{shares:?}");
    assert!(least > 0.3, "they are hardly used: {shares:?}");
    let tally = load.stop();
    assert_eq!(tally.failures, Vec::<String>::new());
    // Half of the smallest one is taken by those who come past HAProxy.
    let direct: Vec<_> =
        (0..SIZES[0] / 2).map(|_| InHand::at(scenes[0].address(), "/sleep?ms=20000")).collect();
    farm.wait_for("a", "weight", "32", |weight| weight == "32");
    drop(direct);
    farm.haproxy.signal(Signal::TERM);
    farm.haproxy.finish();
    for pool in farm.pools {
        pool.daemon.signal(Signal::INT);
        pool.daemon.wait_for_end(PATIENCE);
    }
}

/// One after another stops while it has requests in hand, ends, and starts again: no request of anybody is lost.
#[test]
fn a_rolling_restart_of_all_pools_loses_nobody() {
    if !require_tool("haproxy") {
        return;
    }
    let (scenes, front) = ([scene!(), scene!(), scene!()], scene!());
    let mut farm = Farm::start(&scenes, &front, Pace::Often);
    let begun = Instant::now();
    let load = Load::start(16, farm.address(), "/sleep?ms=10");
    let slow = Load::start(8, farm.address(), "/sleep?ms=300");
    let enough = requests();
    let mut rounds = 0;
    while rounds == 0 || load.answered() < enough {
        for (index, server) in ["a", "b", "c"].into_iter().enumerate() {
            let before = load.answered();
            wait_until(PATIENCE, "requests are served", || load.answered() > before + 20);
            let pool = &farm.pools[index];
            let in_hand = InHand::at(pool.scene.address(), "/sleep?ms=1500");
            pool.daemon.signal(Signal::TERM);
            farm.wait_for(server, "weight", "0", |weight| weight == "0");
            assert_eq!(in_hand.answer().expect("it is answered").status, 200);
            pool.daemon.assert_ends_in_order(PATIENCE);
            let daemon = Pool::start(pool.scene, pool.size);
            farm.pools[index].daemon = daemon;
            farm.wait_for(server, "weight", "above 0", |weight| weight != "0");
        }
        rounds += 1;
    }
    let (tally, slow) = (load.stop(), slow.stop());
    let failures: Vec<_> = tally.failures.iter().chain(&slow.failures).collect();
    let count = tally.answered + slow.answered;
    assert!(failures.is_empty(), "{} of {count}: {:?}", failures.len(), failures[0]);
    println!("{count} requests, {rounds} rounds, {:?}", begun.elapsed());
    farm.end();
}

/// How many requests a restart is tried with: more by hand.
fn requests() -> usize {
    asked("PREFORK_TESTS_REQUESTS").unwrap_or(500)
}

/// What an operator has set at HAProxy by hand stays, whatever the agent is answered.
#[test]
fn what_operators_set_at_haproxy_stays() {
    if !require_tool("haproxy") {
        return;
    }
    let (scenes, front) = ([scene!(), scene!(), scene!()], scene!());
    let farm = Farm::start(&scenes, &front, Pace::Often);
    for (state, shown) in [("maint", "MAINT"), ("drain", "DRAIN")] {
        let mut connection = UnixStream::connect(front.socket("stats")).expect("it listens");
        let command = format!("set server hello/b state {state}\n");
        connection.write_all(command.as_bytes()).expect("sent");
        let mut said = String::new();
        connection.read_to_string(&mut said).expect("answered");
        farm.wait_for("b", "status", shown, |status| status.starts_with(shown));
        // Agents of the others are asked meanwhile, and this one's more than once.
        prefork_tests::holds_for(Duration::from_secs(1), "it stays so", || {
            farm.shown("b", "status").starts_with(shown)
        });
    }
    farm.end();
}
