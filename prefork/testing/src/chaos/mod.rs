//! Faults in an order that can be had again.

mod plan;

use std::{env, fmt::Write, thread};

use crate::{Child, Daemon, PATIENCE, Signal, Tally};

pub use plan::{Fault, plan};

/// How many faults there are, unless somebody says otherwise.
const STEPS: usize = 20;

/// How many clients ask meanwhile, unless somebody says otherwise.
const CLIENTS: usize = 4;

/// The variable that has another seed than the one that the test gives.
const SEED: &str = "PREFORK_TESTING_SEED";

/// A sequence of kills, hangs and reloads under load that is about to begin: [`Daemon::chaos`].
///
/// The same seed makes the same sequence. When each of its faults meets a daemon is not the same: that is up to the machine.
/// `PREFORK_TESTING_SEED` in the environment takes the place of the seed.
#[derive(Debug)]
#[must_use]
pub struct Chaos<'a> {
    daemon: &'a Daemon,
    seed: u64,
    steps: usize,
    clients: usize,
    path: String,
}

/// What became of a daemon in a sequence of faults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survived {
    /// The seed by which all of it can be had again.
    pub seed: u64,
    /// What was done, in order.
    pub faults: Vec<Fault>,
    /// How many requests those children can have had in hand that were killed: as many as may have failed.
    pub in_hand: usize,
    /// What the clients have seen.
    pub tally: Tally,
}

impl<'a> Chaos<'a> {
    pub(crate) fn new(daemon: &'a Daemon, seed: u64) -> Self {
        let seed = match env::var(SEED) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text} is no number")),
            Err(_) => seed,
        };
        Self { daemon, seed, steps: STEPS, clients: CLIENTS, path: "/".to_owned() }
    }

    /// Sets how many faults there are; 20 by default.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets how many clients ask meanwhile; 4 by default.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// Sets what they ask for; `/` by default.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Goes through all of it, and waits after each fault until the daemon has as many children as before. The seed is
    /// printed first, so that a test that fails shows it.
    ///
    /// # Panics
    ///
    /// Panics if the daemon ends, or is not whole again within 20 s after a fault; or if nobody is served any more.
    #[track_caller]
    pub fn run(self) -> Survived {
        let Self { daemon, seed, steps, clients, path } = self;
        eprintln!("chaos: seed {seed}; {SEED}={seed} has it again");
        let faults = plan(seed, steps);
        let whole = daemon.children().len();
        let load = daemon.clients(clients).late_after(PATIENCE).ask(&path);
        load.wait_for_answers(clients);
        let mut in_hand = 0;
        for (number, fault) in faults.iter().enumerate() {
            eprintln!("chaos: {number}: {fault:?}");
            let harm = carry_out(daemon, fault, clients);
            in_hand += harm.in_hand;
            crate::wait_until(PATIENCE, &format!("the daemon is whole after {fault:?}"), || {
                assert_eq!(
                    daemon.end(),
                    None,
                    "the daemon has ended after {fault:?}, with seed {seed}"
                );
                let children = daemon.children();
                // One that was killed may still be shown for a moment.
                let is_there = |killed: Child| children.iter().any(|it| it.pid == killed.pid);
                children.len() >= whole && !harm.killed.clone().is_some_and(is_there)
            });
            load.wait_for_answers(1);
        }
        Survived { seed, faults, in_hand, tally: load.stop() }
    }
}

/// What a fault has led to.
#[derive(Debug, Default)]
struct Harm {
    /// The child that was killed.
    killed: Option<Child>,
    /// How many requests may have failed for that.
    in_hand: usize,
}

/// Does one thing to a daemon.
#[track_caller]
fn carry_out(daemon: &Daemon, fault: &Fault, clients: usize) -> Harm {
    match fault {
        Fault::Kill { number } => {
            let child = pick(daemon, *number);
            if !daemon.signal_child(&child, Signal::Kill) {
                // It has left by itself meanwhile.
                return Harm::default();
            }
            let room = child.concurrency.and_then(|room| usize::try_from(room).ok());
            // Without a board nothing is known of it.
            Harm { killed: Some(child), in_hand: room.unwrap_or(clients).min(clients) }
        }
        Fault::Hang { number, time } => {
            let child = pick(daemon, *number);
            daemon.signal_child(&child, Signal::Stop);
            thread::sleep(*time);
            daemon.signal_child(&child, Signal::Cont);
            Harm::default()
        }
        Fault::Reload => {
            daemon.reload().wait();
            Harm::default()
        }
        Fault::Rest { time } => {
            thread::sleep(*time);
            Harm::default()
        }
    }
}

/// Returns the child with this number, modulo how many there are.
#[track_caller]
fn pick(daemon: &Daemon, number: u64) -> Child {
    let mut children = daemon.children();
    assert!(!children.is_empty(), "the daemon has no child left");
    let at = number % children.len() as u64;
    children.swap_remove(usize::try_from(at).expect("there are few"))
}

impl Survived {
    /// Asserts that no more requests have failed than those children can have had in hand that were killed, and none in another
    /// way than that.
    ///
    /// # Panics
    ///
    /// Panics otherwise, with the seed.
    #[track_caller]
    pub fn assert_only_killed_requests_failed(&self) {
        let Self { seed, in_hand, tally, .. } = self;
        let mut wrong = String::new();
        if tally.refused > 0 || tally.wrong > 0 || tally.late > 0 {
            wrong.push_str("requests have failed in a way that no kill explains; ");
        }
        if tally.failed() > *in_hand {
            let _ = write!(wrong, "more have failed than the {in_hand} that killed children had; ");
        }
        assert!(wrong.is_empty(), "{wrong}with seed {seed}: {tally}");
    }
}
