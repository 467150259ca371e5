//! Reports what a program has in hand, as it is seen from outside.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use prefork::{Child, InFlight, InHand, LogLevel};
use prefork_core::{
    MemoryFinding, MemoryLimit, Time,
    program::{AtOnce, Change, Found, Look, Observer},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    Sockets,
    arm::{Arm, Waits},
    look::{Client, Held, Listeners, Tree},
};

/// How often to look at the memory of a program that listens nowhere.
const MEMORY_EVERY: Duration = Duration::from_secs(10);

/// A wake-up uses no more of a processor: beyond it, what the program prints was passed on.
const MOST_FOR_A_WAKE: Duration = Duration::from_micros(200);

const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Looks at a program, and holds a request for each that it has in hand.
pub(crate) struct Observation {
    /// The origin of times.
    origin: Instant,
    observer: Observer,
    /// How much of a processor this child had used when that was reported last.
    used: Duration,
    eyes: Option<Eyes>,
    in_flight: InFlight,
    in_hand: HashMap<u64, InHand>,
    /// How many requests were counted.
    counted: u64,
    memory: Option<MemoryLimit>,
    /// When to look at its memory, where nothing else shows that it works.
    memory_due: Option<Instant>,
    /// What a request is called.
    label: String,
}

/// What there is to look at, of a program that listens.
struct Eyes {
    listeners: Listeners,
    held: Held,
    /// Waits for the next connection.
    arm: Arm,
}

/// What has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A connection has come to a socket.
    ByConnection,
    ByOther,
}

impl Observation {
    /// Begins, at a program that has nothing in hand.
    ///
    /// `programs` is how many there may be of them, which share the time that may be spent on looking.
    pub(crate) fn new(
        child: &mut Child,
        sockets: &Sockets,
        programs: u32,
        max_memory: Option<u64>,
        label: String,
    ) -> io::Result<Self> {
        let at_once = if child.concurrency() > 1 { AtOnce::Many } else { AtOnce::One };
        let budget = Observer::budget_of(programs);
        let memory_due =
            max_memory.filter(|_| sockets.0.is_empty()).map(|_| Instant::now() + MEMORY_EVERY);
        let eyes = if sockets.0.is_empty() { None } else { Some(Eyes::open(sockets)?) };
        let mut observer = Observer::new(Time::ZERO, at_once, budget);
        // It may have accepted before it was known to be ready.
        observer.stirred(Time::ZERO);
        Ok(Self {
            origin: Instant::now(),
            observer,
            used: cpu(),
            eyes,
            in_flight: child.in_flight(),
            in_hand: HashMap::new(),
            counted: 0,
            memory: max_memory.map(MemoryLimit::new),
            memory_due,
            label,
        })
    }

    fn time(&self, now: Instant) -> Time {
        Time::after_origin(now.saturating_duration_since(self.origin))
    }

    /// When to [`see`](Self::see) again; none at rest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = self.eyes.as_ref().and(self.observer.due());
        let due = due.map(|due| self.origin + due.since_origin());
        [due, self.memory_due].into_iter().flatten().min()
    }

    /// What becomes readable when there is something to [`see`](Self::see).
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let eyes = self.eyes.as_ref()?;
        self.observer.is_armed().then(|| eyes.arm.fd())
    }

    /// Returns how many requests are in hand.
    pub(crate) fn in_hand(&self) -> u32 {
        self.observer.in_hand()
    }

    /// Sets what requests that begin from now on are called.
    pub(crate) fn set_label(&mut self, label: &str) {
        label.clone_into(&mut self.label);
        self.in_hand.values().for_each(|in_hand| in_hand.set_label(label));
        self.in_flight.publish();
    }

    /// Takes in how many requests the program says it has in hand.
    pub(crate) fn reported(&mut self, now: Instant, in_hand: Option<u32>) {
        self.observer.reported(self.time(now), in_hand);
        self.carry_on();
    }

    /// Looks, if it is time to.
    ///
    /// `woken` is whether [`fd`](Self::fd) was readable. Where it is forbidden to look at the program that is logged, once, and
    /// nobody looks again.
    pub(crate) fn see(&mut self, now: Instant, woken: Woken, child: &mut Child, tree: &mut Tree) {
        if let Err(error) = self.try_see(now, woken, child, tree) {
            child.log(
                LogLevel::Warn,
                format_args!(
                    "cannot see what the program has in hand: {error}; it counts as idle unless it \
                     reports X_PREFORK_IN_HAND"
                ),
            );
            self.eyes = None;
            self.in_hand.clear();
        }
        if self.memory_due.is_some_and(|due| now >= due) {
            self.memory_due = Some(now + MEMORY_EVERY);
            tree.refresh();
            self.look_at_memory(child, tree);
        }
    }

    fn try_see(
        &mut self,
        now: Instant,
        woken: Woken,
        child: &mut Child,
        tree: &mut Tree,
    ) -> io::Result<()> {
        let time = self.time(now);
        let used = cpu();
        self.observer.spent(time, used.saturating_sub(self.used).min(MOST_FOR_A_WAKE));
        self.used = used;
        let Some(eyes) = &mut self.eyes else { return Ok(()) };
        if self.observer.is_armed() && woken == Woken::ByConnection {
            eyes.arm.stop_waiting()?;
            self.observer.stirred(time);
        }
        let mut has_looked = false;
        if self.observer.due().is_some_and(|due| time >= due) {
            match self.observer.look(time, tree.ran()) {
                Look::NotNow => {}
                Look::AtConnections => {
                    has_looked = true;
                    tree.refresh();
                    let held = eyes.held.look(tree, &eyes.listeners)?;
                    if self.observer.wants_stance() && !held.is_empty() {
                        self.observer.in_stance(tree.stance(&eyes.listeners, held)?);
                    }
                    let found: Vec<Found> =
                        held.iter().map(|it| Found { inode: it.inode, facts: it.facts }).collect();
                    self.used = cpu();
                    self.observer.spent(time, self.used.saturating_sub(used));
                    self.observer.found(time, &found);
                }
            }
        }
        // What was accepted between the last look and now is seen by that it ran.
        if self.observer.is_armed() && eyes.arm.wait()? == Waits::Since && tree.ran() {
            self.observer.stirred(time);
        }
        self.carry_on();
        if has_looked {
            self.look_at_memory(child, tree);
        }
        Ok(())
    }

    /// Begins and ends requests.
    fn carry_on(&mut self) {
        while let Some(change) = self.observer.next_change() {
            match change {
                Change::Begun(key) => {
                    let in_hand = self.in_flight.begin(&self.label);
                    if let Some(client) = self.client(key) {
                        in_hand.set_client(client);
                    }
                    self.in_hand.insert(key, in_hand);
                    self.counted += 1;
                }
                // As long as its client likes: request_timeout is for the program.
                Change::Waits(key) => {
                    let in_hand = self.in_hand.get(&key);
                    in_hand.iter().for_each(|in_hand| in_hand.extend_deadline(FOREVER));
                }
                Change::Ended(key) => drop(self.in_hand.remove(&key)),
            }
        }
        // Those that were answered before anybody looked, and whose connections were kept.
        for _ in self.counted..self.observer.accepted() {
            drop(self.in_flight.begin(&self.label));
            self.counted += 1;
        }
    }

    fn client(&self, key: u64) -> Option<Client> {
        let connections = self.eyes.as_ref()?.held.connections();
        connections.iter().find(|it| it.inode == key).map(|it| it.client.clone())
    }

    /// Asks for a successor of a program that has grown too large. Costs nothing without a limit.
    fn look_at_memory(&mut self, child: &mut Child, tree: &Tree) {
        let Some(limit) = self.memory.as_mut() else { return };
        let (bytes, max) = (tree.memory(), limit.max());
        let in_mebibytes = |bytes: u64| bytes >> 20;
        match limit.look(bytes) {
            MemoryFinding::Within => {}
            MemoryFinding::LargeFromStart { most } => child.log(
                LogLevel::Warn,
                format_args!(
                    "the program has {} MiB of memory after its first request, and max_memory is {} MiB: it may have {} \
                     MiB; raise max_memory",
                    in_mebibytes(bytes),
                    in_mebibytes(max),
                    in_mebibytes(most),
                ),
            ),
            MemoryFinding::Exceeded => {
                child.ask_for_successor(format_args!(
                    "the program has {} MiB of memory, of {} MiB (max_memory)",
                    in_mebibytes(bytes),
                    in_mebibytes(max),
                ));
                self.memory = None;
            }
        }
    }
}

/// Returns how much of a processor this child has used.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Eyes {
    fn open(sockets: &Sockets) -> io::Result<Self> {
        let own = |socket: &crate::sockets::Socket| socket.listener.as_fd().try_clone_to_owned();
        let arm = Arm::new(sockets.0.iter().map(own).collect::<io::Result<_>>()?)?;
        Ok(Self { listeners: sockets.listeners()?, held: Held::default(), arm })
    }
}
