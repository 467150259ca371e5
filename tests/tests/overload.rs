//! More clients than a pool can serve, who give up after a second.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prefork_tests::{Daemon, Load, PATIENCE, Scene, Sent, get, scene, wait_until};

const CHILDREN: usize = 4;
const WORK_MS: u64 = 100;
const GIVE_UP: Duration = Duration::from_secs(1);
const CAPACITY_PER_SECOND: usize = CHILDREN * 1000 / 100;
/// For how long they come.
const SECONDS: usize = 8;

/// What a client has had within its time.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Served,
    /// 503, with a time to come again.
    Refused,
    GivenUp,
    Other(String),
}

fn ask(address: SocketAddr) -> End {
    match answer(address, Instant::now() + GIVE_UP) {
        Ok(text) if text.starts_with("HTTP/1.1 200 ") && text.ends_with("hello\n") => End::Served,
        Ok(text) if text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: ") => {
            End::Refused
        }
        Ok(text) => End::Other(text),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            End::GivenUp
        }
        Err(error) => End::Other(error.to_string()),
    }
}

fn answer(address: SocketAddr, end: Instant) -> io::Result<String> {
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut connection = TcpStream::connect_timeout(&address, left()?)?;
    write!(connection, "GET /sleep?ms={WORK_MS} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    loop {
        connection.set_read_timeout(Some(left()?))?;
        match connection.read(&mut part)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            length => answer.extend(&part[..length]),
        }
    }
}

/// Twice as many clients as can be served, at times that do not depend on the answers.
fn come(address: SocketAddr) -> Vec<End> {
    let every = Duration::from_secs(1) / u32::try_from(2 * CAPACITY_PER_SECOND).expect("few");
    let begun = Instant::now();
    let clients: Vec<JoinHandle<End>> = (0..2 * CAPACITY_PER_SECOND * SECONDS)
        .map(|client| {
            let due = every * u32::try_from(client).expect("few");
            thread::sleep(due.saturating_sub(begun.elapsed()));
            thread::spawn(move || ask(address))
        })
        .collect();
    clients.into_iter().map(|client| client.join().expect("it ends")).collect()
}

fn count(ends: &[End], wanted: &End) -> usize {
    ends.iter().filter(|end| *end == wanted).count()
}

/// A pool of a fixed size.
fn pool<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    let size = CHILDREN.to_string();
    scene.hello().board().args(["--prefork", &size, "--max-children", &size]).args(args).daemon()
}

/// Returns what the command shows of the queue: served, refused, and gone.
fn counted(scene: &Scene) -> [usize; 3] {
    let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["metrics"]);
    let text = command.args([scene.path("scoreboard")]).finish().stdout;
    ["seconds_count", "refused_total", "abandoned_total"].map(|name| {
        let start = format!("prefork_queue_{name}{{");
        let line = text.lines().find(|line| line.starts_with(&start));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
    })
}

/// Without the limit of the queue the children work for those who have gone, and hardly anybody is answered.
#[test]
fn a_pool_that_refuses_those_who_have_waited_too_long_answers_as_many_as_it_can() {
    let scene = scene!();
    let daemon = pool(&scene, &["--queue-limit", "500ms"]);
    let ends = come(scene.address());
    let (served, refused) = (count(&ends, &End::Served), count(&ends, &End::Refused));
    let capacity = CAPACITY_PER_SECOND * SECONDS;
    println!("{served} served of {capacity}, {refused} refused");
    // Where the machine is at work, children sleep longer than they are to.
    assert!(served * 10 >= capacity * 8, "{served} served of {capacity}, {refused} refused");
    let rest: Vec<_> = ends.iter().filter(|end| matches!(end, End::Other(_))).collect();
    assert!(rest.is_empty() && refused > capacity / 2, "{refused} refused; {rest:?}");
    wait_until(PATIENCE, "all clients are counted", || {
        counted(&scene).iter().sum::<usize>() == ends.len()
    });
    let [counted_served, counted_refused, _gone] = counted(&scene);
    // Some have given up while they were served.
    assert!(counted_served >= served && counted_refused >= refused, "{:?}", counted(&scene));
    daemon.stop_in_order();
    let said = scene.logged("more clients come than can be served: ");
    assert!(said >= 1, "nobody is told");
    let log = scene.read("access.log");
    let busy = log.lines().filter(|line| line.ends_with("\"-\" 503 20")).count();
    assert!(busy >= refused, "{busy} of {refused} in {log}");
}

#[test]
fn without_a_limit_nobody_is_refused() {
    let scene = scene!();
    let daemon = pool(&scene, &[]);
    let ends = come(scene.address());
    daemon.stop_in_order();
    assert_eq!(count(&ends, &End::Refused), 0);
    let (served, capacity) = (count(&ends, &End::Served), CAPACITY_PER_SECOND * SECONDS);
    assert!(served * 2 < capacity, "the limit would not be worth it: {served} of {capacity}");
}

/// What waits longer than target and interval in a queue that is over at once is served.
#[test]
fn a_burst_that_is_worked_off_in_time_is_served_as_a_whole() {
    let scene = scene!();
    let args = ["--prefork", "4", "--max-children", "4", "--queue-limit", "2s"];
    let daemon = scene.hello().args(args).daemon();
    // 5 rounds of the 4 children.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn({
                let at = scene.address();
                move || answer(at, Instant::now() + PATIENCE)
            })
        })
        .collect();
    for client in clients {
        let text = client.join().expect("it ends").expect("answered");
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    daemon.stop_in_order();
}

/// Twice as many clients as children, each with its next request at once, until they go.
#[test]
fn children_know_while_more_comes_than_they_can_serve() {
    let scene = scene!();
    let daemon = scene.probe().board().args(["--prefork", "2", "--max-children", "2"]).daemon();
    let is_overloaded = || get(scene.address(), "/overloaded").expect("answered").body == "true";
    assert!(!is_overloaded(), "nobody is there");
    let begun = Instant::now();
    let load = Load::start(8, scene.address(), "/sleep/50");
    wait_until(PATIENCE, "the queue stays", is_overloaded);
    assert!(begun.elapsed() >= Duration::from_secs(1), "a queue of a moment is none");
    assert!(is_overloaded() && is_overloaded(), "it lasts");
    assert_eq!(load.stop().failures, Vec::<String>::new());
    let ended = Instant::now();
    wait_until(PATIENCE, "it is over", || !is_overloaded());
    assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
    daemon.stop_in_order();
}

/// Without it, those who say nothing have all children for 10 s each.
#[test]
fn clients_that_say_nothing_are_waited_for_less_long_while_others_wait() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--prefork", "2", "--max-children", "2"]).daemon();
    let silent: Vec<_> = (0..8)
        .map(|_| TcpStream::connect_timeout(&scene.address(), PATIENCE).expect("connected"))
        .collect();
    let begun = Instant::now();
    get(scene.address(), "/").expect("answered");
    println!("answered after {:?}", begun.elapsed());
    drop(silent);
    daemon.stop_in_order();
}

/// Asks so many times at once for a request of so many ms; returns how long it took until all were answered.
fn burst(clients: usize, ms: u64, connect: impl Fn() -> Box<dyn Stream> + Copy + Send) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(move || {
                let sent = Sent::over(connect(), &format!("/sleep?ms={ms}")).expect("connected");
                sent.answer().expect("answered");
            });
        }
    });
    begun.elapsed()
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// The same over TCP and over a UNIX socket, of which the kernel keeps no time.
#[test]
fn a_pool_with_a_target_for_waiting_grows_for_long_requests_and_not_for_short_ones() {
    let scene = scene!();
    let size = ["--prefork", "2", "--max-children", "20", "--queue-target", "400ms"];
    let hello = scene.hello().board().args(size).socket("--listen", "http");
    let daemon = hello.daemon();
    let (address, path) = (scene.address(), scene.socket("http"));
    let (path, tcp) = (path.as_path(), move || -> Box<dyn Stream> {
        Box::new(TcpStream::connect_timeout(&address, PATIENCE).expect("connected"))
    });
    let unix =
        move || -> Box<dyn Stream> { Box::new(UnixStream::connect(path).expect("connected")) };
    for connect in [&tcp as &(dyn Fn() -> Box<dyn Stream> + Sync), &unix] {
        burst(40, 5, connect);
        let few = daemon.children().len();
        assert!(few <= 6, "{few} children for 200 ms of work");
    }
    for connect in [&unix as &(dyn Fn() -> Box<dyn Stream> + Sync), &tcp] {
        let took = burst(20, 2000, connect);
        // Two children would take 20 s.
        assert!(took < Duration::from_millis(5000), "{took:?}");
    }
    let many = daemon.children().len();
    assert!(many >= 18, "{many} children for 20 clients");
    daemon.stop_in_order();
}
