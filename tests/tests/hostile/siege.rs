//! A daemon with hostile children, and what holds whatever they do.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, End, Launch, PATIENCE, Running, Scene, find_process, kill, require_root, wait_until,
};
use rustix::{
    process::Signal,
    time::{ClockId, clock_gettime},
};

use crate::puppet::Puppet;

/// How long a graceful stop may take at the fixture: until it is over, and the harder measures.
pub(crate) const GRACEFUL: Duration = Duration::from_secs(2);

/// How long a death may take to be replaced on a machine with all cores busy; in print is how long it took.
const REPLACED_IN: Duration = Duration::from_secs(2);

/// A daemon with hostile children, and a process of root's that has nothing to do with it.
pub(crate) struct Siege<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) daemon: Daemon<'a>,
    bystander: Running<'a>,
}

/// Prepares to start the fixture.
pub(crate) fn fixture(scene: &Scene) -> Launch<'_> {
    let address = scene.address().to_string();
    scene.tool(env!("CARGO_BIN_EXE_hostile")).args(["--listen", &address])
}

impl<'a> Siege<'a> {
    /// Begins one; `None` where the test does not run as root, which it says.
    pub(crate) fn begin(scene: &'a Scene) -> Option<Self> {
        require_root().then(|| Self::of(scene, fixture(scene).daemon()))
    }

    /// Begins one with this daemon.
    pub(crate) fn of(scene: &'a Scene, daemon: Daemon<'a>) -> Self {
        let bystander = scene.tool("sleep").args(["1000"]).start();
        Self { scene, daemon, bystander }
    }

    /// Takes a connection to a child, if one serves.
    pub(crate) fn try_puppet(&self) -> Option<Puppet> {
        Puppet::take(self.scene.address()).ok()
    }

    /// Takes the next idle child.
    #[track_caller]
    pub(crate) fn puppet(&self) -> Puppet {
        Puppet::take(self.scene.address()).expect("a child serves")
    }

    /// Returns the lines of the error log that contain all of these texts.
    pub(crate) fn logged(&self, texts: &[&str]) -> Vec<String> {
        let mut lines = self.scene.lines_with("error.log", "");
        lines.retain(|line| texts.iter().all(|text| line.contains(text)));
        lines
    }

    /// Waits until the log names a child in a line with this text, and asserts that it is one line.
    #[track_caller]
    pub(crate) fn assert_named_once(&self, pid: u32, text: &str) {
        let child = format!("child {pid} ");
        wait_until(PATIENCE, &format!("{child}is named with {text:?}"), || {
            !self.logged(&[&child, text]).is_empty()
        });
        let lines = self.logged(&[&child, text]);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    /// Kills a child, and asserts that another is soon there in its place, and that it serves; returns how long it
    /// took from the kill until it was seen, or had begun its main loop.
    #[track_caller]
    pub(crate) fn assert_replaced(&self, victim: Puppet, meanwhile: &str) -> Duration {
        let (slot, pid) = (victim.slot, victim.pid);
        let before = self.workers();
        let killed = now();
        assert!(kill(pid, Signal::KILL), "the victim {pid} is there");
        let begun = Instant::now();
        wait_until(PATIENCE, &format!("{pid} is replaced, {meanwhile}"), || {
            self.workers().iter().any(|worker| !before.contains(worker))
        });
        let seen = begun.elapsed();
        // Others that answer meanwhile are held, so that the new one is the next to answer.
        let mut others = vec![victim];
        let took = loop {
            assert!(begun.elapsed() < PATIENCE, "nobody has replaced {pid}, {meanwhile}");
            let Ok(puppet) = Puppet::take(self.scene.address()) else { continue };
            // Others may have to be replaced as well, and the lowest slot is taken first.
            if puppet.born > killed && (puppet.slot == slot || self.is_full()) {
                break puppet.born.saturating_sub(killed).min(seen);
            }
            others.push(puppet);
        };
        measured(&format!("replaced {took:?} after the kill, {meanwhile}"));
        assert!(took < REPLACED_IN, "{took:?} until {pid} was replaced, {meanwhile}");
        took
    }

    /// Whether all children are there.
    fn is_full(&self) -> bool {
        self.workers().len() >= 4
    }

    /// The pids of the children that serve, or are about to.
    fn workers(&self) -> Vec<u32> {
        let mut pids = self.daemon.living();
        pids.retain(|pid| {
            find_process(*pid).is_some_and(|child| child.command_line().ends_with("[child]"))
        });
        pids
    }

    /// Returns how much of a processor the parent uses on the average while `time` passes.
    pub(crate) fn share(&self, time: Duration) -> f64 {
        let (begun, before) = (Instant::now(), processor_time(self.daemon.pid()));
        std::thread::sleep(time);
        let spent = processor_time(self.daemon.pid()).saturating_sub(before);
        spent.as_secs_f64() / begun.elapsed().as_secs_f64()
    }

    /// Stops the daemon, and asserts that this takes no longer than is said, that everything is in order, and that
    /// processes that have nothing to do with it live.
    #[track_caller]
    pub(crate) fn assert_stops(self) {
        let Self { scene, daemon, bystander } = self;
        let alive = find_process(daemon.pid()).is_some_and(|parent| !parent.is_zombie());
        assert!(alive, "the parent lives");
        let begun = Instant::now();
        daemon.signal(Signal::TERM);
        let end = daemon.wait_for_end(PATIENCE);
        measured(&format!("stopped after {:?}", begun.elapsed()));
        // Graceful, then the harder measures, of 1 s each.
        let limit = GRACEFUL + Duration::from_secs(4);
        assert!(begun.elapsed() < limit, "{:?} for a stop", begun.elapsed());
        assert_eq!(end, End::Exited(0));
        assert_eq!(bystander.end(), None, "a process that has nothing to do with it was ended");
        bystander.signal(Signal::KILL);
        let _ = bystander.finish();
        scene.assert_nothing_is_left();
    }
}

/// Prints a figure, past what captures the output of tests that pass.
pub(crate) fn measured(figure: &str) {
    let thread = std::thread::current();
    let line = format!("measured: {}: {figure}\n", thread.name().unwrap_or("a test"));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The time by the clock that the fixture reads.
pub(crate) fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).expect("it counts from the boot")
}

/// How long a process has been on a processor (see `/proc/PID/schedstat`).
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
