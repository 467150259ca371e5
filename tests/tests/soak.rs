//! Everything at once, for as long as is asked for: `PREFORK_SOAK=30 cargo test -p prefork-tests --test soak`
//! takes 30 minutes; without the variable it takes ten seconds.
//!
//! `PREFORK_RELOADS=1000` is for the other test: so many reloads, one after the other; 200 without it.
//!
//! What is done, and to whom, follows from a seed that is printed; `PREFORK_SOAK_SEED` repeats it, as far
//! as processes can be repeated.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prefork_tests::{Daemon, Load, PATIENCE, Program, Scene, asked, kill, scene, wait_until};
use rustix::process::Signal;

/// How long between two looks at what the parent uses.
const INSPECTION: Duration = Duration::from_secs(2);

/// A generator of numbers that look random (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("few")
    }
}

/// What has been done.
#[derive(Debug, Default)]
struct Account {
    signals: usize,
    kills: usize,
    upgrades: usize,
    refused: usize,
}

/// What the parent uses at a moment.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    descriptors: usize,
    private_kb: u64,
    /// What it shares with children, as long as neither writes to it, among it.
    anonymous_kb: u64,
}

impl Footprint {
    fn of(daemon: &Daemon<'_>) -> Option<Self> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).ok()?.count();
        let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).ok()?;
        let sum = |field: &str| {
            let lines = memory.lines().filter(|line| line.starts_with(field));
            lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
        };
        Some(Self { descriptors, private_kb: sum("Private_"), anonymous_kb: sum("Anonymous:") })
    }
}

/// L5: any number of reloads leaves descriptors, memory and environment of the parent as they were.
#[test]
fn reloads_leave_nothing_behind() {
    // By then everything has been done once.
    const SETTLED: u32 = 5;
    let reloads = asked("PREFORK_RELOADS").unwrap_or(200).max(SETTLED + 1);
    let scene = scene!();
    let daemon = scene.probe().board().daemon();
    // What a child has is what the parent has.
    let environment = || daemon.get("/environment").expect("it serves").body;
    let mut settled = None;
    for generation in 2..=reloads + 1 {
        daemon.signal(Signal::HUP);
        let done = format!("all children are of generation {generation} now");
        wait_until(PATIENCE, &done, || !scene.lines_with("error.log", &done).is_empty());
        if generation == SETTLED + 1 {
            daemon.wait_for_children(PATIENCE, 3, &[]);
            daemon.wait_for_rest();
            settled = Some((Footprint::of(&daemon).expect("it lives"), environment()));
        }
    }
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.wait_for_rest();
    let (before, names) = settled.expect("there were more");
    let after = Footprint::of(&daemon).expect("it lives");
    println!("{reloads} reloads: {before:?} became {after:?}");
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(environment(), names);
    // What is private at a moment depends on what children have still in common with their parent.
    assert!(after.anonymous_kb <= before.anonymous_kb + 64, "{before:?} became {after:?}");
    daemon.stop_in_order();
}

/// R1, R3, L1, L2, L5: children killed, signals of all kinds, good programs and bad ones, under load.
#[test]
fn everything_at_once_for_as_long_as_is_asked_for() {
    let minutes: Option<f64> = asked("PREFORK_SOAK");
    let time =
        minutes.map_or(Duration::from_secs(10), |minutes| Duration::from_secs_f64(minutes * 60.0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let seed = asked("PREFORK_SOAK_SEED").unwrap_or(now);
    println!("PREFORK_SOAK_SEED={seed}");
    let scene = scene!();
    let program = scene.program();
    let size = ["--prefork", "4", "--max-children", "20"];
    let watching = ["--on-client-disconnect", "cancel", "--netwatch-interval", "200"];
    let daemon = program.launch().board().args(size).args(watching).daemon();
    let load = Load::start(6, scene.address(), "/sleep/1");
    let mut account = Account::default();
    let most = torment(&scene, &daemon, &program, &mut Dice(seed | 1), time, &mut account);

    // Once it is left alone it is whole, and of the last program.
    program.install("--version 999999");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "the last program answers", || {
        daemon.get("/version").is_ok_and(|reply| reply.body == "999999")
    });
    let tally = load.stop();
    println!("{time:?}: {account:?}, {} answered, {} failed", tally.answered, tally.failures.len());
    println!("most used by the parent: {most:?}");
    assert!(tally.failures.len() <= account.kills, "{account:?}: {:?}", tally.failures);
    assert!(tally.answered > 100);
    wait_until(PATIENCE, "no zombie is left", || {
        !daemon.children().iter().any(prefork_tests::Process::is_zombie)
    });
    daemon.stop_in_order();
}

/// Does something every few milliseconds until the time is over, and looks now and then what that costs.
fn torment(
    scene: &Scene,
    daemon: &Daemon<'_>,
    program: &Program<'_>,
    dice: &mut Dice,
    time: Duration,
    account: &mut Account,
) -> Footprint {
    let begun = Instant::now();
    let first = Footprint::of(daemon).expect("it lives");
    let mut most = first;
    let mut inspected = Instant::now();
    while begun.elapsed() < time {
        act(scene, daemon, program, dice, account);
        std::thread::sleep(Duration::from_millis(dice.roll(120) as u64));
        if inspected.elapsed() > INSPECTION {
            inspected = Instant::now();
            inspect(daemon, first, &mut most, account);
        }
    }
    most
}

fn act(
    scene: &Scene,
    daemon: &Daemon<'_>,
    program: &Program<'_>,
    dice: &mut Dice,
    account: &mut Account,
) {
    let harmless =
        [Signal::HUP, Signal::USR1, Signal::TTIN, Signal::TTOU, Signal::WINCH, Signal::CHILD];
    match dice.roll(20) {
        0..=4 => {
            let living = daemon.living();
            if !living.is_empty() && kill(living[dice.roll(living.len())], Signal::KILL) {
                account.kills += 1;
            }
        }
        5 => {
            account.refused += 1;
            match dice.roll(3) {
                0 => program.install_bytes(b"garbage", 0o755),
                1 => program.install("--manner refuses"),
                _ => program.install("--manner betrays"),
            }
            daemon.signal(Signal::USR2);
        }
        6 | 7 => {
            account.upgrades += 1;
            program.install(&format!("--version {}", account.upgrades));
            daemon.signal(Signal::USR2);
        }
        8 => {
            // Logs are rotated, so that they do not fill the disk.
            let _ = fs::rename(scene.path("access.log"), scene.path("access.log.1"));
            daemon.signal(Signal::USR1);
            account.signals += 1;
        }
        _ => {
            daemon.signal(harmless[dice.roll(harmless.len())]);
            account.signals += 1;
        }
    }
}

/// Asserts that the parent uses no more than it did, within what a moment can add.
fn inspect(daemon: &Daemon<'_>, first: Footprint, most: &mut Footprint, account: &Account) {
    // In the middle of an exec there may be nothing to see.
    let Some(now) = Footprint::of(daemon) else { return };
    most.descriptors = most.descriptors.max(now.descriptors);
    most.private_kb = most.private_kb.max(now.private_kb);
    assert!(now.descriptors <= first.descriptors + 16, "{now:?} after {account:?}");
    // Not what is private: after an exec nobody else has the pages of the program, until there are new children.
    assert!(now.anonymous_kb <= first.anonymous_kb + 8192, "{now:?} after {account:?}");
    let children = daemon.children().len();
    assert!(children <= 60, "{children} children");
}
