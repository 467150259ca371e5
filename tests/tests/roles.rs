//! R9: exactly one process has a role, whatever is killed, reloaded or upgraded, and for how long nobody has.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, Launch, PATIENCE, Scene, asked, children, find_process, kill, scene, wait_until,
};
use rustix::process::Signal;

/// How many rounds there are, unless `PREFORK_ROLES` says otherwise.
const ROUNDS: usize = 120;

/// What is done in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    KillChild,
    KillParent,
    Reload,
    ReloadAll,
    Upgrade,
    /// And start another daemon at once.
    KillArbiter,
}

/// The rounds of one daemon's life. No more children are killed than are replaced at once.
fn life() -> impl Iterator<Item = Deed> {
    let children = [Deed::KillChild; 10];
    let reloads = [Deed::Reload, Deed::ReloadAll, Deed::Reload];
    let part = move |deed| children.into_iter().chain(reloads).chain([deed]);
    let parts = [Deed::KillParent, Deed::Upgrade, Deed::KillParent, Deed::Upgrade];
    parts.into_iter().flat_map(part).chain([Deed::KillArbiter])
}

/// What the processes that have the role write.
#[derive(Debug)]
struct Witness<'a> {
    scene: &'a Scene,
    read: u64,
    /// Who has begun last.
    holder: Option<u32>,
    begun: usize,
}

impl<'a> Witness<'a> {
    const fn new(scene: &'a Scene) -> Self {
        Self { scene, read: 0, holder: None, begun: 0 }
    }

    /// Takes in what was written since; nobody may have found somebody else at work.
    #[track_caller]
    fn look(&mut self) -> Option<u32> {
        let Ok(mut file) = File::open(self.scene.path("witness")) else { return None };
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.read)).expect("it can be read");
        file.read_to_string(&mut text).expect("it is text");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            let (what, pid) = line.rsplit_once(' ').expect("two words");
            match what {
                "begins" => {
                    self.holder = Some(pid.parse().expect("a pid"));
                    self.begun += 1;
                }
                "ends" => {}
                two => panic!("two at once: {two} {pid}"),
            }
        }
        self.read += whole as u64;
        self.holder
    }

    /// Waits until another one has it; returns how long that has taken.
    #[track_caller]
    fn wait_for_another(&mut self, deed: Deed, old: u32) -> Duration {
        let begun = Instant::now();
        wait_until(PATIENCE, &format!("another one has it after {deed:?}"), || {
            self.look() != Some(old)
        });
        begun.elapsed()
    }
}

fn launch(scene: &Scene) -> Launch<'_> {
    scene.tool(env!("CARGO_BIN_EXE_pools")).args(["--role", "cron"]).path("--witness", "witness")
}

/// The parent of the role.
#[track_caller]
fn parent(daemon: &Daemon<'_>) -> u32 {
    let mut found = None;
    wait_until(PATIENCE, "the role has a parent", || {
        let is_it = |pid: &u32| {
            find_process(*pid).is_some_and(|it| it.command_line().contains("pools/cron [parent]"))
        };
        found = children(daemon.pid()).into_iter().map(|it| it.pid).find(is_it);
        found.is_some()
    });
    found.expect("just found")
}

fn do_it(daemon: &Daemon<'_>, deed: Deed, holder: u32) {
    // Who has just gone by itself is no failure.
    let _ = match deed {
        Deed::KillChild => kill(holder, Signal::KILL),
        Deed::KillParent => kill(parent(daemon), Signal::KILL),
        Deed::Reload => kill(parent(daemon), Signal::HUP),
        Deed::ReloadAll => kill(daemon.pid(), Signal::HUP),
        Deed::Upgrade => kill(daemon.pid(), Signal::USR2),
        Deed::KillArbiter => kill(daemon.pid(), Signal::KILL),
    };
}

/// R9: each process that has the role takes a lock of the test's own, and reports whoever has that and can do anything.
#[test]
fn a_role_is_never_had_twice_whatever_is_killed_reloaded_or_upgraded() {
    let (scene, rounds) = (scene!(), asked("PREFORK_ROLES").unwrap_or(ROUNDS));
    let mut witness = Witness::new(&scene);
    let mut times: Vec<(Deed, Duration)> = Vec::new();
    let mut daemon = launch(&scene).daemon();
    let mut deeds = life();
    while times.len() < rounds {
        let deed = deeds.next().unwrap_or_else(|| {
            deeds = life();
            Deed::KillChild
        });
        wait_until(PATIENCE, "somebody has it", || witness.look().is_some());
        let holder = witness.look().expect("just seen");
        do_it(&daemon, deed, holder);
        if deed == Deed::KillArbiter {
            let begun = Instant::now();
            // Though its last child may still be there.
            wait_until(PATIENCE, "the arbiter has gone", || {
                find_process(daemon.pid()).is_none_or(|it| it.is_zombie())
            });
            daemon = launch(&scene).daemon();
            witness.wait_for_another(deed, holder);
            times.push((deed, begun.elapsed()));
        } else {
            times.push((deed, witness.wait_for_another(deed, holder)));
        }
    }
    daemon.stop_in_order();
    witness.look();
    assert!(witness.begun >= rounds, "{} for {rounds} rounds", witness.begun);
    print_times(times);
}

/// The witness is able to see it: two daemons with pid files of their own do not know of each other.
#[test]
fn two_that_have_no_lock_in_common_find_each_other_at_work() {
    let (scene, other) = (scene!(), scene!());
    let first = launch(&scene).daemon();
    let mut witness = Witness::new(&scene);
    wait_until(PATIENCE, "the first has it", || witness.look().is_some());
    let launch = other.tool(env!("CARGO_BIN_EXE_pools")).args(["--role", "cron", "--witness"]);
    let second = launch.args([scene.path("witness")]).daemon();
    let found = format!("beside {} begins ", witness.holder.expect("just seen"));
    wait_until(PATIENCE, "the second says so", || scene.read("witness").contains(&found));
    second.stop_in_order();
    first.stop_in_order();
}

fn print_times(mut times: Vec<(Deed, Duration)>) {
    times.sort_unstable();
    for of_one in times.chunk_by(|(deed, _), (other, _)| deed == other) {
        let at = |share: usize| of_one[(of_one.len() - 1) * share / 100].1;
        println!(
            "{:?}: {} rounds, until another one has it: median {:?}, p99 {:?}, longest {:?}",
            of_one[0].0,
            of_one.len(),
            at(50),
            at(99),
            at(100)
        );
    }
}
