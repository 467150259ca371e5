//! How many children a daemon has, watched all the time.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Process, children};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A watch over the children of a process, on a thread of its own.
#[derive(Debug)]
pub struct Census {
    stop: Arc<AtomicBool>,
    watch: Option<JoinHandle<Population>>,
}

/// How many living children there were at the least and at the most.
///
/// A look at `/proc` takes time, in which one child may end and another begin. So the children of
/// two looks, one after the other, are compared: those in both lived together between the looks,
/// and there never were more than those in either. Both numbers err on the side of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// The fewest.
    pub fewest: usize,
    /// The most.
    pub most: usize,
}

impl Census {
    /// Begins to watch the children of the process `parent`.
    #[must_use]
    pub fn begin(parent: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Self { stop, watch: Some(thread::spawn(move || count(parent, &stopped))) }
    }

    /// Ends the watch.
    ///
    /// # Panics
    ///
    /// Panics if the watch has, for want of `/proc`.
    #[must_use]
    pub fn end(mut self) -> Population {
        self.stop.store(true, Ordering::Relaxed);
        let watch = self.watch.take().expect("it is ended once");
        watch.join().expect("a census does not panic")
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn count(parent: u32, stop: &AtomicBool) -> Population {
    let mut sum = Population { fewest: usize::MAX, most: 0 };
    let mut before = living(parent);
    loop {
        thread::sleep(PAUSE);
        let now = living(parent);
        sum.most = sum.most.max(before.intersection(&now).count());
        sum.fewest = sum.fewest.min(before.union(&now).count());
        before = now;
        if stop.load(Ordering::Relaxed) {
            return sum;
        }
    }
}

fn living(parent: u32) -> BTreeSet<u32> {
    let is_child = |child: &Process| !child.is_zombie() && !child.is_demand_process();
    let alive = children(parent).into_iter().filter(is_child);
    alive.map(|child| child.pid).collect()
}
