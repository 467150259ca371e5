//! The measurements: all peers in turn, so that what drifts hits all alike.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::{private_kb, schedstat};
use rustix::process::Signal;

use crate::{
    clients,
    launch::Pool,
    peer::Peer,
    server::{Server, check_interrupt, signal},
};

const CLIENTS: usize = 8;
const REQUESTS: usize = 1000;
/// Requests of each client before any are counted.
const WARM_UP: usize = 12;
const CPU_ROUNDS: usize = 31;
const KILLS: usize = 9;
const BURSTS: usize = 3;
const STOPS: usize = 3;
const RELOADS: usize = 20;

/// The longest that one event is waited for.
const LIMIT: Duration = Duration::from_secs(15);

/// The longest that an orderly stop is waited for.
const STOPPING: Duration = Duration::from_secs(40);

/// The longest that all reloads of one peer may take together.
const RELOADING: Duration = Duration::from_secs(45);

/// A figure, or why there is none.
pub(crate) type Figure<T> = Result<T, String>;

/// CPU time per request.
pub(crate) struct Cost {
    pub(crate) microseconds: f64,
    /// Of the ratios to the bare loop's in the same round: the quartiles.
    pub(crate) ratio: [f64; 3],
}

/// What was measured of one peer. Times are in milliseconds.
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) version: String,
    pub(crate) cpu: Figure<Cost>,
    pub(crate) burst: Figure<f64>,
    pub(crate) respawn: Figure<f64>,
    pub(crate) stop: Figure<f64>,
    pub(crate) wake_ups: Figure<u64>,
    pub(crate) private_kb: Figure<f64>,
    /// Failed, asked, reloads.
    pub(crate) reload: Figure<(usize, usize, usize)>,
}

impl Row {
    pub(crate) fn new(peer: Peer, version: String) -> Self {
        Self {
            peer,
            version,
            cpu: missing(),
            burst: missing(),
            respawn: missing(),
            stop: missing(),
            wake_ups: missing(),
            private_kb: missing(),
            reload: missing(),
        }
    }
}

/// The reason that needs no note.
pub(crate) const LEFT_OUT: &str = "not measured";

fn missing<T>() -> Figure<T> {
    Err(LEFT_OUT.to_owned())
}

type Measurement = fn(&mut [Row]);

/// Measures what is named, or everything.
pub(crate) fn all(rows: &mut [Row], wanted: &[String]) {
    let all: [(&str, Measurement); 4] =
        [("four", at_four), ("burst", bursts), ("stop", stops), ("reload", all_reloads)];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(rows);
        }
    }
}

fn all_reloads(rows: &mut [Row]) {
    for row in rows {
        row.reload = if row.peer.manages() { reloads(row.peer) } else { unmanaged() };
    }
}

fn unmanaged<T>() -> Figure<T> {
    Err("it has no manager".to_owned())
}

/// What is measured of a pool of four, all peers running and one at a time being asked.
fn at_four(rows: &mut [Row]) {
    let mut servers: Vec<(&mut Row, Server)> = Vec::new();
    for row in rows {
        match Server::start(row.peer, Pool::fixed(4)) {
            Ok(server) => servers.push((row, server)),
            Err(reason) => {
                row.cpu = Err(reason.clone());
                row.respawn = Err(reason.clone());
                row.wake_ups = Err(reason.clone());
                row.private_kb = Err(reason);
            }
        }
    }
    cpu(&mut servers);
    rest(&mut servers);
    respawns(&mut servers);
}

/// CPU time per request of the whole process tree.
fn cpu(servers: &mut [(&mut Row, Server)]) {
    let mut costs = vec![Vec::new(); servers.len()];
    let mut failed = vec![0; servers.len()];
    for round in 0..CPU_ROUNDS {
        // Forth and back, so that nobody always comes after the same other.
        let mut order: Vec<usize> = (0..servers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            check_interrupt();
            let server = &servers[index].1;
            failed[index] += clients::load(server.address, CLIENTS, WARM_UP);
            let before = server.cpu();
            failed[index] += clients::load(server.address, CLIENTS, REQUESTS / CLIENTS);
            let spent = server.cpu() - before;
            costs[index].push(spent as f64 / 1000.0 / REQUESTS as f64);
        }
    }
    let bare = servers.iter().position(|(row, _)| row.peer == Peer::Bare).expect("it is there");
    let yardstick = costs[bare].clone();
    for (((row, _), mut costs), failed) in servers.iter_mut().zip(costs).zip(failed) {
        let mut ratios: Vec<f64> =
            costs.iter().zip(&yardstick).map(|(one, bare)| one / bare).collect();
        row.cpu = if failed == 0 {
            ratios.sort_by(f64::total_cmp);
            let ratio = [1, 2, 3].map(|quarter| ratios[ratios.len() * quarter / 4]);
            Ok(Cost { microseconds: median(&mut costs), ratio })
        } else {
            Err(format!("{failed} requests failed"))
        };
    }
}

/// Wake-ups of the parents in five seconds without requests, and their workers' memory.
fn rest(servers: &mut [(&mut Row, Server)]) {
    thread::sleep(Duration::from_secs(2));
    let before: Vec<u64> = servers.iter().map(|(_, server)| schedstat(server.pid()).1).collect();
    thread::sleep(Duration::from_secs(5));
    for ((row, server), before) in servers.iter_mut().zip(before) {
        row.wake_ups = Ok(schedstat(server.pid()).1 - before);
    }
    for (row, server) in servers {
        let mut memory: Vec<f64> =
            server.children().into_iter().map(|pid| private_kb(pid) as f64).collect();
        row.private_kb = Ok(median(&mut memory));
    }
}

/// From `kill -9` of a worker to its replacement.
fn respawns(servers: &mut [(&mut Row, Server)]) {
    let mut times: Vec<Figure<Vec<f64>>> = servers
        .iter()
        .map(|(row, _)| if row.peer.manages() { Ok(Vec::new()) } else { unmanaged() })
        .collect();
    for _ in 0..KILLS {
        for ((_, server), times) in servers.iter().zip(&mut times) {
            let Ok(seen) = times else { continue };
            let before = server.children();
            signal(before[before.len() / 2], Signal::KILL);
            let replaced =
                |server: &Server| server.children().iter().any(|pid| !before.contains(pid));
            match server.within(LIMIT, replaced) {
                Some(time) => seen.push(milliseconds(time)),
                None => *times = Err(format!("not replaced within {} s", LIMIT.as_secs())),
            }
        }
        // Until the new ones are old enough for their deaths not to count as early, and at another
        // moment of whatever interval a parent looks in.
        thread::sleep(Duration::from_millis(1170));
    }
    for ((row, _), times) in servers.iter_mut().zip(times) {
        row.respawn = times.map(|mut times| median(&mut times));
    }
}

/// A hundred clients at once ask a pool of three for a second's work each.
fn bursts(rows: &mut [Row]) {
    // Those that stay at three take as long as arithmetic says: once, all at the same time.
    thread::scope(|scope| {
        let fixed: Vec<_> = rows
            .iter_mut()
            .filter(|row| !row.peer.grows())
            .map(|row| scope.spawn(|| row.burst = burst(row.peer, 3)))
            .collect();
        for thread in fixed {
            thread.join().expect("measured");
        }
    });
    let mut times: Vec<(&mut Row, Figure<Vec<f64>>)> =
        rows.iter_mut().filter(|row| row.peer.grows()).map(|row| (row, Ok(Vec::new()))).collect();
    for _ in 0..BURSTS {
        for (row, times) in &mut times {
            add(times, || burst(row.peer, 150));
        }
    }
    for (row, times) in times {
        row.burst = times.map(|mut times| median(&mut times));
    }
}

fn burst(peer: Peer, most: usize) -> Figure<f64> {
    // The bare loop answers at once, whatever it is asked.
    if peer == Peer::Bare {
        return Err("it cannot sleep".to_owned());
    }
    let server = Server::start(peer, Pool { least: 3, most, preload: false })?;
    thread::sleep(Duration::from_millis(300));
    let (time, failed) = clients::burst(server.address, 100);
    if failed > 0 {
        let time = time.as_secs_f64();
        return Err(format!("{failed} of 100 had no right answer after {time:.0} s"));
    }
    Ok(milliseconds(time))
}

/// From `SIGTERM` with 150 idle workers until all are gone.
fn stops(rows: &mut [Row]) {
    let mut times: Vec<Figure<Vec<f64>>> = rows
        .iter()
        .map(|row| if row.peer.manages() { Ok(Vec::new()) } else { unmanaged() })
        .collect();
    for _ in 0..STOPS {
        for (row, times) in rows.iter().zip(&mut times) {
            add(times, || stop(row.peer));
        }
    }
    for (row, times) in rows.iter_mut().zip(times) {
        row.stop = times.map(|mut times| median(&mut times));
    }
}

fn stop(peer: Peer) -> Figure<f64> {
    let pool = Pool { preload: true, ..Pool::fixed(150) };
    let mut server = Server::start(peer, pool)?;
    // Until the last workers to start are idle.
    thread::sleep(Duration::from_secs(2));
    let workers = server.children();
    let began = Instant::now();
    signal(server.pid(), Signal::TERM);
    let gone = |pid: &u32| !fs::exists(format!("/proc/{pid}")).unwrap_or(true);
    while server.process.try_wait().expect("asked").is_none() || !workers.iter().all(gone) {
        if began.elapsed() > STOPPING {
            return Err(format!("not stopped within {} s", STOPPING.as_secs()));
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(milliseconds(began.elapsed()))
}

/// Graceful reloads with eight clients asking all the time.
fn reloads(peer: Peer) -> Figure<(usize, usize, usize)> {
    let server = Server::start(peer, Pool::fixed(4))?;
    thread::sleep(Duration::from_millis(1200));
    let (done, asked, failed) = clients::meanwhile(server.address, CLIENTS, || {
        let began = Instant::now();
        let mut done = 0;
        while done < RELOADS && began.elapsed() < RELOADING {
            let before = server.children();
            signal(server.pid(), peer.reload());
            let all_new = |server: &Server| {
                let now = server.children();
                now.len() >= 4 && !now.iter().any(|pid| before.contains(pid))
            };
            if server.within(LIMIT, all_new).is_none() {
                let old = server.children().iter().filter(|pid| before.contains(pid)).count();
                return Err(format!("{old} of 4 old workers remained after reload {}", done + 1));
            }
            done += 1;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(done)
    });
    match done {
        Ok(done) => Ok((failed, asked, done)),
        Err(what) => Err(format!(
            "{what} for {} s under load; {failed} of {asked} requests failed",
            LIMIT.as_secs()
        )),
    }
}

/// Adds another figure, unless one was missing already.
fn add(times: &mut Figure<Vec<f64>>, measure: impl FnOnce() -> Figure<f64>) {
    if let Ok(seen) = times {
        match measure() {
            Ok(time) => seen.push(time),
            Err(reason) => *times = Err(reason),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
