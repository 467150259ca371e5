//! What is measured, each as a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Barrier, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::schedstat;

use crate::{
    case::{Case, Manager, Pool, Runtime},
    server::Server,
};

/// Reloads of a measurement, and how many requests are asked meanwhile at the least.
const RELOADS: usize = 20;
const ASKED: usize = 50_000;

/// Clients, each with one request at a time.
const CLIENTS: usize = 4;

/// Rounds of CPU time, and the requests of each.
const ROUNDS: usize = 15;
const REQUESTS: usize = 2000;

/// Requests that are asked at once.
const BURST: usize = 32;

const TWO: Pool = Pool { least: 2, most: 2 };

/// Requests while programs are replaced all the time.
const RETIRED: usize = 100_000;

/// Measures what is named, or everything.
pub(crate) fn all(words: &[String]) {
    let measurements = ["reload", "burst", "retire", "cpu", "rest"];
    let chosen = |name: &str| words.iter().any(|word| word == name);
    let some = measurements.iter().any(|name| chosen(name));
    let runtimes: Vec<Runtime> = Runtime::ALL.into_iter().filter(|it| chosen(it.name())).collect();
    let runtimes = if runtimes.is_empty() { Runtime::ALL.to_vec() } else { runtimes };
    for name in measurements {
        if some && !chosen(name) {
            continue;
        }
        match name {
            "reload" => reloads(&runtimes),
            "burst" => bursts(&runtimes),
            "retire" => retirements(&runtimes),
            "cpu" => cpu(&runtimes),
            _ => rest(&runtimes),
        }
    }
}

fn row(name: &str, figure: Result<String, String>) {
    println!("| {name} | {} |", figure.unwrap_or_else(|reason| format!("- ({reason})")));
}

/// What is not installed is said, and not measured.
fn start(case: Case, pool: Pool) -> Result<Server, String> {
    match case.lacks() {
        Some(what) => Err(format!("{what} is not installed")),
        None => Server::start(case, pool),
    }
}

/// Requests that fail during 20 reloads.
fn reloads(runtimes: &[Runtime]) {
    println!(
        "\n| {RELOADS} reloads | lost | of requests | seconds | how |\n| --- | ---: | ---: | ---: | --- |"
    );
    let others = [
        (Manager::Pm2, Runtime::Node),
        (Manager::Supervisor, Runtime::Uvicorn),
        (Manager::Supervisor, Runtime::Php),
        (Manager::Circus, Runtime::Uvicorn),
        (Manager::ServerStarter, Runtime::Starman),
    ];
    let ours = runtimes.iter().map(|runtime| (Manager::Run, *runtime));
    for (manager, runtime) in ours.chain(others) {
        let case = Case { manager, runtime };
        if runtimes.contains(&runtime) {
            row(&case.name(), reload(case));
        }
    }
}

fn reload(case: Case) -> Result<String, String> {
    // Room for the next to be ready beside the last.
    let server = start(case, TWO)?;
    let began = Instant::now();
    let mut problem = None;
    let (asked, failures) = server.door.meanwhile(CLIENTS, |asked| {
        for number in 1..=RELOADS {
            if let Err(reason) = server.reload() {
                problem = Some(format!("reload {number}: {reason}"));
                return;
            }
            while asked.load(Ordering::Relaxed) < ASKED * number / RELOADS
                && began.elapsed() < Duration::from_secs(180)
            {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    if let Some(problem) = problem {
        return Err(format!("{problem}; {} of {asked} lost", failures.len()));
    }
    let seconds = began.elapsed().as_secs();
    Ok(format!("{} | {asked} | {seconds} | {}", failures.len(), kinds(&failures)))
}

/// 32 requests of a second on two programs.
fn bursts(runtimes: &[Runtime]) {
    println!(
        "\n| {BURST} requests of 1 s at once | all answered after | programs at most | two again after |"
    );
    println!("| --- | ---: | ---: | ---: |");
    for (runtime, path, kind) in [
        (Runtime::Uvicorn, "/sleep?ms=1000", "async def"),
        (Runtime::Uvicorn, "/work?ms=1000", "def"),
        (Runtime::Gunicorn, "/sleep?ms=1000", "sync"),
        (Runtime::Php, "/sleep?ms=1000", "FastCGI"),
        (Runtime::Perl, "/sleep?ms=1000", "blocking"),
    ] {
        if runtimes.contains(&runtime) {
            let name = format!("{}, {kind}", runtime.name());
            row(&name, burst(runtime, path));
        }
    }
}

fn burst(runtime: Runtime, path: &str) -> Result<String, String> {
    let pool = Pool { least: 2, most: 40 };
    let server = start(Case { manager: Manager::Run, runtime }, pool)?;
    let barrier = Barrier::new(BURST + 1);
    let began = thread::scope(|scope| {
        let asking = || {
            barrier.wait();
            server.door.ask(path).map(drop)
        };
        let threads: Vec<_> = (0..BURST).map(|_| scope.spawn(asking)).collect();
        barrier.wait();
        let began = Instant::now();
        let ends = threads.into_iter().map(|thread| thread.join().expect("a client"));
        ends.collect::<Result<Vec<()>, _>>().map(|_| began).map_err(|error| error.to_string())
    })?;
    let answered = began.elapsed().as_secs_f64();
    let most = server.children().len();
    while server.children().len() > 2 {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("{} are left after a minute", server.children().len()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let back = began.elapsed().as_secs_f64();
    Ok(format!("{answered:.2} s | {most} | {back:.1} s"))
}

/// Requests that are lost while programs are asked to leave all the time.
fn retirements(runtimes: &[Runtime]) {
    println!(
        "\n| one reload after the other | programs that left | lost | of requests | seconds | how |\n\
         | --- | ---: | ---: | ---: | ---: | --- |"
    );
    for runtime in [Runtime::Node, Runtime::Perl, Runtime::Go] {
        if runtimes.contains(&runtime) {
            row(runtime.name(), retirement(runtime));
        }
    }
}

fn retirement(runtime: Runtime) -> Result<String, String> {
    let server = start(Case { manager: Manager::Run, runtime }, TWO)?;
    let began = Instant::now();
    let (mut seen, mut problem) = (BTreeSet::new(), None);
    let (asked, failures) = server.door.meanwhile(CLIENTS, |asked| {
        while asked.load(Ordering::Relaxed) < RETIRED && problem.is_none() {
            seen.extend(server.children());
            problem = server.reload().err();
        }
    });
    if let Some(problem) = problem {
        return Err(format!("{problem}; {} of {asked} lost", failures.len()));
    }
    // Those of the last reload have not left.
    let (seconds, left) = (began.elapsed().as_secs(), seen.len());
    Ok(format!("{left} | {} | {asked} | {seconds} | {}", failures.len(), kinds(&failures)))
}

/// What has gone wrong, and how often each.
fn kinds(failures: &[String]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    failures.iter().for_each(|failure| *kinds.entry(failure).or_default() += 1);
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    kinds.join("; ")
}

/// CPU time per request, of all processes, to that of the same programs alone.
fn cpu(runtimes: &[Runtime]) {
    println!("\n| CPU per request | alone | under prefork run | ratio (quartiles) |");
    println!("| --- | ---: | ---: | ---: |");
    for runtime in runtimes {
        row(runtime.name(), paired(*runtime));
    }
}

fn paired(runtime: Runtime) -> Result<String, String> {
    let cases = [Manager::Alone, Manager::Run].map(|manager| Case { manager, runtime });
    let servers = [start(cases[0], TWO)?, start(cases[1], TWO)?];
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        // Forth and back, so that nobody always comes after the other.
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let server = &servers[index];
            let mut failed = server.door.load(CLIENTS, 50);
            let before = server.cpu();
            failed += server.door.load(CLIENTS, REQUESTS / CLIENTS);
            if failed > 0 {
                return Err(format!("{failed} requests failed, {}", server.case.name()));
            }
            let spent = server.cpu().saturating_sub(before);
            costs[index].push(spent as f64 / 1000.0 / REQUESTS as f64);
        }
    }
    let [alone, ours] = &mut costs;
    let mut ratios: Vec<f64> = ours.iter().zip(&*alone).map(|(ours, alone)| ours / alone).collect();
    ratios.sort_by(f64::total_cmp);
    let [low, middle, high] = [1, 2, 3].map(|quarter| ratios[ratios.len() * quarter / 4]);
    for list in [&mut *alone, &mut *ours] {
        list.sort_by(f64::total_cmp);
    }
    let half = ROUNDS / 2;
    Ok(format!(
        "{:.1} us | {:.1} us | {middle:.3} ({low:.3} to {high:.3})",
        alone[half], ours[half]
    ))
}

/// How often processes of ours are put on a processor while nobody asks, and what a hundred cost.
fn rest(runtimes: &[Runtime]) {
    println!(
        "\n| 10 s | programs | wake-ups of ours, nobody connected | CPU of ours, a request every 10 ms |"
    );
    println!("| --- | ---: | ---: | ---: |");
    for (runtime, count) in [(Runtime::Uvicorn, 4), (Runtime::Node, 4), (Runtime::Perl, 100)] {
        if runtimes.contains(&runtime) {
            row(runtime.name(), at_rest(runtime, count));
        }
    }
}

fn at_rest(runtime: Runtime, count: usize) -> Result<String, String> {
    let pool = Pool { least: count, most: count };
    let server = start(Case { manager: Manager::Run, runtime }, pool)?;
    thread::sleep(Duration::from_secs(3));
    let ours = || {
        let pids = server.parents().into_iter().chain(server.children());
        pids.map(schedstat).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (_, before) = ours();
    thread::sleep(Duration::from_secs(10));
    let wake_ups = ours().1 - before;
    let (before, began) = (ours().0, Instant::now());
    while began.elapsed() < Duration::from_secs(10) {
        server.door.ask("/").map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(10));
    }
    let share = (ours().0 - before) as f64 / 1e7 / began.elapsed().as_secs_f64();
    Ok(format!("{count} | {wake_ups} | {share:.2} % of a core"))
}
